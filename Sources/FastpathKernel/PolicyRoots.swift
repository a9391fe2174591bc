// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

/// Which prefix lengths occur where: the bits of `policy_root4`, `policy_root6` and of the control's short lengths. The
/// program looks up no length whose bit is not set, so bits are set before an entry is there, and cleared behind it or
/// never: one that is set in vain costs time, no more.
///
/// A value in memory while a table is built; the live ones are ``LivePolicyRoots``.
struct PolicyRoots {
    /// By the upper 16 bits.
    var lengths4: [UInt32] = []
    /// By the hash of the upper 32 bits; `low` and `high` in turn.
    var lengths6: [UInt64] = []
    var short6: UInt64 = 0

    static let count4 = Int(FASTPATH_POLICY_ROOT4_LINES * FASTPATH_POLICY_ROOT4_WORDS)
    static let count6 = Int(FASTPATH_POLICY_ROOT6_LINES * FASTPATH_POLICY_ROOT6_SLOTS)

    /// Without a length.
    init(_ family: IPPrefix.Family) {
        if family == .ipv4 {
            lengths4 = Array(repeating: 0, count: Self.count4)
        } else {
            lengths6 = Array(repeating: 0, count: 2 * Self.count6)
        }
    }

    /// The bits that a key sets.
    enum Bits {
        /// This bit in a range of `policy_root4`.
        case ipv4(Range<Int>, UInt32)
        /// This bit in a word of `policy_root6`.
        case ipv6(Int, UInt64)
        case short6(UInt64)
    }

    static func bits(_ key: PolicyKey) -> Bits {
        switch key.family {
        case .ipv4:
            let first = Int(UInt32(truncatingIfNeeded: key.bits) >> 16)
            let count = key.length >= 16 ? 1 : 1 << (16 - key.length)
            return .ipv4(first..<first + count, 1 << UInt32(32 - key.length))
        case .ipv6:
            if key.length <= Int(FASTPATH_POLICY_ROOT6_SHORT) { return .short6(1 << UInt64(64 - key.length)) }
            let slot = Int(fastpath_policy_root6_slot(UInt64(truncatingIfNeeded: key.bits >> 64)))
            return key.length > 64
                ? .ipv6(2 * slot, 1 << UInt64(128 - key.length)) : .ipv6(2 * slot + 1, 1 << UInt64(64 - key.length))
        }
    }

    mutating func insert(_ key: PolicyKey) {
        switch Self.bits(key) {
        case .ipv4(let range, let bit): for index in range { lengths4[index] |= bit }
        case .ipv6(let index, let bit): lengths6[index] |= bit
        case .short6(let bit): short6 |= bit
        }
    }

    /// Throws where an IPv6 source could be in prefixes of more lengths than the program looks up.
    func requireFewLengths() throws(Failure) {
        for index in stride(from: 0, to: lengths6.count, by: 2) {
            try Self.requireFew(lengths6[index], lengths6[index + 1] | short6)
        }
    }

    static func requireFew(
        _ low: UInt64, _ high: UInt64, limit: Int32 = FASTPATH_POLICY_LENGTHS
    ) throws(Failure) {
        let count = low.nonzeroBitCount + high.nonzeroBitCount
        guard count > Int(limit) else { return }
        throw Failure(
            .usage, tried: "put prefixes into the policy table", on: "IPv6 prefixes of \(count) lengths",
            because: "a source can be looked up with \(limit) lengths",
            next: "Write some prefixes with another length.")
    }
}

/// The bits that the program reads.
struct LivePolicyRoots {
    let root4: UnsafeMutablePointer<UInt32>
    /// `low` and `high` in turn.
    let root6: UnsafeMutablePointer<UInt64>
    let short6: UnsafeMutablePointer<UInt64>

    /// Sets the bits of a key. Throws `.usage` as ``PolicyRoots/requireFewLengths()``.
    func insert(_ key: PolicyKey, _ stores: inout PolicyStores) throws(Failure) {
        switch PolicyRoots.bits(key) {
        case .ipv4(let range, let bit):
            for index in range where root4[index] & bit == 0 {
                try stores.publish(root4 + index, root4[index] | bit)
            }
        case .ipv6(let index, let bit):
            guard root6[index] & bit == 0 else { return }
            let isHigh = index & 1 == 1
            let low = root6[index & ~1] | (isHigh ? 0 : bit)
            try PolicyRoots.requireFew(low, root6[index | 1] | (isHigh ? bit : 0) | short6.pointee)
            try stores.publish(root6 + index, root6[index] | bit)
        case .short6(let bit):
            guard short6.pointee & bit == 0 else { return }
            for slot in 0..<PolicyRoots.count6 {
                try PolicyRoots.requireFew(root6[2 * slot], root6[2 * slot + 1] | short6.pointee | bit)
            }
            try stores.publish(short6, short6.pointee | bit)
        }
    }

    /// Clears the bits of a key that is no longer there with any kind, where they are its alone: IPv4 prefixes of up to
    /// 16 bits.
    func remove(_ key: PolicyKey, _ stores: inout PolicyStores) throws(Failure) {
        guard case .ipv4(let range, let bit) = PolicyRoots.bits(key), key.length <= 16 else { return }
        for index in range { try stores.publish(root4 + index, root4[index] & ~bit) }
    }

    /// Adds the bits of a table that is about to be read. Throws `.usage`, before it changes anything, where the lengths
    /// of both are more than a program looks up.
    func add(_ roots: PolicyRoots, _ stores: inout PolicyStores) throws(Failure) {
        let short = roots.short6 | short6.pointee
        for index in stride(from: 0, to: roots.lengths6.count, by: 2) {
            try PolicyRoots.requireFew(
                root6[index] | roots.lengths6[index], root6[index + 1] | roots.lengths6[index + 1] | short,
                limit: FASTPATH_POLICY_LENGTHS6_MAX)
        }
        for (index, lengths) in roots.lengths4.enumerated() where root4[index] | lengths != root4[index] {
            try stores.publish(root4 + index, root4[index] | lengths)
        }
        for (index, lengths) in roots.lengths6.enumerated() where root6[index] | lengths != root6[index] {
            try stores.publish(root6 + index, root6[index] | lengths)
        }
        if roots.short6 | short6.pointee != short6.pointee {
            try stores.publish(short6, short6.pointee | roots.short6)
        }
    }

    /// Leaves no bits but those of the table that is read.
    func set(_ roots: PolicyRoots, _ stores: inout PolicyStores) throws(Failure) {
        for (index, lengths) in roots.lengths4.enumerated() where root4[index] != lengths {
            try stores.publish(root4 + index, lengths)
        }
        for (index, lengths) in roots.lengths6.enumerated() where root6[index] != lengths {
            try stores.publish(root6 + index, lengths)
        }
        if !roots.lengths6.isEmpty, short6.pointee != roots.short6 { try stores.publish(short6, roots.short6) }
    }
}
