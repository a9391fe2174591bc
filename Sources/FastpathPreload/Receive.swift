// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// Where a datagram is to go: the arguments of recvmsg(2).
struct Target {
    var message: UnsafeMutablePointer<msghdr>
    var flags: Int32

    /// Copies a datagram as the kernel would; returns what the call returns.
    func take(_ frame: UnsafeRawBufferPointer, _ datagram: Datagram, _ binding: Int, interface: UInt32) -> Int {
        let payload = frame.baseAddress.unsafelyUnwrapped + datagram.payload
        var copied = 0
        for index in 0..<Int(message.pointee.msg_iovlen) where copied < datagram.payloadLength {
            let part = message.pointee.msg_iov[index]
            let count = min(part.iov_len, datagram.payloadLength - copied)
            if count > 0 { memcpy(part.iov_base, payload + copied, count) }
            copied += count
        }
        let isCut = copied < datagram.payloadLength
        setName(datagram, binding)
        message.pointee.msg_flags = isCut ? Int32(MSG_TRUNC) : 0
        Control.write(message, datagram, Shared.bindings[binding].options.load(ordering: .relaxed), interface)
        return isCut && flags & Int32(MSG_TRUNC) != 0 ? datagram.payloadLength : copied
    }

    private func setName(_ datagram: Datagram, _ binding: Int) {
        guard let name = message.pointee.msg_name else { return }
        let room = Int(message.pointee.msg_namelen)
        if Shared.bindings[binding].address.isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = UInt16(AF_INET6)
            address.sin6_port = datagram.sourcePort.bigEndian
            datagram.source.write(to: &address.sin6_addr)
            memcpy(name, &address, min(room, MemoryLayout<sockaddr_in6>.size))
            message.pointee.msg_namelen = socklen_t(MemoryLayout<sockaddr_in6>.size)
        } else {
            var address = sockaddr_in()
            address.sin_family = UInt16(AF_INET)
            address.sin_port = datagram.sourcePort.bigEndian
            address.sin_addr.s_addr = UInt32(truncatingIfNeeded: datagram.source.high).bigEndian
            memcpy(name, &address, min(room, MemoryLayout<sockaddr_in>.size))
            message.pointee.msg_namelen = socklen_t(MemoryLayout<sockaddr_in>.size)
        }
    }
}

extension Address {
    /// As 16 bytes in network byte order, IPv4 mapped (RFC 4291 section 2.5.5.2).
    func write(to place: UnsafeMutableRawPointer) {
        let high = isIPv6 ? high : 0
        let low = isIPv6 ? low : 0xffff_0000_0000 | self.high
        place.storeBytes(of: high.bigEndian, as: UInt64.self)
        place.storeBytes(of: low.bigEndian, toByteOffset: 8, as: UInt64.self)
    }
}

/// The control messages that a socket has asked for (ip(7), ipv6(7)).
enum Control {
    static func write(
        _ message: UnsafeMutablePointer<msghdr>, _ datagram: Datagram, _ options: UInt32, _ interface: UInt32
    ) {
        guard message.pointee.msg_control != nil, options != 0 else {
            message.pointee.msg_controllen = 0
            return
        }
        var writer = Writer(message: message, room: message.pointee.msg_controllen)
        if options & Binding.Option.packetInfo != 0, !datagram.destination.isIPv6 {
            var info = in_pktinfo()
            info.ipi_ifindex = Int32(bitPattern: interface)
            info.ipi_addr.s_addr = UInt32(truncatingIfNeeded: datagram.destination.high).bigEndian
            info.ipi_spec_dst = info.ipi_addr
            writer.add(Int32(IPPROTO_IP), IP_PKTINFO, &info, MemoryLayout<in_pktinfo>.size)
        }
        if options & Binding.Option.packetInfo6 != 0 {
            var info = in6_pktinfo()
            datagram.destination.write(to: &info.ipi6_addr)
            info.ipi6_ifindex = interface
            writer.add(Int32(IPPROTO_IPV6), IPV6_PKTINFO, &info, MemoryLayout<in6_pktinfo>.size)
        }
        if options & Binding.Option.timeToLive != 0, !datagram.destination.isIPv6 {
            var value = Int32(datagram.hopLimit)
            writer.add(Int32(IPPROTO_IP), IP_TTL, &value, MemoryLayout<Int32>.size)
        }
        if options & Binding.Option.typeOfService != 0, !datagram.destination.isIPv6 {
            var value = datagram.trafficClass
            writer.add(Int32(IPPROTO_IP), IP_TOS, &value, MemoryLayout<UInt8>.size)
        }
        if options & Binding.Option.hopLimit != 0, datagram.destination.isIPv6 {
            var value = Int32(datagram.hopLimit)
            writer.add(Int32(IPPROTO_IPV6), IPV6_HOPLIMIT, &value, MemoryLayout<Int32>.size)
        }
        if options & Binding.Option.trafficClass != 0, datagram.destination.isIPv6 {
            var value = Int32(datagram.trafficClass)
            writer.add(Int32(IPPROTO_IPV6), IPV6_TCLASS, &value, MemoryLayout<Int32>.size)
        }
        if options & Binding.Option.originalDestination != 0, !datagram.destination.isIPv6 {
            var address = sockaddr_in()
            address.sin_family = UInt16(AF_INET)
            address.sin_port = datagram.destinationPort.bigEndian
            address.sin_addr.s_addr = UInt32(truncatingIfNeeded: datagram.destination.high).bigEndian
            writer.add(Int32(IPPROTO_IP), IP_ORIGDSTADDR, &address, MemoryLayout<sockaddr_in>.size)
        }
        message.pointee.msg_controllen = writer.used
    }

    private struct Writer {
        let message: UnsafeMutablePointer<msghdr>
        let room: Int
        var used = 0

        /// What does not fit is left out, and MSG_CTRUNC says so.
        mutating func add(_ level: Int32, _ type: Int32, _ value: UnsafeRawPointer, _ length: Int) {
            guard used + fastpath_control_length(length) <= room else {
                message.pointee.msg_flags |= Int32(MSG_CTRUNC)
                return
            }
            let place = message.pointee.msg_control.unsafelyUnwrapped + used
            let header = place.assumingMemoryBound(to: cmsghdr.self)
            header.pointee.cmsg_len = fastpath_control_length(length)
            header.pointee.cmsg_level = level
            header.pointee.cmsg_type = type
            memcpy(fastpath_control_data(header), value, length)
            used += min(fastpath_control_space(length), room - used)
        }
    }
}

/// What a receiving call comes to.
enum Received {
    /// The call's answer.
    case bytes(Int)
    /// Nothing in the rings.
    case nothing
}

enum Receiver {
    /// Calls between looks at the kernel's socket, so that what comes there waits for no pause of the rings.
    private static let turns: UInt32 = 64
    nonisolated(unsafe) private static var turn: UInt32 = 0
    nonisolated(unsafe) static var checks = true

    /// recvmsg(2) on a socket that was taken over.
    static func receive(_ binding: Int, _ fd: Int32, _ message: UnsafeMutablePointer<msghdr>, _ flags: Int32) -> Int {
        if flags & (Int32(MSG_ERRQUEUE) | Int32(MSG_OOB)) != 0 {
            return Real.functions.pointee.recvmsg(fd, message, flags)
        }
        let atOnce = flags | Int32(MSG_DONTWAIT)
        // Where it is written to, a call that found nothing has changed it.
        let before = message.pointee
        turn &+= 1
        if turn % turns == 0 {
            let count = fromKernel(binding, fd, message, atOnce)
            if count >= 0 { return count }
            message.pointee = before
        }
        if case .bytes(let count) = fromRings(binding, Target(message: message, flags: flags)) { return count }
        let patience = flags & Int32(MSG_DONTWAIT) != 0 ? 0 : Shared.bindings[binding].patience.load(ordering: .relaxed)
        guard patience != 0 else {
            Beat.whenDue()
            Shared.bindings[binding].calm()
            // Between the look and the calm somebody may have come.
            if case .bytes(let count) = fromRings(binding, Target(message: message, flags: flags)) { return count }
            return fromKernel(binding, fd, message, atOnce)
        }
        let end = patience < 0 ? nil : Waiting.milliseconds() + patience
        while true {
            switch Waiting.wait(binding, fd, until: end) {
            case .interrupted:
                // signal(7): with a timeout a call is never begun anew.
                guard end == nil, Waiting.isRestarted else {
                    fastpath_set_errno(EINTR)
                    return -1
                }
            case .timedOut:
                fastpath_set_errno(EAGAIN)
                return -1
            case .kernel:
                let count = fromKernel(binding, fd, message, atOnce)
                if count >= 0 || fastpath_errno() != EAGAIN { return count }
                message.pointee = before
            case .ring:
                if case .bytes(let count) = fromRings(binding, Target(message: message, flags: flags)) { return count }
            }
        }
    }

    private static func fromKernel(
        _ binding: Int, _ fd: Int32, _ message: UnsafeMutablePointer<msghdr>, _ flags: Int32
    ) -> Int {
        let count = Real.functions.pointee.recvmsg(fd, message, flags)
        if count >= 0, Shared.queueCount > 0 { Shared.queues[0].count(FASTPATH_CONSUMER_BY_KERNEL) }
        return count
    }

    nonisolated(unsafe) private static var next = 0

    /// The next datagram of any ring, the queues in turn.
    @inline(never)
    private static func fromRings(_ binding: Int, _ target: Target) -> Received {
        let count = Shared.queueCount
        var answer = -1
        for step in 0..<count {
            let number = (next &+ step) % count
            let queue = Shared.queues + number
            if !queue.pointee.mayHave(binding) { continue }
            let interface = queue.pointee.interface
            let isPeek = target.flags & Int32(MSG_PEEK) != 0
            let hasLock = queue.pointee.locked(for: binding) { queue in
                queue.take(binding, checks: checks) { frame, datagram in
                    answer = target.take(frame, datagram, binding, interface: interface)
                    return !isPeek
                }
            }
            if !hasLock {
                Shared.bindings[binding].wake(always: true)
                continue
            }
            if answer >= 0 {
                let time = Beat.whenDue()
                next = number &+ 1
                Leftover.leave(queue.pointee.ready(for: binding), to: binding, time)
                return .bytes(answer)
            }
        }
        return .nothing
    }
}
