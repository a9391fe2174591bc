// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore
import Glibc
import Synchronization

/// What a reader of AF_XDP sockets needs of the program on an interface.
public struct SocketMaps {
    /// `xsks_map`: receive queue to socket.
    public var slots: BPFMap
    /// `xsk_consumers`; nil where the program has none.
    public var consumers: ConsumerMap?
    /// What the program was loaded with; nil where this version does not know it.
    public var settings: FilterSettings?

    /// Does the program redirect only what a consumer has registered, and only while it beats (switch `consumers`)? Else
    /// it redirects all good SIP of a queue.
    public var isSelective: Bool { consumers != nil && settings?.isOn(.consumers) == true }

    /// Does the program look at datagrams to this port? It redirects no others. True where that is not known.
    public func filters(port: UInt16) -> Bool {
        guard let settings else { return true }
        return settings.isOn(.ports) ? settings.ports.contains(port) : port == FASTPATH_SIP_PORT
    }

    /// Of a program that is loaded; nil where it has no `xsks_map`.
    public init?(of program: Program) throws(Failure) {
        guard let slots = try program.map(.xsks) else { return nil }
        self.slots = slots
        consumers = try ConsumerMap(of: program)
        settings = try FilterSettings.of(program)
    }

    /// Tells the program of a queue's socket, which must be bound and have frames: what is redirected to one that is not is
    /// lost.
    public func publish(_ socket: Int32, queue: UInt32) throws(Failure) {
        try slots.update(
            key: withUnsafeBytes(of: queue) { Array($0) }, value: withUnsafeBytes(of: socket) { Array($0) })
    }

    /// Empties a queue's slot: its packets go to the kernel's stack from now on.
    public func withdraw(queue: UInt32) throws(Failure) {
        try slots.delete(key: withUnsafeBytes(of: queue) { Array($0) })
    }
}

extension KernelEdges {
    /// The maps of an interface of the caller's namespace that our program is attached to; throws `.notLoaded` where it is
    /// not.
    public func socketMaps(of name: String) throws(Failure) -> SocketMaps {
        let interface = try interface(named: name)
        guard let edge = try edges().first(where: { $0.interface == interface }), edge.isFiltering,
            let maps = try SocketMaps(of: program(of: edge))
        else {
            throw Failure(
                .notLoaded, tried: "find the program's maps", on: name, because: "no program of ours is attached there",
                next: "Attach it: vos-fastpath up \(name)")
        }
        return maps
    }
}

/// The entry of one queue in `xsk_consumers`, for the one who reads its socket. The program reads it at any time, and in
/// between.
public struct ConsumerEntry {
    /// Keeps the memory.
    private let map: ConsumerMap
    private let consumer: UnsafeMutablePointer<fastpath_consumer>

    /// Nil where the map has no such queue.
    public init?(_ map: ConsumerMap, queue: UInt32) {
        guard Int(queue) < map.map.capacity else { return nil }
        self.map = map
        consumer = map.consumer(Int(queue))
    }

    /// Begins anew, with counts of zero, endpoints of nobody and no beat. To be followed by ``setEndpoints(_:)`` and a beat,
    /// and then by the publication of the socket.
    /// - Parameters:
    ///   - longest: bytes of the longest frame that is taken.
    ///   - ringSize: descriptors.
    public func begin(longest: UInt32, ringSize: UInt32, isZeroCopy: Bool, transmits: Bool) {
        memset(consumer, 0, MemoryLayout<fastpath_consumer>.size)
        consumer.pointee.longest = longest
        consumer.pointee.ring_size = ringSize
        consumer.pointee.flags =
            (isZeroCopy ? UInt32(FASTPATH_CONSUMER_ZERO_COPY) : 0)
            | (transmits ? UInt32(FASTPATH_CONSUMER_TRANSMITS) : 0)
        withUnsafeMutableBytes(of: &consumer.pointee.pids) { $0.storeBytes(of: UInt32(getpid()), as: UInt32.self) }
    }

    /// What datagrams are taken for, the first ``RegisteredConsumer/endpointLimit`` of them. Place by place: one that
    /// changes is free in between.
    public func setEndpoints(_ endpoints: [UDPEndpoint]) {
        withUnsafeMutableBytes(of: &consumer.pointee.endpoints) { bytes in
            let places = bytes.assumingMemoryBound(to: fastpath_endpoint.self)
            for place in places.indices {
                guard place < endpoints.count else {
                    setTail(&places[place], 0)
                    continue
                }
                let endpoint = endpoints[place].abi
                let isSame = places[place].high == endpoint.high && places[place].low == endpoint.low
                if isSame, places[place].tail == endpoint.tail { continue }
                setTail(&places[place], 0)
                places[place].high = endpoint.high
                places[place].low = endpoint.low
                setTail(&places[place], endpoint.tail)
            }
        }
        consumer.pointee.endpoint_count = UInt32(min(endpoints.count, RegisteredConsumer.endpointLimit))
    }

    private func setTail(_ endpoint: UnsafeMutablePointer<fastpath_endpoint>, _ tail: UInt64) {
        let offset = MemoryLayout<fastpath_endpoint>.offset(of: \.tail) ?? 16
        atomic(UnsafeMutableRawPointer(endpoint) + offset).pointee.store(tail, ordering: .releasing)
    }

    /// Somebody is willing to read. `now`: microseconds of the boot-time clock; 0 ends the registration.
    @inline(__always)
    public func beat(_ now: UInt64) { atomic(consumer).pointee.store(now, ordering: .relaxed) }

    /// Where the beat stands, for a loop that is not Swift; as long as this lives.
    public var beatPlace: UnsafeMutablePointer<UInt64> {
        UnsafeMutableRawPointer(consumer).assumingMemoryBound(to: UInt64.self)
    }

    /// Adds to one of the counts that `vos-fastpath sockets` shows.
    @inline(__always)
    public func count(_ what: fastpath_consumer_count, _ number: UInt64) {
        let places = UnsafeMutableRawPointer(consumer) + (MemoryLayout<fastpath_consumer>.offset(of: \.counts) ?? 0)
        places.assumingMemoryBound(to: UInt64.self)[Int(what.rawValue)] &+= number
    }

    /// Nobody reads any more: behind the withdrawal of the socket.
    public func end() {
        beat(0)
        setEndpoints([])
        withUnsafeMutableBytes(of: &consumer.pointee.pids) { $0.storeBytes(of: 0, as: UInt32.self) }
    }

    @inline(__always)
    private func atomic(_ address: UnsafeMutableRawPointer) -> UnsafeMutablePointer<Atomic<UInt64>> {
        address.assumingMemoryBound(to: Atomic<UInt64>.self)
    }
}
