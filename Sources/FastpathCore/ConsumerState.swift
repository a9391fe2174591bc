// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// What the reader of an AF_XDP socket counts: a row of `FASTPATH_CONSUMER_COUNTS` in `fastpath_abi.h`.
public struct ConsumerCount: Hashable, Sendable, CaseIterable {
    /// Its place in `struct fastpath_consumer`.
    public let index: Int
    /// The name in JSON.
    public let name: String
    /// The name for people.
    public let label: String

    /// All of them, in order of the ABI.
    public static let allCases: [ConsumerCount] = (0...).lazy.map { ($0, fastpath_consumer_count_row($0)) }
        .prefix { $0.1 != nil }
        .compactMap { index, row in
            row.map {
                ConsumerCount(
                    index: Int(index), name: String(cString: $0.pointee.name), label: String(cString: $0.pointee.label))
            }
        }

    public static let delivered = allCases[Int(FASTPATH_CONSUMER_DELIVERED.rawValue)]
    public static let byKernel = allCases[Int(FASTPATH_CONSUMER_BY_KERNEL.rawValue)]
    public static let handedBack = allCases[Int(FASTPATH_CONSUMER_HANDED_BACK.rawValue)]
    public static let badChecksum = allCases[Int(FASTPATH_CONSUMER_BAD_CHECKSUM.rawValue)]
    public static let badFormat = allCases[Int(FASTPATH_CONSUMER_BAD_FORMAT.rawValue)]
    public static let sent = allCases[Int(FASTPATH_CONSUMER_SENT.rawValue)]
    public static let ringFull = allCases[Int(FASTPATH_CONSUMER_RING_FULL.rawValue)]
    public static let wakeups = allCases[Int(FASTPATH_CONSUMER_WAKEUPS.rawValue)]
}

/// One receive queue of an interface, as `struct fastpath_consumer` has it, and whether a socket is there.
public struct QueueConsumer: Hashable, Sendable {
    public var queue: Int
    /// Does `xsks_map` hold a socket for the queue?
    public var hasSocket: Bool
    /// When its reader was last willing to read: microseconds of the boot-time clock; 0: it has registered nothing.
    public var beat: UInt64 = 0
    /// What it takes datagrams for.
    public var endpoints: [UDPEndpoint] = []
    /// Bytes of the longest frame that it takes.
    public var longest = 0
    /// Descriptors of the receive ring.
    public var ringSize = 0
    /// Descriptors that waited to be read when the reader last beat.
    public var ringReady = 0
    public var isZeroCopy = false
    /// Does it send by a ring too?
    public var transmits = false
    /// Packets that the program left to the kernel, by what the consumer lacked; every case is present.
    public var refused: [RegisteredConsumer.Refusal: UInt64] = [:]
    /// What the consumer itself counts; every case is present.
    public var counts: [ConsumerCount: UInt64] = [:]
    /// Processes that read, by the numbers that they have in their own PID namespace.
    public var processes: [UInt32] = []

    public init(queue: Int, hasSocket: Bool) {
        self.queue = queue
        self.hasSocket = hasSocket
    }

    /// Who reads the socket.
    public enum State: Hashable, Sendable {
        /// There is no socket, and there was none that had registered.
        case none
        /// A socket whose reader has registered nothing: the program takes it for one that reads.
        case unregistered
        /// Its reader has beaten within ``RegisteredConsumer/beatLimit``; microseconds ago.
        case alive(Int64)
        /// It has not: what is for it goes to the kernel; microseconds ago.
        case silent(Int64)
        /// The socket is gone; its reader was last willing to read so many microseconds ago.
        case gone(Int64)
    }

    /// `now`: microseconds of the boot-time clock.
    public func state(now: UInt64) -> State {
        guard beat != 0 else { return hasSocket ? .unregistered : .none }
        let age = max(0, Int64(bitPattern: now &- beat))
        if !hasSocket { return .gone(age) }
        return age <= RegisteredConsumer.beatLimit ? .alive(age) : .silent(age)
    }
}

/// The receive queues of an interface, and who reads them.
public struct InterfaceConsumers: Hashable, Sendable {
    /// In order of their numbers.
    public var queues: [QueueConsumer]
    /// Microseconds of the boot-time clock when it was read.
    public var time: UInt64
    /// Does the program ask for beats and endpoints? Else (switch `consumers` off) it redirects whatever there is a socket for.
    public var isAsked: Bool

    public init(queues: [QueueConsumer], time: UInt64, isAsked: Bool) {
        self.queues = queues
        self.time = time
        self.isAsked = isAsked
    }

    public func states() -> [QueueConsumer.State] { queues.map { $0.state(now: time) } }

    /// Queues with a socket.
    public var taken: Int { queues.count(where: \.hasSocket) }

    /// Those of ``taken`` whose readers are silent.
    public var silent: Int {
        states().count { if case .silent = $0 { true } else { false } }
    }

    /// What the readers counted, on all queues.
    public func count(_ count: ConsumerCount) -> UInt64 { queues.reduce(0) { $0 + $1.counts[count, default: 0] } }

    /// Packets that were left to the kernel for a reason, on all queues.
    public func refused(_ refusal: RegisteredConsumer.Refusal) -> UInt64 {
        queues.reduce(0) { $0 + $1.refused[refusal, default: 0] }
    }
}
