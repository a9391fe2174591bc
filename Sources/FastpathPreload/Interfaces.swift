// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// The interfaces with an edge, and the sockets on their receive queues.
enum Interfaces {
    /// Descriptors of the maps, held until the sockets are published.
    private struct Edge {
        var slots: Int32
        var consumers: UnsafeMutablePointer<fastpath_consumer>?
        var capacity: UInt32
    }
    nonisolated(unsafe) private static var edges = InlineArray<16, Edge>(
        repeating: Edge(slots: -1, consumers: nil, capacity: 0))
    nonisolated(unsafe) private static var edgeCount = 0
    /// Why a pin could not be opened that may be there: `errno`.
    nonisolated(unsafe) private static var refusal: Int32 = 0
    /// Of which edge each queue is.
    nonisolated(unsafe) private static var edgeOf = InlineArray<128, Int>(repeating: 0)

    /// Makes and binds the sockets; nothing is redirected to them yet.
    static func takeAll() {
        if let list = getenv("VOS_FASTPATH_INTERFACES"), list.pointee != 0 {
            var place = UnsafePointer<CChar>(list)
            while true {
                let length = strcspn(place, ",")
                var name = InlineArray<16, CChar>(repeating: 0)
                for index in 0..<min(length, 15) { name[index] = place[index] }
                let index = withUnsafeBytes(of: &name) {
                    if_nametoindex($0.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped)
                }
                if index == 0 {
                    Takeover.warn("VOS_FASTPATH_INTERFACES names one that is not there", 0)
                } else {
                    take(index, isAsked: true)
                }
                guard place[length] != 0 else { return }
                place += length + 1
            }
        }
        guard let all = if_nameindex() else { return }
        defer { if_freenameindex(all) }
        var entry = all
        while entry.pointee.if_index != 0 {
            take(entry.pointee.if_index, isAsked: false)
            entry += 1
        }
        if Shared.queueCount == 0, edgeCount == 0 { warnOfNone() }
    }

    private static func warnOfNone() {
        if refusal != 0 {
            Takeover.warn("the edge's pins cannot be opened; start it as root", refusal)
        } else {
            Takeover.warn("no interface has an edge; attach it first: vos-fastpath up IFACE", 0)
        }
    }

    private static func take(_ interface: UInt32, isAsked: Bool) {
        guard edgeCount < 16, let edge = open(interface, isAsked: isAsked) else { return }
        edges[edgeCount] = edge
        let number = edgeCount
        edgeCount += 1
        var options = XDPSocketOptions(interface: interface, queue: 0)
        options.ringSize = ringSize()
        options.transmits = Transmit.isOn
        options.hugePages = Takeover.isSet("VOS_FASTPATH_HUGE_PAGES", to: "1")
        if let text = getenv("VOS_FASTPATH_BUSY_POLL") { options.busyPoll = atoi(text) }
        for queue in 0..<min(receiveQueues(interface), edge.capacity) where Shared.queueCount < Shared.queueLimit {
            options.queue = queue
            do throws(XDPSocketError) {
                var socket = try XDPSocket.open(options)
                socket.fd = Descriptors.hide(socket.fd)
                try add(socket, interface, queue)
                edgeOf[Shared.queueCount - 1] = number
            } catch {
                var log = Log("warning: queue ")
                log.add(Int(queue))
                log.add(" of interface ")
                log.add(Int(interface))
                log.add(" stays with the kernel: ")
                log.add(error.step)
                log.add(": ")
                log.add(reason: error.code)
                log.write()
                // Those behind are not in use either.
                return
            }
        }
    }

    /// Bytes are in the environment: a power of two from 64 to 65536, else 2048.
    private static func ringSize() -> UInt32 {
        guard let text = getenv("VOS_FASTPATH_RING") else { return 2_048 }
        let size = UInt32(truncatingIfNeeded: strtoul(text, nil, 10))
        return size >= 64 && size <= 65_536 && size & (size - 1) == 0 ? size : 2_048
    }

    private static func add(_ socket: XDPSocket, _ interface: UInt32, _ queue: UInt32) throws(XDPSocketError) {
        let size = Int(socket.receive.size)
        let length = 128 + size * MemoryLayout<Moved>.stride
        let table = Shared.bindingLimit * MemoryLayout<Ring<Moved>>.stride
        guard let memory = Shared.allocate(table + 128 + Shared.bindingLimit * length) else {
            throw XDPSocketError(step: "map what processes share", code: ENOMEM)
        }
        let others = memory.bindMemory(to: Ring<Moved>.self, capacity: Shared.bindingLimit)
        // The two indices on lines of their own, then the descriptors.
        var offsets = xdp_ring_offset()
        offsets.consumer = 64
        offsets.flags = 8
        offsets.desc = 128
        for binding in 0..<Shared.bindingLimit {
            (others + binding).initialize(
                to: Ring(
                    memory: memory + (table + 63) / 64 * 64 + binding * length, length: length, offsets: offsets,
                    size: UInt32(size)))
        }
        let place = Shared.queues + Shared.queueCount
        place.initialize(
            to: Queue(
                lock: pthread_mutex_t(), sendLock: pthread_mutex_t(), socket: socket, interface: interface,
                number: queue, consumer: nil,
                watched: .init(repeating: -1), isStuck: Atomic(0), others: others, journal: Journal()))
        place.pointee.watched[0] = socket.fd
        var code = fastpath_lock_make(&place.pointee.lock)
        if code == 0 { code = fastpath_lock_make(&place.pointee.sendLock) }
        guard code == 0 else { throw XDPSocketError(step: "make a lock", code: code) }
        Shared.queueCount += 1
    }

    /// A number of its own for each socket, under which an epoll instance has it for a binding.
    static func watch(_ binding: Int) {
        for number in 0..<Shared.queueCount where Shared.queues[number].watched[binding] < 0 {
            Shared.queues[number].watched[binding] = Descriptors.hide(
                Real.functions.pointee.dup(Shared.queues[number].socket.fd))
        }
    }

    /// Tells the packet program of each socket, first what is to go there, then that it is there.
    static func publish() {
        var published = 0
        for number in 0..<Shared.queueCount {
            let queue = Shared.queues + number
            let edge = edges[edgeOf[number]]
            if let consumers = edge.consumers, queue.pointee.number < edge.capacity {
                let consumer = consumers + Int(queue.pointee.number)
                memset(consumer, 0, MemoryLayout<fastpath_consumer>.size)
                consumer.pointee.longest = queue.pointee.socket.longestFrame
                consumer.pointee.ring_size = queue.pointee.socket.receive.size
                var flags = queue.pointee.socket.isZeroCopy ? FASTPATH_CONSUMER_ZERO_COPY : 0
                if queue.pointee.socket.transmit != nil { flags |= FASTPATH_CONSUMER_TRANSMITS }
                consumer.pointee.flags = UInt32(flags)
                queue.pointee.consumer = consumer
            }
        }
        _ = Endpoints.collect()
        Beat.now()
        for number in 0..<Shared.queueCount {
            let queue = Shared.queues + number
            let edge = edges[edgeOf[number]]
            if fastpath_publish(edge.slots, queue.pointee.number, queue.pointee.socket.fd) == 0 {
                published += 1
                continue
            }
            var log = Log("warning: queue ")
            log.add(Int(queue.pointee.number))
            log.add(" stays with the kernel: publish a socket in xsks_map: ")
            log.add(reason: fastpath_errno())
            log.write()
        }
        for number in 0..<edgeCount { _ = fastpath_close(edges[number].slots) }
        edgeCount = 0
        if published == 0 { Shared.leave() }
    }

    // MARK: Pins

    private static func open(_ interface: UInt32, isAsked: Bool) -> Edge? {
        let slots = pinned("xsks_map", interface)
        guard slots >= 0 else {
            if fastpath_errno() != ENOENT { refusal = fastpath_errno() }
            if isAsked { warnOfNone() }
            return nil
        }
        var capacity: UInt32 = 0
        _ = fastpath_map_size(slots, &capacity)
        var edge = Edge(slots: slots, consumers: nil, capacity: capacity)
        let map = pinned("xsk_consumers", interface)
        guard map >= 0 else { return edge }
        defer { _ = fastpath_close(map) }
        var entries: UInt32 = 0
        let size = fastpath_map_size(map, &entries)
        // Another version's: then as in profile classic.
        guard size == UInt32(MemoryLayout<fastpath_consumer>.stride), entries >= capacity else { return edge }
        let memory = fastpath_map(Int(entries) * Int(size), MAP_SHARED, map, 0)
        edge.consumers = memory?.assumingMemoryBound(to: fastpath_consumer.self)
        return edge
    }

    /// /sys/fs/bpf/vos-fastpath[-INSTANCE]/interfaces/IFINDEX-COOKIE/NAME
    private static func pinned(_ name: StaticString, _ interface: UInt32) -> Int32 {
        let probe = socket(AF_INET, Int32(SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        let cookie = fastpath_namespace(probe)
        _ = fastpath_close(probe)
        var path = Path()
        path.add("/sys/fs/bpf/vos-fastpath")
        if let instance = getenv("VOS_FASTPATH_INSTANCE"), instance.pointee != 0 {
            path.add("-")
            path.add(cString: instance)
        }
        path.add("/interfaces/")
        path.add(UInt64(interface))
        path.add("-")
        path.add(cookie)
        path.add("/")
        path.add(name)
        return path.withCString { fastpath_pinned($0) }
    }

    private static func receiveQueues(_ interface: UInt32) -> UInt32 {
        var buffer = InlineArray<16, CChar>(repeating: 0)
        return withUnsafeMutableBytes(of: &buffer) { bytes in
            let name = bytes.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped
            guard if_indextoname(interface, name) != nil else { return 1 }
            let told = fastpath_receive_queues(name)
            return told > 0 ? told : max(1, listedQueues(name))
        }
    }

    /// As sysfs has them, for drivers that do not tell.
    private static func listedQueues(_ name: UnsafePointer<CChar>) -> UInt32 {
        var path = Path()
        path.add("/sys/class/net/")
        path.add(cString: name)
        path.add("/queues")
        var count: UInt32 = 0
        guard let folder = path.withCString({ opendir($0) }) else { return 0 }
        while let entry = readdir(folder) {
            if withUnsafeBytes(of: &entry.pointee.d_name, { $0[0] == 0x72 && $0[1] == 0x78 }) { count += 1 }
        }
        closedir(folder)
        return count
    }
}

/// A path or a name, put together; what does not fit is cut off.
struct Path {
    private var bytes = InlineArray<256, CChar>(repeating: 0)
    private var count = 0

    private mutating func add(byte: CChar) {
        guard count < 255 else { return }
        bytes[count] = byte
        count += 1
    }

    mutating func add(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { add(byte: CChar(bitPattern: text.utf8Start[index])) }
    }

    mutating func add(cString text: UnsafePointer<CChar>) {
        var index = 0
        while text[index] != 0 {
            add(byte: text[index])
            index += 1
        }
    }

    mutating func add(_ number: UInt64) {
        if number >= 10 { add(number / 10) }
        add(byte: CChar(48 + number % 10))
    }

    mutating func withCString<Result>(_ body: (UnsafePointer<CChar>) -> Result) -> Result {
        withUnsafeBytes(of: &bytes) { body($0.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped) }
    }
}
