// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore
import Glibc

/// Who reads the AF_XDP sockets of an interface, queue by queue: the map `xsk_consumers`, in memory.
public final class ConsumerMap {
    public let map: BPFMap
    private let memory: MappedArray

    /// Of one queue.
    public struct Counts: Hashable, Sendable {
        /// Packets that the program left to the kernel, by what the consumer lacked.
        public var refused: [RegisteredConsumer.Refusal: UInt64] = [:]

        public init() {}
    }

    /// The map that a program reads; nil where it reads none, or one of another version.
    public convenience init?(of program: Program) throws(Failure) {
        guard let map = try program.ownMap(FASTPATH_CONSUMERS_MAP),
            map.valueSize == MemoryLayout<fastpath_consumer>.stride
        else { return nil }
        try self.init(map)
    }

    init(_ map: BPFMap) throws(Failure) {
        self.map = map
        memory = try MappedArray(map)
        precondition(map.valueSize == MemoryLayout<fastpath_consumer>.stride, "fastpath_abi.h and the object differ")
    }

    /// Of a queue, which must be below the map's capacity.
    func consumer(_ queue: Int) -> UnsafeMutablePointer<fastpath_consumer> {
        precondition(queue < map.capacity, "no such queue")
        return memory.memory.assumingMemoryBound(to: fastpath_consumer.self) + queue
    }

    /// Registers what reads a queue's socket, at most ``RegisteredConsumer/endpointLimit`` endpoints.
    public func register(_ registered: RegisteredConsumer, queue: Int) {
        let consumer = consumer(queue)
        precondition(registered.endpoints.count <= RegisteredConsumer.endpointLimit, "too many endpoints")
        consumer.pointee.longest = UInt32(clamping: registered.longest)
        consumer.pointee.endpoint_count = UInt32(registered.endpoints.count)
        withUnsafeMutableBytes(of: &consumer.pointee.endpoints) { bytes in
            let places = bytes.bindMemory(to: fastpath_endpoint.self)
            for (place, endpoint) in zip(places.indices, registered.endpoints) { places[place] = endpoint.abi }
        }
        consumer.pointee.beat = registered.beat
    }

    public func counts(queue: Int) -> Counts {
        let consumer = consumer(queue).pointee
        var counts = Counts()
        for refusal in RegisteredConsumer.Refusal.allCases {
            let number = Self.refused(refusal, consumer)
            if number != 0 { counts.refused[refusal] = number }
        }
        return counts
    }
}

extension ConsumerMap {
    /// All that is known of a queue, which must be below the map's capacity; `hasSocket` is not in the map.
    public func state(queue: Int, hasSocket: Bool) -> QueueConsumer {
        var state = QueueConsumer(queue: queue, hasSocket: hasSocket)
        let consumer = consumer(queue).pointee
        state.beat = consumer.beat
        state.longest = Int(consumer.longest)
        state.ringSize = Int(consumer.ring_size)
        state.ringReady = Int(clamping: consumer.ring_ready)
        state.isZeroCopy = consumer.flags & UInt32(FASTPATH_CONSUMER_ZERO_COPY) != 0
        state.transmits = consumer.flags & UInt32(FASTPATH_CONSUMER_TRANSMITS) != 0
        for refusal in RegisteredConsumer.Refusal.allCases {
            state.refused[refusal] = Self.refused(refusal, consumer)
        }
        withUnsafeBytes(of: consumer.counts) { bytes in
            let counts = bytes.bindMemory(to: UInt64.self)
            for count in ConsumerCount.allCases { state.counts[count] = counts[count.index] }
        }
        withUnsafeBytes(of: consumer.endpoints) { bytes in
            let places = bytes.bindMemory(to: fastpath_endpoint.self)
            let inUse = min(Int(consumer.endpoint_count), RegisteredConsumer.endpointLimit)
            state.endpoints = places.prefix(inUse).compactMap(UDPEndpoint.init(abi:))
        }
        withUnsafeBytes(of: consumer.pids) { bytes in
            state.processes = bytes.bindMemory(to: UInt32.self).filter { $0 != 0 }
        }
        return state
    }

    private static func refused(_ refusal: RegisteredConsumer.Refusal, _ consumer: fastpath_consumer) -> UInt64 {
        switch refusal {
        case .stale: consumer.stale
        case .tooLong: consumer.too_long
        case .unwanted: consumer.unwanted
        }
    }
}

extension UDPEndpoint {
    /// Nil for a free place.
    init?(abi: fastpath_endpoint) {
        guard abi.tail != 0 else { return nil }
        let isIPv6 = abi.tail >> 16 & 1 == 1
        self.init(
            isIPv6
                ? IPPrefix(ipv6: UInt128(abi.high) << 64 | UInt128(abi.low))
                : IPPrefix(ipv4: UInt32(truncatingIfNeeded: abi.high)),
            UInt16(truncatingIfNeeded: abi.tail))
    }

    /// As the program compares it.
    var abi: fastpath_endpoint {
        let isIPv6 = address.family == .ipv6
        // FASTPATH_ENDPOINT_TAIL.
        return fastpath_endpoint(
            high: UInt64(truncatingIfNeeded: isIPv6 ? address.bits >> 64 : address.bits),
            low: isIPv6 ? UInt64(truncatingIfNeeded: address.bits) : 0,
            tail: 1 << 32 | (isIPv6 ? 1 << 16 : 0) | UInt64(port))
    }
}
