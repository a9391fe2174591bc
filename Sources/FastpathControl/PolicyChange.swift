// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// One change of one kind's entries: worked out first, then done.
struct PolicyChange<Kernel: EdgeKernelPort> {
    let kind: PolicyKind
    /// Leave the record.
    var removing: [PolicyEntry] = []
    /// Come into the record, in the place of `replaced` where those were there.
    var putting: [PolicyEntry] = []
    /// As they were.
    var replaced: [PolicyEntry] = []
    /// What the record has of the prefixes afterwards, besides `putting`.
    var live: [PolicyEntry] = []
    /// What public maps get, and what leaves them.
    var inserting: [(list: KernelList<Kernel.PolicyMap>, prefixes: [IPPrefix])] = []
    var leaving: [(list: KernelList<Kernel.PolicyMap>, prefixes: [IPPrefix])] = []

    init(kind: PolicyKind) { self.kind = kind }

    var concernsPublicMaps: Bool { !inserting.isEmpty || !leaving.isEmpty }
}

/// What adding means for each place: worked out first, then done.
struct Addition<Kernel: EdgeKernelPort> {
    let kind: PolicyKind
    let lists: [KernelList<Kernel.PolicyMap>]
    private(set) var added: [IPPrefix] = []
    private(set) var byHand: [IPPrefix] = []
    private(set) var changed: [IPPrefix] = []
    private(set) var alreadyThere: [IPPrefix] = []

    private let options: EntryOptions
    private let now: Int64
    /// What the record has, in the set that is added to.
    private let inSet: [IPPrefix: PolicyEntry]
    /// And in others.
    private let inOtherSets: [IPPrefix: [PolicyEntry]]
    /// What each of `lists` lacks.
    private var missing: [[IPPrefix]]
    private var putting: [PolicyEntry] = []
    private var replaced: [PolicyEntry] = []
    private var live: [PolicyEntry] = []

    var unrecordedCount: Int { added.count + byHand.count }

    /// `recorded`: what the record has of the prefixes, and perhaps of others.
    init(
        kind: PolicyKind, _ options: EntryOptions, _ lists: KernelLists<Kernel>, recorded rows: [PolicyEntry],
        now: Moment
    ) throws(Failure) {
        self.kind = kind
        self.options = options
        self.now = now.wall
        self.lists = try lists.all(kind)
        missing = self.lists.map { _ in [] }
        let (own, others) = (rows.filter { $0.set == options.set }, rows.filter { $0.set != options.set })
        inSet = Dictionary(own.map { ($0.prefix, $0) }) { first, _ in first }
        inOtherSets = Dictionary(grouping: others, by: \.prefix)
    }

    func isRecorded(_ prefix: IPPrefix) -> Bool { inSet[prefix] != nil || inOtherSets[prefix] != nil }

    /// `isHeld`: for each of `lists`.
    mutating func take(_ prefix: IPPrefix, isHeld: [Bool]) {
        if !inOtherSets.isEmpty, let others = inOtherSets[prefix] { live += others }
        if !inSet.isEmpty, let before = inSet[prefix] {
            var after = before
            after.expiry = options.expiry
            after.comment = options.comment ?? before.comment
            if after == before {
                alreadyThere.append(prefix)
                live.append(before)
            } else {
                changed.append(prefix)
                replaced.append(before)
                putting.append(after)
            }
        } else {
            if isHeld.contains(true), !isRecorded(prefix) { byHand.append(prefix) } else { added.append(prefix) }
            putting.append(
                PolicyEntry(
                    kind: kind, prefix: prefix, origin: options.origin, added: now, expiry: options.expiry,
                    set: options.set, comment: options.comment))
        }
        guard prefix.ipv4Address != nil else { return }
        // Not `lists.indices`: their type is generic, and to look it up for each of a million prefixes takes its time.
        for index in isHeld.indices where !isHeld[index] && lists[index].takesRecord { missing[index].append(prefix) }
    }

    var change: PolicyChange<Kernel> {
        var change = PolicyChange<Kernel>(kind: kind)
        change.putting = putting
        change.replaced = replaced
        change.live = live
        for (list, missing) in zip(lists, missing) where !missing.isEmpty { change.inserting.append((list, missing)) }
        return change
    }
}

extension PolicyControl {
    /// Does a change, or takes everything back and throws. The order of its steps keeps what is in a public map covered by
    /// the record, at every moment; the table comes last, with all of it at one moment.
    func apply(
        _ change: PolicyChange<Kernel>, _ lists: KernelLists<Kernel>, _ now: Moment,
        _ progress: (ChangeProgress) -> Void
    ) throws(Failure) -> TableGrowth? {
        let kind = change.kind
        func report(_ step: ChangeProgress.Step, _ done: Int, _ total: Int) {
            progress(ChangeProgress(step: step, kind: kind, done: done, total: total))
        }
        var undo = UndoList()
        do throws(Failure) {
            if change.concernsPublicMaps {
                try put(change, removing: [], &undo, report)
                try fillPublicMaps(change, &undo, report)
                try record(&undo, removing: change.removing)
            } else {
                try put(change, removing: change.removing, &undo, report)
            }
            if lists.table == nil { return nil }
            let changes = keeper(now).changes(live: change.putting + change.live, removed: change.removing)
            return try keeper(now).apply(changes, lists) { report(.applying, $0, changes.count) }
        } catch {
            throw undo.takeBack(after: error)
        }
    }

    private func put(
        _ change: PolicyChange<Kernel>, removing: [PolicyEntry], _ undo: inout UndoList,
        _ report: (ChangeProgress.Step, Int, Int) -> Void
    ) throws(Failure) {
        let (putting, replaced, record) = (change.putting, change.replaced, record)
        if putting.isEmpty && removing.isEmpty { return }
        try record.change(removing: removing, putting: putting) { report(.recording, $0, putting.count) }
        undo.add("recorded: \(putting.count)") { () throws(Failure) in
            let known = Set(replaced.map(\.prefix))
            let fresh = putting.filter { !known.contains($0.prefix) }
            try record.change(removing: fresh, putting: replaced + removing) { _ in }
        }
    }

    private func fillPublicMaps(
        _ change: PolicyChange<Kernel>, _ undo: inout UndoList, _ report: (ChangeProgress.Step, Int, Int) -> Void
    ) throws(Failure) {
        let kind = change.kind
        let total = change.inserting.reduce(0) { $0 + $1.prefixes.count }
        var done = 0
        for (list, prefixes) in change.inserting {
            // It can stop half-way.
            undo.add("in \(list.name(kind)): up to \(prefixes.count)") { () throws(Failure) in
                try list.map.remove(prefixes)
            }
            try list.map.insert(prefixes) { report(.applying, done + $0, total) }
            done += prefixes.count
        }
        for (list, prefixes) in change.leaving {
            undo.add("removed from \(list.name(kind)): \(prefixes.count)") { () throws(Failure) in
                try list.map.insert(prefixes) { _ in }
            }
            try list.map.remove(prefixes)
        }
    }

    private func record(_ undo: inout UndoList, removing: [PolicyEntry]) throws(Failure) {
        if removing.isEmpty { return }
        let record = record
        try record.remove(removing)
        undo.add("removed from the record: \(removing.count)") { () throws(Failure) in try record.insert(removing) }
    }
}
