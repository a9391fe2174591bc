// SPDX-License-Identifier: Apache-2.0
import FastpathAFXDP
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Glibc
import Testing

extension EdgeLab {
    /// A receiver in this process, on an interface of the edge.
    func receiver(on interface: String, options: Receiver.Options = .init()) throws -> Receiver {
        let instance = try Instance(named: Edge.instance)
        return try edge.perform { () throws(Failure) in
            try Receiver(interface: interface, instance: instance, options: options)
        }
    }
}

extension Receiver {
    /// The frames that are there or come within a time of each other.
    func frames(milliseconds: Int) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        while wait(milliseconds: milliseconds) {
            receive {
                frames.append(Array($0.frame))
                return .none
            }
        }
        return frames
    }
}

extension EndToEndTests {
    /// The receiver, and the command on it.
    @Suite struct ReceiveTests {
        /// `receive --json`
        struct Report: Decodable {
            struct Queue: Decodable {
                var queue: Int
                var packets: Int
                var sent: Int
            }
            struct Options: Decodable, Equatable {
                var answered: Int
                var malformed: Int
                var unsupported: Int
                var notToBeAnswered: Int
            }

            var packets: Int
            var bytes: Int
            var queues: [Queue]
            var messages: [String: Int]
            var options: Options?
        }

        /// The command at work; it has its socket in the map when this returns.
        private final class Running {
            let child: Child
            private let log: String

            init(_ lab: EdgeLab, _ arguments: String..., environment: [String: String] = [:]) throws {
                log = "\(lab.laboratory.folder)/receive.log"
                unlink(log)
                child = try lab.laboratory.start(
                    [Edge.path, "receive", "sip0", "--json"] + arguments, label: "receive", on: lab.edge,
                    environment: lab.command.environment.merging(environment) { $1 })
                try #require(eventually { try lab.sockets == 1 }, "\((try? Text.read(log)) ?? "")")
            }

            /// Ends it as Ctrl-C does, or waits for its own end.
            func report(endingIt: Bool = true) throws -> Report {
                if endingIt { kill(child.pid, SIGINT) }
                let exit = try child.wait(timeout: .seconds(5))
                let text = try Text.read(log)
                try #require(exit == .code(endingIt ? 128 + SIGINT : 0), "\(text)")
                return try decode(String(text.split(separator: "\n").last ?? ""))
            }
        }

        @Test(
            "what is redirected is received and counted, by Ctrl-C it ends and the server has its packets again",
            arguments: [XDPMode.native, .generic])
        func counts(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                try lab.up(mode)
                try lab.command.done("allow", "add", peer.address)
                let good = [peer.register(1), peer.invite(2), peer.options(3), peer.register(4)]
                let elsewhere = peer.frame(peer.register(5), port: 5070)
                try lab.expect(peer.frames(good) + [elsewhere], counted: [.passed: 4], heard: good, "no receiver")

                let running = try Running(lab)
                let before = try lab.command.stats().total
                try RawSender(lab.wire.there).send(peer.frames(good) + [elsewhere])
                #expect(try eventually { try lab.command.stats().total - before == counters([.redirected: 4]) })
                #expect(lab.receiver.receive(timeout: .milliseconds(20)).isEmpty, "the stack saw none")
                let report = try running.report()
                #expect(report.packets == 4 && report.bytes == peer.frames(good).reduce(0) { $0 + $1.count })
                #expect(report.queues.map(\.packets) == [4] && report.options == nil)
                #expect(report.messages.filter { $0.value != 0 } == ["register": 2, "invite": 1, "options": 1])
                #expect(try lab.sockets == 0)
                try lab.expect(peer.frames(good), counted: [.passed: 4], heard: good, "it has ended")
            }
        }

        @Test("what is for an address that the host has not is left to the kernel, in carrier; classic redirects it")
        func endpoints() throws {
            try EdgeLab.with { lab in
                var other = lab.peer()
                other.server.address += 100
                for (profile, redirected) in [("carrier", 1), ("classic", 2)] {
                    try lab.up(.native, "--profile", profile)
                    let running = try Running(lab)
                    let before = try lab.command.stats().total
                    try RawSender(lab.wire.there).send([
                        other.frame(other.register(1)), lab.peer().frame(lab.peer().register(2)),
                    ])
                    let expected = counters([.redirected: redirected, .passed: 2 - redirected])
                    #expect(try eventually { try lab.command.stats().total - before == expected }, "\(profile)")
                    #expect(try running.report().packets == redirected)
                }
            }
        }

        @Test(
            "OPTIONS of an allowed source is answered from the ring, and nothing else is",
            arguments: [XDPMode.native, .generic])
        func answers(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                try lab.up(mode)
                let client = try DatagramSender(
                    on: lab.wire.there.host, localPort: 5060, to: peer.server.address, port: 5060)
                let running = try Running(lab, "--answer-options")
                try client.send([peer.options(1)])
                #expect(client.receive(timeout: .milliseconds(100)) == nil, "a stranger's is dropped by the edge")
                try lab.command.done("allow", "add", peer.address)
                for number in 2...200 {
                    try client.send([peer.options(number)])
                    let answer = try #require(client.receive(timeout: .seconds(2)), "request \(number)")
                    let lines = String(decoding: answer, as: UTF8.self).split(separator: "\r\n")
                    #expect(
                        lines.first == "SIP/2.0 200 OK"
                            && lines.contains("Call-ID: OPTIONS-\(number)@\(peer.address):5060"))
                }
                // Without a Call-ID; to all; another method; then one that is answered: nothing came of those before.
                let text = String(decoding: peer.options(201), as: UTF8.self)
                var toAll = peer.frame(peer.options(202))
                toAll.replaceSubrange(0..<6, with: Array(repeating: 0xff, count: 6))
                try RawSender(lab.wire.there).send([
                    peer.frame(Array(text.replacing("Call-ID:", with: "X-ID:").utf8)), toAll,
                    peer.frame(peer.register(203)),
                    peer.frame(peer.options(204)),
                ])
                let last = String(decoding: try #require(client.receive(timeout: .seconds(2))), as: UTF8.self)
                #expect(last.contains("Call-ID: OPTIONS-204@"))
                let report = try running.report()
                #expect(
                    report.options == .init(answered: 200, malformed: 1, unsupported: 0, notToBeAnswered: 1))
                #expect(report.queues.map(\.sent) == [200] && report.packets == 203)
            }
        }

        @Test("one that stops, or is killed, costs a second of packets at most; --packets ends it by itself")
        func fallsBack() throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                let good = [peer.register(1), peer.invite(2)]
                try lab.up(.native)
                let running = try Running(lab)
                kill(running.child.pid, SIGSTOP)
                usleep(1_300_000)
                try lab.expect(peer.frames(good), counted: [.passed: 2], heard: good, "it stands still")
                kill(running.child.pid, SIGCONT)
                let isBack = try eventually {
                    let before = try lab.command.stats().total
                    try RawSender(lab.wire.there).send(peer.frames(good))
                    return try lab.command.stats().total - before == counters([.redirected: 2])
                }
                #expect(isBack)
                running.child.end()
                #expect(try eventually { try lab.sockets == 0 }, "killed")
                _ = lab.receiver.receive(timeout: .milliseconds(20))
                try lab.expect(peer.frames(good), counted: [.passed: 2], heard: good, "it was killed")

                let short = try Running(lab, "--packets", "2", "--seconds", "20")
                try RawSender(lab.wire.there).send(peer.frames(good))
                #expect(try short.report(endingIt: false).packets == 2)
            }
        }

        @Test("clear errors: no edge, no such interface or queue, somebody else's socket, bad arguments")
        func failures() throws {
            try EdgeLab.with { lab in
                expectFailure(
                    try lab.command.run("receive", "sip0"), saying: "no program of ours", "vos-fastpath up sip0")
                expectFailure(try lab.command.run("receive", "sip9"), saying: "sip9")
                for arguments in [
                    ["--port", "0"], ["--port", "70000"], ["--queue", "x"], ["--packets", "0"], ["--seconds", "0"], [],
                ] {
                    let interface = arguments.isEmpty ? [] : ["sip0"]
                    expectFailure(try lab.command.run(["receive"] + interface + arguments), code: 64)
                }
                try lab.up(.native)
                expectFailure(try lab.command.run("receive", "sip0", "--queue", "70"), code: 64, saying: "queue 70")
                expectFailure(
                    try lab.command.run("receive", "sip0", "--queue", "1"), saying: "queue 1", "ethtool -l sip0")
                let running = try Running(lab)
                expectFailure(try lab.command.run("receive", "sip0"), saying: "queue 0", "End the other consumer")
                #expect(try lab.sockets == 1, "the first one's is still there")
                _ = try running.report()
            }
        }

        /// The one that the project is built with: $CLANG, or on the way.
        private static func clang() throws -> String {
            let environment = ProcessInfo.processInfo.environment
            if let path = environment["CLANG"], path.contains("/") { return path }
            let folders = (environment["PATH"] ?? "").split(separator: ":").map(String.init)
            return try #require(folders.map { "\($0)/clang" }.first { access($0, X_OK) == 0 }, "clang is missing")
        }

        /// By the release command: an unoptimised build allocates on its own account.
        @Test("nothing is allocated for a packet, answers included")
        func allocations() throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                try lab.up(.native)
                try lab.command.done("allow", "add", peer.address)
                let folder = lab.laboratory.folder
                let source = #filePath.replacing("ReceiveTests.swift", with: "Fixtures/allocations.c")
                try Shell.run([Self.clang(), "-shared", "-fPIC", "-O1", "-o", "\(folder)/allocations.so", source])
                let requests = (0..<500).map { $0 % 2 == 0 ? peer.options($0) : peer.invite($0) }
                func allocations(_ rounds: Int) throws -> Int {
                    let packets = rounds * requests.count
                    let running = try Running(
                        lab, "--answer-options", "--packets", "\(packets)",
                        environment: [
                            "LD_PRELOAD": "\(folder)/allocations.so", "ALLOCATIONS": "\(folder)/allocations",
                        ])
                    for _ in 0..<rounds { try RawSender(lab.wire.there).send(peer.frames(requests), rate: 20_000) }
                    let report = try running.report(endingIt: false)
                    try #require(report.packets == packets && report.options?.answered == packets / 2)
                    let text = try Text.read("\(folder)/allocations")
                    return try #require(Int(text.trimmingCharacters(in: .whitespacesAndNewlines)))
                }
                let few = try allocations(1)
                let many = try allocations(21)
                #expect(few > 100, "they are counted")
                // 10,000 packets more. Now and then it looks at this host's addresses, which come and go.
                #expect(many - few < 200, "\(few), then \(many)")
            }
        }
    }
}

extension EdgeLab {
    /// Slots of the first wire's `xsks_map` that hold a socket.
    fileprivate var sockets: Int {
        get throws { try command.status().interface(wire.name)?.sockets ?? 0 }
    }
}
