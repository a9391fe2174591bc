// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore
import Glibc

/// The edges of one instance, as the kernel has them: attached programs, pins, maps.
public final class KernelEdges {
    let pins: PinFolder

    public init(instance: Instance) {
        pins = PinFolder(root: instance.pinRoot)
    }

    public func requireReady() throws(Failure) { try Host.requireReady() }

    /// The id of an interface of the caller's namespace.
    public func interface(named name: String) throws(Failure) -> InterfaceID {
        let index = if_nametoindex(name)
        guard index != 0 else {
            throw Failure(
                .noInterface, tried: "find the interface", on: name,
                because: "this network namespace has none of that name",
                next: "`ip -br link` lists them.")
        }
        return InterfaceID(index: index, namespace: try NetworkNamespace.current().cookie)
    }

    /// Every interface of the caller's namespace with an XDP program on it, and every one with pins of ours.
    public func edges() throws(Failure) -> [EdgeState] {
        let here = try NetworkNamespace.current()
        let pinned = pins.interfaces()
        var states = try edges(in: here, pinned: pinned.filter { $0.namespace == here.cookie }, all: true)
        let foreign = Set(pinned.map(\.namespace)).subtracting([here.cookie]).sorted()
        for cookie in foreign {
            let there = pinned.filter { $0.namespace == cookie }
            if let namespace = try NetworkNamespace.find(cookie: cookie) {
                states += try edges(in: namespace, pinned: there, all: false)
            } else {
                states += there.map {
                    EdgeState(
                        interface: $0, name: nil, driver: nil, namespaceName: nil, attachment: nil, isPinned: true)
                }
            }
        }
        return states
    }

    private func edges(in namespace: NetworkNamespace, pinned: [InterfaceID], all: Bool) throws(Failure) -> [EdgeState]
    {
        try whileGone { () throws(Failure) in try edgesNow(in: namespace, pinned: pinned, all: all) }
    }

    private func edgesNow(
        in namespace: NetworkNamespace, pinned: [InterfaceID], all: Bool
    ) throws(Failure) -> [EdgeState] {
        try namespace.perform { () throws(Failure) in
            let links = try LinkTable.read()
            var states: [EdgeState] = []
            for link in links {
                let interface = InterfaceID(index: link.index, namespace: namespace.cookie)
                let isPinned = pinned.contains(interface)
                guard isPinned || (all && link.program != nil) else { continue }
                states.append(try state(of: link, interface, in: namespace, isPinned: isPinned))
            }
            let known = Set(links.map(\.index))
            states += pinned.filter { !known.contains($0.index) }.map {
                EdgeState(
                    interface: $0, name: nil, driver: nil, namespaceName: namespace.name, attachment: nil,
                    isPinned: true)
            }
            return states
        }
    }

    func state(
        of link: Link, _ interface: InterfaceID, in namespace: NetworkNamespace, isPinned: Bool
    ) throws(Failure) -> EdgeState {
        var attachment: Attachment?
        if let (mode, id) = link.program {
            let program = try Program.withID(id)
            attachment = Attachment(
                mode: mode, programID: id, programName: program.name, tag: program.tag, loaded: program.loaded,
                isEdge: try program.isEdge())
        }
        return EdgeState(
            interface: interface, name: link.name, driver: driverName(of: link.name), namespaceName: namespace.name,
            attachment: attachment, isPinned: isPinned,
            otherInstance: isPinned ? nil : pins.otherInstance(holding: interface))
    }

    /// The addresses of all interfaces of the caller's namespace.
    public func ownAddresses() throws(Failure) -> [IPPrefix] {
        var first: UnsafeMutablePointer<ifaddrs>?
        _ = try check(getifaddrs(&first), "ask for the addresses of this host", on: "all interfaces")
        defer { freeifaddrs(first) }
        var addresses: [IPPrefix] = []
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr else { continue }
            let bytes = UnsafeRawPointer(address)
            switch Int32(address.pointee.sa_family) {
            case AF_INET:
                let number = bytes.loadUnaligned(as: sockaddr_in.self).sin_addr.s_addr
                addresses.append(IPPrefix(ipv4: UInt32(bigEndian: number)))
            case AF_INET6:
                let number = bytes.loadUnaligned(
                    fromByteOffset: MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr) ?? 8, as: UInt128.self)
                addresses.append(IPPrefix(ipv6: UInt128(bigEndian: number)))
            default: continue
            }
        }
        return Array(Set(addresses)).sorted()
    }

    // MARK: Lists

    /// The pinned list that all interfaces share, or nil before the first `up`.
    public func sharedPolicyMap(_ kind: PolicyKind) throws(Failure) -> AddressMap? {
        guard let map = try BPFMap.pinned(at: pins.sharedMapPath(kind.publicMap())) else { return nil }
        return try AddressMap(map)
    }

    /// The list that the program on `edge` reads.
    public func policyMap(_ kind: PolicyKind, of edge: EdgeState) throws(Failure) -> AddressMap {
        try AddressMap(map(kind.publicMap(), of: edge))
    }

    public func makePolicyMap(_ kind: PolicyKind, capacity: Int) throws(Failure) -> AddressMap {
        try AddressMap.make(kind, capacity: capacity)
    }

    /// Makes `map` the shared one.
    public func share(_ map: AddressMap, as kind: PolicyKind) throws(Failure) {
        try pins.makeRoot()
        try map.map.pin(at: pins.sharedMapPath(kind.publicMap()))
    }

    /// The maps of the pinned policy table that all interfaces share, by name; nil where one of them is missing.
    public func sharedTableMaps(_ names: [String]) throws(Failure) -> [String: BPFMap]? {
        var maps: [String: BPFMap] = [:]
        for name in names {
            guard let map = try BPFMap.pinned(at: pins.tableMapPath(name)) else { return nil }
            maps[name] = map
        }
        return maps
    }

    /// The maps of the policy table that the program on `edge` uses, by name; nil where it uses none.
    public func tableMaps(_ names: [String], of edge: EdgeState) throws(Failure) -> [String: BPFMap]? {
        let program = try lookingAgain(at: edge) { (edge) throws(Failure) -> Program? in
            guard let attachment = edge.attachment, attachment.isEdge else { return nil }
            return try Program.withID(attachment.programID)
        }
        guard let used = try program?.maps() else { return nil }
        var maps: [String: BPFMap] = [:]
        for name in names {
            // The kernel cuts names to 15 characters.
            guard let map = used.first(where: { $0.name == String(name.prefix(15)) }) else { return nil }
            maps[name] = map
        }
        return maps
    }

    /// Makes `maps` the shared policy table: their pins take the place of the old in one rename. `id`: that of one of them.
    public func shareTable(_ maps: [String: BPFMap], id: UInt32) throws(Failure) { try pins.shareTable(maps, id: id) }

    /// Is the instance's folder of pins there?
    public var hasSharedPins: Bool { access(pins.root, F_OK) == 0 }

    public func removeSharedPins() throws(Failure) { try pins.removeRoot() }

    /// Is an interface's map of sockets pinned, where consumers look for it? Nil where this process may not look.
    public func hasPinnedSockets(_ interface: InterfaceID) -> Bool? {
        if access(pins.mapPath(.xsks, interface), F_OK) == 0 { return true }
        return errno == ENOENT || errno == ENOTDIR ? false : nil
    }

    // MARK: Counters and sockets

    public func counters(of edge: EdgeState) throws(Failure) -> Counters {
        try readCounters(map(.counters, of: edge))
    }

    /// A public map of an edge: by the attached program, else by the pin.
    func map(_ map: PublicMap, of edge: EdgeState) throws(Failure) -> BPFMap {
        try lookingAgain(at: edge) { (edge) throws(Failure) in try mapNow(map, of: edge) }
    }

    private func mapNow(_ map: PublicMap, of edge: EdgeState) throws(Failure) -> BPFMap {
        if let attachment = edge.attachment, attachment.isEdge,
            let found = try Program.withID(attachment.programID).map(map)
        {
            return found
        }
        if edge.isPinned, let found = try BPFMap.pinned(at: pins.mapPath(map, edge.interface)) { return found }
        throw Failure(
            .notLoaded, tried: "find the map \(map.name)", on: edge.name ?? "ifindex \(edge.interface.index)",
            because: "no program of ours is attached and nothing is pinned", next: "Attach it: `vos-fastpath up`.")
    }

    // MARK: Settings

    /// What the program on `edge` was loaded with, whoever loaded it: read from the frozen map that it has. Nil where
    /// it holds what this version does not know. A program without that map is older than the switches: `classic`.
    public func settings(of edge: EdgeState) throws(Failure) -> FilterSettings? {
        try FilterSettings.of(program(of: edge))
    }

    /// The program on an edge; throws `.notLoaded` where there is none of ours.
    public func program(of edge: EdgeState) throws(Failure) -> Program {
        try lookingAgain(at: edge) { (edge) throws(Failure) in
            guard let attachment = edge.attachment, attachment.isEdge else {
                throw Failure(
                    .notLoaded, tried: "find the program", on: edge.name ?? "ifindex \(edge.interface.index)",
                    because: "none of ours is attached", next: "Attach it: vos-fastpath up IFACE")
            }
            return try Program.withID(attachment.programID)
        }
    }

    /// What the program on an edge has written down beside the public counters.
    public func notes(of edge: EdgeState) throws(Failure) -> EdgeNotes { try EdgeNotesReader(program(of: edge)).read() }

    /// Runs `body` with an edge; again with its present state where the program was replaced since the state was read.
    private func lookingAgain<Result>(
        at edge: EdgeState, _ body: (EdgeState) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        var edge = edge
        return try whileGone { () throws(Failure) in
            do throws(Failure) {
                return try body(edge)
            } catch {
                if let now = try edges().first(where: { $0.interface == edge.interface }) { edge = now }
                throw error
            }
        }
    }

    /// The namespace of an edge; throws where it is gone.
    func namespace(of interface: InterfaceID) throws(Failure) -> NetworkNamespace {
        if let namespace = try NetworkNamespace.find(cookie: interface.namespace) { return namespace }
        throw Failure(
            .noInterface, tried: "find the network namespace", on: "cookie \(interface.namespace)",
            because: "it is gone, and its interfaces with it",
            next: "`vos-fastpath down --all` removes what is left of it.")
    }
}

/// Runs `body` again where an object that it was about to open by its id is gone (ENOENT): an id that the kernel gave a
/// moment ago is void when another command has replaced the program meanwhile. Readers wait for no lock.
private func whileGone<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
    for _ in 0..<20 {
        do throws(Failure) {
            return try body()
        } catch {
            guard error.kind == .system(errno: ENOENT) else { throw error }
        }
    }
    return try body()
}

/// The packets that `xdp_counters` holds, over all CPUs.
func readCounters(_ map: BPFMap) throws(Failure) -> Counters {
    var counters = Counters()
    for reason in Reason.counted {
        let key = withUnsafeBytes(of: reason.id) { Array($0) }
        guard let cells = try map.lookup(key: key) else { continue }
        counters[reason] = cells.withUnsafeBytes { $0.bindMemory(to: UInt64.self).reduce(0, &+) }
    }
    return counters
}

extension FilterSettings {
    /// What a program was loaded with; nil where it holds what this version does not know.
    static func of(_ program: Program) throws(Failure) -> FilterSettings? {
        // Programs without have no switches.
        guard let map = try program.ownMap(FASTPATH_SETTINGS_MAP) else { return .classic }
        guard map.type == BPF_MAP_TYPE_ARRAY.rawValue, map.keySize == 4 else { return nil }
        return try map.lookup(key: [0, 0, 0, 0]).flatMap { FilterSettings(abi: $0) }
    }
}
