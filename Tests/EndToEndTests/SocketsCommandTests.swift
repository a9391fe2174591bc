// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Foundation
import Testing

extension EndToEndTests {
    /// `exec`, what `sockets` shows of it, and `compare`.
    @Suite struct SocketsCommandTests {
        /// Answers each datagram, until it is ended. Says when it is bound.
        private static let server = """
            import os, socket
            s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            s.bind(("0.0.0.0", 5080))
            print("bound", os.getpid(), flush=True)
            while True:
                data, peer = s.recvfrom(2048)
                s.sendto(b"SIP/2.0 200 OK\\r\\n\\r\\n", peer)
            """

        private static var library: String {
            ProcessInfo.processInfo.environment["VOS_FASTPATH_LIBRARY"]
                ?? FileManager.default.currentDirectoryPath + "/build/libvosfastpath.so"
        }

        /// One look at the only socket of the only interface.
        private static func look(_ lab: EdgeLab) throws -> (SocketsAnswer.Interface, SocketsAnswer.Socket) {
            let answer: SocketsAnswer = try lab.command.done("sockets", "--json").decoded()
            let row = try #require(answer.interfaces.first)
            #expect(answer.interfaces.count == 1 && row.name == "sip0" && row.queues == 1)
            return (row, try #require(row.sockets.first))
        }

        /// Sends REGISTERs to the server's port; how many were answered.
        private static func ask(_ lab: EdgeLab, _ count: Int) throws -> Int {
            try ask(lab.wire.here, lab.wire.there, count)
        }

        private static func ask(_ here: LabInterface, _ there: LabInterface, _ count: Int) throws(Failure) -> Int {
            let sender = try DatagramSender(on: there.host, to: here.address, port: 5080)
            let local = try sender.localEndpoint()
            let server = Endpoint(here, port: 5080)
            var answered = 0
            for number in 0..<count {
                try sender.send([SIPRequest.register(to: server, local: local, sequence: number)])
                if sender.receive(timeout: .seconds(2)) != nil { answered += 1 }
            }
            return answered
        }

        /// Runs `body` with a Python server under `exec`, which is the process that was started.
        private static func withServer(_ lab: EdgeLab, _ body: (Child) throws -> Void) throws {
            try #require(access(library, R_OK) == 0, "\(library) is missing: build it with `make`")
            let script = "\(lab.laboratory.folder)/server.py"
            try Text.write(Self.server, to: script)
            let log = "\(lab.laboratory.folder)/server.log"
            let child = try lab.laboratory.start(
                [
                    "\(FileManager.default.currentDirectoryPath)/\(Edge.path)", "exec", "--interface", "sip0", "--port",
                    "5080", "--", "python3", script,
                ], label: "server", on: lab.edge,
                environment: lab.command.environment.merging(["VOS_FASTPATH_LIBRARY": library]) { $1 })
            defer { child.end() }
            let isBound = eventually(within: .seconds(10)) {
                (try? Text.read(log))?.contains("bound \(child.pid)") ?? false
            }
            try #require(isBound, "the server is bound, in the same process: \((try? Text.read(log)) ?? "")")
            try body(child)
        }

        @Test("a server under exec is fed by AF_XDP, in its own process, and sockets counts what it gets")
        func execAndSockets() throws {
            try EdgeLab.with { lab in
                try lab.up(.native, "--port", "5060", "--port", "5080")
                let before = try Self.look(lab).1
                #expect(before.state == "none" && !before.socket && before.delivered == 0)

                try Self.withServer(lab) { child in
                    #expect(try Self.ask(lab, 200) == 200)
                    let (row, socket) = try Self.look(lab)
                    #expect(row.taken == 1 && row.redirected == 200)
                    #expect(socket.socket && socket.state == "alive" && (socket.beatAgeMs ?? .max) <= 1_000)
                    #expect(socket.delivered == 200)
                    let others = [
                        socket.byKernel, socket.handedBack, socket.badChecksum, socket.badFormat, socket.stale,
                        socket.tooLong, socket.unwanted, socket.ringFull,
                    ]
                    #expect(others.allSatisfy { $0 == 0 }, "\(others)")
                    #expect(socket.ringSize > 0 && socket.ringReady <= socket.ringSize)
                    #expect(socket.endpoints.contains("10.97.1.1:5080"))
                    #expect(try lab.command.stats("sip0").total == counters([.redirected: 200]))

                    // 5060 is somebody else's: the kernel's, for nobody registered it.
                    let peer = lab.peer()
                    #expect(try lab.hear([peer.frame(peer.register())]) == [peer.register()])
                    #expect(try Self.look(lab).1.unwanted == 2, "the datagram and the marker behind it")

                    let text = try lab.command.done("sockets", "sip0").output
                    #expect(text.contains("AF_XDP: 1 of 1 queue taken, alive") && text.contains("10.97.1.1:5080"))
                    #expect(try lab.command.done("status").output.contains("sip0: AF_XDP: 1 of 1 queue taken, alive"))
                    #expect(try lab.command.run("doctor", "sip0").output.contains("2 packets went to the kernel"))

                    // One that stands still is told from one that reads, and gets its packets by the kernel afterwards.
                    kill(child.pid, SIGSTOP)
                    #expect(try eventually(within: .seconds(5)) { try Self.look(lab).1.state == "silent" })
                    #expect(try lab.command.done("status").output.contains("silent"))
                    #expect(try lab.command.run("doctor", "sip0").output.contains("its reader is silent"))
                    let frames = (1...5).map { peer.frame(peer.register($0), port: 5080) }
                    #expect(try lab.hear(frames).isEmpty, "they wait in the socket of the server, which is not ours")
                    // The marker is stale before it can be unwanted.
                    #expect(try Self.look(lab).1.stale == 6)
                    kill(child.pid, SIGCONT)
                    #expect(try eventually(within: .seconds(5)) { try Self.look(lab).1.byKernel == 5 })
                    #expect(try Self.ask(lab, 10) == 10)
                    let after = try Self.look(lab).1
                    #expect(after.state == "alive" && after.delivered == 210)
                }
                #expect(try eventually(within: .seconds(5)) { try Self.look(lab).1.state == "gone" })
                #expect(try Self.look(lab).0.taken == 0)
            }
        }

        @Test("processes that wait are shown with their names; --watch shows rates")
        func watch() throws {
            try EdgeLab.with { lab in
                try lab.up(.native, "--port", "5080")
                try Self.withServer(lab) { child in
                    // It waits in recvfrom(2) once it has nothing to do.
                    #expect(try Self.ask(lab, 1) == 1)
                    let process = try #require(try Self.look(lab).1.processes.first)
                    #expect(process.pid == Int(child.pid) && process.name?.hasPrefix("python") == true)

                    let (here, there) = (lab.wire.here, lab.wire.there)
                    // Slowly: there is to be something between two looks. Bounded, where a look fails.
                    let asking = try Worker { (isStopping) throws(Failure) in
                        var answered = 0
                        var asked = 0
                        while !isStopping(), asked < 2_000 {
                            asked += 1
                            answered += try Self.ask(here, there, 1)
                            usleep(5_000)
                        }
                        return asked - answered
                    }
                    defer { asking.stop() }
                    let lines = try lab.command.done("sockets", "--watch", "0.5", "--count", "2", "--json").lines
                    asking.stop()
                    #expect(try asking.join() == 0, "none is left without an answer")
                    #expect(lines.count == 2)
                    let looks = try lines.map { try decode($0, SocketsAnswer.self) }
                    let rates = looks.compactMap { $0.interfaces.first?.sockets.first?.perSecond?["delivered"] }
                    #expect(rates.count == 2 && rates.allSatisfy { $0 > 10 }, "\(rates)")
                    let text = try lab.command.done("sockets", "--watch", "0.2", "--count", "1").lines
                    #expect(text.count == 1 && text[0].contains("sip0  AF_XDP: 1 of 1 queue taken, alive  redirected "))
                }
            }
        }

        @Test("exec refuses what would leave the server on the kernel's socket, and says what to do")
        func refusals() throws {
            try EdgeLab.with { lab in
                let exec = { (words: String...) in
                    try lab.command.shell("VOS_FASTPATH_LIBRARY=\(Self.library) exec \"$EDGE\" exec \"$@\"", words)
                }
                expectFailure(try exec("--", "true"), saying: "vos-fastpath up IFACE")
                expectFailure(try exec("--interface", "sip0", "--", "true"), saying: "vos-fastpath up sip0")
                expectFailure(try lab.command.run("sockets", "sip0"), saying: "sockets", "vos-fastpath up sip0")
                try lab.up(.native)
                expectFailure(try exec("--interface", "nix9", "--", "true"), saying: "nix9")
                expectFailure(try exec("--", "no-such-program"), saying: "no-such-program", "PATH")
                let asNobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps=-all --bounding-set=-all"
                expectFailure(
                    try lab.command.shell("exec \(asNobody) \"$EDGE\" exec -- su"), saying: "set-uid", "LD_PRELOAD")
                // What is refused is never half done: nothing was preloaded, nothing ran.
                let went = try exec(
                    "--log", "off", "--tx", "--", "sh", "-c", "echo $LD_PRELOAD $VOS_FASTPATH_INTERFACES")
                #expect(went.isDone && went.output == "\(Self.library) sip0\n")
            }
        }
    }

    /// The figures of phases.
    @Suite struct CompareTests {
        private struct Answer: Decodable {
            struct Phase: Decodable {
                struct Received: Decodable {
                    var packets: Int
                    var bytes: Int
                }
                struct SIP: Decodable {
                    struct Peer: Decodable {
                        var attempted: Int
                        var answered: Int
                    }

                    var phone: Peer
                    var trunk: Peer
                }

                var phase: String
                var mode: String?
                var received: Received
                var counters: [String: Int]?
                var sip: SIP?
            }

            var interface: String?
            var phases: [Phase]
        }

        @Test("on an interface: three phases of the real traffic, and nothing is left")
        func real() throws {
            try EdgeLab.with { lab in
                let refused = try lab.command.run("compare", "sip0")
                expectFailure(refused, code: 64, saying: "sip0", "--yes")
                #expect(try lab.command.status().interfaces.isEmpty)

                let peer = lab.peer()
                let frames = peer.frames([peer.register(), peer.options(), TrafficTests.junk])
                let wire = lab.wire.there
                let traffic = try Worker { (isStopping) throws(Failure) in
                    let sender = try RawSender(wire)
                    while !isStopping() { try sender.send(frames + frames, rate: 300) }
                }
                defer { traffic.stop() }
                let page = "\(lab.laboratory.folder)/compared.md"
                let answer: Answer = try lab.command.done(
                    ["compare", "sip0", "--yes", "--seconds", "2", "--json", "--markdown", page]
                ).decoded()
                #expect(answer.interface == "sip0")
                #expect(answer.phases.map(\.phase) == ["baseline", "edge", "after"])
                #expect(answer.phases.map(\.mode) == [nil, "native", nil])
                for phase in answer.phases { #expect(phase.received.packets > 300 && phase.received.bytes > 30_000) }
                let counted = try #require(answer.phases[1].counters)
                #expect(answer.phases[0].counters == nil && answer.phases[2].counters == nil)
                for reason in [Reason.passed, .optionsDropped, .malformed] {
                    #expect(counted[reason.name, default: 0] > 100, "\(counted)")
                }
                #expect(try lab.command.status().interfaces.isEmpty, "the edge is off again")
                #expect(access(lab.command.pinRoot, F_OK) != 0, "no pins are left")
                let text = try Text.read(page)
                #expect(text.contains("| Received packets |") && text.contains("| With the edge |"))

                // An edge that is there stays.
                try lab.up(.native)
                let program = try lab.command.status().interface("sip0")?.program?.id
                let one: Answer = try lab.command.done("compare", "sip0", "--seconds", "1", "--json").decoded()
                #expect(one.phases.map(\.phase) == ["edge"] && (one.phases[0].counters?["passed"] ?? 0) > 50)
                #expect(try lab.command.status().interface("sip0")?.program?.id == program)
            }
        }

        @Test("on a simulated network no counter stays at 0, and every good request is answered")
        func simulated() throws {
            let library = FileManager.default.currentDirectoryPath + "/build/libvosfastpath.so"
            try #require(access(library, R_OK) == 0, "\(library) is missing: build it with `make`")
            let answer: Answer = try Edge(instance: "").done("compare", "--seconds", "2", "--json").decoded()
            #expect(answer.phases.map(\.phase) == ["baseline", "edge", "sockets", "after"])
            for reason in Reason.counted {
                let sum = answer.phases.reduce(0) { $0 + ($1.counters?[reason.name] ?? 0) }
                #expect(sum > 0, "\(reason)")
            }
            #expect(answer.phases[1].counters?["redirected"] == 0)
            for phase in answer.phases {
                #expect(phase.received.packets > 8_000)
                let sip = try #require(phase.sip)
                #expect(sip.phone.answered == sip.phone.attempted && sip.phone.attempted == 100, "\(phase)")
                #expect(sip.trunk.answered == sip.trunk.attempted && sip.trunk.attempted == 40, "\(phase)")
            }
            #expect(Laboratory.remains(of: "compare").isEmpty)
            #expect(access("/sys/fs/bpf/vos-fastpath-compare", F_OK) != 0)
        }
    }
}
