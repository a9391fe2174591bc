// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore
import Glibc

/// The policy table: what the packet program reads of block, allow and trust entries, for all interfaces
/// (docs/decisions/0020-policy-table.md).
///
/// One process writes at a time: whoever changes something holds the instance's lock. Programs read meanwhile. A set of
/// changes takes effect with one store, for both families and on all interfaces. Its size is fixed: whoever needs more
/// makes a larger one, fills it, and replaces the programs. Seconds are those of the boot-time clock, ``now()``.
public final class PolicyTable {
    /// All maps, by their names in the object: for `LoadedObject.Options.maps`, and to be pinned.
    public let maps: [String: BPFMap]
    /// Prefixes that it has room for, of both families together.
    public let capacity: Int

    /// The names of the maps.
    public static let mapNames: [String] = []

    /// The second of the boot-time clock.
    public static func now() -> UInt32 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt32(clamping: time.tv_sec)
    }

    /// A new table without entries, in maps of its own that vanish with it unless they are pinned or used.
    public static func make(capacity: Int) throws(Failure) -> PolicyTable { fatalError() }

    /// Bytes that a table of that capacity takes.
    public static func bytes(capacity: Int) -> Int { fatalError() }

    /// The table in maps that are there: pinned ones, or those of a program. Changes nothing.
    public init(maps: [String: BPFMap]) throws(Failure) { fatalError() }

    /// Makes the changes, all with one store; of those of the same prefix and kind the last one counts. An entry that is
    /// there keeps its hits; one that has expired at `now` counts as not there. Throws `.mapFull` where there is no room
    /// for what is there and what is added together, and `.usage` where an IPv6 source would be in prefixes of too many
    /// lengths: then nothing has changed. Repairs first, if it must.
    public func apply(
        _ changes: [PolicyTableChange], now: UInt32, progress: (Int) -> Void = { _ in }
    ) throws(Failure) { fatalError() }

    /// Every entry with its hits, unsorted; expired ones too.
    public func records() throws(Failure) -> [PolicyTableRecord] { fatalError() }

    /// The entries of these prefixes, in their order; expired ones too. Reads no others.
    public func find(_ prefixes: [IPPrefix]) -> [PolicyTableRecord] { fatalError() }

    /// Removes what has expired at `now`, and what old entries left behind that only costs time; how many entries.
    @discardableResult
    public func sweep(now: UInt32) throws(Failure) -> Int { fatalError() }

    /// Did a writer die in the middle of a change?
    public var needsRepair: Bool { fatalError() }

    /// Puts right what a writer left that died: its changes have taken effect all or not at all. True if there was one.
    @discardableResult
    public func repairIfNeeded() throws(Failure) -> Bool { fatalError() }

    /// The second that programs take it to be, in place of the clock; 0: the clock. For tests.
    public func setSecond(_ second: UInt32) { fatalError() }

    /// What it holds and takes.
    public struct Statistics: Hashable, Sendable {
        /// Prefixes; one of several kinds counts once.
        public var prefixes = 0
        public var capacity = 0
        /// All maps, in bytes, whatever they hold.
        public var bytes = 0
        /// IPv4 networks are in blocks of 256 words: how many are in use, and how many there are.
        public var blocks = 0
        public var blockCapacity = 0
    }

    /// Cheap: it is kept, not counted.
    public var statistics: Statistics { fatalError() }
}
