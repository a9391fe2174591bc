// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathAFXDP
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// A way to receive datagrams.
public enum ReceiveMethod: String, CaseIterable, Hashable, Sendable {
    case swift
    case c
    case recvfrom
    case recvmmsg8 = "recvmmsg_8"
    case recvmmsg64 = "recvmmsg_64"
    /// A server of recvfrom(2), with the library preloaded.
    case preload

    public var label: String {
        switch self {
        case .swift: "AF_XDP, the receiver in Swift"
        case .c: "AF_XDP, the same loop in C"
        case .recvfrom: "recvfrom"
        case .recvmmsg8: "recvmmsg, 8 at most"
        case .recvmmsg64: "recvmmsg, 64 at most"
        case .preload: "recvfrom, the library preloaded"
        }
    }

    /// Does the packet program redirect to it?
    var isRedirected: Bool { self == .swift || self == .c || self == .preload }
}

/// The side that is measured: a process of its own, with workers that receive and count in shared memory until it is
/// killed.
public struct ReceiveWorkers {
    static let ringSize: UInt32 = 2_048
    static let port: UInt16 = 5_060
    /// Bytes of the socket's buffer, for all workers.
    static let room: Int32 = 8 << 20

    let method: ReceiveMethod
    let interface: String
    let count: Int
    private let counters: UnsafeMutablePointer<fastpath_lab_worker>

    /// `path`: the file to count in.
    public init(_ method: ReceiveMethod, interface: String, count: Int, sharing path: String) throws(Failure) {
        self.method = method
        self.interface = interface
        self.count = count
        counters = try Self.share(path, count)
    }

    /// The counts of `count` workers, in memory that is shared by a file.
    static func share(_ path: String, _ count: Int) throws(Failure) -> UnsafeMutablePointer<fastpath_lab_worker> {
        let stride = MemoryLayout<fastpath_lab_worker>.stride
        guard let memory = fastpath_lab_share(path, count * stride) else {
            throw systemFailure(errno, "share counts", on: path)
        }
        return memory.bindMemory(to: fastpath_lab_worker.self, capacity: count)
    }

    /// Receives on all CPUs but `cpu`, where there are others. Comes back only by a failure.
    public func run(instance: Instance, without cpu: Int) throws(Failure) {
        var others = fastpath_lab_cpus()
        if cpu < 1_024, fastpath_lab_get_cpus(&others) == 0 {
            withUnsafeMutableBytes(of: &others) { $0[cpu / 8] &= ~(1 << UInt8(cpu % 8)) }
            // Refused where there is no other one.
            _ = fastpath_lab_set_cpus(&others)
        }
        setpriority(Int32(PRIO_PROCESS.rawValue), 0, -20)
        switch method {
        case .recvfrom, .preload: try serve(batch: 0)
        case .recvmmsg8: try serve(batch: 8)
        case .recvmmsg64: try serve(batch: 64)
        case .swift, .c: try receive(instance)
        }
    }

    private func serve(batch: UInt32) throws(Failure) {
        _ = try check(
            fastpath_lab_serve(Self.port, Self.room, batch, counters, UInt32(count)), "receive",
            on: "UDP port \(Self.port)")
    }

    /// A thread for each worker, with a queue of its own.
    private func receive(_ instance: Instance) throws(Failure) {
        let maps = try KernelEdges(instance: instance).socketMaps(of: interface)
        nonisolated(unsafe) let shared = (maps, try Receiver.endpoints(port: Self.port), counters)
        let (method, interface) = (method, interface)
        var workers: [Worker<Void>] = []
        for number in 0..<count {
            workers.append(
                try Worker { (_) throws(Failure) in
                    let queues = [UInt32(number)]
                    let (maps, endpoints, counters) = shared
                    if method == .swift {
                        try Self.loop(interface, queues, maps, endpoints, counters + number)
                    } else {
                        try Self.loopInC(interface, queues, maps, endpoints, counters + number)
                    }
                })
        }
        for worker in workers { try worker.join() }
    }

    private static func loop(
        _ interface: String, _ queues: [UInt32], _ maps: SocketMaps, _ endpoints: [UDPEndpoint],
        _ counter: UnsafeMutablePointer<fastpath_lab_worker>
    ) throws(Failure) {
        var options = Receiver.Options()
        options.ringSize = ringSize
        let receiver = try Receiver(
            interface: interface, queues: queues, maps: maps, endpoints: endpoints, options: options)
        fastpath_lab_announce(counter)
        while true {
            let taken = receiver.receive { packet in
                counter.pointee.packets &+= 1
                counter.pointee.bytes &+= UInt64(packet.payload.count)
                return .none
            }
            if taken == 0 { receiver.wait(milliseconds: 400) }
        }
    }

    private static func loopInC(
        _ interface: String, _ queues: [UInt32], _ maps: SocketMaps, _ endpoints: [UDPEndpoint],
        _ counter: UnsafeMutablePointer<fastpath_lab_worker>
    ) throws(Failure) {
        var rings: [OpaquePointer?] = []
        var beats: [UnsafeMutablePointer<UInt64>?] = []
        for queue in queues {
            guard let ring = fastpath_lab_ring_open(if_nametoindex(interface), queue, ringSize) else {
                throw systemFailure(errno, "open an AF_XDP socket in C", on: "\(interface), queue \(queue)")
            }
            let entry = maps.consumers.flatMap { ConsumerEntry($0, queue: queue) }
            entry?.begin(longest: 2_048 - 256, ringSize: ringSize, isZeroCopy: false, transmits: false)
            entry?.setEndpoints(endpoints)
            entry?.beat(bootMicros())
            try maps.publish(fastpath_lab_ring_descriptor(ring), queue: queue)
            rings.append(ring)
            beats.append(entry?.beatPlace)
        }
        fastpath_lab_ring_receive(rings, beats, UInt32(rings.count), counter)
    }

    private static func bootMicros() -> UInt64 {
        var now = timespec()
        clock_gettime(CLOCK_BOOTTIME, &now)
        return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000
    }
}
