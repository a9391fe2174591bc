// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// Answers by the transmit ring (VOS_FASTPATH_TX=1): to peers of which the kernel knows route and neighbour. Everything
/// else, and whatever does not go at once, is the kernel's to send.
enum Transmit {
    nonisolated(unsafe) static var isOn = false

    private struct Peer {
        var address = Address(high: 0, low: 0, isIPv6: false)
        /// Datagrams to it in `second`: those that are rarely written to are not worth the questions.
        var recent: UInt32 = 0
        var second: UInt32 = 0
        var isKnown = false
        var isUsable = false
        var hop = Hop()
    }
    private static let peerCount = 256
    nonisolated(unsafe) private static var peers: UnsafeMutablePointer<Peer>?

    /// False where the kernel has to send it, `errno` as before. `address`: as sendto(2) has it.
    @inline(never)
    static func send(
        _ binding: Int, _ bytes: UnsafeRawPointer?, _ count: Int, _ flags: Int32, _ address: UnsafeRawPointer?,
        _ length: Int
    ) -> Bool {
        guard let address, bytes != nil || count == 0 else { return false }
        let code = fastpath_errno()
        if trySend(binding, UnsafeRawBufferPointer(start: bytes, count: count), flags, address, length) { return true }
        fastpath_set_errno(code)
        return false
    }

    private static func trySend(
        _ binding: Int, _ payload: UnsafeRawBufferPointer, _ flags: Int32, _ address: UnsafeRawPointer, _ length: Int
    ) -> Bool {
        guard flags & ~Int32(MSG_DONTWAIT | MSG_NOSIGNAL | MSG_CONFIRM) == 0,
            let peer = Address(address, length: length), peer.isIPv6 == Shared.bindings[binding].address.isIPv6
        else { return false }
        let port = UInt16(bigEndian: address.loadUnaligned(fromByteOffset: 2, as: UInt16.self))
        guard port != 0, let hop = hop(to: peer), let queue = queue(of: hop.interface) else { return false }
        let bound = Shared.bindings[binding].address
        let source = Shared.bindings[binding].isWildcard ? hop.local : bound
        let packet = (peer.isIPv6 ? 40 : 20) + 8 + payload.count
        guard packet <= hop.limit, packet + 14 <= Int(queue.pointee.socket.frameSize) else { return false }
        let datagram = Outgoing(
            source: source, sourcePort: Shared.bindings[binding].port, destination: peer, destinationPort: port,
            hop: hop, hopLimit: Shared.bindings[binding].hopLimit, trafficClass: Shared.bindings[binding].trafficClass)
        guard queue.pointee.transmit(datagram, payload) else { return false }
        queue.pointee.count(FASTPATH_CONSUMER_SENT)
        return true
    }

    private static func hop(to address: Address) -> Hop? {
        if peers == nil {
            peers = .allocate(capacity: peerCount)
            peers?.initialize(repeating: Peer(), count: peerCount)
        }
        guard let peers else { return nil }
        if Routes.haveChanged() { for place in 0..<peerCount { peers[place].isKnown = false } }
        let mixed = (address.high ^ address.low) &* 0x9e37_79b9_7f4a_7c15
        let peer = peers + Int(mixed >> 56)
        let second = Beat.second
        if peer.pointee.address != address { peer.pointee = Peer(address: address) }
        if peer.pointee.second != second {
            peer.pointee.second = second
            peer.pointee.recent = 0
            // A neighbour that the kernel has not heard of turns stale without news.
            peer.pointee.isKnown = peer.pointee.isKnown && second % 4 != 0
        }
        peer.pointee.recent &+= 1
        if !peer.pointee.isKnown {
            guard peer.pointee.recent > 2 else { return nil }
            let found = Routes.hop(to: address)
            peer.pointee.isKnown = true
            peer.pointee.isUsable = found != nil
            if let found { peer.pointee.hop = found }
        }
        return peer.pointee.isUsable ? peer.pointee.hop : nil
    }

    /// Each process begins at another queue of the interface, so that they seldom meet.
    private static func queue(of interface: UInt32) -> UnsafeMutablePointer<Queue>? {
        let count = Shared.queueCount
        let first = Int(Process.number)
        for step in 0..<count {
            let queue = Shared.queues + (first + step) % count
            if queue.pointee.interface == interface, queue.pointee.socket.transmit != nil { return queue }
        }
        return nil
    }
}

/// The headers of a datagram to be sent.
struct Outgoing {
    var source: Address
    var sourcePort: UInt16
    var destination: Address
    var destinationPort: UInt16
    var hop: Hop
    var hopLimit: UInt8
    var trafficClass: UInt8

    /// Writes the whole frame; returns its length. There must be room.
    func write(_ payload: UnsafeRawBufferPointer, to frame: UnsafeMutableRawBufferPointer) -> Int {
        let ip = 14
        let udp = ip + (source.isIPv6 ? 40 : 20)
        let length = 8 + payload.count
        func put16(_ offset: Int, _ value: UInt16) {
            frame.storeBytes(of: value.bigEndian, toByteOffset: offset, as: UInt16.self)
        }
        frame.storeBytes(of: hop.destination, as: (UInt16, UInt16, UInt16).self)
        frame.storeBytes(of: hop.source, toByteOffset: 6, as: (UInt16, UInt16, UInt16).self)
        let base = frame.baseAddress.unsafelyUnwrapped
        if source.isIPv6 {
            put16(12, 0x86dd)
            put16(ip, 0x6000 | UInt16(trafficClass) << 4)
            put16(ip + 2, 0)
            put16(ip + 4, UInt16(length))
            frame[ip + 6] = 17
            frame[ip + 7] = hopLimit
            source.writeRaw(to: base + ip + 8)
            destination.writeRaw(to: base + ip + 24)
        } else {
            put16(12, 0x0800)
            put16(ip, 0x4500 | UInt16(trafficClass))
            put16(ip + 2, UInt16(20 + length))
            // No identification, do not fragment (RFC 6864): as the kernel sends.
            put16(ip + 4, 0)
            put16(ip + 6, 0x4000)
            put16(ip + 8, UInt16(hopLimit) << 8 | 17)
            put16(ip + 10, 0)
            source.writeRaw(to: base + ip + 12)
            destination.writeRaw(to: base + ip + 16)
            put16(ip + 10, ~Checksum(of: UnsafeRawBufferPointer(frame), ip..<ip + 20).folded)
        }
        put16(udp, sourcePort)
        put16(udp + 2, destinationPort)
        put16(udp + 4, UInt16(length))
        put16(udp + 6, 0)
        if payload.count > 0 { memcpy(base + udp + 8, payload.baseAddress.unsafelyUnwrapped, payload.count) }
        let addresses = source.isIPv6 ? ip + 8..<ip + 40 : ip + 12..<ip + 20
        var sum = Checksum(of: UnsafeRawBufferPointer(frame), addresses)
        sum.add(17)
        sum.add(UInt64(length))
        sum.add(UnsafeRawBufferPointer(frame), udp..<udp + length)
        // 0 would say that there is none (RFC 768).
        put16(udp + 6, sum.folded == 0xffff ? 0xffff : ~sum.folded)
        return udp + length
    }
}

extension Queue {
    /// Puts a frame into the transmit ring and tells the kernel. False where the ring is full, or somebody else is at it.
    ///
    /// Frames are used in the ring's order, and come back in it: the frame of a place is free when its completion is
    /// there, so whoever is killed here leaves nothing to be mended.
    mutating func transmit(_ datagram: Outgoing, _ payload: UnsafeRawBufferPointer) -> Bool {
        guard let ring = socket.transmit else { return false }
        let code = fastpath_lock_try(&sendLock)
        if code == EOWNERDEAD { fastpath_lock_mend(&sendLock) } else if code != 0 { return false }
        let completion = socket.completion
        completion.release(upTo: completion.first &+ completion.ready)
        let next = ring.next
        // Of all the frames few, so that they stay in the CPU's cache.
        let frames = min(ring.size, 128)
        let isFree = next &- completion.first < frames
        if isFree {
            let address = socket.firstToSend + UInt64(next % frames) * UInt64(socket.frameSize)
            let frame = UnsafeMutableRawBufferPointer(
                start: socket.frames + Int(address), count: Int(socket.frameSize))
            let length = datagram.write(payload, to: frame)
            ring[next] = xdp_desc(addr: address, len: UInt32(length), options: 0)
            ring.publish(upTo: next &+ 1)
        }
        pthread_mutex_unlock(&sendLock)
        // In copy mode the kernel takes some frames a call, and none where it has no room just now; the next one who sends
        // asks again.
        for _ in 0..<4 where isFree && ring.needsWakeup && ring.free < ring.size {
            let code = fastpath_send_to(socket.fd, nil, 0, nil, 0) < 0 ? fastpath_errno() : 0
            if code != 0, code != EAGAIN, code != EBUSY { break }
        }
        return isFree
    }
}
