// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// Where a packet came from.
enum SourceAddress: Hashable {
    /// Host byte order.
    case ipv4(UInt32)
    /// The 16 bytes as they are sent.
    case ipv6([UInt8])
}

/// Where a datagram goes: an address and a port.
public struct UDPEndpoint: Hashable, Sendable {
    public var address: IPPrefix
    public var port: UInt16

    public init(_ address: IPPrefix, _ port: UInt16) {
        self.address = address
        self.port = port
    }
}

/// A UDP datagram to a SIP port, with its payload as the receiver would see it.
struct SIPDatagram {
    var source: SourceAddress
    var destination: UDPEndpoint
    /// Host byte order.
    var sourcePort: Int
    /// Is it the first fragment of several?
    var isFragment: Bool
    /// What the UDP length claims, as far as the IP packet and the frame hold it.
    var payload: ArraySlice<UInt8>
}

/// What the protocol filter makes of a frame: for ``ReferenceFilter``, so plain rather than fast.
enum ParsedFrame {
    /// None of the filter's business; or not while a switch is off, though it is SIP.
    case other(FilterSwitch?)
    /// A later fragment, perhaps of a datagram to a SIP port.
    case fragment(SourceAddress)
    /// IPv6 with more extension headers than are walked.
    case excessive(SourceAddress)
    case datagram(SIPDatagram)

    init(ethernet frame: [UInt8], _ settings: FilterSettings) {
        let reader = FrameReader(frame: frame, settings: settings)
        self = reader.parse()
    }
}

private struct FrameReader {
    let frame: [UInt8]
    let settings: FilterSettings

    private func number(_ offset: Int) -> Int { Int(frame[offset]) << 8 | Int(frame[offset + 1]) }

    func parse() -> ParsedFrame {
        // Ethernet II, then at least the fixed part of an IPv4 header.
        guard frame.count >= 34 else { return .other(nil) }
        var type = 12
        for _ in 0..<Int(FASTPATH_TAG_LIMIT)
        where settings.isOn(.vlan) && [0x8100, 0x88a8].contains(number(type)) { type += 4 }
        let ip = type + 2
        // With tags looked for, those that are there must leave room for a header.
        guard frame.count >= ip + 20 else { return .other(nil) }
        switch number(type) {
        case 0x0800: return ipv4(ip)
        case 0x86dd where settings.isOn(.ipv6): return frame.count >= ip + 40 ? ipv6(ip) : .other(nil)
        case 0x86dd: return .other(isPlainSIP(at: ip) ? unlessClassic(.ipv6) : nil)
        case 0x8100, 0x88a8:
            return .other(!settings.isOn(.vlan) && isPlainSIP(at: ip + 4) ? unlessClassic(.vlan) : nil)
        default: return .other(nil)
        }
    }

    /// In classic nobody looks at what a switch would do.
    private func unlessClassic(_ off: FilterSwitch) -> FilterSwitch? { settings.isClassic ? nil : off }

    /// Is there an IP header with UDP to a SIP port right behind it? As the program looks at frames that it does not
    /// filter: IPv4 is what is not IPv6.
    private func isPlainSIP(at ip: Int) -> Bool {
        guard frame.count >= ip + 20 else { return false }
        let isIPv6 = frame[ip] >> 4 == 6
        let udp = ip + (isIPv6 ? 40 : Int(frame[ip] & 0x0f) * 4)
        return frame[ip + (isIPv6 ? 6 : 9)] == 17 && frame.count >= udp + 8 && isSIPPort(number(udp + 2))
    }

    private static let methods = ["OPTIONS ", "REGISTER", "INVITE ", "SIP/2.0"].map { Array($0.utf8) }

    /// RFC 791 section 3.1.
    private func ipv4(_ ip: Int) -> ParsedFrame {
        let headerLength = Int(frame[ip] & 0x0f) * 4
        guard frame[ip] >> 4 == 4, headerLength >= 20, frame[ip + 9] == 17 else { return .other(nil) }
        let source = SourceAddress.ipv4((0..<4).reduce(0) { $0 << 8 | UInt32(frame[ip + 12 + $1]) })
        guard number(ip + 6) & 0x1fff == 0 else { return .fragment(source) }
        return udp(
            ip + headerLength, end: ip + number(ip + 2), source,
            to: IPPrefix(ipv4: (0..<4).reduce(0) { $0 << 8 | UInt32(frame[ip + 16 + $1]) }),
            isFragment: number(ip + 6) & 0x2000 != 0)
    }

    /// RFC 8200 sections 3 and 4.
    private func ipv6(_ ip: Int) -> ParsedFrame {
        guard frame[ip] >> 4 == 6 else { return .other(nil) }
        let source = SourceAddress.ipv6(Array(frame[ip + 8..<ip + 24]))
        let destination = IPPrefix(ipv6: (0..<16).reduce(0) { $0 << 8 | UInt128(frame[ip + 24 + $1]) })
        let end = ip + 40 + number(ip + 4)
        var next = Int(frame[ip + 6])
        var header = ip + 40
        var isFragment = false
        for _ in 0...Int(FASTPATH_EXTENSION_LIMIT) {
            if next == 17 { return udp(header, end: end, source, to: destination, isFragment: isFragment) }
            guard Self.extensions.contains(next), frame.count >= header + 4 else { return .other(nil) }
            let after = Int(frame[header])
            switch next {
            case 44:
                if number(header + 2) >> 3 != 0 {
                    return after == 17 || Self.extensions.contains(after) ? .fragment(source) : .other(nil)
                }
                isFragment = number(header + 2) & 1 != 0
                header += 8
            case 51: header += (Int(frame[header + 1]) + 2) * 4
            default: header += (Int(frame[header + 1]) + 1) * 8
            }
            if header > 0x3fff { return .excessive(source) }
            next = after
        }
        return .excessive(source)
    }

    /// Hop-by-hop options, routing, fragment, authentication, destination options, mobility, HIP, Shim6.
    private static let extensions = [0, 43, 44, 51, 60, 135, 139, 140]

    /// RFC 768. `end`: where the IP packet ends.
    private func udp(
        _ udp: Int, end: Int, _ source: SourceAddress, to destination: IPPrefix, isFragment: Bool
    ) -> ParsedFrame {
        guard frame.count >= udp + 8 else { return .other(nil) }
        let start = udp + 8
        guard isSIPPort(number(udp + 2)) else {
            let isSIP = frame.count >= start + 8 && Self.methods.contains { frame[start...].starts(with: $0) }
            return .other(isSIP ? unlessClassic(.ports) : nil)
        }
        guard number(udp + 4) >= 8 else { return .other(nil) }
        let end = min(udp + number(udp + 4), end, frame.count)
        return .datagram(
            SIPDatagram(
                source: source, destination: UDPEndpoint(destination, UInt16(number(udp + 2))), sourcePort: number(udp),
                isFragment: isFragment, payload: frame[start..<max(start, end)]))
    }

    private func isSIPPort(_ port: Int) -> Bool {
        settings.isOn(.ports) ? settings.ports.contains(UInt16(port)) : port == Int(FASTPATH_SIP_PORT)
    }
}
