// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    /// A real SIP server behind the edge, real clients and a real scanner before it.
    @Suite struct SIPServerTests {
        static func with(_ body: (SIPNetwork, Edge) throws -> Void) throws {
            let laboratory = try Turn.laboratory()
            defer { laboratory.tearDown() }
            try Edge().clear()
            let network = try SIPNetwork(in: laboratory)
            try body(network, Edge(host: network.edge))
            try Edge().clear()
        }

        static func expectAll(_ report: SIPpReport, _ count: Int, _ what: String) {
            #expect(report.completed == count && report.failed == 0, "\(what): \(report)")
            #expect(report.answered == count, "\(what): \(report)")
        }

        @Test(
            "calls, registrations and an allowed peer's OPTIONS all succeed, under a flood too; the scanner finds nothing",
            arguments: [XDPMode.native, .generic])
        func calls(_ mode: XDPMode) throws {
            try Self.with { network, edge in
                let laboratory = network.laboratory
                // Without the edge the scanner finds the server.
                let found = try network.scan()
                #expect(found.count == 1 && found[0].device.hasSuffix(":5060"), "\(found)")
                try network.startCallee()

                for interface in network.edgeInterfaces { try edge.done("up", interface.name, "--mode", mode.rawValue) }
                let flooder = network.interface(of: .flooder)
                let trunk = network.interface(of: .trunk)
                try edge.done("block", "add", "\(IPPrefix(ipv4: flooder.address))")
                try edge.done("allow", "add", "\(IPPrefix(ipv4: trunk.address))")
                let before = try edge.stats()
                #expect(try network.scan() == [], "behind the edge it finds nothing")
                let scanned = try edge.stats(network.edgeInterface(.scanner).name).total
                #expect(scanned["options_dropped"] ?? 0 > 0)
                #expect(
                    scanned == counters([.optionsDropped: scanned["options_dropped"] ?? 0]),
                    "every question was an OPTIONS: \(scanned)")

                let local = Endpoint(flooder, port: 5060)
                let server = network.serverEndpoint(from: .flooder)
                let frame = Frame.udp(
                    from: local, to: server, payload: SIPRequest.invite("callee", at: server, local: local, sequence: 1)
                )
                let flood = LiveFlood(from: flooder, frame: frame, firstSource: flooder.address)
                for isFlooded in mode == .native ? [false, true] : [true] {
                    let what = isFlooded ? "with the flood on" : "quiet"
                    let storm =
                        isFlooded
                        ? try flood.start(SendLimits(count: 100_000_000, duration: .seconds(30), rate: 100_000)) : nil
                    defer { storm?.stop() }
                    Self.expectAll(
                        try network.sipp(.options, on: .trunk, port: 5061).run(in: laboratory, count: 20, rate: 20), 20,
                        "OPTIONS, \(what)")
                    Self.expectAll(
                        try network.sipp(.register, on: .phone, port: 5061, user: "phone").run(
                            in: laboratory, count: 20, rate: 20), 20,
                        "REGISTER, \(what)")
                    Self.expectAll(
                        try network.sipp(.call, on: .phone, port: 5062).run(in: laboratory, count: 40, rate: 20), 40,
                        "calls, \(what)")
                    if let storm {
                        storm.stop()
                        let sent = try storm.join()
                        let name = network.edgeInterface(.flooder).name
                        let isExact = try eventually {
                            try edge.stats(name).total == counters([.blocked: sent.packets])
                        }
                        #expect(isExact && sent.packets > 10_000, "\(sent)")
                    }
                }
                // What a call takes on each side: nothing of it was dropped.
                let after = try edge.stats()
                for peer in [SIPNetwork.Peer.phone, .callee, .trunk] {
                    let name = network.edgeInterface(peer).name
                    let moved = try #require(after.counters(of: name)) - (try #require(before.counters(of: name)))
                    #expect(moved["passed"] ?? 0 > 0, "\(name)")
                    #expect(moved == counters([.passed: moved["passed"] ?? 0]), "\(name): \(moved)")
                }
                #expect(network.server.isRunning)

                // And a stranger's OPTIONS goes unanswered, while the same from the allowed trunk does not.
                let phone = network.interface(of: .phone).host
                let address = network.server.address
                #expect(try !SIPProbe.isAnswering(address, port: 5060, from: phone, timeout: .milliseconds(300)))
                #expect(try SIPProbe.isAnswering(address, port: 5060, from: trunk.host, timeout: .seconds(2)))
            }
        }
    }
}
