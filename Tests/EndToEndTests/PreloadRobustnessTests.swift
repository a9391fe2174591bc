// SPDX-License-Identifier: Apache-2.0
import CSupport
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// What becomes of the datagrams while processes, the edge or the wire come and go.
    @Suite struct PreloadRobustnessTests {
        @Test(
            "a worker that is killed loses at most the datagram that it had taken, wherever it was",
            arguments: ["recvfrom", "epoll", "recvmmsg"])
        func kills(_ way: String) throws {
            try PreloadLab.with { lab in
                // Few frames: lost ones would soon be missed.
                let server = try lab.serve(way, workers: 4, ["VOS_FASTPATH_RING": "64"])
                // recvmmsg takes up to eight at a time.
                let most = way == "recvmmsg" ? 8 : 1
                let before = try lab.command.stats().total
                let (answers, kills) = try lab.ask(300_000, window: 16, retransmissions: 5) {
                    Self.killWorkers(of: server, for: .seconds(4))
                }
                let counted = try lab.command.stats().total - before
                #expect(answers.answered == 300_000 && answers.wrong == 0, "\(answers)")
                #expect(answers.retransmitted <= kills * most, "\(kills) kills: \(answers)")
                #expect(kills > 100)
                #expect(counted["redirected"] ?? 0 > 0)
                #expect(
                    counted == counters([.redirected: counted["redirected"] ?? 0, .passed: counted["passed"] ?? 0]))
                // All frames are still there.
                try lab.expect(.redirected, 1_000, window: 32, "behind it")
            }
        }

        /// Kills one worker after the other, each time another. Returns how many.
        private static func killWorkers(of server: PreloadLab.Server, for time: Duration) -> Int {
            let end = ContinuousClock.now + time
            var kills = 0
            while ContinuousClock.now < end, kills < 300 {
                usleep(8_000)
                if let worker = server.workers.suffix(4).randomElement(), kill(worker, SIGKILL) == 0 { kills += 1 }
            }
            return kills
        }

        @Test("a worker that is killed at any instruction on its way from the ring leaves nothing broken")
        func everyInstruction() throws {
            try PreloadLab.with { lab in
                let server = try lab.serve(
                    "recvfrom", workers: 1, seconds: 120, ["VOS_FASTPATH_RING": "64", "LD_BIND_NOW": "1"])
                let sender = try DatagramSender(on: lab.peer, to: lab.wire.here.address, port: 5060)
                let local = try sender.localEndpoint()
                let peer = Endpoint(mac: lab.wire.here.mac, address: lab.wire.here.address, port: 5060)
                var deaths = 0
                /// Kills the worker `instructions` behind its wait for a datagram that is there by then.
                func death(_ instructions: Int) throws -> Int {
                    let worker = try #require(server.workers.last)
                    let before = server.workers.count
                    try #require(support_hold(worker) == 0)
                    try sender.send([SIPRequest.register(to: peer, local: local, sequence: deaths)])
                    let ran = support_step(worker, instructions)
                    support_end_held(worker)
                    deaths += 1
                    try #require(ran >= 0)
                    try #require(eventually { server.workers.count > before }, "no other worker took its place")
                    return ran
                }
                let all = try death(1_000_000)
                #expect(all > 200, "as far as the answer")
                // Two thirds on the way it gives the frame back: it was seen there that steps which nobody finishes are found.
                let places =
                    Array(stride(from: 1, to: all, by: all / 60))
                    + Array(stride(from: all * 62 / 100, to: all * 75 / 100, by: 3))
                for instructions in places {
                    _ = try death(instructions)
                    // Its datagram is answered by the next one, or gone with it.
                    _ = sender.receive(timeout: .zero)
                    if deaths % 20 == 0 { try lab.expect(.redirected, 100, window: 32, "behind \(deaths) deaths") }
                }
                try lab.expect(.redirected, 1_000, window: 48, "behind all of them")
            }
        }

        @Test("all processes stopped: a second later the kernel has the packets, and gives them back behind SIGCONT")
        func stopped() throws {
            try PreloadLab.with { lab in
                let server = try lab.serve("epoll")
                lab.expectAll(100, try lab.ask(100), "before")
                server.signal(SIGSTOP)
                usleep(1_200_000)
                let sender = try DatagramSender(on: lab.peer, to: lab.wire.here.address, port: 5060)
                let local = try sender.localEndpoint()
                let peer = Endpoint(mac: lab.wire.here.mac, address: lab.wire.here.address, port: 5060)
                let counted = try lab.counted {
                    try sender.send((1...100).map { SIPRequest.register(to: peer, local: local, sequence: $0) })
                }
                #expect(counted == counters([.passed: 100]))
                server.signal(SIGCONT)
                var answers = 0
                while sender.receive(timeout: .seconds(1)) != nil { answers += 1 }
                #expect(answers == 100, "the kernel's socket kept them")
                try lab.expect(.redirected, 100, "after")
            }
        }

        @Test("one stopped of many: the others go on")
        func oneStopped() throws {
            try PreloadLab.with { lab in
                let server = try lab.serve("recvfrom", workers: 3)
                let (answers, _) = try lab.ask(60_000, window: 8, retransmissions: 3) {
                    for worker in server.workers.prefix(2) {
                        usleep(100_000)
                        kill(worker, SIGSTOP)
                    }
                }
                // What a stopped one had taken is not answered until it goes on; where it held the lock, a second's worth.
                #expect(answers.answered >= 59_980 && answers.wrong == 0, "\(answers)")
                for worker in server.workers { kill(worker, SIGCONT) }
            }
        }

        @Test("a server that ends and starts again: the kernel has the packets in between")
        func restart() throws {
            try PreloadLab.with { lab in
                var server = try lab.serve("epoll")
                for round in 1...5 {
                    lab.expectAll(100, try lab.ask(100), "round \(round)")
                    try lab.end(server)
                    let plain = try lab.serve("epoll", ["LD_PRELOAD": ""])
                    try lab.expect(.passed, 20, "without the library")
                    plain.signal(SIGKILL)
                    plain.child.end()
                    server = try lab.serve("epoll")
                }
                // In traffic: what comes while nobody listens is sent again.
                let last = server
                let (answers, _) = try lab.ask(40_000, window: 4, retransmissions: 6) {
                    var server = last
                    for _ in 1...3 {
                        usleep(100_000)
                        try lab.end(server)
                        server = try lab.serve("epoll")
                    }
                }
                #expect(answers.answered == 40_000 && answers.wrong == 0 && answers.retransmitted > 0, "\(answers)")
            }
        }

        @Test("the edge replaced in traffic: nothing is lost")
        func replaced() throws {
            try PreloadLab.with { lab in
                _ = try lab.serve("epoll")
                let (answers, _) = try lab.ask(60_000, window: 4, retransmissions: 0) {
                    for _ in 1...10 {
                        usleep(30_000)
                        try lab.command.done("up", "sip0")
                    }
                }
                lab.expectAll(60_000, answers, "ten times")
                #expect(try lab.command.status().interface("sip0")?.sockets == 1)
                try lab.expect(.redirected, 100, "after")
            }
        }

        @Test("the wire down and up: what was lost is sent again, and the rings go on")
        func link() throws {
            try PreloadLab.with { lab in
                _ = try lab.serve("epoll")
                let (answers, _) = try lab.ask(20_000, window: 4, retransmissions: 6) {
                    for _ in 1...3 {
                        usleep(100_000)
                        try lab.edge.ip(["link", "set", "sip0", "down"])
                        usleep(200_000)
                        try lab.edge.ip(["link", "set", "sip0", "up"])
                    }
                }
                #expect(answers.answered == 20_000 && answers.wrong == 0 && answers.retransmitted > 0, "\(answers)")
                try lab.expect(.redirected, 100, "after")
            }
        }

        @Test("the edge taken down: the kernel has the packets at once, and a server started anew gets rings again")
        func down() throws {
            try PreloadLab.with { lab in
                let first = try lab.serve("epoll")
                lab.expectAll(100, try lab.ask(100), "before")
                try lab.command.done("down", "sip0")
                lab.expectAll(100, try lab.ask(100), "no edge")
                try lab.command.done("up", "sip0")
                try lab.expect(.passed, 100, "an edge that does not know the server")
                try lab.end(first)
                _ = try lab.serve("epoll")
                try lab.expect(.redirected, 100, "started anew")
            }
        }
    }
}
