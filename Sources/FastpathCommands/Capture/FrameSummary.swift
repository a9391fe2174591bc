// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What a person wants to see of a packet: who sent what to whom. It takes no part in the verdict, which the
/// program alone gives.
struct FrameSummary: Hashable {
    /// IPv4 only, as the program reads it.
    var source: IPPrefix?
    var destination: IPPrefix?
    var sourcePort: UInt16?
    var destinationPort: UInt16?
    /// "UDP", "TCP", "IPv6", "ARP", "Ethernet type 0x88cc" …
    var kind: String
    /// The beginning of the first line of a UDP payload, with nothing in it that a terminal would act on.
    var firstLine: String?

    /// Longest ``firstLine``, in bytes.
    static let firstLineLimit = 60

    /// `frame` begins with its Ethernet header.
    init(_ frame: [UInt8]) {
        guard frame.count >= 14 else {
            kind = "no Ethernet header"
            return
        }
        let type = Self.number(frame, 12)
        guard type == 0x0800, frame.count >= 34, frame[14] >> 4 == 4 else {
            kind = Self.name(ofType: type)
            return
        }
        let header = Int(frame[14] & 15) * 4
        source = IPPrefix(ipv4: UInt32(Self.number(frame, 26)) << 16 | UInt32(Self.number(frame, 28)))
        destination = IPPrefix(ipv4: UInt32(Self.number(frame, 30)) << 16 | UInt32(Self.number(frame, 32)))
        kind = Self.name(ofProtocol: frame[23])
        // Bits 0-12 of the field: where a fragment belongs (RFC 791, section 3.1).
        let isLaterFragment = Self.number(frame, 20) & 0x1fff != 0
        if isLaterFragment { kind += " fragment" }
        let transport = 14 + header
        guard header >= 20, !isLaterFragment, [6, 17].contains(frame[23]), frame.count >= transport + 4 else { return }
        sourcePort = Self.number(frame, transport)
        destinationPort = Self.number(frame, transport + 2)
        guard frame[23] == 17, frame.count > transport + 8 else { return }
        let length = max(0, Int(Self.number(frame, transport + 4)) - 8)
        let line = frame[(transport + 8)...].prefix(length).prefix { $0 != 0x0d && $0 != 0x0a }
        if !line.isEmpty { firstLine = printable(line.prefix(Self.firstLineLimit)) }
    }

    /// `192.0.2.1:5060 > 10.99.0.1:5060 UDP`
    var text: String {
        guard let source, let destination else { return kind }
        let port = { (port: UInt16?) in port.map { ":\($0)" } ?? "" }
        return "\(source)\(port(sourcePort)) > \(destination)\(port(destinationPort)) \(kind)"
    }

    /// Two bytes in network byte order.
    private static func number(_ frame: [UInt8], _ offset: Int) -> UInt16 {
        UInt16(frame[offset]) << 8 | UInt16(frame[offset + 1])
    }

    private static func name(ofType type: UInt16) -> String {
        switch type {
        case 0x0800: "IPv4, header cut short or damaged"
        case 0x0806: "ARP"
        case 0x86dd: "IPv6"
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
        case 132: "SCTP"
        default: "IP protocol \(number)"
        }
    }
}
