// SPDX-License-Identifier: Apache-2.0

/// An address as the kernel's half of the project has it (`struct fastpath_endpoint`): host byte order, the upper half
/// of an IPv6 address in `high`; an IPv4 address in `high` alone.
struct Address: Equatable {
    var high: UInt64
    var low: UInt64
    var isIPv6: Bool
}

/// A UDP datagram in a frame: where its parts are. Nothing is copied.
struct Datagram {
    var source: Address
    var sourcePort: UInt16
    var destination: Address
    var destinationPort: UInt16
    /// The first byte of the IP header in the frame.
    var network: Int
    /// The first byte of the UDP header in the frame.
    var udp: Int
    /// Bytes of the payload, which follows the UDP header's eight.
    var payloadLength: Int
    /// IPv4's type of service, IPv6's traffic class (RFC 2474).
    var trafficClass: UInt8
    /// IPv4's time to live, IPv6's hop limit.
    var hopLimit: UInt8
    /// Is the UDP checksum only begun, as a sender on this machine leaves it to a NIC?
    var isChecksumPartial = false

    var payload: Int { udp + 8 }
}

/// What a frame from a ring is.
enum ParsedDatagram {
    case datagram(Datagram)
    /// What the kernel knows to handle: fragments, extension headers, other protocols.
    case forKernel
    /// No whole header or no whole datagram.
    case badFormat
    case badChecksum
}

extension Datagram {
    /// Reads an Ethernet frame with up to two VLAN tags. `checks`: the checksums of IPv4 (RFC 791) and UDP (RFC 768, RFC
    /// 8200 section 8.1).
    ///
    /// A checksum that is only begun is right: packets of this machine carry such ones over veth pairs and to virtual
    /// NICs, where the kernel knows by the packet's own notes that it need not look, and those notes XDP does not see.
    #if !hasFeature(Embedded)  // there, size counts
        @inline(__always)
    #endif
    static func parse(_ frame: UnsafeRawBufferPointer, checks: Bool) -> ParsedDatagram {
        var type = 12
        guard frame.count >= 34 else { return .badFormat }
        for _ in 0..<2 where isTag(frame.number16(type)) && frame.count >= type + 4 + 22 { type += 4 }
        switch frame.number16(type) {
        case 0x0800: return ipv4(frame, type + 2, checks)
        case 0x86dd: return ipv6(frame, type + 2, checks)
        default: return .forKernel
        }
    }

    @inline(__always) static func isTag(_ type: UInt16) -> Bool { type == 0x8100 || type == 0x88a8 }

    #if !hasFeature(Embedded)  // there, size counts
        @inline(__always)
    #endif
    private static func ipv4(_ frame: UnsafeRawBufferPointer, _ ip: Int, _ checks: Bool) -> ParsedDatagram {
        guard frame.count >= ip + 20 else { return .badFormat }
        let headerLength = Int(frame[ip] & 0x0f) * 4
        let length = Int(frame.number16(ip + 2))
        guard frame[ip] >> 4 == 4, headerLength >= 20, length >= headerLength, frame.count >= ip + length else {
            return .badFormat
        }
        // More fragments, or an offset.
        guard frame[ip + 9] == 17, frame.number16(ip + 6) & 0x3fff == 0 else { return .forKernel }
        if checks, Checksum(of: frame, ip..<ip + headerLength).folded != 0xffff { return .badChecksum }
        var datagram = Datagram(
            source: Address(high: UInt64(frame.number32(ip + 12)), low: 0, isIPv6: false), sourcePort: 0,
            destination: Address(high: UInt64(frame.number32(ip + 16)), low: 0, isIPv6: false), destinationPort: 0,
            network: ip, udp: ip + headerLength, payloadLength: 0, trafficClass: frame[ip + 1], hopLimit: frame[ip + 8])
        return datagram.readUDP(frame, end: ip + length, addresses: ip + 12..<ip + 20, checks)
    }

    private static func ipv6(_ frame: UnsafeRawBufferPointer, _ ip: Int, _ checks: Bool) -> ParsedDatagram {
        guard frame.count >= ip + 40 else { return .badFormat }
        let length = 40 + Int(frame.number16(ip + 4))
        guard frame[ip] >> 4 == 6, frame.count >= ip + length else { return .badFormat }
        guard frame[ip + 6] == 17 else { return .forKernel }
        var datagram = Datagram(
            source: Address(high: frame.number64(ip + 8), low: frame.number64(ip + 16), isIPv6: true), sourcePort: 0,
            destination: Address(high: frame.number64(ip + 24), low: frame.number64(ip + 32), isIPv6: true),
            destinationPort: 0, network: ip, udp: ip + 40, payloadLength: 0,
            trafficClass: UInt8(truncatingIfNeeded: frame.number16(ip) >> 4), hopLimit: frame[ip + 7])
        return datagram.readUDP(frame, end: ip + length, addresses: ip + 8..<ip + 40, checks)
    }

    /// `end`: of the IP packet. `addresses`: both of them in the frame.
    #if !hasFeature(Embedded)  // there, size counts
        @inline(__always)
    #endif
    private mutating func readUDP(
        _ frame: UnsafeRawBufferPointer, end: Int, addresses: Range<Int>, _ checks: Bool
    ) -> ParsedDatagram {
        guard end >= udp + 8 else { return .badFormat }
        let length = Int(frame.number16(udp + 4))
        guard length >= 8, udp + length <= end else { return .badFormat }
        sourcePort = frame.number16(udp)
        destinationPort = frame.number16(udp + 2)
        payloadLength = length - 8
        guard checks else { return .datagram(self) }

        let checksum = frame.number16(udp + 6)
        // IPv4 may go without; IPv6 may not.
        if checksum == 0 { return source.isIPv6 ? .badChecksum : .datagram(self) }
        var sum = Checksum(of: frame, addresses)
        sum.add(17)
        sum.add(UInt64(length))
        let begun = sum.folded
        sum.add(frame, udp..<udp + length)
        if sum.folded == 0xffff { return .datagram(self) }
        guard checksum == begun else { return .badChecksum }
        isChecksumPartial = true
        return .datagram(self)
    }
}

/// The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words in network byte order.
struct Checksum {
    private var sum: UInt64 = 0

    init(of bytes: UnsafeRawBufferPointer, _ range: Range<Int>) { add(bytes, range) }

    @inline(__always)
    mutating func add(_ word: UInt64) { sum &+= word }

    /// In words of four bytes, which 64 bits hold the sum of, two at a time. An odd byte at the end is followed by a zero.
    mutating func add(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        // Counted, so that the compiler can do several at once.
        let pairs = range.count / 8
        for pair in 0..<pairs {
            let words = bytes.number64(range.lowerBound &+ pair &* 8)
            sum &+= (words >> 32) &+ (words & 0xffff_ffff)
        }
        var index = range.lowerBound &+ pairs &* 8
        if index &+ 4 <= range.upperBound {
            sum &+= UInt64(bytes.number32(index))
            index &+= 4
        }
        if index &+ 2 <= range.upperBound {
            sum &+= UInt64(bytes.number16(index))
            index &+= 2
        }
        if index < range.upperBound { sum &+= UInt64(bytes[index]) << 8 }
    }

    /// The sum in 16 bits, not complemented: 0xffff over bytes that hold their right checksum.
    @inline(__always)
    var folded: UInt16 {
        var folded = (sum & 0xffff_ffff) &+ (sum >> 32)
        while folded >> 16 != 0 { folded = (folded & 0xffff) &+ (folded >> 16) }
        return UInt16(truncatingIfNeeded: folded)
    }
}

extension UnsafeRawBufferPointer {
    /// Network byte order. The caller has checked the length.
    @inline(__always) func number16(_ offset: Int) -> UInt16 {
        UInt16(bigEndian: baseAddress.unsafelyUnwrapped.loadUnaligned(fromByteOffset: offset, as: UInt16.self))
    }

    @inline(__always) func number32(_ offset: Int) -> UInt32 {
        UInt32(bigEndian: baseAddress.unsafelyUnwrapped.loadUnaligned(fromByteOffset: offset, as: UInt32.self))
    }

    @inline(__always) func number64(_ offset: Int) -> UInt64 {
        UInt64(bigEndian: baseAddress.unsafelyUnwrapped.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
    }
}
