// SPDX-License-Identifier: Apache-2.0

extension IPPrefix {
    /// The lowest address, as a number.
    public var first: UInt128 { bits }

    /// The highest address, as a number.
    public var last: UInt128 {
        let hostBits = family.width - Int(length)
        return hostBits == 128 ? .max : bits | ((1 << UInt128(hostBits)) - 1)
    }

    /// What no public feed should name: private use (RFC 1918, RFC 6598, RFC 4193), loopback, link-local and multicast.
    public static let privateRanges: [IPPrefix] = [
        IPPrefix(family: .ipv4, bits: 0x0a00_0000, length: 8),  // 10.0.0.0/8
        IPPrefix(family: .ipv4, bits: 0x6440_0000, length: 10),  // 100.64.0.0/10
        IPPrefix(family: .ipv4, bits: 0x7f00_0000, length: 8),  // 127.0.0.0/8
        IPPrefix(family: .ipv4, bits: 0xa9fe_0000, length: 16),  // 169.254.0.0/16
        IPPrefix(family: .ipv4, bits: 0xac10_0000, length: 12),  // 172.16.0.0/12
        IPPrefix(family: .ipv4, bits: 0xc0a8_0000, length: 16),  // 192.168.0.0/16
        IPPrefix(family: .ipv4, bits: 0xe000_0000, length: 4),  // 224.0.0.0/4
        IPPrefix(family: .ipv6, bits: 1, length: 128),  // ::1
        IPPrefix(family: .ipv6, bits: 0xfc << 120, length: 7),  // fc00::/7
        IPPrefix(family: .ipv6, bits: 0xfe80 << 112, length: 10),  // fe80::/10
        IPPrefix(family: .ipv6, bits: 0xff << 120, length: 8),  // ff00::/8
    ]

    /// The part of its family's address space that it covers: of all IPv4 addresses, or of 2000::/3, where IPv6 addresses
    /// are given out. 1 is all of it; an IPv6 prefix may cover more.
    public var addressShare: Double {
        var share = 1.0
        for _ in 0..<Int(length) { share /= 2 }
        return family == .ipv4 ? share : share * 8
    }
}

/// Finds what a prefix has addresses in common with, among many.
public struct PrefixOverlap {
    /// In order, none within another.
    private let outermost: [IPPrefix]

    public init(_ prefixes: [IPPrefix]) {
        var outermost: [IPPrefix] = []
        // In this order a prefix comes before those within it.
        for prefix in prefixes.sorted() where !(outermost.last?.covers(prefix) ?? false) { outermost.append(prefix) }
        self.outermost = outermost
    }

    public var isEmpty: Bool { outermost.isEmpty }

    /// One that covers `prefix` or that `prefix` covers; nil where there is none.
    public func first(touching prefix: IPPrefix) -> IPPrefix? {
        var (low, high) = (0, outermost.count)
        while low < high {
            let middle = (low + high) / 2
            if outermost[middle] < prefix { low = middle + 1 } else { high = middle }
        }
        // Prefixes cross only where one is in the other: look at the neighbours.
        if low > 0, outermost[low - 1].covers(prefix) { return outermost[low - 1] }
        if low < outermost.count, prefix.covers(outermost[low]) { return outermost[low] }
        return nil
    }
}
