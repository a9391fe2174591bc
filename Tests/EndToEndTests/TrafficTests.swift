// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    @Suite struct TrafficTests {
        /// A kind of packet: many of it, what counts them, and whether they arrive.
        struct Kind {
            var name: String
            /// Frames, and the payloads that arrive when nothing filters.
            var frames: [[UInt8]]
            var payloads: [[UInt8]]
            var reason: Reason
            var count: Int
        }

        static let junk = Array("no session initiation here, not at all".utf8)

        /// Every kind of packet that a stranger, a blocked and an allowed source may send.
        static func kinds(_ peer: Peer, blocked: Peer, allowed: Peer, count: Int) -> [Kind] {
            func kind(_ name: String, _ peer: Peer, _ reason: Reason, port: UInt16 = 5060, _ payload: (Int) -> [UInt8])
                -> Kind
            {
                let payloads = (1...count).map(payload)
                let frames = payloads.map { peer.frame($0, port: port) }
                // A socket on port 5060 hears nothing of another port.
                return Kind(
                    name: name, frames: frames, payloads: port == 5060 ? payloads : [], reason: reason, count: count)
            }
            let short = Array("REGISTER sip:a".utf8)
            return [
                kind("OPTIONS of a stranger", peer, .optionsDropped, peer.options),
                kind("REGISTER of a stranger", peer, .passed, peer.register),
                kind("INVITE of a stranger", peer, .passed, peer.invite),
                kind("junk", peer, .malformed) { _ in junk },
                kind("a REGISTER too short to be one", peer, .malformed) { _ in short },
                kind("a keepalive", peer, .passed) { _ in [13, 10, 13, 10] },
                kind("a 257-byte UDP length of junk", peer, .malformed) { _ in [UInt8](repeating: 0x78, count: 249) },
                kind("REGISTER of a blocked source", blocked, .blocked, blocked.register),
                kind("OPTIONS of a blocked source", blocked, .blocked, blocked.options),
                kind("OPTIONS of an allowed source", allowed, .passed, allowed.options),
                kind("junk of an allowed source", allowed, .malformed) { _ in junk },
                kind("OPTIONS to port 5061", peer, .ignored, port: 5061, peer.options),
            ]
        }

        @Test(
            "every packet is counted once, under its reason, and arrives or does not",
            arguments: [XDPMode.native, .generic])
        func exact(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                let (blocked, allowed) = (peer.spoofing(0x0a61_0132), peer.spoofing(0x0a61_0133))
                let kinds = Self.kinds(peer, blocked: blocked, allowed: allowed, count: 40)
                for kind in kinds {
                    #expect(try lab.hear(kind.frames) == kind.payloads, "without the edge: \(kind.name)")
                }

                try lab.up(mode)
                try lab.command.done("block", "add", blocked.address)
                try lab.command.done("allow", "add", allowed.address)
                var all: [Reason: Int] = [:]
                for kind in kinds {
                    let counted = kind.reason.isCounted ? [kind.reason: kind.count] : [:]
                    try lab.expect(
                        kind.frames, counted: counted, heard: kind.reason.verdict == .pass ? kind.payloads : [],
                        "\(kind.name)")
                    if kind.reason.isCounted { all[kind.reason, default: 0] += kind.count }
                }
                all[.passed, default: 0] += kinds.count  // the markers
                #expect(try lab.command.stats().total == counters(all))
                #expect(try lab.command.stats("sip0").interfaces.map(\.counters) == [counters(all)])
            }
        }

        @Test(
            "classic, fragments: the first is judged, the others pass uncounted", arguments: [XDPMode.native, .generic])
        func fragments(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                // Three fragments at an MTU of 1500.
                let register = try #require(SIPRequest.padded(peer.register(), to: 4000))
                let options = try #require(SIPRequest.padded(peer.options(), to: 4000))
                let sender = try DatagramSender(
                    on: lab.wire.there.host, localPort: 5060, to: lab.wire.here.address, port: 5060)
                /// Sends from the stack, which fragments, then looks.
                func heard(_ payloads: [[UInt8]]) throws -> [[UInt8]] {
                    let sentBefore = try lab.wire.there.statistics().sent
                    try sender.send(payloads)
                    #expect(
                        try lab.wire.there.statistics().sent - sentBefore == UInt64(3 * payloads.count),
                        "three fragments each")
                    // The marker comes behind them; what is heard before it counts.
                    return lab.receiver.receive(timeout: .milliseconds(100)).map(\.payload)
                }
                #expect(try heard([register, options]) == [register, options], "without the edge")
                try lab.up(mode, "--profile", "classic")
                #expect(try heard([register, options]) == [register])
                #expect(try lab.command.stats().total == counters([.passed: 1, .optionsDropped: 1]))
                try lab.command.done("block", "add", peer.address)
                #expect(try heard([register, options]) == [])
                #expect(try lab.command.stats().total == counters([.passed: 1, .optionsDropped: 1, .blocked: 2]))
            }
        }

        @Test(
            "TCP to port 5060 and ICMP pass uncounted, of a blocked source too", arguments: [XDPMode.native, .generic])
        func otherProtocols(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                let listener = try lab.edge.perform { () throws(Failure) in Sockets.tcpListener(port: 5060) }
                defer { close(listener) }
                let there = lab.wire.there.host
                func connects() throws -> Bool {
                    try there.perform { () throws(Failure) in Sockets.tcpConnects(to: lab.wire.here.address, port: 5060)
                    }
                }
                func echoes() throws -> Bool {
                    try there.perform { () throws(Failure) in Sockets.echoes(lab.wire.here.address) }
                }
                #expect(try connects() && echoes(), "without the edge")
                try lab.up(mode)
                try lab.command.done("block", "add", peer.address)
                #expect(try connects() && echoes())
                #expect(try lab.command.stats().total == counters())
                // And the block is in force all the while.
                try lab.expect(peer.frames([peer.register()]), counted: [.blocked: 1], heard: [])
            }
        }

        @Test("a change counts from the next packet on, while traffic flows", arguments: [XDPMode.native, .generic])
        func changes(_ mode: XDPMode) throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                try lab.up(mode)
                // Traffic of another peer, all the while.
                let other = lab.peer(1)
                let frames = (0..<100).map { other.frame(other.register($0)) }
                let wire = lab.wires[1].there
                let traffic = try Worker { (isStopping) throws(Failure) in
                    let sender = try RawSender(wire)
                    var sent = Sent(packets: 0, refused: 0, duration: .zero)
                    for _ in 0..<2000 where !isStopping() {
                        let now = try sender.send(frames, rate: 4000)
                        sent.packets += now.packets
                        sent.refused += now.refused
                    }
                    return sent
                }
                defer { traffic.stop() }

                let peer = lab.peer()
                let sender = try RawSender(lab.wire.there)
                let steps: [(command: [String], payload: [UInt8], reason: Reason)] = [
                    (["status"], peer.register(), .passed),
                    (["block", "add", peer.address], peer.register(), .blocked),
                    (["block", "add", peer.address], peer.options(), .blocked),
                    (["block", "remove", peer.address], peer.register(), .passed),
                    (["block", "remove", peer.address], peer.options(), .optionsDropped),
                    (["allow", "add", peer.address], peer.options(), .passed),
                    (["block", "add", peer.address], peer.options(), .blocked),
                    (["block", "remove", peer.address], peer.options(), .passed),
                    (["allow", "remove", peer.address], peer.options(), .optionsDropped),
                    (["allow", "remove", peer.address], peer.register(), .passed),
                ]
                let rounds = 2
                for round in 0..<rounds {
                    for (number, step) in steps.enumerated() {
                        try lab.command.done(step.command)
                        let before = try #require(try lab.command.stats().counters(of: "sip0"))
                        try sender.send([peer.frame(step.payload)])
                        let counted = try eventually { try lab.command.stats().counters(of: "sip0") != before }
                        let now = try #require(try lab.command.stats().counters(of: "sip0"))
                        #expect(
                            counted && now - before == counters([step.reason: 1]),
                            "round \(round), step \(number): \(step.command)")
                    }
                }
                traffic.stop()
                let sent = try traffic.join()
                #expect(sent.packets > 0)
                let arrived = try eventually { try lab.command.stats().counters(of: "sip1")?["passed"] == sent.packets }
                #expect(arrived)
                #expect(try lab.command.stats().counters(of: "sip1") == counters([.passed: sent.packets]))
                let heard = lab.receiver.receive(timeout: .milliseconds(50))
                #expect(heard.count { $0.source == other.local.address } == sent.packets)
                #expect(
                    heard.count { $0.source == peer.local.address } == rounds * steps.count { $0.reason == .passed })
            }
        }
    }
}
