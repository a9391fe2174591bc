// SPDX-License-Identifier: Apache-2.0
import FastpathCore

// These are the types of the policy table's interface in FastpathCore, until the table there has them.

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
