// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// How far a long change has come.
public struct ChangeProgress: Hashable, Sendable {
    public enum Step: Hashable, Sendable {
        /// Into the record.
        case recording
        /// Into the lists in the kernel.
        case applying
    }

    public var step: Step
    public var kind: PolicyKind
    /// Entries of this step that are done.
    public var done: Int
    /// Entries of this step in all.
    public var total: Int
}

/// An operation was found that had not come to its end: its process died, or it could not take back what it had done.
/// The shared lists are put right.
public struct Mending: Hashable, Sendable {
    /// "block import", say.
    public var interrupted: String
    /// Recorded entries that the shared lists lacked and have now.
    public var restored: Int
    /// Recorded entries that the shared lists have no room for.
    public var notFitted: Int
    /// Interfaces of the instance that read lists of their own still. Changes reach these too; `up` gives them the
    /// shared ones.
    public var strays: [EdgeState]
}

/// A list is too small.
public struct Shortage: Hashable, Sendable {
    public var kind: PolicyKind
    /// Entries that the smallest of the lists can hold.
    public var capacity: Int
    /// The interface to run `up` on; nil where none is known.
    public var interface: String?
    /// A capacity that holds what there is and what did not fit, with some room: a power of two.
    public var suggestedCapacity: Int

    /// How to raise the capacity, as an order. Only programs that read no policy table fill a public map.
    public var advice: String {
        "Raise it: vos-fastpath up \(interface ?? "IFACE") --profile classic \(kind.capacityOption) \(suggestedCapacity). "
            + "Or use profile carrier, whose table grows by itself."
    }
}

extension PolicyKind {
    /// The option of `up` that sets the list's capacity.
    public var capacityOption: String { self == .block ? "--blocked-capacity" : "--allowed-capacity" }
}

/// What became of addresses that were to be added. Each is in exactly one of the four lists.
public struct AddReport: Hashable, Sendable {
    public var kind: PolicyKind
    /// New in the record, and in force where something filters.
    public var added: [IPPrefix]
    /// Were in the kernel, written by hand; now they are recorded too.
    public var byHand: [IPPrefix]
    /// Were recorded, with another expiry or comment.
    public var changed: [IPPrefix]
    /// Were recorded already; those that a kernel list lacked are in force again.
    public var alreadyThere: [IPPrefix]
    /// Private ones that were to be left out.
    public var leftOut: Int
    /// False where no interface filters: the change is recorded and waits for `up`.
    public var isInForce: Bool
    /// What some interfaces do not enforce.
    public var gap: EnforcementGap?
    /// The policy table was too small.
    public var growth: TableGrowth?
    public var mending: Mending?
}

/// What became of a file's addresses.
public struct ImportReport: Hashable, Sendable {
    public var kind: PolicyKind
    /// New in the record, and in force where something filters.
    public var added = 0
    /// Were in the kernel, written by hand; now they are recorded too.
    public var byHand = 0
    /// Were recorded, with another expiry or comment.
    public var changed = 0
    /// Were recorded already; those that a kernel list lacked are in force again.
    public var alreadyThere = 0
    /// Were in the set that was replaced and are not in the file.
    public var removed = 0
    /// Private ones that were to be left out.
    public var leftOut = 0
    /// Lines that would block what must not be blocked.
    public var refused: [RefusedLine] = []
    /// Neither recorded nor applied: there is no room. In the file's order.
    public var notFitted: [IPPrefix] = []
    /// Why they did not fit, and how to make room.
    public var shortage: Shortage?
    /// Lines that repeat an address of the file.
    public var duplicates = 0
    public var badLines: [AddressList.BadLine] = []
    /// False where no interface filters: the change is recorded and waits for `up`.
    public var isInForce = false
    /// What some interfaces do not enforce.
    public var gap: EnforcementGap?
    /// The policy table was too small.
    public var growth: TableGrowth?
    public var mending: Mending?

    /// Addresses of the file that are on the list now.
    public var fitted: Int { added + byHand + changed + alreadyThere }

    /// Did every line get where it should?
    public var isComplete: Bool { notFitted.isEmpty && badLines.isEmpty && refused.isEmpty }
}

/// What became of addresses that were to be removed. Each is in exactly one of the first three lists.
public struct RemoveReport: Hashable, Sendable {
    public var kind: PolicyKind
    /// Were recorded.
    public var removed: [IPPrefix]
    /// Were in the kernel only, written by hand; gone as well.
    public var byHand: [IPPrefix]
    /// Were nowhere.
    public var notThere: [IPPrefix]
    /// Of `removed`: in force still, as another set has them.
    public var stillThere: [IPPrefix]
    /// False where no interface filters.
    public var isInForce: Bool
    /// The policy table was made anew.
    public var growth: TableGrowth?
    public var mending: Mending?
}

/// One entry of a list, as the record and the kernel know it.
public struct PolicyRow: Hashable, Sendable {
    public enum State: String, Hashable, Sendable {
        /// Recorded, and in every list in the kernel.
        case inForce = "in force"
        /// Recorded; there is no list in the kernel.
        case recorded
        /// Recorded; the kernel's lists lack it.
        case notInKernel = "not in the kernel"
        /// Recorded; some of the kernel's lists lack it.
        case partly = "in force in part"
        /// Recorded; it does not count any more, and goes with the next change.
        case expired
        /// In the kernel, not recorded.
        case byHand = "by hand"
    }

    public var prefix: IPPrefix
    public var state: State
    /// Nil for one that was written by hand.
    public var origin: Origin?
    /// Seconds since 1970-01-01 UTC; nil for one that was written by hand.
    public var added: Int64?
    /// Seconds since 1970-01-01 UTC; nil for what stays.
    public var expiry: Int64?
    /// Empty for none.
    public var set = ""
    public var comment: String?
    /// Packets dropped because of it; nil where no table counts them.
    public var hits: UInt64?
    /// Of the last of them: seconds since 1970-01-01 UTC.
    public var lastHit: Int64?

    public init(prefix: IPPrefix, state: State, origin: Origin? = nil, added: Int64? = nil) {
        self.prefix = prefix
        self.state = state
        self.origin = origin
        self.added = added
    }
}
