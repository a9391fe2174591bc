// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Testing

/// A host `edge` with a server of Tests/preload under the preloaded library, and a peer that asks it.
final class PreloadLab {
    static let library = "build/libvosfastpath.so"
    static let program = ".build/debug/udp-peer"

    let laboratory: Laboratory
    let edge: LabHost
    let peer: LabHost
    let wire: EdgeLab.Wire
    let command: Edge
    private var servers = 0

    /// Addresses of the edge: one for each family, and one more that servers may share.
    static let address = "10.97.1.1"
    static let address6 = "fd97::1"
    static let other = "10.97.1.9"

    /// Builds it in a cleared instance, attaches the edge, runs `body`, takes everything away.
    static func with(_ arguments: [String] = [], queues: Int = 1, _ body: (PreloadLab) throws -> Void) throws {
        let laboratory = try Turn.laboratory()
        defer { laboratory.tearDown() }
        try Edge().clear()
        let lab = try PreloadLab(laboratory, queues: queues)
        try lab.command.done(["up", "sip0"] + arguments)
        try body(lab)
        try Edge().clear()
    }

    private init(_ laboratory: Laboratory, queues: Int) throws {
        self.laboratory = laboratory
        edge = try laboratory.addHost("edge")
        peer = try laboratory.addHost("peer")
        wire = try EdgeLab.connect(laboratory, edge, "sip0", peer, 1)
        for end in [wire.here, wire.there] where queues > 1 {
            try Shell.run(["ethtool", "-L", end.name, "rx", "\(queues)", "tx", "\(queues)"], in: end.host.namespace)
        }
        for (end, address) in [(wire.here, Self.address6), (wire.there, "fd97::2")] {
            try end.host.setKernelParameter("net/ipv6/conf/\(end.name)/disable_ipv6", "0")
            try end.host.ip(["addr", "add", "\(address)/64", "dev", end.name, "nodad"])
        }
        try edge.ip(["addr", "add", "\(Self.other)/24", "dev", "sip0"])
        command = Edge(host: edge)
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }

    // MARK: The server

    /// A server that runs.
    struct Server {
        let child: Child
        let log: String

        var said: String { PreloadLab.text(log) }
        var process: pid_t { child.pid }
        var workers: [pid_t] {
            said.split(separator: "\n").filter { $0.hasPrefix("worker ") }.compactMap { pid_t($0.dropFirst(7)) }
        }

        func signal(_ number: Int32) {
            for process in [process] + workers { kill(process, number) }
        }
    }

    /// `environment`: over what makes the library take over port 5060.
    func environment(_ more: [String: String] = [:]) throws -> [String: String] {
        let path = try #require(realpath(Self.library, nil), "\(Self.library) is missing: build it with `make`")
        defer { free(path) }
        return command.environment.merging(["LD_PRELOAD": String(cString: path)]) { $1 }.merging(more) { $1 }
    }

    /// Starts a server that receives in this way, and waits until it is ready.
    func serve(
        _ way: String, on address: String = "0.0.0.0", workers: Int = 3, seconds: Int = 30,
        _ environment: [String: String] = [:], user: String? = nil
    ) throws -> Server {
        servers += 1
        let label = "server-\(servers)"
        let asUser = user.map { ["setpriv", "--reuid", $0, "--clear-groups", "--inh-caps=-all", "--"] } ?? []
        let child = try laboratory.start(
            asUser + [Self.program, "serve", way, address, "5060", "\(workers)", "\(seconds)"], label: label, on: edge,
            environment: self.environment(environment))
        let server = Server(child: child, log: "\(laboratory.folder)/\(label).log")
        try #require(
            eventually(within: .seconds(5)) {
                let isWhole = way == "threads" || server.workers.count == workers
                return server.said.contains("ready ") && isWhole || child.exitStatus != nil
            } && child.exitStatus == nil, "\(server.said)")
        return server
    }

    /// Ends a server and its workers, and waits until its sockets are gone.
    func end(_ server: Server) throws {
        server.signal(SIGKILL)
        server.child.end()
        try #require(
            eventually { try command.status().interface("sip0")?.sockets == 0 }, "its sockets are still there")
    }

    // MARK: The client

    struct Answers: Decodable, Equatable {
        var answered: Int
        var lost: Int
        var retransmitted: Int
        var wrong: Int
        var twice: Int
        var sent: Int
    }

    /// Asks `count` times, `window` requests under way at a time.
    func ask(
        _ count: Int, to address: String = address, port: Int = 5060, window: Int = 4, seconds: Int = 10,
        retransmissions: Int = 0, bytes: Int = 200
    ) throws -> Answers {
        let outcome = try Shell.outcome(
            of: [
                Self.program, "ask", address, "\(port)", "\(count)", "\(window)", "\(seconds)",
                "\(retransmissions)", "\(bytes)",
            ], in: peer.namespace, timeout: .seconds(seconds + 10))
        return try decode(outcome.output)
    }

    /// Runs `body` while the client asks; gives both answers.
    func ask<Result>(
        _ count: Int, window: Int = 4, seconds: Int = 20, retransmissions: Int, while body: () throws -> Result
    ) throws -> (Answers, Result) {
        try Shell.run(["rm", "-f", "\(laboratory.folder)/client.log"])
        let child = try laboratory.start(
            [
                Self.program, "ask", Self.address, "5060", "\(count)", "\(window)", "\(seconds)",
                "\(retransmissions)",
            ], label: "client", on: peer)
        let result = try body()
        try #require(try child.wait(timeout: .seconds(seconds + 5)) != nil, "the client did not end")
        return (try decode(Self.text("\(laboratory.folder)/client.log")), result)
    }

    /// All of them answered, byte by byte, none twice.
    func expectAll(_ count: Int, _ answers: Answers, _ what: Comment, sourceLocation: SourceLocation = #_sourceLocation)
    {
        #expect(
            answers == Answers(answered: count, lost: 0, retransmitted: 0, wrong: 0, twice: 0, sent: count), what,
            sourceLocation: sourceLocation)
    }

    /// Asks; every one is answered, and every packet counted for that reason.
    func expect(
        _ reason: Reason, _ count: Int, window: Int = 4, _ what: Comment,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let counted = try counted {
            expectAll(count, try ask(count, window: window), what, sourceLocation: sourceLocation)
        }
        #expect(counted == counters([reason: count]), what, sourceLocation: sourceLocation)
    }

    /// What every counter moved by while `body` ran.
    func counted(_ body: () throws -> Void) throws -> [String: Int] {
        let before = try command.stats().total
        try body()
        return try command.stats().total - before
    }
}

/// `sockets --json`
struct SocketsAnswer: Decodable {
    struct Interface: Decodable {
        var name: String
        var redirected: Int
        var queues: Int
        var taken: Int
        var sockets: [Socket]
    }
    struct Socket: Decodable {
        struct Process: Decodable {
            var pid: Int
            var name: String?
        }

        var queue: Int
        var socket: Bool
        var state: String
        var beatAgeMs: Int?
        var delivered: Int
        var byKernel: Int
        var sent: Int
        var handedBack: Int
        var badChecksum: Int
        var badFormat: Int
        var ringFull: Int
        var ringReady: Int
        var ringSize: Int
        var stale: Int
        var tooLong: Int
        var unwanted: Int
        var endpoints: [String]
        var processes: [Process]
        var perSecond: [String: Double]?
    }

    var interfaces: [Interface]
}

/// Of `sockets --json`, all queues of all interfaces together.
struct SocketCounts: Equatable {
    var delivered = 0
    var byKernel = 0
    var sent = 0
    /// Dropped, or not the server's.
    var lost = 0

    init(_ edge: Edge) throws {
        let answer: SocketsAnswer = try edge.done("sockets", "--json").decoded()
        for socket in answer.interfaces.flatMap(\.sockets) {
            delivered += socket.delivered
            byKernel += socket.byKernel
            sent += socket.sent
            lost += socket.badFormat + socket.badChecksum + socket.handedBack
        }
    }
}
