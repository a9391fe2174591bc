// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore
import FastpathKernel
import Glibc

/// Receives the good SIP of an interface by AF_XDP, around the kernel's stack: a socket on each of its receive queues.
///
///     let receiver = try Receiver(interface: "eth0", port: 5060)
///     while isWanted {
///         receiver.wait(milliseconds: 100)
///         receiver.receive { packet in
///             handle(packet.payload, from: packet.source)
///             return .none
///         }
///     }
///
/// The edge must be on the interface (`vos-fastpath up`). In profile `carrier` its program redirects what is for the
/// receiver's endpoints, and only while somebody calls ``receive(batch:_:)`` or ``wait(milliseconds:)`` at least once a
/// second; else packets go to the kernel's stack. In `classic` it redirects all good SIP of the queues, whoever reads.
///
/// One thread uses a receiver at a time; several threads have one each, with queues of their own. Nothing is allocated
/// after the start. What is between the kernel and here ends with ``close()``, with the last reference, and with the
/// process, however it dies.
public final class Receiver {
    /// How sockets are made.
    public struct Options: Sendable {
        /// Descriptors of each ring, and frames to receive, of each queue: a power of two.
        public var ringSize: UInt32 = 2048
        /// With a ring to send answers by?
        public var transmits = false
        /// Verify the checksums of IPv4 and UDP? Not needed where the NIC does, and drops what is wrong.
        public var checksChecksums = true
        /// Microseconds that the kernel looks for packets before it sleeps (SO_BUSY_POLL); 0: as the system is set.
        public var busyPoll: Int32 = 0
        /// Ask for huge pages; without them, usual ones.
        public var hugePages = false

        public init() {}
    }

    /// Of one queue, since the start.
    public struct Counts: Hashable, Sendable {
        /// Datagrams that a body was given, and the bytes of their frames.
        public var packets: UInt64 = 0
        public var bytes: UInt64 = 0
        /// Frames that were dropped: no whole datagram, not UDP or a fragment, a wrong checksum.
        public var badFormat: UInt64 = 0
        public var notUDP: UInt64 = 0
        public var badChecksum: UInt64 = 0
        /// Answers that were sent, and those that found the ring full.
        public var sent: UInt64 = 0
        public var notSent: UInt64 = 0

        public init() {}
    }

    /// What becomes of a packet.
    public enum Answer {
        case none
        /// So many bytes were written to ``Packet/room``: they go back to where the packet came from, or to another port
        /// there.
        case reply(Int, port: UInt16? = nil)
    }

    /// The queues that are read.
    public let queues: [UInt32]
    /// Does the NIC write into our frames itself, on all queues? Else the kernel copies.
    public let isZeroCopy: Bool
    /// See ``FastpathKernel/SocketMaps/isSelective``.
    public let isSelective: Bool

    private let maps: SocketMaps
    private let states: UnsafeMutablePointer<ReceiveQueue>
    private let polled: UnsafeMutablePointer<pollfd>
    /// The queue to look at first, the time of the last beat, and whether it was closed.
    private let turn: UnsafeMutablePointer<(next: Int, beat: Int, isClosed: Bool)>
    private let checks: Bool

    /// Opens sockets on an interface of the calling thread's network namespace and publishes them.
    /// - Parameters:
    ///   - queues: nil for all.
    ///   - port: the datagrams of all addresses of this host to this UDP port are taken.
    ///   - instance: of the edge.
    ///
    /// Throws `.noInterface`, `.notLoaded` without the edge, `.busy` where another consumer has a queue, `.usage` for a
    /// queue that there is not, else what the kernel said.
    public convenience init(
        interface: String, queues: [UInt32]? = nil, port: UInt16 = UInt16(FASTPATH_SIP_PORT),
        instance: Instance = .default, options: Options = Options()
    ) throws(Failure) {
        let maps = try KernelEdges(instance: instance).socketMaps(of: interface)
        try self.init(
            interface: interface, queues: queues, maps: maps, endpoints: Self.endpoints(port: port), options: options)
    }

    /// The same with the maps of a program, whoever loaded it, and with given endpoints, at most
    /// ``FastpathCore/RegisteredConsumer/endpointLimit``.
    public init(
        interface: String, queues: [UInt32]? = nil, maps: SocketMaps, endpoints: [UDPEndpoint],
        options: Options = Options()
    ) throws(Failure) {
        guard let link = try LinkTable.read().first(where: { $0.name == interface }) else {
            throw Failure(
                .noInterface, tried: "find the interface", on: interface,
                because: "this network namespace has none of that name", next: "`ip -br link` lists them.")
        }
        var chosen = try Self.choose(queues, of: link, capacity: maps.slots.capacity)
        let states = UnsafeMutablePointer<ReceiveQueue>.allocate(capacity: chosen.count)
        do throws(Failure) {
            let count = try Self.open(
                chosen, areAsked: queues != nil, of: link, maps, endpoints, options, into: states)
            chosen.removeLast(chosen.count - count)
        } catch {
            states.deallocate()
            throw error
        }
        self.maps = maps
        self.states = states
        self.queues = chosen
        isZeroCopy = chosen.indices.allSatisfy { states[$0].socket.isZeroCopy }
        isSelective = maps.isSelective
        checks = options.checksChecksums
        polled = .allocate(capacity: chosen.count)
        for index in chosen.indices {
            polled[index] = pollfd(fd: states[index].socket.fd, events: Int16(POLLIN), revents: 0)
        }
        turn = .allocate(capacity: 1)
        turn.initialize(to: (0, 0, false))
    }

    deinit {
        close()
        states.deinitialize(count: queues.count)
        states.deallocate()
        polled.deallocate()
        turn.deallocate()
    }

    /// Takes the sockets out of the map and ends them: packets go to the kernel's stack again. What is in the rings by then
    /// is lost: for none to be, take the sockets out with ``withdraw()`` first and receive what is left.
    public func close() {
        guard !turn.pointee.isClosed else { return }
        withdraw()
        turn.pointee.isClosed = true
        for index in queues.indices {
            states[index].entry?.end()
            states[index].close()
        }
    }

    /// Takes the sockets out of the map; what has come by then can still be received.
    public func withdraw() {
        guard !turn.pointee.isClosed else { return }
        // A slot that somebody emptied already is no failure, and there is nothing to do about another one.
        for queue in queues { try? maps.withdraw(queue: queue) }
    }

    // MARK: Receiving

    /// Gives the packets that have come to `body`, of each queue up to `batch`; how many frames there were. Never waits,
    /// never allocates.
    @discardableResult
    public func receive(batch: Int = 64, _ body: (Packet) -> Answer) -> Int {
        beat()
        let count = queues.count
        guard !turn.pointee.isClosed else { return 0 }
        var taken = 0
        for step in 0..<count {
            var index = turn.pointee.next &+ step
            if index >= count { index &-= count }
            taken &+= states[index].take(UInt32(clamping: batch), checks: checks, body)
        }
        turn.pointee.next = turn.pointee.next &+ 1 >= count ? 0 : turn.pointee.next &+ 1
        return taken
    }

    /// Waits until a packet is there; false where none came in time, or a signal did. Beats meanwhile.
    @discardableResult
    public func wait(milliseconds: Int) -> Bool {
        guard !turn.pointee.isClosed else { return false }
        var left = milliseconds
        while true {
            beat()
            // Well within the second that the program gives.
            let slice = min(left, 400)
            let result = poll(polled, nfds_t(queues.count), Int32(slice))
            if result != 0 { return result > 0 }
            left -= slice
            if left <= 0 { return false }
        }
    }

    /// For event loops of others: each becomes readable when its queue has packets. Call ``receive(batch:_:)`` at least
    /// twice a second all the same.
    public var descriptors: [Int32] { queues.indices.map { states[$0].socket.fd } }

    /// Of a queue, by its place in ``queues``.
    public func counts(_ index: Int) -> Counts {
        precondition(queues.indices.contains(index), "no such queue")
        return states[index].counts
    }

    @inline(__always)
    private func beat() {
        let coarse = Self.micros(CLOCK_MONOTONIC_COARSE)
        if coarse &- turn.pointee.beat < 50_000 { return }
        turn.pointee.beat = coarse
        let now = UInt64(Self.micros(CLOCK_BOOTTIME))
        for index in queues.indices { states[index].entry?.beat(now) }
    }

    private static func micros(_ clock: clockid_t) -> Int {
        var now = timespec()
        clock_gettime(clock, &now)
        return now.tv_sec &* 1_000_000 &+ now.tv_nsec / 1_000
    }
}

// MARK: Endpoints

extension Receiver {
    /// All addresses of this host with a UDP port, as many as a consumer can register, the loopback's left out. Datagrams
    /// to others come by the kernel.
    public static func endpoints(port: UInt16) throws(Failure) -> [UDPEndpoint] {
        let addresses = try KernelEdges(instance: .default).ownAddresses().filter { address in
            address.family == .ipv6 ? address.bits != 1 : address.bits >> 24 != 127
        }
        return Array(addresses.prefix(RegisteredConsumer.endpointLimit)).map { UDPEndpoint($0, port) }
    }

    /// Takes datagrams for these from now on: addresses of hosts come and go.
    public func setEndpoints(_ endpoints: [UDPEndpoint]) {
        guard !turn.pointee.isClosed else { return }
        for index in queues.indices { states[index].entry?.setEndpoints(endpoints) }
    }
}

// MARK: Opening

extension Receiver {
    private static func choose(_ asked: [UInt32]?, of link: Link, capacity: Int) throws(Failure) -> [UInt32] {
        let limit = min(link.receiveQueues, UInt32(clamping: capacity))
        guard let asked else { return Array(0..<limit) }
        let chosen = Set(asked).sorted()
        guard let last = chosen.last, last < limit else {
            throw Failure(
                .usage, tried: "choose receive queues", on: "\(link.name), queue \(chosen.last.map { "\($0)" } ?? "-")",
                because: chosen.isEmpty
                    ? "there must be one at least" : "the interface and xsks_map have queues 0 to \(limit - 1)",
                next: "`ethtool -l \(link.name)` tells how many the interface has.")
        }
        return chosen
    }

    /// Opens all, or none. Published are only those that can receive, and who reads is registered before. How many there
    /// are: interfaces have queues that are not in use, behind those that are.
    private static func open(
        _ queues: [UInt32], areAsked: Bool, of link: Link, _ maps: SocketMaps, _ endpoints: [UDPEndpoint],
        _ options: Options, into states: UnsafeMutablePointer<ReceiveQueue>
    ) throws(Failure) -> Int {
        var made = 0
        do throws(Failure) {
            for queue in queues {
                guard let socket = try open(queue, of: link, options, isOptional: !areAsked && made > 0) else { break }
                let entry = maps.consumers.flatMap { ConsumerEntry($0, queue: queue) }
                (states + made).initialize(
                    to: ReceiveQueue(socket: socket, number: queue, entry: entry, mtu: link.mtu))
                made += 1
                entry?.begin(
                    longest: socket.longestFrame, ringSize: socket.receive.size, isZeroCopy: socket.isZeroCopy,
                    transmits: options.transmits)
                entry?.setEndpoints(endpoints)
                entry?.beat(UInt64(micros(CLOCK_BOOTTIME)))
            }
            for index in 0..<made { try maps.publish(states[index].socket.fd, queue: queues[index]) }
            return made
        } catch {
            for index in 0..<made {
                try? maps.withdraw(queue: queues[index])
                states[index].entry?.end()
                states[index].close()
            }
            states.deinitialize(count: made)
            throw error
        }
    }

    /// Nil where the queue is not in use, if that `isOptional`.
    private static func open(
        _ queue: UInt32, of link: Link, _ options: Options, isOptional: Bool
    ) throws(Failure) -> XDPSocket? {
        var asked = XDPSocketOptions(interface: link.index, queue: queue)
        asked.ringSize = options.ringSize
        asked.transmits = options.transmits
        asked.busyPoll = options.busyPoll
        asked.hugePages = options.hugePages
        do throws(XDPSocketError) {
            return try XDPSocket.open(asked)
        } catch {
            if isOptional, error.code == EINVAL { return nil }
            let next =
                switch error.code {
                case EINVAL: "`ethtool -l \(link.name)` tells which queues are in use."
                case EBUSY: "End the other consumer of the queue; 'ss --xdp' names it."
                case EPERM: "Run it as root."
                case ENETDOWN: "Bring the interface up."
                default: "Check the driver: docs/NIC-COMPATIBILITY.md."
                }
            throw Failure(
                error.code == EBUSY ? .busy : .system(errno: error.code), tried: "\(error.step)",
                on: "\(link.name), queue \(queue)", because: errorText(error.code), next: next)
        }
    }
}
