// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

/// Changes a policy table, one at a time and beside programs that read it.
///
/// A set of changes is made in three steps. All records of it are linked, marked to count from the next generation on;
/// until then they are as they were, or nothing. Then the generation is stored: that is the change. Then what has no
/// entry any more is taken out. A writer that dies before the second step has changed nothing, behind it everything;
/// ``repair()`` tells the two apart by the generation, and does the rest again.
struct PolicyWriter {
    let memory: PolicyMemory
    var stores: PolicyStores
    /// Returns when every program that runs has ended.
    let wait: () throws(Failure) -> Void
    /// Of resting records: this many seconds, or a wait, and they are used again.
    private static let rest = UInt32(FASTPATH_POLICY_REST)
    /// Resting records that programs cannot be at any more, as somebody waited since.
    private var rested: UInt32 = 0

    init(_ memory: PolicyMemory, _ stores: PolicyStores, wait: @escaping () throws(Failure) -> Void) {
        self.memory = memory
        self.stores = stores
        self.wait = wait
    }

    static func isFull(_ memory: PolicyMemory) -> Failure {
        let capacity = Int(memory.recordCount) - 1
        return Failure(
            .mapFull(capacity: capacity), tried: "add to the policy table", on: "room for \(capacity) prefixes",
            because: "there is none left for what is there and what is added together",
            next: "Make a larger table, or remove entries first.")
    }

    // MARK: Any prefix

    /// The record of a prefix; 0: there is none.
    func find(_ prefix: IPPrefix) -> UInt32 {
        prefix.family == .ipv4 && prefix.length < 32 ? findNetwork(prefix) : findIndexed(prefix)
    }

    private mutating func link(_ number: UInt32, _ prefix: IPPrefix) throws(Failure) {
        if prefix.family == .ipv4, prefix.length < 32 {
            try linkNetwork(number, prefix)
        } else {
            try linkIndexed(number, prefix)
        }
    }

    private mutating func unlink(_ number: UInt32) throws(Failure) {
        let prefix = PolicyMemory.prefix(memory.record(number))
        if prefix.family == .ipv4, prefix.length < 32 {
            try unlinkNetwork(number, prefix)
        } else {
            try unlinkIndexed(number, prefix)
        }
    }

    // MARK: Records

    /// A record for a prefix that has none, without entries, and linked nowhere.
    private mutating func takeRecord(_ prefix: IPPrefix, now: UInt32) throws(Failure) -> UInt32 {
        let control = memory.control
        var number = control.pointee.resting_first
        let record: PolicyMemory.Record
        if number != 0, try canTake(number, now: now) {
            record = memory.record(number)
            control.pointee.resting_first = UInt32(truncatingIfNeeded: record.pointee.low)
            if control.pointee.resting_first == 0 { control.pointee.resting_last = 0 }
        } else {
            number = control.pointee.records_fresh
            guard number < memory.recordCount else { throw Self.isFull(memory) }
            control.pointee.records_fresh += 1
            record = memory.record(number)
        }
        control.pointee.records_used += 1
        record.pointee.hits = 0
        record.pointee.last_hit = 0
        record.pointee.parent = 0
        (record.pointee.high, record.pointee.low) = PolicyMemory.words(prefix)
        PolicyMemory.now(record).update(repeating: 0, count: PolicyMemory.kindCount)
        PolicyMemory.next(record).update(repeating: 0, count: PolicyMemory.kindCount)
        try stores.store(PolicyMemory.state(record), PolicyMemory.state(stamp: memory.generation + 1, prefix))
        return number
    }

    private mutating func canTake(_ number: UInt32, now: UInt32) throws(Failure) -> Bool {
        if rested > 0 {
            rested -= 1
            return true
        }
        let freed = UInt32(truncatingIfNeeded: memory.record(number).pointee.high)
        if now >= freed, now - freed >= Self.rest { return true }
        guard memory.control.pointee.records_fresh == memory.recordCount else { return false }
        try wait()
        // None is put to rest while records are taken.
        rested = memory.recordCount - memory.control.pointee.records_used - 2
        return true
    }

    /// Puts a record to rest that is linked nowhere and has no entry.
    private mutating func giveBack(_ number: UInt32, now: UInt32) throws(Failure) {
        let record = memory.record(number), control = memory.control
        try stores.store(PolicyMemory.state(record), 0)
        record.pointee.high = UInt64(now)
        record.pointee.low = 0
        if control.pointee.resting_last == 0 {
            control.pointee.resting_first = number
        } else {
            memory.record(control.pointee.resting_last).pointee.low = UInt64(number)
        }
        control.pointee.resting_last = number
        control.pointee.records_used -= 1
    }

    // MARK: Changes

    private static func end(_ expiry: PolicyExpiry?) -> UInt32 {
        switch expiry {
        case nil: 0
        case .never: FASTPATH_POLICY_NEVER
        case .second(let second): min(max(second, 1), FASTPATH_POLICY_NEVER - 1)
        }
    }

    /// See ``PolicyTable/apply(_:now:progress:)``. The table must not need repair.
    mutating func apply(
        _ changes: [PolicyTableChange], now: UInt32, progress: (Int) -> Void
    ) throws(Failure) {
        let dirty = memory.control(\.dirty)
        try stores.store(dirty, 1)
        // The record of each change; 0: there is nothing to remove.
        var targets: [UInt32] = []
        targets.reserveCapacity(changes.count)
        var fresh: [UInt32] = []
        do throws(Failure) {
            for change in changes {
                var number = find(change.prefix)
                if number == 0, change.expiry != nil {
                    number = try takeRecord(change.prefix, now: now)
                    fresh.append(number)
                    try link(number, change.prefix)
                }
                targets.append(number)
                if targets.count % 4096 == 0 { progress(targets.count) }
            }
        } catch {
            guard case .mapFull = error.kind else { throw error }
            try takeOut(fresh, now: now)
            try stores.store(dirty, 0)
            throw error
        }
        try stage(changes, targets, now: now)
        try stores.store(memory.control(\.generation), PolicyMemory.word(generation: memory.generation + 1))
        // Nobody must see less than the old or the new.
        if changes.count > 1 { try wait() }
        try takeOut(targets, now: now)
        try stores.store(dirty, 0)
        progress(changes.count)
    }

    /// Writes what counts from the next generation on.
    private mutating func stage(
        _ changes: [PolicyTableChange], _ targets: [UInt32], now: UInt32
    ) throws(Failure) {
        let stamp = memory.generation + 1
        var hasOld = false
        for number in targets where number != 0 {
            let record = memory.record(number)
            guard record.pointee.state <= memory.control.pointee.generation else { continue }
            hasOld = true
            let from = PolicyMemory.next(record), to = PolicyMemory.now(record)
            for kind in 0..<PolicyMemory.kindCount { try stores.store(to + kind, from[kind]) }
            let state = PolicyMemory.state(record)
            try stores.store(state, PolicyMemory.state(stamp: stamp, like: state.pointee))
        }
        // A program that saw the old stamp reads what is written now.
        if hasOld, changes.count > 1 { try wait() }
        for (change, number) in zip(changes, targets) where number != 0 {
            let record = memory.record(number)
            let kind = change.kind.rawValue.trailingZeroBitCount
            if change.kind == .block, PolicyMemory.now(record)[kind] <= now {
                // It is not there now, or has expired: nobody counts. A new entry starts from nothing.
                record.pointee.hits = 0
                record.pointee.last_hit = 0
            }
            try stores.store(PolicyMemory.next(record) + kind, Self.end(change.expiry))
        }
    }

    /// Takes out those of the records that have no entry, now or in the next generation.
    private mutating func takeOut(_ numbers: [UInt32], now: UInt32) throws(Failure) {
        for number in numbers where number != 0 {
            let record = memory.record(number)
            // The same prefix may be there for two kinds.
            guard !PolicyMemory.isFree(record), !hasEntries(PolicyMemory.next(record)) else { continue }
            try unlink(number)
            try giveBack(number, now: now)
        }
    }

    private func hasEntries(_ ends: UnsafeMutablePointer<UInt32>) -> Bool {
        (0..<PolicyMemory.kindCount).contains { ends[$0] != 0 }
    }

    // MARK: Repair

    /// Makes whole what a writer left behind that died: of each record what counts now, linked everywhere, and nothing
    /// else. Programs read meanwhile.
    mutating func repair(now: UInt32) throws(Failure) {
        let control = memory.control
        try stores.store(memory.control(\.dirty), 1)
        var dead: [UInt32] = []
        for number in 1..<max(1, control.pointee.records_fresh) {
            let record = memory.record(number)
            if PolicyMemory.isFree(record) { continue }
            if record.pointee.state > control.pointee.generation {
                let from = PolicyMemory.now(record), to = PolicyMemory.next(record)
                for kind in 0..<PolicyMemory.kindCount { try stores.store(to + kind, from[kind]) }
                let state = PolicyMemory.state(record)
                try stores.store(state, PolicyMemory.state(stamp: 0, like: state.pointee))
            }
            if !hasEntries(PolicyMemory.next(record)) { dead.append(number) }
        }
        try wait()
        try recountBlocks()
        for number in dead {
            try unlink(number)
            try stores.store(PolicyMemory.state(memory.record(number)), 0)
        }
        control.pointee.resting_first = 0
        control.pointee.resting_last = 0
        control.pointee.records_used = control.pointee.records_fresh - 1
        for number in 1..<max(1, control.pointee.records_fresh) {
            let record = memory.record(number)
            if PolicyMemory.isFree(record) {
                try giveBack(number, now: now)
            } else {
                try link(number, PolicyMemory.prefix(record))
            }
        }
        try stores.store(memory.control(\.dirty), 0)
    }
}
