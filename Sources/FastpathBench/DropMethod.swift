// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab

/// A way to get rid of what blocked sources send.
public enum DropMethod: String, CaseIterable, Hashable, Sendable {
    case nativeEdge = "native"
    case nativeCarrier = "native_carrier"
    case nativeEmpty = "native_empty"
    case genericEdge = "generic"
    case nftIngress = "nft_ingress"
    case nftIngressBare = "nft_ingress_bare"
    case nftPrerouting = "nft_prerouting"
    case ipsetInput = "ipset_input"
    case socket

    public var name: String { rawValue }

    public var label: String {
        switch self {
        case .nativeEdge: "the edge, native mode"
        case .nativeCarrier: "the edge, profile carrier, frozen maps"
        case .nativeEmpty: "empty program, native mode"
        case .genericEdge: "the edge, generic mode"
        case .nftIngress: "nft set, ingress: port 5060, counted"
        case .nftIngressBare: "nft set, ingress: nothing else"
        case .nftPrerouting: "nft set, prerouting: port 5060, counted"
        case .ipsetInput: "ipset and iptables, INPUT"
        case .socket: "read from the socket and discarded"
        }
    }

    /// How far a packet must come, so that all of them are known to be dropped there and nowhere else.
    enum Place {
        /// The XDP program counts.
        case program
        /// Received, but not by IP.
        case beforeIP
        /// Received by IP, but not delivered.
        case inIP
        /// Delivered and read.
        case socket
    }

    var place: Place {
        switch self {
        case .nativeEdge, .nativeCarrier, .nativeEmpty, .genericEdge: .program
        case .nftIngress, .nftIngressBare: .beforeIP
        case .nftPrerouting, .ipsetInput: .inIP
        case .socket: .socket
        }
    }
}

/// The host that is flooded, and what stands in the flood's way on it.
struct DropStand {
    let interface: LabInterface
    let sources: [IPPrefix]
    let programs: BenchPrograms

    private var host: LabHost { interface.host }
    private static let table = "bench"
    private static let set = "blocked"

    /// Puts `method` in place.
    func setUp(_ method: DropMethod) throws(Failure) {
        switch method {
        case .nativeEdge: try attach(programs.edge, .native)
        case .nativeCarrier: try attach(programs.carrier, .native)
        case .nativeEmpty: try attach(programs.empty, .native)
        case .genericEdge: try attach(programs.edge, .generic)
        case .nftIngress: try nft("netdev", ingress, rule: sameRule)
        case .nftIngressBare: try nft("netdev", ingress, rule: "ip saddr @\(Self.set) drop")
        case .nftPrerouting: try nft("ip", "type filter hook prerouting priority -300;", rule: sameRule)
        case .ipsetInput:
            try shell(["ipset", "create", Self.set, "hash:ip", "maxelem", "\(max(1024, sources.count))"])
            let path = "/run/vos-fastpath-lab/\(Bench.name)/ipset"
            try writeFile(sources.map { "add \(Self.set) \($0)\n" }.joined(), to: path)
            try shell(["ipset", "restore", "-file", path])
            let rule = ["-p", "udp", "--dport", "5060", "-m", "set", "--match-set", Self.set, "src", "-j", "DROP"]
            try shell(["iptables", "-I", "INPUT"] + rule)
        case .socket: break
        }
    }

    /// Takes it away again.
    func tearDown(_ method: DropMethod) throws(Failure) {
        switch method {
        case .nativeEdge: try detach(programs.edge, .native)
        case .nativeCarrier: try detach(programs.carrier, .native)
        case .nativeEmpty: try detach(programs.empty, .native)
        case .genericEdge: try detach(programs.edge, .generic)
        case .nftIngress, .nftIngressBare: try shell(["nft", "delete", "table", "netdev", Self.table])
        case .nftPrerouting: try shell(["nft", "delete", "table", "ip", Self.table])
        case .ipsetInput:
            try shell(["iptables", "-F", "INPUT"])
            try shell(["ipset", "destroy", Self.set])
        case .socket: break
        }
    }

    private func attach(_ program: Program, _ mode: XDPMode) throws(Failure) {
        try host.perform { () throws(Failure) in
            try XDP.attach(program, to: interface.index, mode: mode, replacing: nil)
        }
    }

    private func detach(_ program: Program, _ mode: XDPMode) throws(Failure) {
        try host.perform { () throws(Failure) in try XDP.detach(program, from: interface.index, mode: mode) }
    }

    private var ingress: String { "type filter hook ingress device \"\(interface.name)\" priority -500;" }

    /// What the edge does for a blocked source: UDP to the SIP port is dropped, and counted.
    private var sameRule: String { "ip saddr @\(Self.set) udp dport 5060 counter drop" }

    /// With a size the set is a plain hash table, nft's fastest.
    private func nft(_ family: String, _ hook: String, rule: String) throws(Failure) {
        let elements = sources.map(\.description).joined(separator: ", ")
        let rules = """
            table \(family) \(Self.table) {
                set \(Self.set) { type ipv4_addr; size \(max(1024, sources.count)); elements = { \(elements) } }
                chain guard { \(hook) policy accept; \(rule); }
            }

            """
        let path = "/run/vos-fastpath-lab/\(Bench.name)/nft"
        try writeFile(rules, to: path)
        try shell(["nft", "-f", path])
    }

    private func shell(_ arguments: [String]) throws(Failure) {
        try Shell.run(arguments, in: host.namespace)
    }

    // MARK: What the host has counted

    /// Since it was made.
    struct Counts {
        /// Frames that came in on the interface.
        var received = 0
        /// Frames that an XDP program dropped there, as the driver (native) or the edge itself counts them.
        var droppedByDriver = 0
        var blocked = 0
        /// IP packets that came in (RFC 4293).
        var inReceives = 0
        var inDelivers = 0

        static func - (later: Counts, earlier: Counts) -> Counts {
            Counts(
                received: later.received - earlier.received,
                droppedByDriver: later.droppedByDriver - earlier.droppedByDriver,
                blocked: later.blocked - earlier.blocked, inReceives: later.inReceives - earlier.inReceives,
                inDelivers: later.inDelivers - earlier.inDelivers)
        }
    }

    func counts() throws(Failure) -> Counts {
        var counts = Counts()
        counts.received = Int(try interface.statistics().received)
        counts.blocked = Int(try programs.counters()[.blocked])
        for line in try Shell.run(["ethtool", "-S", interface.name], in: host.namespace).split(separator: "\n") {
            let parts = line.split(separator: ":")
            guard parts.count == 2, parts[0].hasSuffix("_xdp_drops") else { continue }
            counts.droppedByDriver += Int(parts[1].drop { $0 == " " }) ?? 0
        }
        let bytes = try host.perform { () throws(Failure) in try readFile("/proc/thread-self/net/snmp") }
        let table = String(decoding: bytes, as: UTF8.self).split(separator: "\n").filter { $0.hasPrefix("Ip: ") }
            .map { $0.split(separator: " ") }
        if table.count == 2 {
            let values = Dictionary(zip(table[0], table[1]), uniquingKeysWith: { first, _ in first })
            counts.inReceives = values["InReceives"].flatMap { Int($0) } ?? 0
            counts.inDelivers = values["InDelivers"].flatMap { Int($0) } ?? 0
        }
        return counts
    }
}
