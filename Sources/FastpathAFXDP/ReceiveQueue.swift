// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLinux
import FastpathKernel
import Glibc

/// One receive queue: its socket, the frames to send from, and what was counted. It lives in memory that is allocated
/// once: reached by a pointer, it costs no check of exclusive access, as a class's property would at every packet.
struct ReceiveQueue {
    let socket: XDPSocket
    let number: UInt32
    /// Nil where the program has no place for it.
    let entry: ConsumerEntry?
    /// Bytes of the longest frame that the interface sends.
    let longestSent: Int
    var counts = Receiver.Counts()
    /// Addresses of frames that are free to be sent, `freeCount` of them.
    private let free: UnsafeMutablePointer<UInt64>
    private var freeCount: Int

    init(socket: XDPSocket, number: UInt32, entry: ConsumerEntry?, mtu: UInt32) {
        self.socket = socket
        self.number = number
        self.entry = entry
        // Ethernet's header and two tags.
        longestSent = min(Int(socket.frameSize), Int(mtu) + 22)
        freeCount = Int(socket.transmit?.size ?? 0)
        free = .allocate(capacity: max(1, freeCount))
        for index in 0..<freeCount {
            free[index] = socket.firstToSend + UInt64(index) * UInt64(socket.frameSize)
        }
    }

    func close() {
        socket.close()
        free.deallocate()
    }

    /// Gives up to `limit` packets to `body` and their frames back to the kernel. How many frames there were.
    @inline(__always)
    mutating func take(_ limit: UInt32, checks: Bool, _ body: (Packet) -> Receiver.Answer) -> Int {
        let receive = socket.receive
        let count = min(receive.ready, limit)
        guard count > 0 else { return 0 }
        if socket.transmit != nil { reclaim() }
        let fill = socket.fill
        let first = receive.first
        let next = fill.next
        let before = counts
        for step in 0..<count {
            let descriptor = receive[first &+ step]
            let frame = UnsafeRawBufferPointer(
                start: socket.frames + Int(descriptor.addr), count: Int(descriptor.len))
            switch Datagram.parse(frame, checks: checks) {
            case .datagram(let datagram): deliver(frame, datagram, body)
            case .forKernel: counts.notUDP &+= 1
            case .badFormat: counts.badFormat &+= 1
            case .badChecksum: counts.badChecksum &+= 1
            }
            // There are as many places as frames: one is free for each that was received.
            fill[next &+ step] = descriptor.addr & ~UInt64(socket.frameSize &- 1)
        }
        fill.publish(upTo: next &+ count)
        receive.release(upTo: first &+ count)
        if fill.needsWakeup { recvfrom(socket.fd, nil, 0, Int32(MSG_DONTWAIT), nil, nil) }
        if counts.sent != before.sent { kick() }
        tell(counts, before)
        return Int(count)
    }

    @inline(__always)
    private mutating func deliver(
        _ frame: UnsafeRawBufferPointer, _ datagram: Datagram, _ body: (Packet) -> Receiver.Answer
    ) {
        counts.packets &+= 1
        counts.bytes &+= UInt64(frame.count)
        let none = UnsafeMutableRawBufferPointer(start: nil, count: 0)
        guard socket.transmit != nil else {
            _ = body(Packet(frame: frame, queue: number, datagram: datagram, room: none))
            return
        }
        let room = freeCount > 0 && datagram.isAnswerable(frame) ? room(for: datagram) : none
        if case .reply(let length, let port) = body(
            Packet(frame: frame, queue: number, datagram: datagram, room: room)),
            length > 0, length <= room.count
        {
            send(length, port, frame, datagram)
        }
    }

    // MARK: Sending

    /// In the frame that is sent next, behind the headers.
    private func room(for datagram: Datagram) -> UnsafeMutableRawBufferPointer {
        let headers = datagram.replyHeaderLength
        return UnsafeMutableRawBufferPointer(
            start: socket.frames + Int(free[freeCount - 1]) + headers, count: max(0, longestSent - headers))
    }

    private mutating func send(_ length: Int, _ port: UInt16?, _ frame: UnsafeRawBufferPointer, _ datagram: Datagram) {
        guard let transmit = socket.transmit, transmit.free > 0 else {
            counts.notSent &+= 1
            return
        }
        freeCount -= 1
        let address = free[freeCount]
        let whole = datagram.replyHeaderLength + length
        datagram.writeReplyHeaders(
            to: UnsafeMutableRawBufferPointer(start: socket.frames + Int(address), count: whole), request: frame,
            payloadLength: length, port: port)
        let next = transmit.next
        transmit[next] = xdp_desc(addr: address, len: UInt32(whole), options: 0)
        transmit.publish(upTo: next &+ 1)
        counts.sent &+= 1
    }

    /// Has the kernel send what is in the ring, in copy mode 32 frames a call.
    private func kick() {
        guard let transmit = socket.transmit else { return }
        for _ in 0..<1 + Int(transmit.size) / 32 where transmit.needsWakeup && transmit.free < transmit.size {
            let result = sendto(socket.fd, nil, 0, Int32(MSG_DONTWAIT), nil, 0)
            if result < 0, errno != EAGAIN, errno != EBUSY, errno != EINTR { return }
        }
    }

    /// Takes back the frames that were sent.
    private mutating func reclaim() {
        let completion = socket.completion
        let first = completion.first
        let count = completion.ready
        guard count > 0 else { return }
        for step in 0..<count {
            free[freeCount] = completion[first &+ step] & ~UInt64(socket.frameSize &- 1)
            freeCount += 1
        }
        completion.release(upTo: first &+ count)
    }

    // MARK: What others see

    private func tell(_ now: Receiver.Counts, _ before: Receiver.Counts) {
        guard let entry else { return }
        entry.count(FASTPATH_CONSUMER_DELIVERED, now.packets &- before.packets)
        let bad = now.badFormat &- before.badFormat &+ now.notUDP &- before.notUDP
        if bad != 0 { entry.count(FASTPATH_CONSUMER_BAD_FORMAT, bad) }
        if now.badChecksum != before.badChecksum {
            entry.count(FASTPATH_CONSUMER_BAD_CHECKSUM, now.badChecksum &- before.badChecksum)
        }
        if now.sent != before.sent { entry.count(FASTPATH_CONSUMER_SENT, now.sent &- before.sent) }
    }
}
