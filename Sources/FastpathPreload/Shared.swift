// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// What all processes of a server share: made before they fork, in memory that stays theirs together. Whatever is
/// written here may be cut off by the end of its writer, at any instruction.
enum Shared {
    static let bindingLimit = 8
    static let queueLimit = 128
    static let endpointLimit = Int(FASTPATH_CONSUMER_ENDPOINTS)

    /// The library is in use: a socket was taken over.
    nonisolated(unsafe) static var isActive = false
    nonisolated(unsafe) static var bindings: UnsafeMutablePointer<Binding> = .init(bitPattern: 8).unsafelyUnwrapped
    /// Sockets that were bound to one of the ports.
    nonisolated(unsafe) static var bindingCount = 0
    nonisolated(unsafe) static var queues: UnsafeMutablePointer<Queue> = .init(bitPattern: 8).unsafelyUnwrapped
    nonisolated(unsafe) static var queueCount = 0

    /// Pages of zeros that children share; nil where there is no memory.
    static func allocate(_ length: Int) -> UnsafeMutableRawPointer? {
        fastpath_map(length, MAP_SHARED | MAP_ANONYMOUS, -1, 0)
    }

    nonisolated(unsafe) private static var isMade = false

    /// Where there is none yet. False where there is no memory.
    static func make() -> Bool {
        if isMade { return true }
        guard let binding = allocate(bindingLimit * MemoryLayout<Binding>.stride),
            let queue = allocate(queueLimit * MemoryLayout<Queue>.stride)
        else { return false }
        bindings = binding.assumingMemoryBound(to: Binding.self)
        queues = queue.assumingMemoryBound(to: Queue.self)
        isMade = true
        return true
    }

    /// This process uses none of it any more. Others may, so it is not theirs that is written to: what this process takes
    /// over next is in memory of its own.
    static func leave() {
        for number in 0..<queueCount {
            for binding in 1..<bindingLimit { Descriptors.end(queues[number].watched[binding]) }
            let socket = queues[number].socket
            socket.close()
            Descriptors.forget(socket.fd)
        }
        for number in 0..<bindingCount { Descriptors.end(bindings[number].wakeup) }
        queueCount = 0
        bindingCount = 0
        isActive = false
        isMade = false
        Endpoints.leave()
    }
}

/// A UDP socket that the server reads and whose datagrams come from the rings as well.
struct Binding: ~Copyable {
    /// What it is bound to; the wildcard is all zeros.
    var address: Address
    var port: UInt16
    /// An IPv6 socket that takes IPv4 as well (RFC 3493 section 3.7).
    var takesBoth: Bool
    /// Bits of what it asked to be told with each datagram: ``Option``.
    let options: Atomic<UInt32>
    /// How long a call may wait: milliseconds (SO_RCVTIMEO), -1 for ever, 0 not at all (O_NONBLOCK).
    let patience: Atomic<Int>
    /// Processes that wait in ``Waiting``. One that was killed is counted for ever: then some wakeups are in vain.
    let sleepers: Atomic<UInt32>
    /// Was `wakeup` written and not read since?
    let isSignalled: Atomic<UInt32>
    /// When its last datagram was taken, and since when they have come without a long pause: ``Beat/time``.
    let lastTaken: Atomic<Int>
    let busySince: Atomic<Int>
    /// What answers carry (IP_TTL and IP_TOS, or those of IPv6).
    var hopLimit: UInt8
    var trafficClass: UInt8
    /// An eventfd: there is something for this socket, and its readers may sleep.
    var wakeup: Int32

    enum Option {
        static let packetInfo: UInt32 = 1
        static let packetInfo6: UInt32 = 2
        static let typeOfService: UInt32 = 4
        static let trafficClass: UInt32 = 8
        static let timeToLive: UInt32 = 16
        static let hopLimit: UInt32 = 32
        static let originalDestination: UInt32 = 64
    }

    var isWildcard: Bool { address.high == 0 && address.low == 0 }

    /// Does a datagram to an address of this host belong to it?
    func takes(_ destination: Address, _ port: UInt16) -> Bool {
        guard port == self.port else { return false }
        if isWildcard { return address.isIPv6 == destination.isIPv6 || takesBoth }
        return address == destination
    }

    /// Wakes one that waits, if somebody may.
    func wake(always: Bool = false) {
        guard always || sleepers.load(ordering: .relaxed) > 0,
            isSignalled.exchange(1, ordering: .acquiringAndReleasing) == 0
        else { return }
        eventfd_write(wakeup, 1)
    }

    /// Behind a look that found nothing: whoever writes next wakes again.
    func calm() {
        guard isSignalled.load(ordering: .relaxed) != 0 else { return }
        var value: eventfd_t = 0
        eventfd_read(wakeup, &value)
        isSignalled.store(0, ordering: .releasing)
    }
}

/// A descriptor that was moved from a receive ring to the queue of another binding.
struct Moved: BitwiseCopyable {
    var address: UInt64
    var length: UInt32
    /// Where it was in the receive ring.
    var index: UInt32
}

/// A receive queue of an interface: its AF_XDP socket, and the state of those who take turns at it.
struct Queue: ~Copyable {
    /// First, for its address is the queue's.
    var lock: pthread_mutex_t
    /// Of the transmit ring.
    var sendLock: pthread_mutex_t
    var socket: XDPSocket
    var interface: UInt32
    var number: UInt32
    /// What the packet program reads, and `vos-fastpath sockets`: nil where the program has none.
    var consumer: UnsafeMutablePointer<fastpath_consumer>?
    /// The socket under a number for each binding: an epoll instance tells its entries apart by file and number.
    var watched: InlineArray<8, Int32>
    /// Its lock's holder stands still, so nobody reads: then nobody says that all is well.
    let isStuck: Atomic<UInt32>
    /// Where the rest of the state is: ``Moved`` descriptors for each binding.
    var others: UnsafeMutablePointer<Ring<Moved>>
    let journal: Journal

    func count(_ what: fastpath_consumer_count) {
        guard let consumer else { return }
        // Processes count at once.
        withUnsafeMutableBytes(of: &consumer.pointee.counts) { bytes in
            let counts = bytes.assumingMemoryBound(to: Atomic<UInt64>.self).baseAddress.unsafelyUnwrapped
            (counts + Int(what.rawValue)).pointee.add(1, ordering: .relaxed)
        }
    }
}

/// What the holder of a queue's lock is about to do, so that the next one can finish it.
struct Journal: ~Copyable {
    /// The frame goes back to the kernel: ``frame`` into place ``fillIndex`` of the fill ring, and ``source`` is released.
    static let recycles: UInt64 = 1 << 63
    /// A descriptor goes to another binding's queue, and the receive ring is released.
    static let moves: UInt64 = 1 << 62

    /// One of the two, the source (0: the receive ring, else 1 + a binding) above bit 32, and its index. 0: nothing.
    let step = Atomic<UInt64>(0)
    let frame = Atomic<UInt64>(0)
    let fillIndex = Atomic<UInt32>(0)
}
