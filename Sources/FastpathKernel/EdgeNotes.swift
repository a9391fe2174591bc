// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore

/// Reads the notes of a program, any number of times.
public final class EdgeNotesReader {
    /// Nil where the program is older than the notes.
    private let map: BPFMap?

    public init(_ program: Program) throws(Failure) { map = try program.ownMap(FASTPATH_NOTES_MAP) }

    /// What it has written down since it was loaded, and what programs with the same settings had before it.
    public func read() throws(Failure) -> EdgeNotes {
        var notes = EdgeNotes()
        for rule in Reason.droppable {
            notes.dryRun[rule] = try count(Int(FASTPATH_NOTE_DRY_RUN) + Int(rule.id)).nonzero
        }
        for filterSwitch in FilterSwitch.observed {
            let number = Int(FASTPATH_NOTE_UNFILTERED) + filterSwitch.bit.trailingZeroBitCount
            notes.unfiltered[filterSwitch] = try count(number).nonzero
        }
        notes.sampled = try count(Int(FASTPATH_NOTE_SAMPLED))
        notes.lost = try count(Int(FASTPATH_NOTE_OVER_CAP)) + count(Int(FASTPATH_NOTE_UNREAD))
        let since = try count(Int(FASTPATH_NOTE_SINCE))
        notes.since = since == 0 ? nil : Int64(clamping: since)
        return notes
    }

    /// Says when the notes begin.
    func begin(at now: Int64) throws(Failure) {
        let key = withUnsafeBytes(of: UInt32(FASTPATH_NOTE_SINCE)) { Array($0) }
        guard let map, let cells = try map.lookup(key: key) else { return }
        let first = withUnsafeBytes(of: UInt64(clamping: now)) { Array($0) }
        try map.update(key: key, value: first + [UInt8](repeating: 0, count: cells.count - first.count))
    }

    private func count(_ note: Int) throws(Failure) -> UInt64 {
        let key = withUnsafeBytes(of: UInt32(note)) { Array($0) }
        guard let cells = try map?.lookup(key: key) else { return 0 }
        return cells.withUnsafeBytes { $0.bindMemory(to: UInt64.self).reduce(0, &+) }
    }
}

extension UInt64 {
    fileprivate var nonzero: UInt64? { self == 0 ? nil : self }
}

extension Program {
    /// A map of ours that the program reads or writes, by its name, which the kernel cuts to 15 characters.
    func ownMap(_ name: String) throws(Failure) -> BPFMap? {
        try maps().first { $0.name == name.prefix(15) }
    }
}
