// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// What good traffic suffers when Kamailio is flooded: each flood without anything before the server, with the edge, and
/// with the other ways to do the same.
public struct FloodCalls: Hashable, Sendable {
    /// Who floods with what.
    public enum Flood: String, CaseIterable, Hashable, Sendable {
        case blocklisted
        case options
        case garbage
        case oneSource = "one_source"
        case forged

        public var label: String {
            switch self {
            case .blocklisted: "INVITEs of a blocked source"
            case .options: "OPTIONS of a stranger"
            case .garbage: "garbage of a stranger"
            case .oneSource: "INVITEs of a stranger"
            case .forged: "INVITEs of 100,000 forged sources"
            }
        }

        /// Sources, taken in turn.
        var sources: Int { self == .forged ? 100_000 : 1 }
        /// Does a phone that no list names keep its calls?
        public var sparesPhone: Bool { self != .forged }
    }

    /// How it is sent.
    public enum Means: String, CaseIterable, Hashable, Sendable {
        /// By one socket, as a program on a host sends.
        case sockets
        /// As live frames, as a network card receives.
        case frames

        /// Packets a second.
        public var rate: Int { self == .sockets ? 200_000 : 1_000_000 }
        public var label: String { self == .sockets ? "sockets, 200 kpps" : "live frames, 1 Mpps" }
    }

    /// What one kind of good traffic got.
    public struct Good: Hashable, Sendable {
        /// The share of its transactions that were answered, 0 to 100; one figure a round.
        public var answered: Figure
        /// ms; the time that 99 of 100 answered ones did not exceed.
        public var p99: Figure

        init(_ name: String) {
            answered = Figure("\(name).answered", .percent)
            p99 = Figure("\(name).p99", .milliseconds)
        }

        fileprivate mutating func add(_ report: SIPpReport) {
            answered.samples.append(report.answeredPercent)
            // Nobody was answered: as bad as can be, and a number all the same.
            p99.samples.append((report.percentile(0.99) ?? .seconds(60)) / .milliseconds(1))
        }

        var figures: [Figure] { [answered, p99] }
    }

    public struct Row: Hashable, Sendable {
        /// Nil: no flood.
        public let flood: Flood?
        public let means: Means
        public let guardian: FloodGuard
        /// The trunk, whose address is trusted: 180 OPTIONS a second.
        public var trunk: Good
        /// The phone, whose address is in no list: 20 REGISTERs a second.
        public var phone: Good
        /// Packets a second that were really sent, in thousands.
        public var sent: Figure
        /// CPU time of the SIP server, percent of one CPU.
        public var server: Figure

        init(_ flood: Flood?, _ means: Means, _ guardian: FloodGuard) {
            (self.flood, self.means, self.guardian) = (flood, means, guardian)
            let name = flood.map { "calls.\($0.rawValue).\(means.rawValue).\(guardian.rawValue)" } ?? "calls.quiet"
            trunk = Good(name + ".trunk")
            phone = Good(name + ".phone")
            sent = Figure(name + ".sent", .kilopackets)
            server = Figure(name + ".server", .percent)
        }

        var figures: [Figure] { trunk.figures + phone.figures + [sent, server] }
    }

    /// The trunk, by the rate of a flood from a blocked source.
    public struct Point: Hashable, Sendable {
        public let guardian: FloodGuard
        /// Thousands of packets a second.
        public let rate: Int
        public var trunk: Good

        init(_ guardian: FloodGuard, _ rate: Int) {
            (self.guardian, self.rate) = (guardian, rate)
            trunk = Good("calls.curve.\(guardian.rawValue).\(rate)")
        }
    }

    /// The first is without a flood.
    public var rows: [Row]
    /// For a picture.
    public var curve = [FloodGuard.none, .nft, .edge].flatMap { guardian in
        [25, 50, 100, 200, 400, 800].map { Point(guardian, $0) }
    }

    init() {
        rows = [Row(nil, .frames, .edge)]
        for flood in Flood.allCases {
            // A socket has one address.
            for means in Means.allCases where means == .frames || flood.sources == 1 {
                for guardian in FloodGuard.allCases where means == .frames || [.none, .edge].contains(guardian) {
                    rows.append(Row(flood, means, guardian))
                }
            }
        }
    }

    var figures: [Figure] { rows.flatMap(\.figures) + curve.flatMap(\.trunk.figures) }

    var goals: [Goal] {
        guard let quiet = rows.first, !quiet.trunk.p99.samples.isEmpty else { return [] }
        var goals: [Goal] = []
        for row in rows where row.guardian == .edge {
            guard let flood = row.flood, !row.sent.samples.isEmpty else { continue }
            var all = [("trunk", row.trunk, quiet.trunk)]
            if flood.sparesPhone { all.append(("phone", row.phone, quiet.phone)) }
            for (who, good, calm) in all {
                let place = "\(flood.label), \(row.means.label): \(who)"
                goals.append(Goal(figure: good.answered, relation: .atLeast, limit: 99.9, label: "\(place) answered"))
                goals.append(
                    Goal(figure: good.p99, relation: .atMost, limit: 2 * calm.p99.median, label: "\(place) p99"))
            }
        }
        return goals
    }
}

extension FloodCalls {
    private static let trunkRate = 180
    private static let phoneRate = 20

    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> FloodCalls {
        var calls = FloodCalls()
        let rounds = bench.settings.isQuick ? 1 : 3
        let network = try SIPNetwork(in: laboratory)
        let blocked = network.interface(of: .flooder).address
        let policy = FloodPolicy(
            network: network, blocked: IPPrefix(ipv4: blocked),
            trusted: IPPrefix(ipv4: network.interface(of: .trunk).address), command: bench.settings.command)
        let total = rounds * calls.rows.count + calls.curve.count
        var done = 0
        for _ in 0..<rounds {
            for index in calls.rows.indices {
                bench.progress(.init(section: .calls, done: done, total: total))
                try Interruption.check()
                let guardian = calls.rows[index].guardian
                defer { policy.tearDown(guardian) }
                try policy.setUp(guardian)
                try calls.rows[index].measure(
                    network, from: blocked, cpu: bench.settings.cpu,
                    for: bench.settings.isQuick ? .seconds(3) : .seconds(5))
                done += 1
            }
        }
        for index in calls.curve.indices {
            bench.progress(.init(section: .calls, done: done, total: total))
            try Interruption.check()
            let point = calls.curve[index]
            defer { policy.tearDown(point.guardian) }
            try policy.setUp(point.guardian)
            var row = Row(.blocklisted, .frames, point.guardian)
            try row.measure(
                network, from: blocked, cpu: bench.settings.cpu, rate: point.rate * 1_000,
                for: .seconds(bench.settings.isQuick ? 2 : 4))
            calls.curve[index].trunk.answered.samples = row.trunk.answered.samples
            calls.curve[index].trunk.p99.samples = row.trunk.p99.samples
            done += 1
        }
        bench.progress(.init(section: .calls, done: total, total: total))
        return calls
    }
}

extension FloodCalls.Row {
    /// `blocked`: the address of the flooder's interface, which is on the block list.
    fileprivate mutating func measure(
        _ network: SIPNetwork, from blocked: UInt32, cpu: Int, rate: Int? = nil, for duration: Duration
    ) throws(Failure) {
        let seconds = duration / .seconds(1)
        let before = network.server.cpuTime
        let start = ContinuousClock.now
        let flood = try self.flood.map { (flood) throws(Failure) in
            try startFlood(flood, network, from: blocked, cpu: cpu, rate: rate ?? means.rate, for: duration)
        }
        defer { flood?.stop() }
        let trunk = try network.sipp(.options, on: .trunk, port: 5060).start(
            in: network.laboratory, count: Int(Double(FloodCalls.trunkRate) * seconds), rate: FloodCalls.trunkRate)
        let phone = try network.sipp(.register, on: .phone, port: 5060, user: "phone").start(
            in: network.laboratory, count: Int(Double(FloodCalls.phoneRate) * seconds), rate: FloodCalls.phoneRate)
        if let flood {
            while !flood.isFinished { try Interruption.check(); usleep(20_000) }
            let result = try flood.join()
            sent.samples.append(Double(result.packets) / (result.duration / .milliseconds(1)))
        } else {
            let end = start + duration
            while ContinuousClock.now < end { try Interruption.check(); usleep(20_000) }
            sent.samples.append(0)
        }
        let elapsed = ContinuousClock.now - start
        server.samples.append(100 * ((network.server.cpuTime - before) / elapsed))
        self.trunk.add(try trunk.finish())
        self.phone.add(try phone.finish())
    }

    private func startFlood(
        _ flood: FloodCalls.Flood, _ network: SIPNetwork, from blocked: UInt32, cpu: Int, rate: Int,
        for duration: Duration
    ) throws(Failure) -> Worker<Sent> {
        let interface = network.interface(of: .flooder)
        let server = network.serverEndpoint(from: .flooder)
        // RFC 2544's network for benchmarks: nobody that a list names. A socket sends from an address of its host.
        let stranger = means == .sockets ? blocked : 0xc612_0000
        let source = flood == .blocklisted ? blocked : stranger
        let local = Endpoint(mac: interface.mac, address: source, port: 5060)
        let payload = flood.payload(to: server, local: local)
        let limits = SendLimits(
            count: Int(Double(rate) * (duration / .seconds(1))), duration: duration * 2, rate: rate)
        if means == .frames {
            return try LiveFlood(
                from: interface, frame: Frame.udp(from: local, to: server, payload: payload), firstSource: source,
                sourceCount: flood.sources,
                stamp: flood == .options || flood == .garbage ? nil : SIPRequest.branchStamp(payload), cpu: cpu
            ).start(limits)
        }
        let (host, address, port) = (interface.host, server.address, server.port)
        return try Worker { (isStopping) throws(Failure) in
            // Bound to its CPU, and no more important than the server.
            _ = fastpath_lab_pin_thread(UInt32(clamping: cpu))
            return try DatagramSender(on: host, localPort: 5060, to: address, port: port)
                .flood(payload, limits, until: isStopping)
        }
    }
}

extension FloodCalls.Flood {
    fileprivate func payload(to server: Endpoint, local: Endpoint) -> [UInt8] {
        switch self {
        case .options: SIPRequest.options(to: server, local: local, sequence: 1)
        case .garbage: [UInt8](repeating: UInt8(ascii: "x"), count: 400)
        case .blocklisted, .oneSource, .forged:
            SIPRequest.invite("callee", at: server, local: local, sequence: 1_000_000_000)
        }
    }
}
