// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// Kinds of policy entry, and the union of those that cover a source.
public struct PolicyKinds: OptionSet, Hashable, Sendable {
    public let rawValue: UInt8

    public init(rawValue: UInt8) { self.rawValue = rawValue }

    /// Everything from the source is dropped, unless it is trusted.
    public static let block = PolicyKinds(rawValue: UInt8(FASTPATH_POLICY_BLOCK))
    /// The source may send OPTIONS.
    public static let allow = PolicyKinds(rawValue: UInt8(FASTPATH_POLICY_ALLOW))
    /// Nothing from the source is dropped or limited.
    public static let trust = PolicyKinds(rawValue: UInt8(FASTPATH_POLICY_TRUST))

    public static let all: PolicyKinds = [.block, .allow, .trust]

    /// Each of them by itself.
    public var each: [PolicyKinds] { [.block, .allow, .trust].filter(contains) }
}

/// What the policy table is told about a prefix.
public struct PolicyTableEntry: Hashable, Sendable {
    public var prefix: IPPrefix
    /// More than one is as good as an entry for each.
    public var kinds: PolicyKinds
    /// The second of the boot-time clock from which on it no longer counts; nil: it stays.
    public var expiry: UInt32?

    public init(_ prefix: IPPrefix, _ kinds: PolicyKinds, expiry: UInt32? = nil) {
        self.prefix = prefix
        self.kinds = kinds
        self.expiry = expiry
    }

    /// Does it count at a second of the boot-time clock?
    public func isLive(at second: UInt32) -> Bool { expiry.map { second < $0 } ?? true }
}

/// What the policy table holds of one prefix and one kind.
public struct PolicyTableRecord: Hashable, Sendable {
    /// With exactly one kind.
    public var entry: PolicyTableEntry
    /// Packets dropped because of it.
    public var hits: UInt64
    /// The second of the boot-time clock of the last of them, or nil.
    public var lastHit: UInt32?

    public init(entry: PolicyTableEntry, hits: UInt64, lastHit: UInt32?) {
        self.entry = entry
        self.hits = hits
        self.lastHit = lastHit
    }
}

extension IPPrefix {
    /// Is every address of `other` in it?
    public func covers(_ other: IPPrefix) -> Bool {
        family == other.family && length <= other.length
            && IPPrefix(family: family, bits: other.bits, length: Int(length)) == self
    }

    /// One IPv6 address, as a number.
    public init(ipv6 address: UInt128) { self.init(family: .ipv6, bits: address, length: 128) }
}
