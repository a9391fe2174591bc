// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Testing

extension EndToEndTests {
    /// Debian's Kamailio, unmodified, four workers, behind AF_XDP; SIPp plays its users.
    @Suite struct PreloadServerTests {
        static func with(_ body: (SIPNetwork, Edge) throws -> Void) throws {
            let laboratory = try Turn.laboratory()
            defer { laboratory.tearDown() }
            try Edge().clear()
            let library = try #require(realpath(PreloadLab.library, nil), "build it with `make`")
            defer { free(library) }
            let preload = String(cString: library)
            let network = try SIPNetwork(in: laboratory, workers: 4) { (host, interfaces) throws(Failure) in
                let edge = Edge(host: host)
                do {
                    for interface in interfaces { try edge.done("up", interface.name) }
                    // The trunk: its OPTIONS pass.
                    try edge.done("allow", "add", "10.98.3.2")
                } catch {
                    throw Failure(
                        tried: "attach the edge", on: host.name, because: "\(error)", next: "Read what it said.")
                }
                return edge.environment.merging(["LD_PRELOAD": preload]) { $1 }
            }
            try body(network, Edge(host: network.edge))
            try Edge().clear()
        }

        /// 4,000 OPTIONS, 4,000 REGISTERs and 1,000 calls, each an INVITE and a BYE transaction: 10,000.
        static func play(_ network: SIPNetwork, calls: Int = 1_000, others: Int = 4_000, rate: Int = 1_000) throws {
            let options = try network.sipp(.options, on: .trunk, port: 5061).start(
                in: network.laboratory, count: others, rate: rate)
            let registers = try network.sipp(.register, on: .phone, port: 5061, user: "phone").start(
                in: network.laboratory, count: others, rate: rate)
            let played = try network.sipp(.call, on: .phone, port: 5062).run(
                in: network.laboratory, count: calls, rate: rate / 4)
            SIPServerTests.expectAll(try options.finish(), others, "OPTIONS")
            SIPServerTests.expectAll(try registers.finish(), others, "REGISTER")
            SIPServerTests.expectAll(played, calls, "calls")
        }

        @Test("10,000 transactions by the rings, all answered; REDIRECTED is what the server got from them")
        func transactions() throws {
            try Self.with { network, edge in
                try network.startCallee()
                let before = try (edge.stats().total, SocketCounts(edge))
                try Self.play(network)
                let after = try (edge.stats().total, SocketCounts(edge))
                let counted = after.0 - before.0
                let redirected = try #require(counted["redirected"])
                #expect(counted == counters([.redirected: redirected]), "nothing passed, nothing was dropped")
                #expect(after.1.delivered - before.1.delivered == redirected && after.1.lost == 0, "\(after.1)")
                // Each transaction brings one request; a call an ACK, and the callee's answers, too.
                #expect(redirected >= 4_000 + 4_000 + 1_000 * 6, "\(redirected)")
                #expect(network.server.isRunning)
            }
        }

        @Test("a worker killed, the server restarted, the edge replaced, the wire down and up: all answered in the end")
        func disturbed() throws {
            try Self.with { network, edge in
                try network.startCallee()
                func disturbed(_ what: String, _ disturb: () throws -> Void) throws {
                    let options = try network.sipp(.options, on: .trunk, port: 5061).start(
                        in: network.laboratory, count: 2_000, rate: 1_000)
                    usleep(500_000)
                    try disturb()
                    SIPServerTests.expectAll(try options.finish(), 2_000, what)
                    #expect(network.server.isRunning)
                }
                try disturbed("the edge replaced") {
                    for _ in 1...5 { try edge.done("up", network.edgeInterface(.trunk).name) }
                }
                try disturbed("the wire down and up") {
                    let name = network.edgeInterface(.trunk).name
                    try network.edge.ip(["link", "set", name, "down"])
                    usleep(100_000)
                    try network.edge.ip(["link", "set", name, "up"])
                }
                try disturbed("the server restarted") { try network.server.restart() }
                try disturbed("a worker killed, whereupon Kamailio ends, and is started again") {
                    let pids = try Shell.run(["ip", "netns", "pids", #require(network.edge.namespace.name)])
                    let workers = pids.split(separator: "\n").compactMap { pid_t($0) }.filter {
                        (try? String(contentsOfFile: "/proc/\($0)/comm", encoding: .utf8)) == "kamailio\n"
                    }
                    kill(try #require(workers.sorted().dropFirst().first), SIGKILL)
                    _ = eventually(within: .seconds(3)) { !network.server.isRunning }
                    try network.server.restart()
                }
                let counted = try edge.stats().total
                let redirected = counted["redirected"] ?? 0
                let passed = counted["passed"] ?? 0
                // While there was no server the kernel had them.
                #expect(counted == counters([.redirected: redirected, .passed: passed]))
                #expect(redirected + passed >= 8_000 && passed < 1_500, "\(counted)")
            }
        }
    }
}
