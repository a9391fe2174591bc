// SPDX-License-Identifier: Apache-2.0
import CPreload

/// Gives the kernel back what came by a ring and is not the server's: as a packet of its own that it routes to whoever
/// it is for. The sockets are made while the process still may (CAP_NET_RAW).
enum HandBack {
    nonisolated(unsafe) private static var ipv4: Int32 = -1
    nonisolated(unsafe) private static var ipv6: Int32 = -1

    static func open() {
        guard ipv4 < 0 else { return }
        ipv4 = Descriptors.hide(socket(AF_INET, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Int32(IPPROTO_RAW)))
        ipv6 = Descriptors.hide(socket(AF_INET6, Int32(SOCK_RAW.rawValue | SOCK_CLOEXEC.rawValue), Int32(IPPROTO_RAW)))
    }

    /// `frame`: Ethernet, perhaps with tags. What is neither IPv4 nor IPv6 is dropped: no program redirects it.
    static func send(_ frame: UnsafeRawBufferPointer, _ datagram: Datagram?) {
        var ip = 14
        while frame.count >= ip + 20, Datagram.isTag(frame.number16(ip - 2)) { ip += 4 }
        guard frame.count >= ip + 20 else { return }
        let isIPv6 = frame[ip] >> 4 == 6
        guard !isIPv6 || frame.count >= ip + 40 else { return }
        let length = isIPv6 ? 40 + Int(frame.number16(ip + 4)) : Int(frame.number16(ip + 2))
        guard length >= 20, frame.count >= ip + length else { return }
        // In place: the frame goes back to the kernel next.
        let packet = UnsafeMutableRawBufferPointer(mutating: UnsafeRawBufferPointer(rebasing: frame[ip..<ip + length]))
        if let datagram, datagram.isChecksumPartial { complete(packet, datagram, at: datagram.udp - ip) }
        if isIPv6 {
            var address = sockaddr_in6()
            address.sin6_family = UInt16(AF_INET6)
            memcpy(&address.sin6_addr, packet.baseAddress.unsafelyUnwrapped + 24, 16)
            send(ipv6, packet, &address, MemoryLayout<sockaddr_in6>.size)
        } else {
            var address = sockaddr_in()
            address.sin_family = UInt16(AF_INET)
            memcpy(&address.sin_addr, packet.baseAddress.unsafelyUnwrapped + 16, 4)
            send(ipv4, packet, &address, MemoryLayout<sockaddr_in>.size)
        }
    }

    private static func send(
        _ socket: Int32, _ packet: UnsafeMutableRawBufferPointer, _ address: UnsafeMutableRawPointer, _ length: Int
    ) {
        _ = fastpath_send_to(socket, packet.baseAddress, packet.count, address, socklen_t(length))
    }

    /// The begun checksum covers the pseudo-header; the rest follows (RFC 768: a sum of 0 is sent as its complement).
    private static func complete(_ packet: UnsafeMutableRawBufferPointer, _ datagram: Datagram, at udp: Int) {
        let sum = Checksum(of: UnsafeRawBufferPointer(packet), udp..<udp + 8 + datagram.payloadLength).folded
        let checksum = ~sum == 0 ? 0xffff : ~sum
        packet.storeBytes(of: checksum.bigEndian, toByteOffset: udp + 6, as: UInt16.self)
    }
}
