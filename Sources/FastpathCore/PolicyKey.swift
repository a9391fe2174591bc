// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// A prefix as the policy table keeps it (`fastpath_policy.h`): the arithmetic of the layout, without the table.
public struct PolicyKey: Hashable, Sendable {
    public let family: IPPrefix.Family
    /// IPv6: the prefix with a 1 behind its last bit, if there is a bit behind it. IPv4: 0 and the word's key.
    public let high: UInt64
    public let low: UInt64
    /// Bits of the word that tell keys apart: HALF and HOST.
    public let flags: UInt64

    /// The keys of a prefix: one, but for length 0, which is kept as its two halves.
    public static func keys(of prefix: IPPrefix) -> (PolicyKey, PolicyKey?) {
        guard prefix.length == 0 else { return (PolicyKey(prefix, isHalf: false), nil) }
        let upper = UInt128(1) << UInt128(prefix.family.width - 1)
        let halves = [0, upper].map {
            PolicyKey(IPPrefix(family: prefix.family, bits: $0, length: 1), isHalf: true)
        }
        return (halves[0], halves[1])
    }

    private init(_ prefix: IPPrefix, isHalf: Bool) {
        family = prefix.family
        var flags = isHalf ? UInt64(FASTPATH_POLICY_HALF) : 0
        switch prefix.family {
        case .ipv4:
            high = 0
            low = fastpath_policy_key4(UInt32(truncatingIfNeeded: prefix.bits), 1 << UInt32(32 - prefix.length))
        case .ipv6:
            let isHost = prefix.length == 128
            if isHost { flags |= UInt64(FASTPATH_POLICY_HOST) }
            let bits = isHost ? prefix.bits : prefix.bits | 1 << UInt128(127 - prefix.length)
            high = UInt64(truncatingIfNeeded: bits >> 64)
            low = UInt64(truncatingIfNeeded: bits)
        }
        self.flags = flags
    }

    /// The key of an entry that was read back: the lower bits of its word say what else there is to know.
    public init(family: IPPrefix.Family, word: UInt64, high: UInt64, low: UInt64) {
        self.family = family
        self.high = family == .ipv4 ? 0 : high
        self.low = family == .ipv4 ? word & ~UInt64(FASTPATH_POLICY_LOW) : low
        flags = word & UInt64(FASTPATH_POLICY_HALF | FASTPATH_POLICY_HOST)
    }

    /// The prefix; half of one of length 0 is the whole.
    public var prefix: IPPrefix {
        if flags & UInt64(FASTPATH_POLICY_HALF) != 0 { return IPPrefix(family: family, bits: 0, length: 0) }
        switch family {
        case .ipv4:
            let marked = low >> UInt64(FASTPATH_POLICY_KEY_SHIFT)
            let length = 32 - marked.trailingZeroBitCount
            return IPPrefix(family: .ipv4, bits: UInt128(marked >> 1), length: length)
        case .ipv6:
            let marked = UInt128(high) << 64 | UInt128(low)
            let isHost = flags & UInt64(FASTPATH_POLICY_HOST) != 0
            return IPPrefix(family: .ipv6, bits: marked, length: isHost ? 128 : 127 - marked.trailingZeroBitCount)
        }
    }

    /// The length that it is looked up with: 1 for a half.
    public var length: Int { max(1, Int(prefix.length)) }

    /// The address's bits, behind `length` cleared.
    public var bits: UInt128 {
        guard flags & UInt64(FASTPATH_POLICY_HALF) != 0 else { return prefix.bits }
        switch family {
        case .ipv4: return UInt128(low >> 63) << 31
        case .ipv6: return UInt128(high >> 63) << 127
        }
    }

    /// The hash, the number of its bucket and the key part of its word, in a table of that state.
    public func place(in state: PolicyState) -> (hash: UInt64, bucket: Int, word: UInt64) {
        let hash =
            family == .ipv4
            ? fastpath_policy_hash4(low, state.rawValue) : fastpath_policy_hash6(high, low, state.rawValue)
        let bucket = Int(fastpath_policy_home(hash, state.rawValue))
        return (hash, bucket, family == .ipv4 ? low : fastpath_policy_key6(hash))
    }
}

/// How a family's table is read: the word that the program starts from.
public struct PolicyState: Hashable, Sendable {
    public let rawValue: UInt64

    public init(rawValue: UInt64) { self.rawValue = rawValue }

    /// `buckets`: a power of two, at least 2. `seed`: any number, the secret of the hash.
    public init(slot: Int, buckets: Int, seed: UInt64) {
        let shift = UInt64(64 - buckets.trailingZeroBitCount)
        rawValue =
            UInt64(slot) | shift << UInt64(FASTPATH_POLICY_SHIFT_SHIFT) | seed << UInt64(FASTPATH_POLICY_SEED_SHIFT)
    }

    /// Without a table every source is a stranger.
    public var hasTable: Bool { rawValue != 0 }
    public var slot: Int { Int(rawValue & UInt64(FASTPATH_POLICY_SLOTS - 1)) }
}
