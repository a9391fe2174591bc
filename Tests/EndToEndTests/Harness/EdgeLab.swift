// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

/// A host `edge` with a listening socket, and a peer behind each of its interfaces.
final class EdgeLab {
    /// One wire: the edge's end and the peer's.
    struct Wire {
        let here: LabInterface
        let there: LabInterface
        var name: String { here.name }
    }

    let laboratory: Laboratory
    let edge: LabHost
    let wires: [Wire]
    let receiver: DatagramReceiver
    let command: Edge
    private var markers = 0

    /// The first wire, and what behind it is called a stranger, a good peer and so on.
    var wire: Wire { wires[0] }

    /// Builds it in a cleared instance, runs `body`, takes everything away.
    /// - Parameter interfaces: of the edge; the peers behind them are 10.97.1.2, 10.97.2.2 and so on.
    static func with(_ interfaces: [String] = ["sip0"], _ body: (EdgeLab) throws -> Void) throws {
        let laboratory = try Turn.laboratory()
        defer { laboratory.tearDown() }
        try Edge().clear()
        try body(EdgeLab(laboratory, interfaces))
        // The interfaces take their programs along; what is pinned stays until here.
        try Edge().clear()
    }

    private init(_ laboratory: Laboratory, _ interfaces: [String]) throws {
        self.laboratory = laboratory
        edge = try laboratory.addHost("edge")
        var wires: [Wire] = []
        for (number, interface) in interfaces.enumerated() {
            let peer = try laboratory.addHost("peer\(number + 1)")
            wires.append(try Self.connect(laboratory, edge, interface, peer, number + 1))
        }
        self.wires = wires
        receiver = try DatagramReceiver(on: edge, port: 5060, bufferBytes: 256 << 20)
        command = Edge(host: edge)
    }

    /// A veth pair with one queue, so that packets stay in order, and with a NAPI poll in every mode.
    static func connect(
        _ laboratory: Laboratory, _ edge: LabHost, _ interface: String, _ peer: LabHost, _ number: Int
    ) throws -> Wire {
        let network = 0x0a61_0000 | UInt32(number) << 8
        let (here, there) = try laboratory.connect(
            .init(edge, interface, network | 1), .init(peer, "eth0", network | 2))
        for end in [here, there] {
            try Shell.run(["ethtool", "-L", end.name, "rx", "1", "tx", "1"], in: end.host.namespace)
            try end.setOffloads(["gro": true])
        }
        return Wire(here: here, there: there)
    }

    // MARK: Commands

    /// `up` on every wire.
    func up(_ mode: XDPMode, _ arguments: String...) throws {
        for wire in wires { try command.done(["up", wire.name, "--mode", mode.rawValue] + arguments) }
    }

    // MARK: Traffic

    struct Exchange: Equatable, CustomStringConvertible {
        /// What every counter moved by, the marker not counted.
        var counted: [String: Int]
        /// What the socket behind the edge got.
        var heard: [[UInt8]]

        var description: String {
            let texts = heard.map { String(decoding: $0.prefix(40), as: UTF8.self) }
            return "counted \(counted.sorted { $0.key < $1.key }), heard \(heard.count): \(texts.prefix(5))"
        }
    }

    /// Sends frames over a wire and tells what became of them. Packets stay in order, so a good one that is sent last
    /// and has arrived proves that all before it were dealt with: an absence is no matter of patience.
    func exchange(_ frames: [[UInt8]], over number: Int = 0) throws -> Exchange {
        let before = try command.stats().total
        let heard = try hear(frames, over: number)
        var counted = try command.stats().total - before
        counted[Reason.passed.name, default: 0] -= 1  // the marker
        return Exchange(counted: counted, heard: heard)
    }

    /// The same without a look at counters: for where there are none.
    func hear(_ frames: [[UInt8]], over number: Int = 0) throws -> [[UInt8]] {
        _ = receiver.receive(timeout: .zero)
        let wire = wires[number]
        markers += 1
        let marker = SIPRequest.register(
            to: peer(number).server, local: peer(number).local, sequence: 900_000 + markers)
        let local = Endpoint(mac: wire.there.mac, address: 0x0a61_fe01, port: 5060)
        let sent = try RawSender(wire.there).send(
            frames + [Frame.udp(from: local, to: peer(number).server, payload: marker)])
        #expect(sent.refused == 0, "the wire had no room")
        var heard: [[UInt8]] = []
        let arrived = eventually(within: .seconds(5)) {
            heard += receiver.receive(timeout: .milliseconds(2)).map(\.payload)
            return heard.contains(marker)
        }
        try #require(arrived, "the marker did not arrive")
        return heard.filter { $0 != marker }
    }

    /// What arrives without the edge's doing: every frame, for the positive control.
    func expectAllHeard(_ payloads: [[UInt8]], _ frames: [[UInt8]], sourceLocation: SourceLocation = #_sourceLocation)
        throws
    {
        #expect(try hear(frames) == payloads, "without the edge everything arrives", sourceLocation: sourceLocation)
    }

    /// Sends frames and compares all counters and all that was heard.
    func expect(
        _ frames: [[UInt8]], over number: Int = 0, counted: [Reason: Int], heard: [[UInt8]], _ comment: Comment? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let exchange = try exchange(frames, over: number)
        #expect(
            exchange == Exchange(counted: counters(counted), heard: heard), comment, sourceLocation: sourceLocation)
    }

    func peer(_ number: Int = 0) -> Peer {
        let wire = wires[number]
        return Peer(local: Endpoint(wire.there, port: 5060), server: Endpoint(wire.here, port: 5060))
    }
}

/// Who sends, and to whom.
struct Peer {
    var local: Endpoint
    var server: Endpoint

    var address: String { "\(IPPrefix(ipv4: local.address))" }

    /// The same wire, another source address (host byte order).
    func spoofing(_ address: UInt32) -> Peer {
        var peer = self
        peer.local.address = address
        return peer
    }

    func options(_ number: Int = 1) -> [UInt8] { SIPRequest.options(to: server, local: local, sequence: number) }
    func register(_ number: Int = 1) -> [UInt8] { SIPRequest.register(to: server, local: local, sequence: number) }
    func invite(_ number: Int = 1) -> [UInt8] {
        SIPRequest.invite("callee", at: server, local: local, sequence: number)
    }

    func frame(_ payload: [UInt8], port: UInt16 = 5060) -> [UInt8] {
        var server = server
        server.port = port
        return Frame.udp(from: local, to: server, payload: payload)
    }

    func frames(_ payloads: [[UInt8]]) -> [[UInt8]] { payloads.map { frame($0) } }
}
