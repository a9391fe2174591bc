// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// What it takes to drop a packet of a blocked source, from a generator that is the same for all methods. Generator and
/// receiver share one CPU, so that CPU time over packets is the whole cost.
public struct DropCost: Hashable, Sendable {
    public let method: DropMethod
    /// ns of CPU time a dropped packet, the generator's part included.
    public var cpuTime: Figure
    /// By the clock.
    public var rate: Figure
    /// In all rounds; each of them was counted where it was dropped.
    public var packets = 0

    init(_ method: DropMethod) {
        self.method = method
        cpuTime = Figure("drop.\(method.name).cpu", .nanoseconds)
        rate = Figure("drop.\(method.name).rate", .megapackets)
    }

    var figures: [Figure] { [rate, cpuTime] }
}

extension DropCost {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> [DropCost] {
        let target = try laboratory.addHost("target")
        let flooder = try laboratory.addHost("generator")
        let (interface, peer) = try laboratory.connect(
            .init(target, "eth0", 0x0a63_6401), .init(flooder, "eth0", 0x0a63_6402))
        // A NAPI poll whatever stands in the way, as a NIC has it.
        try interface.setOffloads(["gro": true])

        // RFC 2544's network for benchmarks.
        let first: UInt32 = 0xc612_0000
        let blocked = (0..<UInt32(BenchLists.blockedCount)).map { first + $0 }
        let programs = try BenchPrograms(blocked: blocked, allowed: [])
        let stand = DropStand(interface: interface, sources: blocked.map { IPPrefix(ipv4: $0) }, programs: programs)

        let server = Endpoint(interface, port: 5060)
        let local = Endpoint(mac: peer.mac, address: first, port: 5060)
        let request = SIPRequest.register(to: server, local: local, sequence: 1)
        let flood = LiveFlood(
            from: peer, frame: Frame.udp(from: local, to: server, payload: request), firstSource: first,
            sourceCount: blocked.count)
        let generator = try flood.prepare()
        let socket = try DiscardingSocket(on: target, port: 5060)
        let softirq = SoftIRQThread(cpu: bench.settings.cpu)

        var costs = DropMethod.allCases.map(DropCost.init)
        try bench.rounds(bench.settings.isQuick ? 3 : 7, of: .drop) { (round) throws(Failure) in
            for turn in costs.indices {
                // Nobody is always the first.
                let index = (turn + round) % costs.count
                try stand.setUp(costs[index].method)
                defer { try? stand.tearDown(costs[index].method) }
                try pinned(toCPU: bench.settings.cpu) { () throws(Failure) in
                    try costs[index].measure(
                        stand, generator, costs[index].method == .socket ? socket : nil, softirq,
                        for: bench.settings.isQuick ? .milliseconds(120) : .milliseconds(300))
                }
                try Interruption.check()
            }
        }
        return costs
    }

    private mutating func measure(
        _ stand: DropStand, _ generator: PreparedFlood, _ socket: DiscardingSocket?, _ softirq: SoftIRQThread,
        for duration: Duration
    ) throws(Failure) {
        // The caches and the generator's pages; not counted.
        try generator.send(socket == nil ? 16_384 : DiscardingSocket.portion)
        _ = socket?.discardAll()
        _ = try generator.sent(in: .zero)
        let before = try stand.counts()

        let cpuBefore = threadTime() + softirq.time()
        let start = ContinuousClock.now
        var read = 0
        while ContinuousClock.now - start < duration {
            try generator.send(socket == nil ? 65_536 : DiscardingSocket.portion)
            read += socket?.discardAll() ?? 0
        }
        let clock = ContinuousClock.now - start
        let cpu = threadTime() + softirq.time() - cpuBefore

        let sent = try generator.sent(in: clock).packets
        try check(sent, stand.counts() - before, read: read)
        cpuTime.samples.append(cpu / .nanoseconds(1) / Double(sent))
        rate.samples.append(Double(sent) / (clock / .microseconds(1)))
        packets += sent
    }

    /// Was every packet dropped, and where it should be?
    private func check(_ sent: Int, _ counts: DropStand.Counts, read: Int) throws(Failure) {
        let isRight =
            switch (method.place, method) {
            case (.program, .nativeEmpty): counts.droppedByDriver == sent && counts.inReceives == 0
            case (.program, _): counts.blocked == sent && counts.inReceives == 0
            case (.beforeIP, _): counts.received == sent && counts.inReceives == 0
            case (.inIP, _): counts.inReceives == sent && counts.inDelivers == 0
            case (.socket, _): read == sent
            }
        guard isRight, sent > 0 else {
            throw unexpected(
                "measure \(method.label)", on: "\(sent) packets",
                because: "not all were dropped there: \(counts), \(read) read")
        }
    }

    /// CPU time of this thread, what the kernel did on its account included.
    private func threadTime() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

/// The kernel's thread that takes over where network work gets too much for interrupts.
private struct SoftIRQThread {
    private let path: String?

    init(cpu: Int) {
        path = namesInFolder("/proc").first { name in
            guard name.utf8.allSatisfy({ (0x30...0x39).contains($0) }), let bytes = try? readFile("/proc/\(name)/comm")
            else { return false }
            return String(decoding: bytes, as: UTF8.self) == "ksoftirqd/\(cpu)\n"
        }.map { "/proc/\($0)/schedstat" }
    }

    /// CPU time so far; zero where the kernel does not tell.
    func time() -> Duration {
        guard let path, let bytes = try? readFile(path) else { return .zero }
        let fields = String(decoding: bytes, as: UTF8.self).split(separator: " ")
        return .nanoseconds(fields.first.flatMap { Int64($0) } ?? 0)
    }
}

/// A UDP socket whose datagrams are read one by one, as SIP servers do, and thrown away.
private final class DiscardingSocket {
    /// So many datagrams find room.
    static let portion = 2_048

    private let socket: FileDescriptor
    private let buffer = UnsafeMutableRawPointer.allocate(byteCount: 65_536, alignment: 64)

    deinit { buffer.deallocate() }

    init(on host: LabHost, port: UInt16) throws(Failure) {
        // A frame of the generator takes a page and its administration.
        let room = Int32(Self.portion * 16_384)
        socket = try host.perform { () throws(Failure) in
            let descriptor = fastpath_lab_udp_listener(port, room)
            guard descriptor >= 0 else {
                let code = errno
                throw Failure(
                    .system(errno: code), tried: "listen", on: "UDP port \(port)", because: errorText(code),
                    next: "Run it as root.")
            }
            return FileDescriptor(descriptor)
        }
    }

    /// Reads until nothing is left; how many there were.
    func discardAll() -> Int {
        var count = 0
        while recv(socket.rawValue, buffer, 65_536, Int32(MSG_DONTWAIT)) >= 0 { count += 1 }
        return count
    }
}
