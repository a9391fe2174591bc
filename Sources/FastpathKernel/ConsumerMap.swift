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

    /// The map that a program reads; nil where it reads none.
    public convenience init?(of program: Program) throws(Failure) {
        guard let map = try program.ownMap(FASTPATH_CONSUMERS_MAP) else { return nil }
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
            let number =
                switch refusal {
                case .stale: consumer.stale
                case .tooLong: consumer.too_long
                case .unwanted: consumer.unwanted
                }
            if number != 0 { counts.refused[refusal] = number }
        }
        return counts
    }
}

extension UDPEndpoint {
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
