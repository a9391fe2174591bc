// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// A UDP datagram in a frame, where the kernel or the NIC wrote it. Valid until the body that it was given to returns.
public struct Packet {
    /// From the Ethernet header on.
    public let frame: UnsafeRawBufferPointer
    /// The receive queue that it came by.
    public let queue: UInt32
    /// Where the payload of a reply can be written; empty where the receiver does not transmit, where its ring is full,
    /// and where nobody may be answered (``isAnswerable``).
    public let room: UnsafeMutableRawBufferPointer
    let datagram: Datagram

    @inline(__always)
    init(
        frame: UnsafeRawBufferPointer, queue: UInt32, datagram: Datagram, room: UnsafeMutableRawBufferPointer
    ) {
        self.frame = frame
        self.queue = queue
        self.datagram = datagram
        self.room = room
    }

    /// What the UDP length says, without padding.
    @inline(__always)
    public var payload: UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: frame[datagram.payload..<datagram.payload + datagram.payloadLength])
    }

    public var source: UDPEndpoint { UDPEndpoint(datagram.source.prefix, datagram.sourcePort) }
    public var destination: UDPEndpoint { UDPEndpoint(datagram.destination.prefix, datagram.destinationPort) }

    /// Was it sent to this host alone, by one that can be answered? Not where an address, of Ethernet or IP, is for many,
    /// and not with a source port or address of 0: an answer to such a one would go to others than who asked.
    public var isAnswerable: Bool { datagram.isAnswerable(frame) }
}

extension Address {
    var prefix: IPPrefix {
        isIPv6
            ? IPPrefix(family: .ipv6, bits: UInt128(high) << 64 | UInt128(low), length: 128)
            : IPPrefix(ipv4: UInt32(truncatingIfNeeded: high))
    }

    /// One host's: not of all (0 and 255.255.255.255), not of many (224.0.0.0/3 and ff00::/8).
    fileprivate var isOfOne: Bool {
        if isIPv6 { return high >> 56 != 0xff && (high | low) != 0 }
        return high < 0xe000_0000 && high >> 24 != 0
    }
}

extension Datagram {
    /// See ``Packet/isAnswerable``. A directed broadcast of a subnet has a broadcast address of Ethernet.
    func isAnswerable(_ frame: UnsafeRawBufferPointer) -> Bool {
        // The lowest bit of the first byte: a group's (IEEE 802).
        frame[0] & 1 == 0 && frame[6] & 1 == 0 && source.isOfOne && destination.isOfOne && sourcePort != 0
    }

    /// Bytes of the headers of a reply: those of the request, without options of IP.
    var replyHeaderLength: Int { network + (source.isIPv6 ? 40 : 20) + 8 }

    /// Makes `reply` an answer with `payloadLength` bytes, which stand behind its headers: addresses and ports are the
    /// request's, exchanged, tags of VLANs stay. `port`: where to, in place of the source port.
    func writeReplyHeaders(
        to reply: UnsafeMutableRawBufferPointer, request: UnsafeRawBufferPointer, payloadLength: Int, port: UInt16?
    ) {
        let ip = network
        reply.copyMemory(from: UnsafeRawBufferPointer(rebasing: request[..<ip]))
        reply.copy(0, from: request, 6..<12)
        reply.copy(6, from: request, 0..<6)
        let udp = replyHeaderLength - 8
        let length = UInt16(truncatingIfNeeded: 8 + payloadLength)
        let addresses: Range<Int>
        if source.isIPv6 {
            addresses = ip + 8..<ip + 40
            reply.store(0x6000_0000 as UInt32, at: ip)
            reply.store(length, at: ip + 4)
            reply.store(0x1140 as UInt16, at: ip + 6)  // UDP; hop limit 64
            reply.copy(ip + 8, from: request, ip + 24..<ip + 40)
            reply.copy(ip + 24, from: request, ip + 8..<ip + 24)
        } else {
            addresses = ip + 12..<ip + 20
            reply.store(0x4500_0000 | UInt32(20 + length), at: ip)
            reply.store(0x0000_4000 as UInt32, at: ip + 4)  // no identification, not to be fragmented (RFC 6864)
            reply.store(0x4011_0000 as UInt32, at: ip + 8)  // time to live 64; UDP
            reply.copy(ip + 12, from: request, ip + 16..<ip + 20)
            reply.copy(ip + 16, from: request, ip + 12..<ip + 16)
            reply.store(~Checksum(of: UnsafeRawBufferPointer(reply), ip..<ip + 20).folded, at: ip + 10)
        }
        reply.store(destinationPort, at: udp)
        reply.store(port ?? sourcePort, at: udp + 2)
        reply.store(length, at: udp + 4)
        reply.store(0 as UInt16, at: udp + 6)
        var sum = Checksum(of: UnsafeRawBufferPointer(reply), addresses)
        sum.add(17)
        sum.add(UInt64(length))
        sum.add(UnsafeRawBufferPointer(reply), udp..<udp + Int(length))
        // 0 would be "without" (RFC 768).
        reply.store(sum.folded == 0xffff ? 0xffff : ~sum.folded, at: udp + 6)
    }
}

extension UnsafeMutableRawBufferPointer {
    /// In network byte order.
    @inline(__always)
    fileprivate func store<Number: FixedWidthInteger>(_ number: Number, at offset: Int) {
        storeBytes(of: number.bigEndian, toByteOffset: offset, as: Number.self)
    }

    @inline(__always)
    fileprivate func copy(_ offset: Int, from other: UnsafeRawBufferPointer, _ range: Range<Int>) {
        (baseAddress.unsafelyUnwrapped + offset).copyMemory(
            from: other.baseAddress.unsafelyUnwrapped + range.lowerBound, byteCount: range.count)
    }
}
