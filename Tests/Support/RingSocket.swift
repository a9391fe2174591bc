// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import FastpathKernel
import Glibc

/// A bound AF_XDP socket that receives (Documentation/networking/af_xdp.rst): a UMEM of 64 frames, a fill ring that is
/// full at the start, a receive ring. Copy mode. For tests: a frame that was received is not given back.
public final class RingSocket {
    private static let frames = 64
    private static let frameSize = 2048

    public let fd: Int32
    private let umem: UnsafeMutableRawPointer
    private let fill: Ring
    private let receive: Ring

    /// One ring in shared memory. The indices only grow; a slot is index modulo size.
    private struct Ring {
        let memory: UnsafeMutableRawPointer
        let length: Int
        let offsets: xdp_ring_offset

        var producer: UnsafeMutablePointer<UInt32> {
            (memory + Int(offsets.producer)).assumingMemoryBound(to: UInt32.self)
        }
        var consumer: UnsafeMutablePointer<UInt32> {
            (memory + Int(offsets.consumer)).assumingMemoryBound(to: UInt32.self)
        }

        func slot<Value>(_ index: UInt32, as type: Value.Type) -> UnsafeMutablePointer<Value> {
            let place = Int(index) % RingSocket.frames * MemoryLayout<Value>.stride
            return (memory + Int(offsets.desc) + place).assumingMemoryBound(to: Value.self)
        }
    }

    /// Bound to a queue of an interface of the calling thread's network namespace.
    public init(interface: UInt32, queue: UInt32) throws {
        fd = socket(44, Int32(SOCK_RAW.rawValue) | O_CLOEXEC, 0)  // AF_XDP
        guard fd >= 0 else { throw FixtureError(text: "no AF_XDP socket: \(errorText(errno))") }
        let length = Self.frames * Self.frameSize
        umem = try Self.map(-1, length, MAP_PRIVATE | MAP_ANONYMOUS, offset: 0)
        var region = xdp_umem_reg()
        region.addr = UInt64(UInt(bitPattern: umem))
        region.len = UInt64(length)
        region.chunk_size = UInt32(Self.frameSize)
        try Self.set(fd, XDP_UMEM_REG, &region)
        for option in [XDP_UMEM_FILL_RING, XDP_UMEM_COMPLETION_RING, XDP_RX_RING] {
            var size = Int32(Self.frames)
            try Self.set(fd, option, &size)
        }
        var offsets = xdp_mmap_offsets()
        var offsetsLength = socklen_t(MemoryLayout<xdp_mmap_offsets>.size)
        guard getsockopt(fd, Self.level, XDP_MMAP_OFFSETS, &offsets, &offsetsLength) == 0 else {
            throw FixtureError(text: "XDP_MMAP_OFFSETS: \(errorText(errno))")
        }
        // XDP_UMEM_PGOFF_FILL_RING and XDP_PGOFF_RX_RING: places of the rings in what the socket maps.
        fill = try Self.ring(fd, offsets.fr, MemoryLayout<UInt64>.stride, at: 0x1_0000_0000)
        receive = try Self.ring(fd, offsets.rx, MemoryLayout<xdp_desc>.stride, at: 0)
        for index in 0..<UInt32(Self.frames) {
            fill.slot(index, as: UInt64.self).pointee = UInt64(Int(index) * Self.frameSize)
        }
        // Nobody reads the ring before the bind below, a system call.
        fill.producer.pointee = UInt32(Self.frames)

        var address = sockaddr_xdp()
        address.sxdp_family = 44
        address.sxdp_ifindex = interface
        address.sxdp_queue_id = queue
        address.sxdp_flags = UInt16(XDP_COPY)
        let fd = fd
        // Behind the death of an earlier owner the queue is free again after a moment.
        for attempt in 0... {
            let result = withUnsafePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(fd, $0, socklen_t(MemoryLayout<sockaddr_xdp>.size))
                }
            }
            if result == 0 { break }
            guard errno == EBUSY, attempt < 100 else {
                throw FixtureError(text: "bind an AF_XDP socket: \(errorText(errno))")
            }
            usleep(10_000)
        }
    }

    deinit {
        close(fd)
        munmap(umem, Self.frames * Self.frameSize)
        for ring in [fill, receive] { munmap(ring.memory, ring.length) }
    }

    /// Puts it into slot `queue` of an `xsks_map`.
    public func fill(_ map: BPFMap, queue: UInt32) throws {
        try map.update(key: withUnsafeBytes(of: queue) { Array($0) }, value: withUnsafeBytes(of: fd) { Array($0) })
    }

    /// The frames that are there or come within `timeout` milliseconds of each other.
    public func frames(timeout: Int32) -> [[UInt8]] {
        var frames: [[UInt8]] = []
        var polled = pollfd(fd: fd, events: Int16(POLLIN), revents: 0)
        while poll(&polled, 1, timeout) > 0 {
            // The poll is the barrier: its answer was made behind the producer's stores.
            while receive.consumer.pointee != receive.producer.pointee {
                let descriptor = receive.slot(receive.consumer.pointee, as: xdp_desc.self).pointee
                let bytes = UnsafeRawBufferPointer(start: umem + Int(descriptor.addr), count: Int(descriptor.len))
                frames.append(Array(bytes))
                receive.consumer.pointee &+= 1
            }
        }
        return frames
    }

    private static let level: Int32 = 283  // SOL_XDP

    private static func set<Value: BitwiseCopyable>(_ fd: Int32, _ option: Int32, _ value: inout Value) throws {
        guard setsockopt(fd, level, option, &value, socklen_t(MemoryLayout<Value>.size)) == 0 else {
            throw FixtureError(text: "AF_XDP option \(option): \(errorText(errno))")
        }
    }

    private static func ring(_ fd: Int32, _ offsets: xdp_ring_offset, _ slot: Int, at place: Int) throws -> Ring {
        let length = Int(offsets.desc) + frames * slot
        return Ring(
            memory: try map(fd, length, MAP_SHARED | Int32(MAP_POPULATE), offset: place), length: length,
            offsets: offsets)
    }

    private static func map(_ fd: Int32, _ length: Int, _ flags: Int32, offset: Int) throws -> UnsafeMutableRawPointer {
        guard let memory = mmap(nil, length, PROT_READ | PROT_WRITE, flags, fd, offset), memory != MAP_FAILED else {
            throw FixtureError(text: "map AF_XDP memory: \(errorText(errno))")
        }
        return memory
    }
}
