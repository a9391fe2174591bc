// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// The demo: the same scan, then the same calls and flood, twice: first without the edge, then with it, each time on a
/// lab built anew.
public struct Demo: Sendable {
    /// New calls a second.
    public var callRate = 50
    /// How long calls are placed and the flood lasts.
    public var duration = Duration.seconds(8)
    /// Packets a second, in both columns.
    public var floodRate = 50_000
    /// The CPU of the flood's generator, and of the receive path of the interface that it hits.
    public var generatorCPU = max(0, Int(sysconf(Int32(_SC_NPROCESSORS_ONLN))) - 1)
    /// Processes of the SIP server that receive.
    public var serverWorkers = 2
    /// The name of the lab.
    public var name = "demo"

    public init() {}

    /// One measured column of the table.
    public struct Column: Hashable, Sendable {
        public var isProtected: Bool
        public var calls: SIPpReport
        /// OPTIONS from the trunk, whose address is allowed.
        public var trunk: SIPpReport
        public var findings: [Svmap.Finding]
        public var flood: Sent
        /// CPU time of the SIP server, while the flood lasted.
        public var serverCPU: Duration
        /// Of the flood.
        public var duration: Duration
        /// What the edge counted; nil without it.
        public var counters: Counters?

        /// Of one CPU.
        public var serverCPUPercent: Double { duration > .zero ? 100 * (serverCPU / duration) : 0 }
    }

    /// How things stand, about twice a second.
    public struct Sample: Hashable, Sendable {
        public var isProtected: Bool
        /// Since the scan began.
        public var elapsed: Duration
        public var callsPlaced: Int
        public var callsAnswered: Int
        /// What the scanner has found; nil while it is under way.
        public var findings: Int?
        /// Nil without the edge.
        public var counters: Counters?
        /// Packets dropped a second since the last sample, for whatever reason; nil without the edge.
        public var droppedPerSecond: Double?
        /// Of one CPU, since the last sample.
        public var serverCPUPercent: Double
    }

    public enum Event: Sendable {
        case building(isProtected: Bool)
        /// `edge`: the interfaces that the program is on; empty without it.
        case running(isProtected: Bool, interfaces: [String])
        case sample(Sample)
        /// The flood is over; the last calls come to their end.
        case settling(isProtected: Bool)
        case finished(Column)
    }

    /// Measures both columns. Throws on Ctrl-C too; nothing is left in any case.
    public func run(
        edge: some EdgeUnderTest, events: (Event) -> Void
    ) throws(Failure) -> (without: Column, with: Column) {
        try edge.purge()
        defer { try? edge.purge() }
        return (try column(nil, events), try column(edge, events))
    }

    private func column(_ edge: (any EdgeUnderTest)?, _ events: (Event) -> Void) throws(Failure) -> Column {
        events(.building(isProtected: edge != nil))
        return try Laboratory.with(named: name) { (laboratory) throws(Failure) in
            let network = try SIPNetwork(in: laboratory, workers: serverWorkers)
            try network.startCallee()
            guard let edge else { return try measure(network, nil, events) }
            return try protect(network, with: edge) { () throws(Failure) in try measure(network, edge, events) }
        }
    }

    /// Runs `body` with the edge on all interfaces, the flooder blocked and the trunk allowed.
    private func protect<Result>(
        _ network: SIPNetwork, with edge: any EdgeUnderTest, _ body: () throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let names = network.edgeInterfaces.map(\.name)
        defer {
            try? network.edge.perform { () throws(Failure) in
                for name in names { try? edge.detach(name) }
            }
        }
        try network.edge.perform { () throws(Failure) in
            for name in names { try edge.attach(name) }
            try edge.block([IPPrefix(ipv4: network.interface(of: .flooder).address)])
            try edge.allow([IPPrefix(ipv4: network.interface(of: .trunk).address)])
        }
        return try body()
    }

    private func measure(
        _ network: SIPNetwork, _ edge: (any EdgeUnderTest)?, _ events: (Event) -> Void
    ) throws(Failure) -> Column {
        events(.running(isProtected: edge != nil, interfaces: edge == nil ? [] : network.edgeInterfaces.map(\.name)))
        let laboratory = network.laboratory
        let start = ContinuousClock.now
        var sampler = Sampler(network: network, edge: edge, start: start)

        // The scan goes first: it asks once, and a server that drowns would not answer it.
        let scan = try Worker { (_) throws(Failure) in try network.scan() }
        while !scan.isFinished {
            try Wait.sleep(.milliseconds(250))
            events(.sample(try sampler.take(calls: nil, findings: nil)))
        }
        let findings = try scan.join()

        let seconds = duration / .seconds(1)
        let floodStart = ContinuousClock.now
        let cpuBefore = network.server.cpuTime
        let flood = try self.flood(network).start(
            SendLimits(count: Int(Double(floodRate) * seconds), duration: duration * 2, rate: floodRate))
        defer { flood.stop() }
        let calls = try network.sipp(.call, on: .phone, port: 5060)
            .start(in: laboratory, count: Int(Double(callRate) * seconds), rate: callRate)
        let trunk = try network.sipp(.options, on: .trunk, port: 5060).start(
            in: laboratory, count: Int(seconds), rate: 1)
        while !flood.isFinished {
            try Wait.sleep(.milliseconds(500))
            events(.sample(try sampler.take(calls: calls.soFar, findings: findings.count)))
        }
        let sent = try flood.join()
        let elapsed = ContinuousClock.now - floodStart
        let cpu = network.server.cpuTime - cpuBefore
        events(.settling(isProtected: edge != nil))
        let column = Column(
            isProtected: edge != nil, calls: try calls.finish(), trunk: try trunk.finish(), findings: findings,
            flood: sent, serverCPU: cpu, duration: elapsed, counters: try sampler.counters())
        events(.finished(column))
        return column
    }

    /// INVITEs to the callee, each a transaction of its own: the server must keep every one in mind and pass it on.
    private func flood(_ network: SIPNetwork) -> LiveFlood {
        let local = Endpoint(network.interface(of: .flooder), port: 5060)
        let server = network.serverEndpoint(from: .flooder)
        let invite = SIPRequest.invite("callee", at: server, local: local, sequence: 1_000_000_000)
        return LiveFlood(
            from: network.interface(of: .flooder), frame: Frame.udp(from: local, to: server, payload: invite),
            firstSource: local.address, stamp: SIPRequest.branchStamp(invite), cpu: generatorCPU)
    }

    /// Differences from look to look.
    private struct Sampler {
        let network: SIPNetwork
        let edge: (any EdgeUnderTest)?
        let start: ContinuousClock.Instant
        var lastTime = ContinuousClock.now
        var lastCPU: Duration
        var lastCounters: Counters?

        init(network: SIPNetwork, edge: (any EdgeUnderTest)?, start: ContinuousClock.Instant) {
            self.network = network
            self.edge = edge
            self.start = start
            lastCPU = network.server.cpuTime
        }

        func counters() throws(Failure) -> Counters? {
            guard let edge else { return nil }
            return try network.edge.perform { () throws(Failure) in try edge.counters() }
        }

        mutating func take(calls: SIPpReport?, findings: Int?) throws(Failure) -> Sample {
            let (now, cpu, counters) = (ContinuousClock.now, network.server.cpuTime, try counters())
            let seconds = (now - lastTime) / .seconds(1)
            let dropped = counters.map { Self.dropped($0 - (lastCounters ?? Counters())) }
            defer { (lastTime, lastCPU, lastCounters) = (now, cpu, counters) }
            return Sample(
                isProtected: edge != nil, elapsed: now - start, callsPlaced: calls?.attempted ?? 0,
                callsAnswered: calls?.answered ?? 0, findings: findings, counters: counters,
                droppedPerSecond: dropped.map { Double($0) / seconds },
                serverCPUPercent: 100 * ((cpu - lastCPU) / .seconds(1)) / seconds)
        }

        private static func dropped(_ counters: Counters) -> UInt64 {
            Reason.counted.filter { $0.verdict == .drop }.reduce(0) { $0 + counters[$1] }
        }
    }
}
