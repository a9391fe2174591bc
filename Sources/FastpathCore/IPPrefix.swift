// SPDX-License-Identifier: Apache-2.0

/// An IPv4 or IPv6 address or prefix, always in canonical form: no bits set behind `length`.
public struct IPPrefix: Hashable, Sendable {
    public enum Family: UInt8, Hashable, Sendable, Comparable {
        case ipv4 = 4
        case ipv6 = 6

        /// Bits in an address.
        public var width: Int { self == .ipv4 ? 32 : 128 }

        public static func < (left: Family, right: Family) -> Bool { left.rawValue < right.rawValue }
    }

    // The widest first: 18 bytes instead of 33, and lists have a million of them.
    /// The address as a number (host byte order); an IPv4 address fills the low 32 bits.
    public let bits: UInt128
    public let family: Family
    /// Leading bits that count: 0...32 or 0...128.
    public let length: UInt8

    /// Bits behind `length` are cleared. `length` must not exceed the family's width.
    public init(family: Family, bits: UInt128, length: Int) {
        precondition((0...family.width).contains(length), "prefix length out of range")
        let hostBits = family.width - length
        self.family = family
        self.bits = hostBits == 128 ? 0 : (bits >> UInt128(hostBits)) << UInt128(hostBits)
        self.length = UInt8(length)
    }

    /// One IPv4 address, given in host byte order.
    public init(ipv4 address: UInt32) {
        family = .ipv4
        bits = UInt128(address)
        length = 32
    }

    /// An IPv4 prefix fits in one word, which halves the cost of a set of a million.
    public func hash(into hasher: inout Hasher) {
        if family == .ipv6 { hasher.combine(bits >> 64) }
        hasher.combine(UInt64(truncatingIfNeeded: bits) << 8 ^ UInt64(length))
    }

    /// One address, no network.
    public var isSingleAddress: Bool { Int(length) == family.width }

    /// The IPv4 address in host byte order, or nil for anything but one IPv4 address.
    public var ipv4Address: UInt32? {
        family == .ipv4 && length == 32 ? UInt32(truncatingIfNeeded: bits) : nil
    }
}

extension IPPrefix: Comparable {
    /// IPv4 before IPv6, then by address, then shorter prefixes first.
    public static func < (left: IPPrefix, right: IPPrefix) -> Bool {
        if left.family != right.family { return left.family < right.family }
        if left.bits != right.bits { return left.bits < right.bits }
        return left.length < right.length
    }
}

extension IPPrefix: CustomStringConvertible {
    /// `192.0.2.1`, `192.0.2.0/24`, `2001:db8::/32` (RFC 5952).
    public var description: String {
        let address = family == .ipv4 ? Self.ipv4Text(UInt32(truncatingIfNeeded: bits)) : Self.ipv6Text(bits)
        return isSingleAddress ? address : "\(address)/\(length)"
    }

    private static func ipv4Text(_ address: UInt32) -> String {
        "\(address >> 24).\(address >> 16 & 255).\(address >> 8 & 255).\(address & 255)"
    }

    private static func ipv6Text(_ address: UInt128) -> String {
        let groups = (0..<8).map { UInt16(truncatingIfNeeded: address >> UInt128(112 - 16 * $0)) }
        // RFC 5952, section 4.2: the longest run of two or more zero groups, the first of equals.
        var longest = 0..<0
        var index = 0
        while index < groups.count {
            let run = groups[index...].prefix { $0 == 0 }
            if run.count > max(1, longest.count) { longest = run.startIndex..<run.endIndex }
            index += max(1, run.count)
        }
        let text = { (part: ArraySlice<UInt16>) in part.map { String($0, radix: 16) }.joined(separator: ":") }
        return longest.isEmpty
            ? text(groups[...]) : text(groups[..<longest.lowerBound]) + "::" + text(groups[longest.upperBound...])
    }
}
