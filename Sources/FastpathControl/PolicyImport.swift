// SPDX-License-Identifier: Apache-2.0
import FastpathCore

extension PolicyControl {
    /// Adds the addresses and prefixes of a file to a list, effective with the next packet on all interfaces. Lines that
    /// are refused are left out and reported, and so are addresses that find no room in a public map that needs them: they
    /// are neither recorded nor applied, all others are both. The policy table grows as it must.
    public func importList(
        _ file: AddressList, into kind: PolicyKind, _ options: EntryOptions = EntryOptions(origin: .importFile),
        requireLoaded: Bool = false, now: Moment, progress: (ChangeProgress) -> Void
    ) throws(Failure) -> ImportReport {
        try withFile(file, kind, "import", options, requireLoaded, now) { (prefixes, lists, report) throws(Failure) in
            let addition = try fit(prefixes, into: kind, options, lists, now, &report)
            report.growth = try apply(addition.change, lists, now, progress)
            report.take(addition)
        }
    }

    /// Makes a set hold exactly what a file has, at one moment: no packet meets half of it, or none of it. Other sets stay
    /// as they are. All or nothing, but for lines that are no addresses or are refused: those are left out and reported.
    /// An empty set name stands for the entries that are in no set.
    public func replace(
        _ file: AddressList, of kind: PolicyKind, _ options: EntryOptions = EntryOptions(origin: .importFile),
        requireLoaded: Bool = false, now: Moment, progress: (ChangeProgress) -> Void
    ) throws(Failure) -> ImportReport {
        try withFile(file, kind, "replace", options, requireLoaded, now) { (prefixes, lists, report) throws(Failure) in
            let before = try record.entries(kind, in: options.set)
            if prefixes.isEmpty { try refuseToEmpty(options, before) }
            let kept = Set(prefixes)
            let isAlone = try record.sets(kind).allSatisfy { $0.name == options.set }
            let rows = isAlone ? before : try record.entries(kind, of: prefixes)
            var addition = try Addition(kind: kind, options, lists, recorded: rows, now: now)
            let held = try addition.lists.map { (list) throws(Failure) in try Set(list.map.prefixes()) }
            var isHeld = held.map { _ in false }
            for prefix in prefixes {
                for index in held.indices { isHeld[index] = held[index].contains(prefix) }
                addition.take(prefix, isHeld: isHeld)
            }
            var change = addition.change
            change.removing = before.filter { !kept.contains($0.prefix) }
            let others =
                isAlone
                ? [] : try record.entries(kind, of: change.removing.map(\.prefix)).filter { $0.set != options.set }
            change.live += others
            let elsewhere = Set(others.map(\.prefix))
            for (list, held) in zip(addition.lists, held) {
                let leaving = change.removing.map(\.prefix).filter { held.contains($0) && !elsewhere.contains($0) }
                if !leaving.isEmpty { change.leaving.append((list, leaving)) }
            }
            try requireRoom(for: change, held.map(\.count), addition, lists)
            report.growth = try apply(change, lists, now, progress)
            report.removed = change.removing.count
            report.take(addition)
        }
    }

    private func withFile(
        _ file: AddressList, _ kind: PolicyKind, _ verb: String, _ options: EntryOptions, _ requireLoaded: Bool,
        _ now: Moment, _ body: ([IPPrefix], KernelLists<Kernel>, inout ImportReport) throws(Failure) -> Void
    ) throws(Failure) -> ImportReport {
        try options.check()
        try kernel.requireReady()
        return try lock.withLock(for: "\(kind.rawValue) \(verb)") { (interrupted) throws(Failure) in
            var lists = try KernelLists(kernel)
            if requireLoaded { try requireFiltering(lists, to: "\(verb) into the \(kind.listName)") }
            var report = ImportReport(kind: kind)
            report.mending = try prepare(&lists, interrupted, now)
            report.duplicates = file.duplicates
            report.badLines = file.badLines
            report.isInForce = lists.isFiltering
            let prefixes = try sift(file, gate(kind, options, now), &report)
            try body(prefixes, lists, &report)
            report.gap = EnforcementGap(prefixes, kind, options, lists)
            return report
        }
    }

    /// What of a file may come in.
    private func sift(
        _ file: AddressList, _ gate: PolicyGate, _ report: inout ImportReport
    ) throws(Failure) -> [IPPrefix] {
        var prefixes: [IPPrefix] = []
        prefixes.reserveCapacity(file.prefixes.count)
        for (index, prefix) in file.prefixes.enumerated() {
            if gate.leavesOut(prefix) {
                report.leftOut += 1
            } else if let refusal = gate.refusal(of: prefix) {
                report.refused.append(
                    RefusedLine(number: Int(file.lines[index]), prefix: prefix, refusal: refusal))
            } else {
                prefixes.append(prefix)
            }
        }
        return prefixes
    }

    /// A download that failed is an empty file.
    private func refuseToEmpty(_ options: EntryOptions, _ before: [PolicyEntry]) throws(Failure) {
        if before.isEmpty || options.force { return }
        throw Failure(
            .usage, tried: "replace \(options.set.isEmpty ? "the list" : "the set \(options.set)")",
            on: "\(before.count) entries", because: "the file holds no address that may take their place",
            next: "Look at the file, or empty it with --force.")
    }

    /// Gives each prefix its place in the record and in every list, as long as there is room in all of them: one
    /// that is blocked on some interfaces only would be worse than one that is reported.
    private func fit(
        _ prefixes: [IPPrefix], into kind: PolicyKind, _ options: EntryOptions, _ lists: KernelLists<Kernel>,
        _ now: Moment, _ report: inout ImportReport
    ) throws(Failure) -> Addition<Kernel> {
        var addition = try Addition(
            kind: kind, options, lists, recorded: record.entries(kind, of: prefixes), now: now)
        let held = try addition.lists.map { (list) throws(Failure) in try Set(list.map.prefixes()) }
        var room = zip(addition.lists, held).map { $0.takesRecord ? $0.map.capacity - $1.count : .max }
        var isHeld = held.map { _ in false }
        if held.isEmpty {
            for prefix in prefixes { addition.take(prefix, isHeld: isHeld) }
            return addition
        }
        for prefix in prefixes {
            guard prefix.ipv4Address != nil else {
                addition.take(prefix, isHeld: held.map { _ in false })
                continue
            }
            for index in held.indices { isHeld[index] = held[index].contains(prefix) }
            if let full = room.indices.first(where: { room[$0] <= 0 && !isHeld[$0] }) {
                report.refuse(prefix, by: addition.lists[full].map.capacity, at: addition.lists[full].edge)
            } else {
                addition.take(prefix, isHeld: isHeld)
                for index in room.indices where !isHeld[index] { room[index] -= 1 }
            }
        }
        report.completeShortage(
            capacities: addition.lists.map(\.map.capacity),
            interface: (lists.classic.first ?? lists.edges.first(where: \.isFilteringForUs))?.name)
        return addition
    }

    /// The old entries leave a public map when the new ones are in it.
    private func requireRoom(
        for change: PolicyChange<Kernel>, _ held: [Int], _ addition: Addition<Kernel>, _ lists: KernelLists<Kernel>
    ) throws(Failure) {
        for (list, prefixes) in change.inserting {
            guard let index = addition.lists.firstIndex(where: { $0.map.id == list.map.id }) else { continue }
            let needed = held[index] + prefixes.count
            if needed <= list.map.capacity { continue }
            let shortage = Shortage(
                kind: change.kind, capacity: list.map.capacity,
                interface: list.edge?.name ?? lists.classic.first?.name,
                suggestedCapacity: roomyCapacity(for: needed))
            throw Failure(
                .mapFull(capacity: list.map.capacity), tried: "replace entries of the \(change.kind.listName)",
                on: list.name(change.kind),
                because: "it has room for \(list.map.capacity) entries, and the old and the new ones together are "
                    + "\(needed); nothing was changed", next: shortage.advice)
        }
    }
}

extension ImportReport {
    fileprivate mutating func take(_ addition: Addition<some EdgeKernelPort>) {
        added = addition.added.count
        byHand = addition.byHand.count
        changed = addition.changed.count
        alreadyThere = addition.alreadyThere.count
    }

    fileprivate mutating func refuse(_ prefix: IPPrefix, by capacity: Int, at edge: EdgeState?) {
        notFitted.append(prefix)
        if let shortage, shortage.capacity <= capacity { return }
        shortage = Shortage(kind: kind, capacity: capacity, interface: edge?.name, suggestedCapacity: 0)
    }

    fileprivate mutating func completeShortage(capacities: [Int], interface: String?) {
        guard let shortage else { return }
        let needed = max(shortage.capacity + notFitted.count, capacities.max() ?? 0)
        self.shortage?.suggestedCapacity = roomyCapacity(for: needed)
        self.shortage?.interface = shortage.interface ?? interface
    }
}
