// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What a person wants to see of a packet: who sent what to whom. It takes no part in the verdict, which the
/// program alone gives.
struct FrameSummary: Hashable {
    var source: IPPrefix?
    var destination: IPPrefix?
    var sourcePort: UInt16?
    var destinationPort: UInt16?
    /// The identifiers of VLAN tags, the outer one first.
    var vlans: [UInt16] = []
    /// "UDP", "TCP", "ARP", "Ethernet type 0x88cc" …
    var kind: String
    /// The beginning of the first line of a UDP payload, with nothing in it that a terminal would act on.
    var firstLine: String?

    /// Longest ``firstLine``, in bytes.
    static let firstLineLimit = 60

    /// `frame` begins with its Ethernet header. It may be cut short anywhere.
    init(_ frame: [UInt8]) {
        kind = "no Ethernet header"
        guard frame.count >= 14 else { return }
        var header = 14
        var type = Self.number(frame, 12)
        while [0x8100, 0x88a8].contains(type), vlans.count < 2, frame.count >= header + 4 {
            vlans.append(Self.number(frame, header) & 0x0fff)
            type = Self.number(frame, header + 2)
            header += 4
        }
        switch type {
        case 0x0800 where frame.count >= header + 20 && frame[header] >> 4 == 4: readIPv4(frame, header)
        case 0x86dd where frame.count >= header + 40 && frame[header] >> 4 == 6: readIPv6(frame, header)
        default: kind = Self.name(ofType: type)
        }
    }

    /// RFC 791 section 3.1.
    private mutating func readIPv4(_ frame: [UInt8], _ header: Int) {
        source = IPPrefix(ipv4: UInt32(truncatingIfNeeded: Self.address(frame, header + 12, bytes: 4)))
        destination = IPPrefix(ipv4: UInt32(truncatingIfNeeded: Self.address(frame, header + 16, bytes: 4)))
        let length = Int(frame[header] & 15) * 4
        // Bits 0-12 of the field: where a fragment belongs.
        let isLaterFragment = Self.number(frame, header + 6) & 0x1fff != 0
        readTransport(
            frame, header + length, frame[header + 9], isLaterFragment: isLaterFragment, isWhole: length >= 20)
    }

    /// RFC 8200 sections 3 and 4: past extension headers, as far as the frame shows them.
    private mutating func readIPv6(_ frame: [UInt8], _ header: Int) {
        source = IPPrefix(ipv6: Self.address(frame, header + 8, bytes: 16))
        destination = IPPrefix(ipv6: Self.address(frame, header + 24, bytes: 16))
        var next = frame[header + 6]
        var offset = header + 40
        var isLaterFragment = false
        while Self.extensions.contains(next), !isLaterFragment, frame.count >= offset + 4 {
            let after = frame[offset]
            if next == 44 { isLaterFragment = Self.number(frame, offset + 2) >> 3 != 0 }
            let units = Int(frame[offset + 1])
            offset += next == 44 ? 8 : next == 51 ? (units + 2) * 4 : (units + 1) * 8
            next = after
        }
        readTransport(frame, offset, next, isLaterFragment: isLaterFragment, isWhole: true)
    }

    /// Hop-by-hop options, routing, fragment, authentication, destination options, mobility, HIP, Shim6.
    private static let extensions: Set<UInt8> = [0, 43, 44, 51, 60, 135, 139, 140]

    private mutating func readTransport(
        _ frame: [UInt8], _ offset: Int, _ number: UInt8, isLaterFragment: Bool, isWhole: Bool
    ) {
        kind = Self.name(ofProtocol: number) + (isLaterFragment ? " fragment" : "")
        guard isWhole, !isLaterFragment, [6, 17].contains(number), frame.count >= offset + 4 else { return }
        sourcePort = Self.number(frame, offset)
        destinationPort = Self.number(frame, offset + 2)
        guard number == 17, frame.count > offset + 8 else { return }
        let length = max(0, Int(Self.number(frame, offset + 4)) - 8)
        let line = frame[(offset + 8)...].prefix(length).prefix { $0 != 0x0d && $0 != 0x0a }
        if !line.isEmpty { firstLine = printable(line.prefix(Self.firstLineLimit)) }
    }

    /// `192.0.2.1:5060 > 10.99.0.1:5060 UDP`, `[2001:db8::1]:5060 > …`, with ` vlan 7` behind it.
    var text: String {
        let tags = vlans.map { " vlan \($0)" }.joined()
        guard let source, let destination else { return kind + tags }
        return "\(Self.end(source, sourcePort)) > \(Self.end(destination, destinationPort)) \(kind)\(tags)"
    }

    private static func end(_ address: IPPrefix, _ port: UInt16?) -> String {
        guard let port else { return address.description }
        return address.family == .ipv6 ? "[\(address)]:\(port)" : "\(address):\(port)"
    }

    /// Two bytes in network byte order.
    private static func number(_ frame: [UInt8], _ offset: Int) -> UInt16 {
        UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1])
    }

    private static func address(_ frame: [UInt8], _ offset: Int, bytes: Int) -> UInt128 {
        frame[offset..<offset + bytes].reduce(0) { $0 << 8 | UInt128($1) }
    }

    private static func name(ofType type: UInt16) -> String {
        switch type {
        case 0x0800: "IPv4, header cut short or damaged"
        case 0x0806: "ARP"
        case 0x86dd: "IPv6, header cut short or damaged"
        case 0x8100, 0x88a8: "VLAN tag"
        case ..<0x0600: "IEEE 802.3 frame"
        default: "Ethernet type 0x" + String(type, radix: 16)
        }
    }

    private static func name(ofProtocol number: UInt8) -> String {
        switch number {
        case 1: "ICMP"
        case 6: "TCP"
        case 17: "UDP"
        case 47: "GRE"
        case 50: "ESP"
        case 58: "ICMPv6"
        case 132: "SCTP"
        default: "IP protocol \(number)"
        }
    }
}
