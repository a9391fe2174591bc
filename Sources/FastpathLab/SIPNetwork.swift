// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// The lab of demo and tests: a SIP server on a host `edge` with five interfaces, and behind each of them a host of its
/// own: a phone that calls, one that is called, a carrier's trunk, a scanner and a flooder.
public final class SIPNetwork: Sendable {
    public enum Peer: UInt8, CaseIterable, Sendable {
        case phone = 1
        case callee
        case trunk
        case scanner
        case flooder

        var name: String { "\(self)" }
    }

    public let laboratory: Laboratory
    /// The host to protect.
    public let edge: LabHost
    public let server: SIPServer

    /// The server's address, on the edge's loopback: everybody reaches it by his own interface. Host byte order.
    public static let serverAddress = IPPrefix.address(10, 98, 0, 1)

    private let pairs: [Peer: (edge: LabInterface, peer: LabInterface)]

    /// Builds it and starts the server, with the environment that `prepare` gives: it has the host and its interfaces
    /// before there is a server.
    public init(
        in laboratory: Laboratory, workers: Int = 2,
        prepare: (LabHost, [LabInterface]) throws(Failure) -> [String: String] = { _, _ in [:] }
    ) throws(Failure) {
        self.laboratory = laboratory
        let edge = try laboratory.addHost("edge")
        self.edge = edge
        try edge.ip(["addr", "add", "\(IPPrefix(ipv4: Self.serverAddress))/32", "dev", "lo"])
        var pairs: [Peer: (edge: LabInterface, peer: LabInterface)] = [:]
        for peer in Peer.allCases {
            let host = try laboratory.addHost(peer.name)
            let gateway = IPPrefix.address(10, 98, peer.rawValue, 1)
            let ends = try laboratory.connect(
                .init(edge, "v-\(peer.name)", gateway), .init(host, "eth0", IPPrefix.address(10, 98, peer.rawValue, 2)))
            try host.ip(["route", "add", "default", "via", "\(IPPrefix(ipv4: gateway))"])
            // A NAPI poll with and without an XDP program: the same receive path in both cases.
            try ends.0.setOffloads(["gro": true])
            pairs[peer] = (ends.0, ends.1)
        }
        self.pairs = pairs
        server = try SIPServer(
            in: laboratory, on: edge, address: Self.serverAddress, workers: workers,
            environment: try prepare(edge, Peer.allCases.compactMap { pairs[$0]?.edge }))
    }

    /// The edge's interface towards a peer: where the program is attached.
    public func edgeInterface(_ peer: Peer) -> LabInterface { pair(peer).edge }

    /// The peer's own interface.
    public func interface(of peer: Peer) -> LabInterface { pair(peer).peer }

    /// All interfaces of the edge, in the order of ``Peer``.
    public var edgeInterfaces: [LabInterface] { Peer.allCases.map(edgeInterface) }

    /// The server, as seen from a peer: the next hop's Ethernet address and the server's own IP address.
    public func serverEndpoint(from peer: Peer) -> Endpoint {
        Endpoint(mac: edgeInterface(peer).mac, address: server.address, port: server.port)
    }

    /// SIPp on a peer. `port` is its own.
    public func sipp(_ scenario: SIPpScenario, on peer: Peer, port: UInt16, user: String = "callee") -> SIPp {
        let interface = interface(of: peer)
        return SIPp(
            scenario, on: interface.host, local: (interface.address, port), server: (server.address, server.port),
            user: user)
    }

    /// Starts the one who answers calls, and registers him. He is there until the lab goes.
    public func startCallee() throws(Failure) {
        _ = try sipp(.answer, on: .callee, port: 5060).start(in: laboratory)
        let report = try sipp(.register, on: .callee, port: 5070).run(in: laboratory)
        guard report.completed == 1 else {
            throw Failure(
                tried: "register the callee", on: "kamailio", because: "the REGISTER was not answered with 200",
                next: "Try again; if it goes on, look at the SIP server's log.")
        }
    }

    /// svmap against the server, from the scanner.
    public func scan() throws(Failure) -> [Svmap.Finding] {
        try Svmap.scan(["\(IPPrefix(ipv4: server.address))"], from: interface(of: .scanner).host, in: laboratory)
    }

    private func pair(_ peer: Peer) -> (edge: LabInterface, peer: LabInterface) {
        guard let pair = pairs[peer] else { preconditionFailure("every peer has its pair") }
        return pair
    }
}
