// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// Which addresses and ports are the server's: its bindings, where they are wildcards with all addresses of this host.
/// The packet program has the list too, so that it does not redirect what is for others.
enum Endpoints {
    /// In memory that all processes share; places beyond the count are stale.
    private struct List: ~Copyable {
        let count = Atomic<UInt32>(0)
        /// Seconds of the monotonic clock, when somebody last looked at this host's addresses.
        let refreshed = Atomic<Int>(0)
        var places: InlineArray<32, fastpath_endpoint> = .init(repeating: fastpath_endpoint())
    }

    nonisolated(unsafe) private static var list: UnsafeMutablePointer<List>?

    static func make() -> Bool {
        if list != nil { return true }
        guard let memory = Shared.allocate(MemoryLayout<List>.stride) else { return false }
        list = memory.bindMemory(to: List.self, capacity: 1)
        return true
    }

    static func leave() { list = nil }

    /// The binding that a datagram is for, the most specific first; -1 for none.
    @inline(__always)
    static func owner(of datagram: Datagram) -> Int {
        var wildcard = -1
        for number in 0..<Shared.bindingCount
        where Shared.bindings[number].takes(datagram.destination, datagram.destinationPort) {
            if !Shared.bindings[number].isWildcard { return number }
            wildcard = number
        }
        return wildcard >= 0 && isLocal(datagram) ? wildcard : -1
    }

    /// Is it to an address of this host?
    @inline(__always)
    private static func isLocal(_ datagram: Datagram) -> Bool {
        guard let list else { return false }
        let destination = datagram.destination
        let tail = tail(datagram.destinationPort, isIPv6: destination.isIPv6)
        for place in 0..<Int(list.pointee.count.load(ordering: .acquiring)) {
            let endpoint = list.pointee.places[place]
            if endpoint.high == destination.high, endpoint.low == destination.low, endpoint.tail == tail { return true }
        }
        return false
    }

    /// FASTPATH_ENDPOINT_TAIL.
    private static func tail(_ port: UInt16, isIPv6: Bool) -> UInt64 { 1 << 32 | (isIPv6 ? 1 << 16 : 0) | UInt64(port) }

    /// Looks at this host's addresses again, if nobody has for two seconds; they come and go.
    static func refresh(second: Int) {
        guard let list else { return }
        let last = list.pointee.refreshed.load(ordering: .relaxed)
        guard second >= last + 2,
            list.pointee.refreshed.compareExchange(
                expected: last, desired: second, ordering: .acquiringAndReleasing
            ).exchanged
        else { return }
        _ = collect()
    }

    /// How many addresses there are that do not fit; their datagrams come by the kernel.
    static func collect() -> Int {
        guard let list else { return 0 }
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return 0 }
        defer { freeifaddrs(first) }
        var fresh = InlineArray<32, fastpath_endpoint>(repeating: fastpath_endpoint())
        var count = 0
        var tooMany = 0
        for number in 0..<Shared.bindingCount {
            let binding = Shared.bindings + number
            if !binding.pointee.isWildcard {
                add(binding.pointee.address, binding.pointee.port, &fresh, &count, &tooMany)
                continue
            }
            var next = first
            while let entry = next {
                next = entry.pointee.ifa_next
                guard let address = Address(entry.pointee.ifa_addr),
                    binding.pointee.takes(address, binding.pointee.port)
                else { continue }
                add(address, binding.pointee.port, &fresh, &count, &tooMany)
            }
        }
        list.pointee.places = fresh
        list.pointee.count.store(UInt32(count), ordering: .releasing)
        for number in 0..<Shared.queueCount { register(in: Shared.queues[number].consumer, fresh, count) }
        return tooMany
    }

    private static func add(
        _ address: Address, _ port: UInt16, _ fresh: inout InlineArray<32, fastpath_endpoint>, _ count: inout Int,
        _ tooMany: inout Int
    ) {
        let endpoint = fastpath_endpoint(
            high: address.high, low: address.low, tail: tail(port, isIPv6: address.isIPv6))
        for place in 0..<count
        where fresh[place].high == endpoint.high && fresh[place].low == endpoint.low
            && fresh[place].tail == endpoint.tail
        { return }
        guard count < Shared.endpointLimit else {
            tooMany += 1
            return
        }
        fresh[count] = endpoint
        count += 1
    }

    /// Tells the packet program, place by place: one that changes is free in between.
    private static func register(
        in consumer: UnsafeMutablePointer<fastpath_consumer>?, _ fresh: InlineArray<32, fastpath_endpoint>, _ count: Int
    ) {
        guard let consumer else { return }
        withUnsafeMutableBytes(of: &consumer.pointee.endpoints) { bytes in
            let places = bytes.assumingMemoryBound(to: fastpath_endpoint.self)
            for place in 0..<count {
                let endpoint = fresh[place]
                let same = places[place].high == endpoint.high && places[place].low == endpoint.low
                if same, places[place].tail == endpoint.tail { continue }
                setTail(&places[place], 0)
                places[place].high = endpoint.high
                places[place].low = endpoint.low
                setTail(&places[place], endpoint.tail)
            }
            for place in count..<Shared.endpointLimit { setTail(&places[place], 0) }
        }
        consumer.pointee.endpoint_count = UInt32(count)
    }

    private static func setTail(_ endpoint: UnsafeMutablePointer<fastpath_endpoint>, _ tail: UInt64) {
        UnsafeMutableRawPointer(endpoint).advanced(by: 16).assumingMemoryBound(to: Atomic<UInt64>.self)
            .pointee.store(tail, ordering: .releasing)
    }
}

extension Address {
    /// Nil for what is neither IPv4 nor IPv6. IPv4 in an IPv6 address (RFC 4291 section 2.5.5.2) is IPv4.
    init?(_ address: UnsafeMutablePointer<sockaddr>?) {
        guard let address else { return nil }
        self.init(UnsafeRawPointer(address), length: 28)
    }

    /// `length`: bytes that can be read.
    init?(_ bytes: UnsafeRawPointer, length: Int) {
        switch Int32(bytes.loadUnaligned(as: UInt16.self)) {
        case AF_INET where length >= 16:
            high = UInt64(UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
            low = 0
            isIPv6 = false
        case AF_INET6 where length >= 24:
            high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self))
            isIPv6 = true
            if high == 0, low >> 32 == 0xffff {
                high = low & 0xffff_ffff
                low = 0
                isIPv6 = false
            }
        default: return nil
        }
    }
}
