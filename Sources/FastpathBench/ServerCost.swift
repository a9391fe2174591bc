// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// Kamailio, unmodified, with four workers: what a request costs it, and how long its answer takes, by the way in which
/// datagrams come and go.
public struct ServerCost: Hashable, Sendable {
    /// The edge is on in all of them.
    public enum Way: String, CaseIterable, Hashable, Sendable {
        case kernel
        case preload
        case transmit

        public var label: String {
            switch self {
            case .kernel: "kernel socket"
            case .preload: "preloaded library"
            case .transmit: "preloaded library, transmit ring"
            }
        }

        fileprivate func environment(_ library: String) -> [String: String] {
            switch self {
            case .kernel: [:]
            case .preload: ["LD_PRELOAD": library]
            case .transmit: ["LD_PRELOAD": library, "VOS_FASTPATH_TX": "1"]
            }
        }
    }

    public let way: Way
    /// ns of user and system time of the server, all its processes, an OPTIONS, at ``rate`` a second.
    public var cpuTime: Figure
    /// The share that was answered, at ``rate``.
    public var answered: Figure
    /// ms, at ``rate``.
    public var p50: Figure
    public var p99: Figure
    /// Answers a second, in thousands, to one who has 32 requests under way all the time.
    public var throughput: Figure

    /// Requests a second.
    public static let rate = 2_000

    init(_ way: Way) {
        self.way = way
        let name = "servers.\(way.rawValue)"
        cpuTime = Figure("\(name).cpu", .nanoseconds)
        answered = Figure("\(name).answered", .percent)
        p50 = Figure("\(name).p50", .milliseconds)
        p99 = Figure("\(name).p99", .milliseconds)
        throughput = Figure("\(name).throughput", .kilopackets)
    }

    var figures: [Figure] { [cpuTime, answered, p50, p99, throughput] }
}

extension ServerCost {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> [ServerCost] {
        guard let library = bench.settings.library else {
            throw Failure(
                tried: "measure the SIP server over AF_XDP", on: "libvosfastpath.so", because: "it is not there",
                next: "Build it with `make`, or say where it is: VOS_FASTPATH_LIBRARY=PATH.")
        }
        let environment = [Instance.environmentVariable: Bench.name]
        func edge(_ host: LabHost, _ arguments: [String]) throws(Failure) {
            try Shell.run(
                [bench.settings.command] + arguments, in: host.namespace, timeout: .seconds(20),
                environment: environment)
        }
        let network = try SIPNetwork(in: laboratory, workers: 4) { (host, interfaces) throws(Failure) in
            try edge(host, ["trust", "add", "10.98.3.2"])
            for interface in interfaces { try edge(host, ["up", interface.name]) }
            return environment
        }
        defer { try? edge(network.edge, ["down", "--all", "--purge"]) }
        var costs = Way.allCases.map(ServerCost.init)
        let rounds = bench.settings.isQuick ? 1 : 5
        for round in 0..<rounds {
            for turn in costs.indices {
                bench.progress(.init(section: .servers, done: round * costs.count + turn, total: rounds * costs.count))
                try Interruption.check()
                let index = (turn + round) % costs.count
                try network.server.restart(
                    environment: environment.merging(costs[index].way.environment(library)) { $1 })
                try costs[index].measure(network, for: bench.settings.isQuick ? 1 : 4)
            }
        }
        bench.progress(.init(section: .servers, done: 1, total: 1))
        return costs
    }

    private mutating func measure(_ network: SIPNetwork, for seconds: Int) throws(Failure) {
        let trunk = network.sipp(.options, on: .trunk, port: 5061)
        // Pages, caches, neighbours.
        _ = try trunk.run(in: network.laboratory, count: 200, rate: 1_000)
        let before = network.server.cpuTime
        let count = Self.rate * seconds
        let report = try trunk.run(in: network.laboratory, count: count, rate: Self.rate)
        let used = network.server.cpuTime - before
        cpuTime.samples.append(used / .nanoseconds(1) / Double(count))
        answered.samples.append(report.answeredPercent)
        p50.samples.append((report.percentile(0.5) ?? .seconds(60)) / .milliseconds(1))
        p99.samples.append((report.percentile(0.99) ?? .seconds(60)) / .milliseconds(1))
        throughput.samples.append(try Self.throughput(network, for: .seconds(seconds)))
    }

    /// Thousands of answers a second to one socket with 32 requests under way.
    private static func throughput(_ network: SIPNetwork, for duration: Duration) throws(Failure) -> Double {
        let host = network.interface(of: .trunk).host
        let sender = try DatagramSender(on: host, to: network.server.address, port: network.server.port)
        let local = try sender.localEndpoint()
        let request = SIPRequest.options(to: network.serverEndpoint(from: .trunk), local: local, sequence: 1)
        try sender.send([[UInt8]](repeating: request, count: 32))
        let start = ContinuousClock.now
        var answers = 0
        while ContinuousClock.now - start < duration {
            // What is lost is not sent again, so that a loss is seen here too.
            guard sender.receive(timeout: .milliseconds(500)) != nil else { break }
            answers += 1
            try sender.send([request])
        }
        return Double(answers) / ((ContinuousClock.now - start) / .milliseconds(1))
    }
}

extension [ServerCost] {
    private func measured(_ way: ServerCost.Way) -> ServerCost? { first { $0.way == way && !$0.p99.samples.isEmpty } }

    private var kernel: ServerCost? { measured(.kernel) }
    private var others: [ServerCost] { filter { $0.way != .kernel && !$0.p99.samples.isEmpty } }

    /// Over the kernel's socket.
    public var ratios: [Figure] {
        guard let kernel else { return [] }
        return others.flatMap { [$0.cpuTime.over(kernel: kernel.cpuTime), $0.p99.over(kernel: kernel.p99)] }
    }

    var figures: [Figure] { flatMap(\.figures) + ratios }

    var goals: [Goal] {
        guard let kernel else { return [] }
        return others.flatMap { cost in
            [
                Goal(
                    figure: cost.cpuTime.over(kernel: kernel.cpuTime), relation: .atMost, limit: 1.0,
                    label: "Kamailio by the \(cost.way.label): CPU a request, over the kernel socket's"),
                Goal(
                    figure: cost.p99.over(kernel: kernel.p99), relation: .atMost, limit: 1.1,
                    label: "Kamailio by the \(cost.way.label): p99, over the kernel socket's"),
                Goal(
                    figure: cost.answered, relation: .atLeast, limit: kernel.answered.median,
                    label: "Kamailio by the \(cost.way.label): answered, as many as by the kernel socket"),
            ]
        }
    }
}

extension Figure {
    fileprivate func over(kernel: Figure) -> Figure { over(kernel, as: "\(name).over_kernel") }
}
