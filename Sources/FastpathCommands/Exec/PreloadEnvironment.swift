// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// What `libvosfastpath.so` reads of its process's environment.
enum PreloadVariable: String {
    case ports = "VOS_FASTPATH_PORTS"
    case interfaces = "VOS_FASTPATH_INTERFACES"
    case log = "VOS_FASTPATH_LOG"
    case transmit = "VOS_FASTPATH_TX"
}

/// What `exec` finds on the host before it becomes the server.
struct PreloadFacts {
    struct Interface: Hashable {
        var name: String
        /// Is its `xsks_map` pinned for this instance, where the library looks for it? Nil where that is not to be seen.
        var isPinned: Bool?
        /// Is an XDP program attached?
        var hasProgram: Bool
        var isBondMaster: Bool
    }

    /// All of the network namespace.
    var interfaces: [Interface]
    /// May this process make AF_XDP sockets?
    var canMakeSockets: Bool
    /// Of a process that holds no pins: is there a BPF file system at all?
    var hasBPFFileSystem: Bool

    static func gather(_ instance: Instance) throws(Failure) -> PreloadFacts {
        let here = try NetworkNamespace.current().cookie
        let kernel = KernelEdges(instance: instance)
        let interfaces = try LinkTable.read().map { link in
            Interface(
                name: link.name, isPinned: kernel.hasPinnedSockets(InterfaceID(index: link.index, namespace: here)),
                hasProgram: link.program != nil,
                // Not by /sys, which may be that of another network namespace.
                isBondMaster: driverName(of: link.name) == "bonding")
        }
        return PreloadFacts(
            interfaces: interfaces, canMakeSockets: Host.canMakeSockets, hasBPFFileSystem: Host.hasBPFFileSystem)
    }
}

/// What `exec` was told.
struct PreloadRequest {
    /// None: all with an edge.
    var interfaces: [String] = []
    /// None: what the library does by itself.
    var ports: [UInt16] = []
    /// Nil: what the library does by itself.
    var log: String?
    var transmits = false
    var instance = Instance.default
    /// The whole path of the library.
    var library: String
}

/// The environment that the server gets, and what the operator should know.
struct PreloadEnvironment: Hashable {
    /// Variables to be set.
    var variables: [String: String] = [:]
    var warnings: [String] = []

    /// `environment`: what is there. Throws where the library could not do what it is loaded for.
    init(
        _ request: PreloadRequest, _ facts: PreloadFacts, environment: (String) -> String?
    ) throws(Failure) {
        let names = try Self.interfaces(request, facts)
        if !facts.canMakeSockets {
            warnings.append(
                "without CAP_NET_RAW, CAP_NET_ADMIN and CAP_BPF there is no AF_XDP socket: the server runs on the "
                    + "kernel's socket alone. Start it as root; it may change to its own user once it has bound its port."
            )
        }
        for interface in facts.interfaces where names.contains(interface.name) && interface.isBondMaster {
            warnings.append(
                "\(interface.name) is a bond: it takes no AF_XDP socket, and its packets come by the kernel. Put the "
                    + "edge on its members.")
        }
        variables["LD_PRELOAD"] = try Self.preload(request.library, before: environment("LD_PRELOAD"))
        if !names.isEmpty { variables[PreloadVariable.interfaces.rawValue] = names.joined(separator: ",") }
        if !request.ports.isEmpty {
            let ports = Set(request.ports).sorted().map { "\($0)" }
            variables[PreloadVariable.ports.rawValue] = ports.joined(separator: ",")
        }
        // An empty one is the default instance, for the library as for us.
        if request.instance != .default || environment(Instance.environmentVariable) != nil {
            variables[Instance.environmentVariable] = request.instance.name
        }
        variables[PreloadVariable.log.rawValue] = request.log
        if request.transmits { variables[PreloadVariable.transmit.rawValue] = "1" }
    }

    /// The interfaces to be named; none where a process without privileges sees no pins and nobody named one.
    private static func interfaces(_ request: PreloadRequest, _ facts: PreloadFacts) throws(Failure) -> [String] {
        var chosen: [PreloadFacts.Interface] = []
        for name in request.interfaces where !chosen.contains(where: { $0.name == name }) {
            guard let interface = facts.interfaces.first(where: { $0.name == name }) else {
                throw Failure(
                    .noInterface, tried: "find the interface", on: name,
                    because: "this network namespace has none of that name", next: "`ip -br link` lists them.")
            }
            chosen.append(interface)
        }
        if facts.interfaces.contains(where: { $0.isPinned == nil }) { return chosen.map(\.name) }
        for interface in chosen where interface.isPinned == false || !interface.hasProgram {
            throw noEdge(on: interface.name, request.instance, facts, why(interface))
        }
        if !request.interfaces.isEmpty { return chosen.map(\.name) }
        let all = facts.interfaces.filter { $0.isPinned == true && $0.hasProgram }.map(\.name)
        if all.isEmpty {
            throw noEdge(on: nil, request.instance, facts, "no interface of this network namespace has an edge")
        }
        return all
    }

    private static func why(_ interface: PreloadFacts.Interface) -> String {
        if interface.isPinned == true { return "the edge was taken off there; its pins are left" }
        return interface.hasProgram
            ? "the program there has no pins of this instance, by which the library finds it" : "it has no edge"
    }

    private static func noEdge(
        on name: String?, _ instance: Instance, _ facts: PreloadFacts, _ reason: String
    ) -> Failure {
        let tried = "take over the server's socket"
        guard facts.hasBPFFileSystem else {
            return Failure(
                .unsupported, tried: tried, on: name ?? "any interface",
                because: "no BPF file system is mounted on \(Host.bpfFileSystem), where the edge has its pins",
                next: "Mount it: mount -t bpf bpf \(Host.bpfFileSystem). Inside `ip netns exec` use "
                    + "`nsenter --net=/run/netns/NAME` instead, which does not hide it.")
        }
        let option = instance == .default ? "" : " --instance \(instance.name)"
        return Failure(
            .notLoaded, tried: tried, on: name ?? "any interface", because: reason,
            next: "Attach the edge first: vos-fastpath up \(name ?? "IFACE")\(option)")
    }

    /// The library first, then what is there already; the loader separates by blanks and colons (ld.so(8)).
    private static func preload(_ library: String, before present: String?) throws(Failure) -> String {
        guard !library.contains(where: { $0 == ":" || $0.isWhitespace }) else {
            throw Failure(
                .usage, tried: "preload the library", on: library,
                because: "LD_PRELOAD takes no path with a blank or a colon", next: "Put it elsewhere.")
        }
        let others = (present ?? "").split { $0 == ":" || $0.isWhitespace }.filter { $0 != library }
        return ([library[...]] + others).joined(separator: ":")
    }
}
