// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// What it takes to receive a datagram: the CPU time of those who receive, what interrupts do for them apart.
public struct ReceiveCost: Hashable, Sendable {
    public let method: ReceiveMethod
    public let workers: Int
    /// ns of user and system time of all workers a packet, while packets come at ``pace``.
    public var cpuTime: Figure
    /// Packets received a second, in thousands, while they come as fast as one CPU sends them.
    public var rate: Figure

    /// Packets a second.
    static let pace = 150_000
    public static let workerCounts = 1...4

    init(_ method: ReceiveMethod, workers: Int) {
        self.method = method
        self.workers = workers
        cpuTime = Figure("afxdp.\(method.rawValue).\(workers).cpu", .nanoseconds)
        rate = Figure("afxdp.\(method.rawValue).\(workers).rate", .kilopackets)
    }

    var figures: [Figure] { cpuTime.samples.isEmpty ? [] : [cpuTime, rate] }
}

extension ReceiveCost {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> [ReceiveCost] {
        let library = bench.settings.library
        let stand = try ReceiveStand(bench, in: laboratory)
        defer { stand.tearDown() }
        let counts = bench.settings.isQuick ? [1, 2] : Array(workerCounts)
        var costs = counts.flatMap { workers in
            ReceiveMethod.allCases.filter { $0 != .preload || library != nil }.map {
                ReceiveCost($0, workers: workers)
            }
        }
        let rounds = bench.settings.isQuick ? 1 : 3
        var done = 0
        for round in 0..<rounds {
            for turn in costs.indices {
                bench.progress(.init(section: .afxdp, done: done, total: rounds * costs.count))
                try Interruption.check()
                // Nobody is always the first.
                let index = (turn + round) % costs.count
                let sample = try stand.measure(costs[index].method, workers: costs[index].workers)
                costs[index].cpuTime.samples.append(sample.cpuTime)
                costs[index].rate.samples.append(sample.rate)
                done += 1
            }
        }
        bench.progress(.init(section: .afxdp, done: done, total: done))
        return costs
    }
}

/// A host with the edge in profile carrier, a receiver on it, and a peer that floods it.
private struct ReceiveStand {
    let bench: Bench
    let laboratory: Laboratory
    let host: LabHost
    let interface: LabInterface
    let flood: FrameFlood
    private var folder: String { "/run/vos-fastpath-lab/\(Bench.name)" }

    init(_ bench: Bench, in laboratory: Laboratory) throws(Failure) {
        self.bench = bench
        self.laboratory = laboratory
        host = try laboratory.addHost("receiver")
        let peer = try laboratory.addHost("sender")
        let queues = ReceiveCost.workerCounts.upperBound
        let (interface, other) = try laboratory.connect(
            .init(host, Self.name, 0x0a63_6501, queues: queues), .init(peer, "eth0", 0x0a63_6502, queues: queues))
        self.interface = interface
        let server = Endpoint(interface, port: ReceiveWorkers.port)
        // Many flows, which go to all queues alike.
        flood = try FrameFlood(
            from: other,
            frames: (0..<512).map { number in
                let local = Endpoint(mac: other.mac, address: other.address, port: UInt16(20_000 + number))
                return Frame.udp(
                    from: local, to: server,
                    payload: SIPRequest.invite("callee", at: server, local: local, sequence: 1_000_000 + number))
            })
        try edge(["trust", "add", "\(IPPrefix(ipv4: other.address))"])
        try edge(["up", interface.name, "--mode", "native"])
    }

    /// The kernel's threads are named by it, and by nothing else's.
    private static let name = "fp-rx"

    /// As many queues as workers, and threads of the kernel that take packets off the wire, on the CPU that sends: what they
    /// do is told apart from what the receivers do. The threads.
    private func useQueues(_ count: Int) throws(Failure) -> [pid_t] {
        for end in [interface, flood.interface] {
            let arguments = ["ethtool", "-L", end.name, "rx", "\(count)", "tx", "\(count)"]
            // Refused where it is so already.
            _ = try Shell.outcome(of: arguments, in: end.host.namespace, timeout: .seconds(5))
        }
        // /sys shows the network namespace that it was mounted in.
        try Shell.run([
            "ip", "netns", "exec", host.namespace.name ?? "", "sh", "-c",
            "echo 1 > /sys/class/net/\(interface.name)/threaded",
        ])
        var threads: [pid_t] = []
        for name in namesInFolder("/proc") {
            guard let pid = pid_t(name), let command = try? readFile("/proc/\(pid)/comm"),
                command.starts(with: "napi/\(interface.name)-".utf8)
            else { continue }
            try Shell.run(["taskset", "-pc", "\(bench.settings.cpu)", name])
            threads.append(pid)
        }
        return threads
    }

    /// In batches: the threads run while the sender sleeps, between its portions, as a NIC's interrupts wait until some packets
    /// are there. Else they take their turn with the sender, which never sleeps.
    private static func poll(_ threads: [pid_t], inBatches: Bool) {
        for thread in threads { setpriority(Int32(PRIO_PROCESS.rawValue), id_t(thread), inBatches ? 19 : -20) }
    }

    func tearDown() { try? edge(["down", "--all", "--purge"]) }

    private var environment: [String: String] { [Instance.environmentVariable: Bench.name] }

    private func edge(_ arguments: [String]) throws(Failure) {
        let outcome = try Shell.outcome(
            of: [bench.settings.command] + arguments, in: host.namespace, timeout: .seconds(20),
            environment: environment)
        guard outcome.exit == .code(0) else {
            throw Failure(
                tried: "put the edge before the receivers", on: arguments.joined(separator: " "),
                because: "the command failed", next: "Read what it said below.", details: outcome.errors)
        }
    }

    struct Sample {
        var cpuTime: Double
        var rate: Double
    }

    /// One process of workers, from its start to its end.
    func measure(_ method: ReceiveMethod, workers: Int) throws(Failure) -> Sample {
        let pollers = try useQueues(workers)
        let path = "\(folder)/counts"
        unlink(path)
        let counts = try ReceiveWorkers.share(path, workers)
        defer { munmap(counts, workers * MemoryLayout<fastpath_lab_worker>.stride) }
        var environment = environment
        if method == .preload {
            environment["LD_PRELOAD"] = bench.settings.library
            environment["VOS_FASTPATH_INTERFACES"] = interface.name
        }
        let log = "receive-\(method.rawValue)"
        let child = try laboratory.start(
            [
                bench.settings.command, "bench-receiver", method.rawValue, interface.name, "\(workers)", path,
                "\(bench.settings.cpu)",
            ], label: log, on: host, environment: environment)
        defer { child.end() }
        try waitForAll(counts, workers, child, log: log)
        return try pinned(toCPU: bench.settings.cpu) { () throws(Failure) in
            try measure(method, Watched(counts: counts, workers: workers), pollers)
        }
    }

    /// Waits until all workers are about to receive.
    private func waitForAll(
        _ counts: UnsafeMutablePointer<fastpath_lab_worker>, _ workers: Int, _ child: Child, log: String
    ) throws(Failure) {
        let end = ContinuousClock.now + .seconds(5)
        while !(0..<workers).allSatisfy({ counts[$0].thread != 0 }) {
            try Interruption.check()
            guard child.exitStatus == nil, ContinuousClock.now < end else {
                let text = (try? readFile("\(folder)/\(log).log")).map { String(decoding: $0, as: UTF8.self) }
                throw Failure(
                    tried: "start receivers", on: log, because: "they did not begin to receive",
                    next: "Read what they said below.", details: text)
            }
            usleep(2_000)
        }
    }

    private func measure(
        _ method: ReceiveMethod, _ watched: Watched, _ pollers: [pid_t]
    ) throws(Failure) -> Sample {
        let isQuick = bench.settings.isQuick
        Self.poll(pollers, inBatches: true)
        // Pages, caches, and the time at which the library looks at what it took over.
        _ = try flood.send(SendLimits(count: 5_000, duration: .seconds(1), rate: ReceiveCost.pace))
        watched.settle()
        let redirected = try self.redirected()
        var cpuTime = Double.infinity
        var sent = 0, received = 0
        // The quietest of some bursts: a neighbour on the same core or in its cache doubles all times for a while.
        for _ in 0..<(isQuick ? 3 : 5) {
            let before = watched.state
            sent += try flood.send(
                SendLimits(count: .max, duration: .milliseconds(60), rate: ReceiveCost.pace)
            ).packets
            watched.settle()
            let moved = watched.state - before
            received += moved.packets
            guard moved.packets > 0 else { continue }
            cpuTime = min(cpuTime, moved.cpuTime / .nanoseconds(1) / Double(moved.packets))
        }
        let taken = try self.redirected() - redirected
        guard received > sent / 2, (taken > 0) == method.isRedirected else {
            throw unexpected(
                "measure \(method.label)", on: "\(watched.workers) workers, \(sent) packets",
                because: "\(received) were received, \(taken) redirected")
        }
        Self.poll(pollers, inBatches: false)
        let before = watched.state
        let fast = try flood.send(
            SendLimits(count: .max, duration: isQuick ? .milliseconds(100) : .milliseconds(150)))
        // What waits in buffers by now was not received in this time.
        let taking = (watched.state - before).packets
        return Sample(cpuTime: cpuTime, rate: Double(taking) / (fast.duration / .milliseconds(1)))
    }

    /// Packets, by the edge's own count.
    private func redirected() throws(Failure) -> UInt64 {
        try host.perform { () throws(Failure) in
            let kernel = KernelEdges(instance: try Instance(named: Bench.name))
            let id = interface.index
            guard let state = try kernel.edges().first(where: { $0.interface.index == id && $0.isFilteringForUs })
            else { return 0 }
            return try kernel.counters(of: state)[.redirected]
        }
    }
}

/// Workers, seen from outside.
private struct Watched {
    let counts: UnsafeMutablePointer<fastpath_lab_worker>
    let workers: Int

    struct State {
        var packets: Int
        var cpuTime: Duration

        static func - (later: State, earlier: State) -> State {
            State(packets: later.packets - earlier.packets, cpuTime: later.cpuTime - earlier.cpuTime)
        }
    }

    /// Waits until nothing has come for 10 ms, half a second at most.
    func settle() {
        var last = -1
        for _ in 0..<50 {
            let now = (0..<workers).reduce(0) { $0 + Int(counts[$1].packets) }
            if now == last { return }
            last = now
            usleep(10_000)
        }
    }

    /// A thread's time, user and system, is what the scheduler notes when it stops to run: exact while all wait.
    var state: State {
        var state = State(packets: 0, cpuTime: .zero)
        for number in 0..<workers {
            state.packets += Int(counts[number].packets)
            guard let bytes = try? readFile("/proc/\(counts[number].thread)/schedstat") else { continue }
            let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
            state.cpuTime += .nanoseconds(fields.first.flatMap { Int64($0) } ?? 0)
        }
        return state
    }
}

extension [ReceiveCost] {
    private func measured(_ method: ReceiveMethod, _ workers: Int) -> ReceiveCost? {
        first { $0.method == method && $0.workers == workers && !$0.cpuTime.samples.isEmpty }
    }

    /// The receiver's CPU time over that of the loop in C, and of the library over recvfrom's, by workers.
    public var ratios: [Figure] {
        ReceiveCost.workerCounts.flatMap { workers -> [Figure] in
            var ratios: [Figure] = []
            for (method, other) in [(ReceiveMethod.swift, ReceiveMethod.c), (.preload, .recvfrom)] {
                guard let cost = measured(method, workers), let base = measured(other, workers) else { continue }
                ratios.append(
                    cost.cpuTime.over(base.cpuTime, as: "afxdp.\(method.rawValue).\(workers).over_\(other.rawValue)"))
            }
            return ratios
        }
    }

    var figures: [Figure] { flatMap(\.figures) + ratios }

    var goals: [Goal] {
        ratios.map { ratio in
            let isPreload = ratio.name.hasSuffix(".over_\(ReceiveMethod.recvfrom.rawValue)")
            let workers = ratio.name.split(separator: ".")[2]
            return Goal(
                figure: ratio, relation: .atMost, limit: isPreload ? 0.5 : 1.05,
                label: isPreload
                    ? "receive CPU of the preload library over recvfrom, \(workers) workers"
                    : "receive CPU of Swift over C, \(workers) workers")
        }
    }
}
