// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore

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

    public init() {}

    public static func + (left: EdgeNotes, right: EdgeNotes) -> EdgeNotes {
        var sum = left
        sum.dryRun.merge(right.dryRun, uniquingKeysWith: +)
        sum.unfiltered.merge(right.unfiltered, uniquingKeysWith: +)
        sum.sampled += right.sampled
        sum.lost += right.lost
        return sum
    }

    /// The notes that a program writes; none where it is older than they are.
    public init(of program: Program) throws(Failure) {
        guard let map = try program.ownMap(FASTPATH_NOTES_MAP) else { return }
        for rule in Reason.droppable { dryRun[rule] = try Self.count(map, Int(FASTPATH_NOTE_DRY_RUN) + Int(rule.id)) }
        for filterSwitch in FilterSwitch.allCases {
            let number = Int(FASTPATH_NOTE_UNFILTERED) + filterSwitch.bit.trailingZeroBitCount
            unfiltered[filterSwitch] = try Self.count(map, number)
        }
        dryRun = dryRun.filter { $0.value > 0 }
        unfiltered = unfiltered.filter { $0.value > 0 }
        sampled = try Self.count(map, Int(FASTPATH_NOTE_SAMPLED))
        lost = try Self.count(map, Int(FASTPATH_NOTE_OVER_CAP)) + Self.count(map, Int(FASTPATH_NOTE_UNREAD))
    }

    private static func count(_ map: BPFMap, _ note: Int) throws(Failure) -> UInt64 {
        let key = withUnsafeBytes(of: UInt32(note)) { Array($0) }
        guard let cells = try map.lookup(key: key) else { return 0 }
        return cells.withUnsafeBytes { $0.bindMemory(to: UInt64.self).reduce(0, &+) }
    }
}

extension Program {
    /// A map of ours that the program reads or writes, by its name, which the kernel cuts to 15 characters.
    func ownMap(_ name: String) throws(Failure) -> BPFMap? {
        try maps().first { $0.name == name.prefix(15) }
    }
}
