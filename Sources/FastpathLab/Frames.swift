// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// An Ethernet address.
public struct MACAddress: Hashable, Sendable, CustomStringConvertible {
    /// Six bytes in the order of transmission.
    public let bytes: [UInt8]

    /// Six bytes; the first is sent first.
    public init(_ bytes: [UInt8]) {
        precondition(bytes.count == 6, "an Ethernet address has six bytes")
        self.bytes = bytes
    }

    /// The lab's own choice for an IPv4 address (host byte order): locally administered, 02:00 and the address.
    public init(of address: UInt32) {
        bytes = [0x02, 0x00] + bigEndian(address)
    }

    /// `02:00:0a:63:00:01`
    public var description: String {
        bytes.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined(separator: ":")
    }
}

/// One side of a datagram.
public struct Endpoint: Hashable, Sendable {
    public var mac: MACAddress
    /// IPv4, host byte order.
    public var address: UInt32
    /// Host byte order.
    public var port: UInt16

    public init(mac: MACAddress, address: UInt32, port: UInt16) {
        self.mac = mac
        self.address = address
        self.port = port
    }

    /// At an interface of a lab.
    public init(_ interface: LabInterface, port: UInt16) {
        self.init(mac: interface.mac, address: interface.address, port: port)
    }
}

/// The Internet checksum (RFC 1071).
public enum InternetChecksum {
    /// The sum of big-endian 16-bit words, not folded; an odd last byte counts as the high half of a word.
    public static func sum(_ bytes: some Collection<UInt8>) -> UInt64 {
        var sum: UInt64 = 0
        var isHigh = true
        for byte in bytes {
            sum += isHigh ? UInt64(byte) << 8 : UInt64(byte)
            isHigh.toggle()
        }
        return sum
    }

    /// Folded to 16 bits, carries added in.
    public static func fold(_ sum: UInt64) -> UInt16 {
        var sum = sum
        while sum >> 16 != 0 { sum = (sum & 0xffff) + (sum >> 16) }
        return UInt16(sum)
    }

    /// The checksum as it is written into a header: the folded sum, inverted.
    public static func checksum(_ sum: UInt64) -> UInt16 { ~fold(sum) }
}

/// Whole Ethernet frames.
public enum Frame {
    public static let ethernetLength = 14
    /// Without options.
    public static let ipv4Length = 20
    public static let udpLength = 8
    /// Where the payload starts in what ``udp(from:to:payload:)`` makes.
    public static let payloadOffset = ethernetLength + ipv4Length + udpLength

    /// UDP (RFC 768) over IPv4 (RFC 791) without options over Ethernet, lengths and checksums right.
    /// The payload has at most 65 507 bytes.
    public static func udp(from source: Endpoint, to destination: Endpoint, payload: [UInt8]) -> [UInt8] {
        precondition(payload.count <= 65507, "too long for a datagram")
        let udpCount = UInt16(udpLength + payload.count)
        var udp = bigEndian(source.port) + bigEndian(destination.port) + bigEndian(udpCount) + [0, 0] + payload
        let pseudoHeader = bigEndian(source.address) + bigEndian(destination.address) + [0, 17] + bigEndian(udpCount)
        let checksum = InternetChecksum.checksum(InternetChecksum.sum(pseudoHeader) + InternetChecksum.sum(udp))
        // 0 would say that there is none.
        udp.replaceSubrange(6..<8, with: bigEndian(checksum == 0 ? 0xffff : checksum))
        return ipv4(from: source, to: destination, ipProtocol: 17, payload: udp)
    }

    /// Any protocol over IPv4 over Ethernet; the header checksum is right.
    public static func ipv4(from source: Endpoint, to destination: Endpoint, ipProtocol: UInt8, payload: [UInt8])
        -> [UInt8]
    {
        var header: [UInt8] = [0x45, 0]  // version 4, five words; no service class
        header += bigEndian(UInt16(ipv4Length + payload.count))
        header += [0, 0, 0x40, 0, 64, ipProtocol, 0, 0]  // identification 0, don't fragment, TTL 64
        header += bigEndian(source.address) + bigEndian(destination.address)
        header.replaceSubrange(10..<12, with: bigEndian(InternetChecksum.checksum(InternetChecksum.sum(header))))
        return destination.mac.bytes + source.mac.bytes + [0x08, 0x00] + header + payload
    }
}

/// The bytes of a number, the most significant first.
func bigEndian<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.bigEndian) { Array($0) }
}

extension IPPrefix {
    /// An IPv4 address from its four numbers: for addresses that are written down in code.
    package static func address(_ a: UInt8, _ b: UInt8, _ c: UInt8, _ d: UInt8) -> UInt32 {
        UInt32(a) << 24 | UInt32(b) << 16 | UInt32(c) << 8 | UInt32(d)
    }
}
