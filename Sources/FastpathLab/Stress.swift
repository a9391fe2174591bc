// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// The stress test: five phases on a lab of its own, every counter compared with exactly what was sent.
public struct Stress: Sendable {
    public enum Phase: String, CaseIterable, Sendable {
        case volume, blocklist, allowlist, hammer, teardown
    }

    /// One comparison.
    public struct Check: Hashable, Sendable {
        public var what: String
        public var expected: String
        public var found: String
        public var isPassed: Bool { expected == found }
    }

    public struct PhaseResult: Hashable, Sendable {
        /// From 1 on.
        public var round: Int
        public var phase: Phase
        public var checks: [Check]
        public var duration: Duration
        public var isPassed: Bool { checks.allSatisfy(\.isPassed) }
    }

    public enum Event: Sendable {
        case started(round: Int, Phase)
        case finished(PhaseResult)
    }

    /// Requests of each kind in a phase with exact counts.
    public var volume = 1000
    /// Replacements of the program on every interface while the flood runs.
    public var redeploys = 20
    /// Good requests a second during the hammer.
    public var goodRate = 2000
    /// How long the hammer lasts, at least.
    public var hammerTime = Duration.seconds(2)
    /// The name of the lab.
    public var name = "stress"

    public init() {}

    /// Runs the rounds; true where everything passed. A phase that fails does not stop the others. Throws where the
    /// lab itself does not work, or on Ctrl-C. Nothing is left in any case.
    public func run(rounds: Int, edge: some EdgeUnderTest, events: (Event) -> Void) throws(Failure) -> Bool {
        var isPassed = true
        for round in 1...max(1, rounds) {
            let lab = try StressLab(self, edge)
            defer { lab.remove() }
            for phase in Phase.allCases {
                events(.started(round: round, phase))
                let start = ContinuousClock.now
                let checks = try lab.checks(of: phase)
                let result = PhaseResult(
                    round: round, phase: phase, checks: checks, duration: ContinuousClock.now - start)
                isPassed = isPassed && result.isPassed
                events(.finished(result))
                try Interruption.check()
            }
        }
        return isPassed
    }
}

/// One round's hosts: `edge` with a listening socket, and behind an interface each a good `phone` and a `flooder`.
private struct StressLab<Edge: EdgeUnderTest> {
    let settings: Stress
    let edge: Edge
    let laboratory: Laboratory
    let host: LabHost
    let interfaces: [LabInterface]
    let phone: LabInterface
    let flooder: LabInterface
    let phoneFrames: FrameMaker
    let flooderFrames: FrameMaker
    let receiver: DatagramReceiver

    /// Requests from one peer.
    struct FrameMaker {
        let local: Endpoint
        let server: Endpoint

        func options(_ numbers: Range<Int>) -> [[UInt8]] {
            numbers.map {
                Frame.udp(from: local, to: server, payload: SIPRequest.options(to: server, local: local, sequence: $0))
            }
        }

        func registers(_ numbers: Range<Int>) -> [[UInt8]] {
            numbers.map {
                Frame.udp(from: local, to: server, payload: SIPRequest.register(to: server, local: local, sequence: $0))
            }
        }

        /// Long enough to be judged, and no SIP.
        func junk(_ count: Int) -> [[UInt8]] {
            let frame = Frame.udp(
                from: local, to: server, payload: Array("no session initiation here, not at all".utf8))
            return Array(repeating: frame, count: count)
        }
    }

    init(_ settings: Stress, _ edge: Edge) throws(Failure) {
        self.settings = settings
        self.edge = edge
        laboratory = try Laboratory(named: settings.name)
        do throws(Failure) {
            host = try laboratory.addHost("edge")
            let phoneHost = try laboratory.addHost("phone")
            let flooderHost = try laboratory.addHost("flooder")
            let first = try laboratory.connect(
                .init(host, "v-phone", IPPrefix.address(10, 98, 1, 1)),
                .init(phoneHost, "eth0", IPPrefix.address(10, 98, 1, 2)))
            let second = try laboratory.connect(
                .init(host, "v-flooder", IPPrefix.address(10, 98, 2, 1)),
                .init(flooderHost, "eth0", IPPrefix.address(10, 98, 2, 2)))
            (interfaces, phone, flooder) = ([first.0, second.0], first.1, second.1)
            phoneFrames = FrameMaker(local: Endpoint(phone, port: 5060), server: Endpoint(first.0, port: 5060))
            flooderFrames = FrameMaker(local: Endpoint(flooder, port: 5060), server: Endpoint(second.0, port: 5060))
            receiver = try DatagramReceiver(on: host, port: 5060, bufferBytes: 64 << 20)
        } catch {
            laboratory.tearDown()
            throw error
        }
        do throws(Failure) {
            try edge.purge()
            try attachAll()
        } catch {
            remove()
            throw error
        }
    }

    /// Removes the edge and the hosts, whatever state they are in.
    func remove() {
        if !Laboratory.remains(of: settings.name).isEmpty {
            for interface in interfaces { try? onEdge { (edge) throws(Failure) in try edge.detach(interface.name) } }
        }
        try? edge.purge()
        laboratory.tearDown()
    }

    func checks(of phase: Stress.Phase) throws(Failure) -> [Stress.Check] {
        switch phase {
        case .volume: try volume()
        case .blocklist: try blocklist()
        case .allowlist: try allowlist()
        case .hammer: try hammer()
        case .teardown: try teardown()
        }
    }

    private func volume() throws(Failure) -> [Stress.Check] {
        let count = settings.volume
        let sent = phoneFrames.options(0..<count) + phoneFrames.registers(0..<count) + phoneFrames.junk(count)
        return try expect(
            [.optionsDropped: count, .passed: count, .malformed: count], heard: count, "volume", sending: sent)
    }

    private func blocklist() throws(Failure) -> [Stress.Check] {
        let count = settings.volume
        let source = [IPPrefix(ipv4: phone.address)]
        let both = phoneFrames.options(0..<count) + phoneFrames.registers(0..<count)
        try onEdge { (edge) throws(Failure) in try edge.block(source) }
        let blocked = try expect([.blocked: 2 * count], heard: 0, "blocked source", sending: both)
        try onEdge { (edge) throws(Failure) in try edge.unblock(source) }
        return try blocked
            + expect([.optionsDropped: count, .passed: count], heard: count, "unblocked again", sending: both)
    }

    private func allowlist() throws(Failure) -> [Stress.Check] {
        let count = settings.volume
        let source = [IPPrefix(ipv4: phone.address)]
        let options = phoneFrames.options(0..<count)
        try onEdge { (edge) throws(Failure) in try edge.allow(source) }
        let allowed = try expect([.passed: count], heard: count, "allowed source", sending: options)
        try onEdge { (edge) throws(Failure) in try edge.disallow(source) }
        return try allowed + expect([.optionsDropped: count], heard: 0, "no longer allowed", sending: options)
    }

    /// A flood from a blocked source on one interface, good requests on the other, the program replaced under both.
    private func hammer() throws(Failure) -> [Stress.Check] {
        let source = [IPPrefix(ipv4: flooder.address)]
        try onEdge { (edge) throws(Failure) in try edge.block(source) }
        let before = try counters()
        let frame = flooderFrames.registers(0..<1)[0]
        let flood = try LiveFlood(from: flooder, frame: frame, firstSource: flooder.address)
            .start(SendLimits(count: 100_000_000, duration: .seconds(15), rate: 200_000))
        defer { flood.stop() }
        let goodFrames = phoneFrames.registers(0..<Int(Double(settings.goodRate) * (settings.hammerTime / .seconds(1))))
        let (phone, rate) = (phone, settings.goodRate)
        let good = try Worker { (_) throws(Failure) in try RawSender(phone).send(goodFrames, rate: rate) }

        var falls = 0
        var last = before.total
        for _ in 0..<settings.redeploys {
            try attachAll()
            let now = try counters().total
            if now < last { falls += 1 }
            last = now
            try Wait.sleep(settings.hammerTime / settings.redeploys)
        }
        let goodSent = try good.join()
        flood.stop()
        let floodSent = try flood.join()

        let checks = try compare(
            [.blocked: floodSent.packets, .passed: goodSent.packets], since: before, heard: goodFrames.count, "hammer")
        try onEdge { (edge) throws(Failure) in try edge.unblock(source) }
        return checks + [
            check("hammer: good requests that the interface refused", 0, goodSent.refused),
            check("hammer: times that a counter fell in \(settings.redeploys) redeploys", 0, falls),
        ]
    }

    private func teardown() throws(Failure) -> [Stress.Check] {
        remove()
        let left = edge.remains() + Laboratory.remains(of: settings.name)
        return [Stress.Check(what: "teardown: what is left", expected: "[]", found: "\(left)")]
    }

    private func attachAll() throws(Failure) {
        for interface in interfaces { try onEdge { (edge) throws(Failure) in try edge.attach(interface.name) } }
    }

    private func counters() throws(Failure) -> Counters {
        try onEdge { (edge) throws(Failure) in try edge.counters() }
    }

    private func onEdge<Result>(_ body: (Edge) throws(Failure) -> Result) throws(Failure) -> Result {
        try host.perform { () throws(Failure) in try body(edge) }
    }

    /// Sends from the phone and compares every counter and what the socket behind the edge heard.
    private func expect(
        _ expected: [Reason: Int], heard: Int, _ what: String, sending frames: [[UInt8]]
    ) throws(Failure) -> [Stress.Check] {
        let before = try counters()
        let sent = try RawSender(phone).send(frames)
        let checks = try compare(expected, since: before, heard: heard, what)
        return [check("\(what): sent", frames.count, sent.packets)] + checks
    }

    private func compare(
        _ expected: [Reason: Int], since before: Counters, heard: Int, _ what: String
    ) throws(Failure) -> [Stress.Check] {
        let total = UInt64(expected.values.reduce(0, +))
        _ = try Wait.until(timeout: .seconds(2)) { () throws(Failure) in try (counters() - before).total >= total }
        // And not one more comes.
        let payloads = receiver.receive(timeout: .milliseconds(50))
        let difference = try counters() - before
        return Reason.counted.map { check("\(what): \($0.name)", expected[$0] ?? 0, Int(difference[$0])) } + [
            check("\(what): heard behind the edge", heard, payloads.count)
        ]
    }

    private func check(_ what: String, _ expected: Int, _ found: Int) -> Stress.Check {
        Stress.Check(what: what, expected: "\(expected)", found: "\(found)")
    }
}
