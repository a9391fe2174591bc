// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// What becomes of a socket that the server binds: where its port is one of ours, its datagrams come by AF_XDP from now
/// on as well. Whatever fails, the server goes on with the kernel's socket alone.
enum Takeover {
    nonisolated(unsafe) private static var saidPort: UInt16 = 0

    /// Behind a bind(2) that went well. `errno` stays as it is.
    static func bound(_ fd: Int32) {
        let code = fastpath_errno()
        defer { fastpath_set_errno(code) }
        guard let (address, port) = localAddress(fd), isWanted(port) else { return }
        guard Descriptors.make(), Endpoints.make(), Shared.make() else {
            return warn("there is no memory for what its processes share", 0)
        }
        if !Shared.isActive {
            Process.make()
            Transmit.isOn = isSet("VOS_FASTPATH_TX", to: "1")
            Receiver.checks = !isSet("VOS_FASTPATH_CHECKSUM", to: "off")
            HandBack.open()
        }
        guard let binding = binding(fd, address, port) else {
            return warn("it binds more sockets than this library takes over", 0)
        }
        if Shared.queueCount == 0 { Interfaces.takeAll() }
        guard Shared.queueCount > 0 else { return }
        Descriptors.setBinding(binding, of: fd)
        let left = Endpoints.collect()
        Beat.now()
        if !Shared.isActive { Interfaces.publish() }
        Shared.isActive = Shared.queueCount > 0
        guard Shared.isActive else { return Descriptors.forget(fd) }
        Interfaces.watch(binding)
        // A server that binds each of its addresses says it once.
        if port != saidPort { say(port, left) }
        saidPort = port
    }

    /// The socket is connected, or closed here: its datagrams are no longer taken from the rings in this process.
    static func released(_ fd: Int32) {
        let binding = Descriptors.binding(of: fd)
        guard binding >= 0 else { return }
        Watches.forEach(of: fd) { epoll in EpollCalls.removeRings(binding, from: epoll) }
        Watches.forget(fd)
        Descriptors.forget(fd)
        // The last one of this process: the kernel takes the sockets away when no process has them.
        guard Descriptors.bound == 0 else { return }
        Waiting.leave()
        Shared.leave()
    }

    private static func localAddress(_ fd: Int32) -> (Address, UInt16)? {
        var type: Int32 = 0
        var length = socklen_t(MemoryLayout<Int32>.size)
        guard getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) == 0, type == Int32(SOCK_DGRAM.rawValue) else {
            return nil
        }
        var protocolNumber: Int32 = 0
        guard getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &protocolNumber, &length) == 0,
            protocolNumber == Int32(IPPROTO_UDP)
        else { return nil }
        var name = sockaddr_in6()
        var nameLength = socklen_t(MemoryLayout<sockaddr_in6>.size)
        guard fastpath_name_of(fd, &name, &nameLength) == 0 else { return nil }
        let port = UInt16(bigEndian: name.sin6_port)
        return withUnsafeBytes(of: &name) { bytes in
            guard let base = bytes.baseAddress, let address = Address(base, length: Int(nameLength)) else { return nil }
            return (address, port)
        }
    }

    /// VOS_FASTPATH_PORTS: numbers with commas between; 5060 without it.
    private static func isWanted(_ port: UInt16) -> Bool {
        guard let list = getenv("VOS_FASTPATH_PORTS") else { return port == FASTPATH_SIP_PORT }
        var place: UnsafePointer<CChar> = UnsafePointer(list)
        while true {
            var end: UnsafeMutablePointer<CChar>?
            if strtoul(place, &end, 10) == UInt(port) { return true }
            guard let comma = strchr(place, 0x2c) else { return false }
            place = UnsafePointer(comma) + 1
        }
    }

    private static func binding(_ fd: Int32, _ address: Address, _ port: UInt16) -> Int? {
        for number in 0..<Shared.bindingCount
        where Shared.bindings[number].address == address && Shared.bindings[number].port == port { return number }
        guard Shared.bindingCount < Shared.bindingLimit else { return nil }
        let wakeup = Descriptors.hide(eventfd(0, Int32(EFD_NONBLOCK | EFD_CLOEXEC)))
        guard wakeup >= 0 else { return nil }
        var only: Int32 = 1
        var length = socklen_t(MemoryLayout<Int32>.size)
        if address.isIPv6 { getsockopt(fd, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &only, &length) }
        (Shared.bindings + Shared.bindingCount).initialize(
            to: Binding(
                address: address, port: port, takesBoth: address.isIPv6 && only == 0,
                options: Atomic(Options.asked(fd, isIPv6: address.isIPv6)), patience: Atomic(-1), sleepers: Atomic(0),
                isSignalled: Atomic(0), lastTaken: Atomic(0), busySince: Atomic(0),
                hopLimit: 64, trafficClass: 0, wakeup: wakeup))
        Options.readOutgoing(Shared.bindings + Shared.bindingCount, fd)
        Options.readPatience(Shared.bindings + Shared.bindingCount, fd)
        Shared.bindingCount += 1
        return Shared.bindingCount - 1
    }

    static func isSet(_ name: StaticString, to value: StaticString) -> Bool {
        guard let text = getenv(cString(name)) else { return false }
        return strcmp(text, cString(value)) == 0
    }

    static func cString(_ text: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    static func warn(_ text: StaticString, _ code: Int32) {
        var log = Log("warning: the SIP server stays on the kernel's socket: ")
        log.add(text)
        if code != 0 {
            log.add(": ")
            log.add(reason: code)
        }
        log.write()
    }

    private static func say(_ port: UInt16, _ left: Int) {
        var log = Log("UDP port ")
        log.add(Int(port))
        log.add(" by AF_XDP:")
        var interface: UInt32 = 0
        var hidesTags = false
        for number in 0..<Shared.queueCount {
            let queue = Shared.queues + number
            if queue.pointee.interface != interface {
                interface = queue.pointee.interface
                var name = InlineArray<16, CChar>(repeating: 0)
                withUnsafeMutableBytes(of: &name) { bytes in
                    let text = bytes.assumingMemoryBound(to: CChar.self).baseAddress.unsafelyUnwrapped
                    _ = if_indextoname(interface, text)
                    log.add(" ")
                    log.add(cString: UnsafePointer(text))
                    if Transmit.isOn, fastpath_hides_tags(text) != 0 { hidesTags = true }
                }
                if queue.pointee.socket.isZeroCopy {
                    log.add(" (zero-copy) queues")
                } else {
                    log.add(" (copy mode) queues")
                }
                if queue.pointee.consumer == nil { log.add(" (profile classic)") }
            }
            log.add(" ")
            log.add(Int(queue.pointee.number))
        }
        if Transmit.isOn { log.add("; answers by the transmit ring") }
        if hidesTags { log.add(", off for peers behind VLAN tags, which the NIC hides") }
        log.add("; nftables, conntrack, IPsec and fail2ban do not see these packets, nor does tcpdump on this host")
        if left > 0 {
            log.add("; local addresses beyond ")
            log.add(Shared.endpointLimit)
            log.add(" come by the kernel: ")
            log.add(left)
        }
        log.write()
    }
}

/// What a socket has asked to be told with each datagram.
enum Options {
    /// Bits of ``Binding/Option`` by what is set now.
    static func asked(_ fd: Int32, isIPv6: Bool) -> UInt32 {
        var bits: UInt32 = 0
        let all = all
        for index in all.indices {
            let (level, name, bit) = all[index]
            if level == Int32(IPPROTO_IPV6), !isIPv6 { continue }
            var value: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            if getsockopt(fd, level, name, &value, &length) == 0, value != 0 { bits |= bit }
        }
        return bits
    }

    /// What the kernel would put into the headers of an answer.
    static func readOutgoing(_ binding: UnsafeMutablePointer<Binding>, _ fd: Int32) {
        let isIPv6 = binding.pointee.address.isIPv6
        let level = Int32(isIPv6 ? IPPROTO_IPV6 : IPPROTO_IP)
        func value(_ name: Int32, _ otherwise: UInt8) -> UInt8 {
            var value: Int32 = 0
            var length = socklen_t(MemoryLayout<Int32>.size)
            let code = getsockopt(fd, level, name, &value, &length)
            return code == 0 && value >= 0 ? UInt8(truncatingIfNeeded: value) : otherwise
        }
        binding.pointee.hopLimit = value(isIPv6 ? IPV6_UNICAST_HOPS : IP_TTL, 64)
        binding.pointee.trafficClass = value(isIPv6 ? IPV6_TCLASS : IP_TOS, 0)
    }

    /// O_NONBLOCK and SO_RCVTIMEO. They belong to the socket, whoever set them.
    static func readPatience(_ binding: UnsafeMutablePointer<Binding>, _ fd: Int32) {
        var patience = -1
        var time = timeval()
        var length = socklen_t(MemoryLayout<timeval>.size)
        if getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, &length) == 0, time.tv_sec != 0 || time.tv_usec != 0 {
            patience = max(1, time.tv_sec * 1_000 + (time.tv_usec + 999) / 1_000)
        }
        if Real.functions.pointee.fcntl(fd, F_GETFL, 0) & O_NONBLOCK != 0 { patience = 0 }
        binding.pointee.patience.store(patience, ordering: .relaxed)
    }

    /// Behind a call that may have changed what is read here, and went well.
    static func changed(_ binding: Int, _ fd: Int32) {
        let code = fastpath_errno()
        readPatience(Shared.bindings + binding, fd)
        let bits = asked(fd, isIPv6: Shared.bindings[binding].address.isIPv6)
        Shared.bindings[binding].options.store(bits, ordering: .relaxed)
        readOutgoing(Shared.bindings + binding, fd)
        fastpath_set_errno(code)
    }

    private static var all: InlineArray<7, (Int32, Int32, UInt32)> {
        let ip = Int32(IPPROTO_IP)
        let ipv6 = Int32(IPPROTO_IPV6)
        return [
            (ip, IP_PKTINFO, Binding.Option.packetInfo), (ip, IP_RECVTOS, Binding.Option.typeOfService),
            (ip, IP_RECVTTL, Binding.Option.timeToLive), (ip, IP_RECVORIGDSTADDR, Binding.Option.originalDestination),
            (ipv6, IPV6_RECVPKTINFO, Binding.Option.packetInfo6), (ipv6, IPV6_RECVTCLASS, Binding.Option.trafficClass),
            (ipv6, IPV6_RECVHOPLIMIT, Binding.Option.hopLimit),
        ]
    }
}
