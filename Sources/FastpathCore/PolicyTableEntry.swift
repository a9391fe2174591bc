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

/// How long an entry counts.
public enum PolicyExpiry: Hashable, Sendable {
    /// For good.
    case never
    /// Up to this second of the boot-time clock (CLOCK_BOOTTIME), and not in it.
    case second(UInt32)

    /// Does the entry count at a second of the boot-time clock?
    public func isLive(at second: UInt32) -> Bool {
        switch self {
        case .never: true
        case .second(let end): second < end
        }
    }
}

/// What the policy table is told of one prefix and one kind.
public struct PolicyTableChange: Hashable, Sendable {
    public var prefix: IPPrefix
    /// Exactly one.
    public var kind: PolicyKinds
    /// nil: the entry is removed. Else it is there, its hits stay if it was.
    public var expiry: PolicyExpiry?

    public init(_ prefix: IPPrefix, _ kind: PolicyKinds, expiry: PolicyExpiry? = .never) {
        self.prefix = prefix
        self.kind = kind
        self.expiry = expiry
    }
}

/// What the policy table holds of one prefix and one kind.
public struct PolicyTableRecord: Hashable, Sendable {
    public var prefix: IPPrefix
    /// Exactly one.
    public var kind: PolicyKinds
    public var expiry: PolicyExpiry
    /// Packets dropped because of it; 0 for all kinds but block.
    public var hits: UInt64
    /// The second of the boot-time clock of the last of them, or nil.
    public var lastHit: UInt32?

    public init(
        _ prefix: IPPrefix, _ kind: PolicyKinds, expiry: PolicyExpiry, hits: UInt64 = 0, lastHit: UInt32? = nil
    ) {
        self.prefix = prefix
        self.kind = kind
        self.expiry = expiry
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
