// SPDX-License-Identifier: Apache-2.0

/// What the program writes down beside the public counters: packets, over all CPUs, since it was loaded.
public struct EdgeNotes: Hashable, Sendable {
    /// What rules in dry run would have dropped.
    public var dryRun: [Reason: UInt64] = [:]
    /// SIP that passed unfiltered, as a switch is off. In profile classic nobody looks.
    public var unfiltered: [FilterSwitch: UInt64] = [:]
    /// Decisions that were sampled.
    public var sampled: UInt64 = 0
    /// Samples that were left out: over the cap, or nobody took them in time.
    public var lost: UInt64 = 0
    /// When they began, seconds since 1970-01-01 UTC; nil where nobody said.
    public var since: Int64?

    public init() {}

    public static func + (left: EdgeNotes, right: EdgeNotes) -> EdgeNotes {
        var sum = left
        sum.dryRun.merge(right.dryRun, uniquingKeysWith: +)
        sum.unfiltered.merge(right.unfiltered, uniquingKeysWith: +)
        sum.sampled += right.sampled
        sum.lost += right.lost
        sum.since = [left.since, right.since].compactMap { $0 }.min()
        return sum
    }
}
