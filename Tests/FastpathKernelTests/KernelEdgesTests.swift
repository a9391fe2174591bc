// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Support
import Testing

/// Attach, replace, detach and pins, on veth pairs in namespaces of our own. Needs root.
@Suite(.serialized) struct KernelEdgesTests {
    private static let instance = "kernel-tests"

    /// Two hosts and the wire between them; the edge's interface is called `sip.0`, a name that bpffs refuses.
    struct Bench {
        var edges: KernelEdges
        var here: LabInterface
        var there: LabInterface
        var interface: InterfaceID
        var policy: [PolicyKind: AddressMap]
    }

    private func withBench(_ body: (Bench) throws -> Void) throws {
        let edges = KernelEdges(instance: try Instance(named: Self.instance))
        let laboratory = try Laboratory(named: Self.instance)
        defer { laboratory.tearDown() }
        let edge = try laboratory.addHost("edge")
        let phone = try laboratory.addHost("phone")
        let (here, there) = try laboratory.connect(
            .init(edge, "sip.0", 0x0a62_0001), .init(phone, "wan", 0x0a62_0002))
        var policy: [PolicyKind: AddressMap] = [:]
        for kind in PolicyKind.inPublicMaps {
            let map = try edges.makePolicyMap(kind, capacity: kind.publicMap().defaultCapacity)
            try edges.share(map, as: kind)
            policy[kind] = map
        }
        defer {
            for state in (try? edges.edges()) ?? [] where state.isPinned { try? edges.detach(state) };
            try? edges.removeSharedPins()
        }
        let interface = try edge.perform { () throws(Failure) in try edges.interface(named: "sip.0") }
        try body(Bench(edges: edges, here: here, there: there, interface: interface, policy: policy))
    }

    private func state(_ bench: Bench) throws -> EdgeState? {
        try bench.edges.edges().first { $0.interface == bench.interface }
    }

    @Test("what a program was loaded with is read back from the kernel, through a replacement too")
    func settings() throws {
        try withBench { bench in
            let few = FilterSettings(switches: [.vlan, .ports], ports: [5060, 40_000])
            for settings in [few, .carrier, .classic, few] {
                let (state, _) = try bench.edges.attach(
                    bench.interface, object: nil, policy: bench.policy, settings: settings, modes: [.native],
                    force: false)
                #expect(try bench.edges.settings(of: state) == settings)
            }
            let state = try #require(try self.state(bench))
            try bench.edges.detach(state)
            var gone = state
            gone.attachment = nil
            let failure = #expect(throws: Failure.self) { try bench.edges.settings(of: gone) }
            #expect(failure?.kind == .notLoaded)
        }
    }

    @Test("attaches natively from another namespace, pins, and leaves nothing behind")
    func attach() throws {
        try withBench { bench in
            let (state, notes) = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [.native, .generic], force: false)
            #expect(notes.isEmpty)
            #expect(state.attachment?.mode == .native)
            #expect(state.attachment?.isEdge == true)
            #expect(state.driver == "veth")
            #expect(state.name == "sip.0")
            #expect(state.isPinned)
            #expect(try self.state(bench) == state)
            #expect(try bench.edges.counters(of: state) == Counters())
            #expect(try bench.edges.socketCount(of: state) == 0)
            try bench.edges.detach(state)
            #expect(try self.state(bench) == nil)
            #expect(namesInFolder("/sys/fs/bpf/vos-fastpath-\(Self.instance)/interfaces").isEmpty)
        }
    }

    @Test("replaces in one step and keeps the maps", arguments: [XDPMode.native, .generic])
    func replace(_ mode: XDPMode) throws {
        try withBench { bench in
            let (first, _) = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [mode], force: false)
            #expect(first.attachment?.mode == mode)
            let maps = try Program.withID(#require(first.attachment).programID).maps().map(\.id)
            let (second, _) = try bench.edges.attach(
                bench.interface, object: "build/sip_logic.bpf.o", policy: bench.policy, modes: [.native, .generic],
                force: false)
            #expect(second.attachment?.mode == mode, "the mode stays")
            #expect(second.attachment?.programID != first.attachment?.programID)
            let mapsAfter = try Program.withID(#require(second.attachment).programID).maps()
            let publicNames = Set(PublicMap.allCases.map(\.name))
            #expect(Set(mapsAfter.filter { publicNames.contains($0.name) }.map(\.id)).isSubset(of: Set(maps)))
        }
    }

    @Test("refuses a change of mode without force, makes it with force")
    func modes() throws {
        try withBench { bench in
            _ = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [.generic], force: false)
            #expect {
                try bench.edges.attach(
                    bench.interface, object: nil, policy: bench.policy, modes: [.native], force: false)
            } throws: { ($0 as? Failure)?.kind == .modeConflict }
            #expect(try state(bench)?.attachment?.mode == .generic)
            let (changed, notes) = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [.native], force: true)
            #expect(changed.attachment?.mode == .native)
            #expect(notes.count == 1)
        }
    }

    @Test("lo cannot do native: it falls back to generic, says so, and refuses when told native only")
    func loopback() throws {
        try withBench { bench in
            let lo = InterfaceID(index: 1, namespace: bench.interface.namespace)
            #expect(throws: Failure.self) {
                try bench.edges.attach(lo, object: nil, policy: bench.policy, modes: [.native], force: false)
            }
            let (state, notes) = try bench.edges.attach(
                lo, object: nil, policy: bench.policy, modes: [.native, .generic], force: false)
            #expect(state.attachment?.mode == .generic)
            #expect(notes.count == 1 && notes[0].contains("native"))
        }
    }

    @Test("MTU 9000 attaches natively")
    func jumbo() throws {
        try withBench { bench in
            try bench.there.host.ip(["link", "set", bench.there.name, "mtu", "9000"])
            try bench.here.host.ip(["link", "set", bench.here.name, "mtu", "9000"])
            let (state, _) = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [.native], force: false)
            #expect(state.attachment?.mode == .native)
        }
    }

    @Test("counts sockets by asking a twin, and nothing live moves")
    func sockets() throws {
        try withBench { bench in
            let (state, _) = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [.native], force: false)
            let program = try Program.withID(#require(state.attachment).programID)
            let socket = try SlotSocket()
            try socket.fill(#require(try program.map(.xsks)), queue: 0)
            #expect(try bench.edges.socketCount(of: state) == 1)
            #expect(try bench.edges.counters(of: state) == Counters())
        }
    }

    @Test("a foreign program is refused by its id, and replaced with force")
    func foreign() throws {
        try withBench { bench in
            try bench.here.host.ip(["link", "set", "sip.0", "xdp", "obj", "build/lab/empty_drop.bpf.o", "sec", "xdp"])
            let present = try #require(
                try bench.here.host.perform { () throws(Failure) in try LinkTable.read() }
                    .first { $0.index == bench.interface.index }?.program)
            #expect {
                try bench.edges.attach(
                    bench.interface, object: nil, policy: bench.policy, modes: [.native], force: false)
            } throws: { ($0 as? Failure)?.kind == .foreignProgram(id: present.id) }
            let (state, _) = try bench.edges.attach(
                bench.interface, object: nil, policy: bench.policy, modes: [.native], force: true)
            #expect(state.isFiltering)
        }
    }

    @Test("an object without our maps: all that it lacks are named, in the order of the maps' table")
    func otherObject() throws {
        for path in ["build/lab/empty_drop.bpf.o", "build/lab/floor.bpf.o"] {
            let list = try AddressMap.make(.block, capacity: 8)
            // Whatever else was asked for.
            for maps in [[:], ["blocked_ips": list.map, "allowed_ips": list.map]] {
                let failure = #expect(throws: Failure.self) {
                    try LoadedObject.edge(path: path, options: LoadedObject.Options(maps: maps))
                }
                #expect(failure?.kind == .unsupported && failure?.subject == path)
                #expect(failure?.reason == "the object lacks xsks_map, allowed_ips, blocked_ips, xdp_counters")
            }
        }
    }

    @Test("a list overflows with its capacity named, and what fitted is in")
    func overflow() throws {
        let map = try AddressMap.make(.block, capacity: 100)
        let addresses = (0..<150).map { IPPrefix(ipv4: 0x0a00_0000 + $0) }
        #expect {
            try map.insert(addresses) { _ in }
        } throws: { ($0 as? Failure)?.kind == .mapFull(capacity: 100) }
        #expect(Set(try map.prefixes()) == Set(addresses[..<100]))
        try map.remove(Array(addresses[50...]))
        #expect(Set(try map.prefixes()) == Set(addresses[..<50]))
        try map.insert(Array(addresses[..<60])) { _ in }
        #expect(try map.prefixes().count == 60)
        try map.freeze()
        #expect(throws: Failure.self) { try map.insert([addresses[99]]) { _ in } }
    }

    @Test("a large list reads back whole")
    func large() throws {
        let map = try AddressMap.make(.block, capacity: 300_000)
        let addresses = (0..<300_000).map { IPPrefix(ipv4: UInt32($0) &* 2_654_435_761) }
        var last = 0
        try map.insert(addresses) { last = $0 }
        #expect(last == 300_000)
        #expect(Set(try map.prefixes()) == Set(addresses))
    }

    /// Any maps will do: what is pinned is what is found, and the rename is one.
    @Test("a shared table is all of its maps, and another takes its place as a whole")
    func sharedTable() throws {
        let edges = KernelEdges(instance: try Instance(named: Self.instance + "-pins"))
        defer { try? edges.removeSharedPins() }
        let names = ["policy_one", "policy_two"]
        func make() throws -> [String: BPFMap] {
            try Dictionary(
                uniqueKeysWithValues: names.map { ($0, try edges.makePolicyMap(.block, capacity: 4).map) })
        }
        #expect(try edges.sharedTableMaps(names) == nil && !edges.hasSharedPins)
        for _ in 0..<3 {
            let maps = try make()
            try edges.shareTable(maps, id: #require(maps[names[0]]).id)
            let found = try #require(try edges.sharedTableMaps(names))
            #expect(found.mapValues(\.id) == maps.mapValues(\.id))
            #expect(try edges.sharedTableMaps(names + ["policy_none"]) == nil)
        }
        // One table and its name; the others are gone.
        let root = "/sys/fs/bpf/vos-fastpath-\(Self.instance)-pins"
        #expect(namesInFolder(root).count == 2)
        try edges.removeSharedPins()
        #expect(!edges.hasSharedPins)
    }

    @Test("the host's own addresses are those of all its interfaces")
    func ownAddresses() throws {
        try withBench { bench in
            let own = try bench.here.host.perform { () throws(Failure) in try bench.edges.ownAddresses() }
            #expect(own.contains(IPPrefix(ipv4: 0x0a62_0001)) && own.contains(IPPrefix(ipv4: 0x7f00_0001)))
            #expect(!own.contains(IPPrefix(ipv4: 0x0a62_0002)))
        }
    }
}
