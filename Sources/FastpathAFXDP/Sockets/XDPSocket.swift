// SPDX-License-Identifier: Apache-2.0
#if hasFeature(Embedded)
    import CPreload
#else
    import CLinux
    import Glibc
#endif

/// What could not be done with an AF_XDP socket, and the kernel's `errno`.
struct XDPSocketError: Error {
    var step: StaticString
    var code: Int32
}

/// How an AF_XDP socket is made.
struct XDPSocketOptions {
    var interface: UInt32
    var queue: UInt32
    /// Descriptors of each ring and frames for receiving, a power of two.
    var ringSize: UInt32 = 2048
    /// Bytes: 2048 or 4096. The kernel keeps 256 of them (XDP_PACKET_HEADROOM).
    var frameSize: UInt32 = 2048
    /// With as many frames again for a transmit ring?
    var transmits = false
    /// Microseconds that the kernel looks for packets before it sleeps (SO_BUSY_POLL); 0: as the system is set.
    var busyPoll: Int32 = 0
    /// Packets in one such look (SO_BUSY_POLL_BUDGET).
    var busyPollBudget: Int32 = 64
    /// Ask for huge pages; without them, usual ones.
    var hugePages = false
}

/// A bound AF_XDP socket with memory of its own for frames. The frames for receiving are the kernel's at first, by the
/// fill ring; those for sending follow them in memory and are the owner's.
///
/// A value that says where things are: `close()` ends them. Memory and rings are shared with children of a fork.
struct XDPSocket {
    var fd: Int32
    let frames: UnsafeMutableRawPointer
    /// Bytes of all frames.
    let length: Int
    let frameSize: UInt32
    let receive: Ring<xdp_desc>
    let fill: Ring<UInt64>
    /// Nil unless it was asked for.
    let transmit: Ring<xdp_desc>?
    let completion: Ring<UInt64>
    /// Does the NIC write into the frames itself? Else the kernel copies.
    let isZeroCopy: Bool

    /// Bytes of the longest frame that it can take: what the kernel's headroom leaves.
    var longestFrame: UInt32 { frameSize &- 256 }

    /// Where the first frame for sending is.
    var firstToSend: UInt64 { UInt64(receive.size) * UInt64(frameSize) }

    /// Needs CAP_NET_RAW, and an interface that is up.
    static func open(_ options: XDPSocketOptions) throws(XDPSocketError) -> XDPSocket {
        let fd = socket(AF_XDP, Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard fd >= 0 else { throw XDPSocketError(step: "open an AF_XDP socket", code: fastpath_errno()) }
        var made = Mappings()
        do throws(XDPSocketError) {
            return try bound(fd, options, &made)
        } catch {
            made.remove()
            _ = fastpath_close(fd)
            throw error
        }
    }

    /// Ends the socket in this process. The kernel ends it when the last process has.
    func close() {
        _ = fastpath_close(fd)
        munmap(frames, length)
        munmap(receive.memory, receive.length)
        munmap(fill.memory, fill.length)
        munmap(completion.memory, completion.length)
        if let transmit { munmap(transmit.memory, transmit.length) }
    }

    private static func bound(
        _ fd: Int32, _ options: XDPSocketOptions, _ made: inout Mappings
    ) throws(XDPSocketError) -> XDPSocket {
        let size = options.ringSize
        let length = Int(size) * (options.transmits ? 2 : 1) * Int(options.frameSize)
        let frames = try made.frames(length, hugePages: options.hugePages)
        var region = xdp_umem_reg()
        region.addr = UInt64(UInt(bitPattern: frames))
        region.len = UInt64(length)
        region.chunk_size = options.frameSize
        try set(fd, XDP_UMEM_REG, &region, "register memory for frames")
        var count = Int32(size)
        try set(fd, XDP_UMEM_FILL_RING, &count, "size the fill ring")
        try set(fd, XDP_UMEM_COMPLETION_RING, &count, "size the completion ring")
        try set(fd, XDP_RX_RING, &count, "size the receive ring")
        if options.transmits { try set(fd, XDP_TX_RING, &count, "size the transmit ring") }
        var offsets = xdp_mmap_offsets()
        var offsetsLength = socklen_t(MemoryLayout<xdp_mmap_offsets>.size)
        guard getsockopt(fd, SOL_XDP, XDP_MMAP_OFFSETS, &offsets, &offsetsLength) == 0 else {
            throw XDPSocketError(step: "ask for the layout of the rings", code: fastpath_errno())
        }
        let fill: Ring<UInt64> = try made.ring(fd, offsets.fr, size, at: fastpath_fill_ring)
        let completion: Ring<UInt64> = try made.ring(fd, offsets.cr, size, at: fastpath_completion_ring)
        let receive: Ring<xdp_desc> = try made.ring(fd, offsets.rx, size, at: fastpath_receive_ring)
        var transmit: Ring<xdp_desc>?
        if options.transmits { transmit = try made.ring(fd, offsets.tx, size, at: fastpath_transmit_ring) }
        for index in 0..<size { fill[index] = UInt64(index) * UInt64(options.frameSize) }
        fill.publish(upTo: size)
        if options.busyPoll > 0 { setBusyPoll(fd, options) }
        try bind(fd, options)
        return XDPSocket(
            fd: fd, frames: frames, length: length, frameSize: options.frameSize, receive: receive, fill: fill,
            transmit: transmit, completion: completion, isZeroCopy: isZeroCopy(fd))
    }

    /// Without a word about copying the kernel tries zero-copy first.
    private static func bind(_ fd: Int32, _ options: XDPSocketOptions) throws(XDPSocketError) {
        var address = sockaddr_xdp()
        address.sxdp_family = UInt16(AF_XDP)
        address.sxdp_ifindex = options.interface
        address.sxdp_queue_id = options.queue
        address.sxdp_flags = UInt16(XDP_USE_NEED_WAKEUP)
        // Behind the end of an earlier owner the kernel needs a moment to let go of the queue.
        for attempt in 0...100 {
            if fastpath_bind(fd, &address, socklen_t(MemoryLayout<sockaddr_xdp>.size)) == 0 { return }
            let code = fastpath_errno()
            guard code == EBUSY, attempt < 100 else {
                throw XDPSocketError(step: "bind an AF_XDP socket to a receive queue", code: code)
            }
            usleep(10_000)
        }
    }

    /// As far as the kernel has it (Linux 5.11): it is there to be quicker, and nothing depends on it.
    private static func setBusyPoll(_ fd: Int32, _ options: XDPSocketOptions) {
        func set(_ option: Int32, _ value: Int32) {
            var value = value
            setsockopt(fd, SOL_SOCKET, option, &value, socklen_t(MemoryLayout<Int32>.size))
        }
        set(SO_PREFER_BUSY_POLL, 1)
        set(SO_BUSY_POLL, options.busyPoll)
        set(SO_BUSY_POLL_BUDGET, options.busyPollBudget)
    }

    private static func isZeroCopy(_ fd: Int32) -> Bool {
        var options = xdp_options()
        var length = socklen_t(MemoryLayout<xdp_options>.size)
        return getsockopt(fd, SOL_XDP, XDP_OPTIONS, &options, &length) == 0
            && options.flags & UInt32(XDP_OPTIONS_ZEROCOPY) != 0
    }

    private static func set<Value: BitwiseCopyable>(
        _ fd: Int32, _ option: Int32, _ value: inout Value, _ step: StaticString
    ) throws(XDPSocketError) {
        guard setsockopt(fd, SOL_XDP, option, &value, socklen_t(MemoryLayout<Value>.size)) == 0 else {
            throw XDPSocketError(step: step, code: fastpath_errno())
        }
    }
}

/// What was mapped so far, to be taken back after a failure: the frames and four rings.
private struct Mappings {
    private var made: InlineArray<5, UnsafeMutableRawBufferPointer> = .init(
        repeating: UnsafeMutableRawBufferPointer(start: nil, count: 0))
    private var count = 0

    mutating func frames(_ length: Int, hugePages: Bool) throws(XDPSocketError) -> UnsafeMutableRawPointer {
        let flags = MAP_SHARED | MAP_ANONYMOUS | Int32(MAP_POPULATE)
        if hugePages, let memory = try? map(length, flags | Int32(MAP_HUGETLB), -1, 0, "map huge pages") {
            return memory
        }
        return try map(length, flags, -1, 0, "map memory for frames")
    }

    mutating func ring<Slot: BitwiseCopyable>(
        _ fd: Int32, _ offsets: xdp_ring_offset, _ size: UInt32, at place: Int
    ) throws(XDPSocketError) -> Ring<Slot> {
        let length = Int(offsets.desc) + Int(size) * MemoryLayout<Slot>.stride
        let memory = try map(length, MAP_SHARED | Int32(MAP_POPULATE), fd, place, "map a ring")
        return Ring(memory: memory, length: length, offsets: offsets, size: size)
    }

    private mutating func map(
        _ length: Int, _ flags: Int32, _ fd: Int32, _ offset: Int, _ step: StaticString
    ) throws(XDPSocketError) -> UnsafeMutableRawPointer {
        guard let memory = fastpath_map(length, flags, fd, offset) else {
            throw XDPSocketError(step: step, code: fastpath_errno())
        }
        made[count] = UnsafeMutableRawBufferPointer(start: memory, count: length)
        count += 1
        return memory
    }

    func remove() {
        for index in 0..<count { munmap(made[index].baseAddress, made[index].count) }
    }
}
