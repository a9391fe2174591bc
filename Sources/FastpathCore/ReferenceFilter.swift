// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// The rules of the packet program once more, in plain Swift and written for the reader: the oracle that every
/// packet test compares the loaded program with. Profile `classic`.
public struct ReferenceFilter: Sendable {
    /// Sources in `blocked_ips`, host byte order.
    public var blocked: Set<UInt32>
    /// Sources in `allowed_ips`, host byte order.
    public var allowed: Set<UInt32>
    /// Does `xsks_map` hold a socket for the receive queue?
    public var hasSocket: Bool

    public init(blocked: Set<UInt32> = [], allowed: Set<UInt32> = [], hasSocket: Bool = false) {
        self.blocked = blocked
        self.allowed = allowed
        self.hasSocket = hasSocket
    }

    /// What becomes of an Ethernet frame, and why.
    public func judge(_ frame: some RandomAccessCollection<UInt8>) -> Reason {
        guard let datagram = Datagram(ethernet: Array(frame)) else { return .ignored }

        if blocked.contains(datagram.source) { return .blocked }

        let payload = datagram.payload
        if payload.starts(with: Self.options), !allowed.contains(datagram.source) { return .optionsDropped }

        let showsVersion = Self.contains(Self.version, in: payload.prefix(Int(FASTPATH_WINDOW_LENGTH)))
        let isShort = payload.count < Int(FASTPATH_SHORT_PAYLOAD)
        if payload.starts(with: Self.register), isShort || !showsVersion { return .malformed }
        if !isShort, !showsVersion { return .malformed }

        return hasSocket ? .redirected : .passed
    }

    private static let options = Array("OPTIONS ".utf8)
    private static let register = Array("REGISTER ".utf8)
    private static let version = Array("SIP/2.0".utf8)

    private static func contains(_ needle: [UInt8], in haystack: ArraySlice<UInt8>) -> Bool {
        haystack.indices.contains { haystack[$0...].starts(with: needle) }
    }
}

/// A UDP datagram to the SIP port, with its payload as the receiver would see it.
private struct Datagram {
    /// Host byte order.
    var source: UInt32
    /// What the UDP length claims, as far as the IP packet and the frame hold it.
    var payload: ArraySlice<UInt8>

    /// Nil for everything that the protocol filter leaves alone.
    init?(ethernet frame: [UInt8]) {
        let ethernetLength = 14
        let udpLength = 8
        func number(_ offset: Int) -> Int { Int(frame[offset]) << 8 | Int(frame[offset + 1]) }

        // Ethernet II, then at least the fixed part of an IPv4 header (RFC 791 section 3.1).
        guard frame.count >= ethernetLength + 20, number(12) == 0x0800 else { return nil }
        let ip = ethernetLength
        let version = frame[ip] >> 4
        let headerLength = Int(frame[ip] & 0x0f) * 4
        guard version == 4, headerLength >= 20, frame[ip + 9] == 17 else { return nil }

        // Only the first fragment has the UDP header.
        guard number(ip + 6) & 0x1fff == 0 else { return nil }

        // RFC 768.
        let udp = ip + headerLength
        guard frame.count >= udp + udpLength else { return nil }
        guard number(udp + 2) == Int(FASTPATH_SIP_PORT), number(udp + 4) >= udpLength else { return nil }

        source = (0..<4).reduce(0) { $0 << 8 | UInt32(frame[ip + 12 + $1]) }
        let start = udp + udpLength
        let end = min(udp + number(udp + 4), ip + number(ip + 2), frame.count)
        payload = frame[start..<max(start, end)]
    }
}
