// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// The one door for changes of policy.
///
/// Everything of ours that is in a kernel list is in the record: additions are recorded first and then applied,
/// removals leave the kernel first and then the record (docs/decisions/0002-record-covers-the-kernel.md).
public struct PolicyControl<Kernel: EdgeKernelPort, Record: PolicyRecord, Lock: ControlLock> {
    let kernel: Kernel
    let record: Record
    let lock: Lock
    let profile = Profile.classic

    public init(kernel: Kernel, record: Record, lock: Lock) {
        self.kernel = kernel
        self.record = record
        self.lock = lock
    }

    /// Adds all of `prefixes` to a list, effective with the next packet on all interfaces, or changes nothing and
    /// throws. Those that are there are no error.
    ///
    /// - Parameters:
    ///   - requireLoaded: throw `.notLoaded` where no interface filters, instead of recording for the next `up`.
    ///   - now: seconds since 1970-01-01 UTC.
    /// - Throws: `.usage` for what the profile's lists cannot hold; `.mapFull`; what the ports throw.
    public func add(
        _ prefixes: [IPPrefix], to kind: PolicyKind, origin: Origin = .operatorCommand, requireLoaded: Bool = false,
        now: Int64
    ) throws(Failure) -> AddReport {
        for prefix in prefixes { try prefix.requireListable(in: profile) }
        try kernel.requireReady()
        return try lock.withLock(for: "\(kind.rawValue) add") { (interrupted) throws(Failure) in
            let lists = try KernelLists(kernel)
            let tried = "add to the \(kind.listName)"
            if requireLoaded { try requireFiltering(lists, to: tried) }
            let mending = try lists.mend(interrupted, from: record)

            var addition = Addition(kind: kind, lists: try lists.all(kind))
            let recorded = try record.contained(prefixes, in: kind)
            let held = try addition.lists.map { (list) throws(Failure) in try list.map.present(among: prefixes) }
            for prefix in prefixes.uniqued() {
                addition.take(prefix, isRecorded: recorded.contains(prefix), isHeld: held.map { $0.contains(prefix) })
            }
            if let room = try recordRoom(kind, addition.lists), addition.unrecordedCount > room.left {
                throw full(addition, at: room.capacity, lists)
            }
            do throws(Failure) {
                try apply(addition, origin: origin, now: now) { _ in }
            } catch {
                guard case .mapFull(let capacity) = error.kind else { throw error }
                throw full(addition, at: capacity, lists, details: error.details)
            }
            return AddReport(
                kind: kind, added: addition.added, byHand: addition.byHand, alreadyThere: addition.alreadyThere,
                isInForce: lists.isFiltering, mending: mending)
        }
    }

    /// Removes `prefixes` from a list, effective with the next packet on all interfaces, or changes nothing and
    /// throws. Those that are not there are reported, and no error.
    public func remove(
        _ prefixes: [IPPrefix], from kind: PolicyKind, requireLoaded: Bool = false
    ) throws(Failure) -> RemoveReport {
        for prefix in prefixes { try prefix.requireListable(in: profile) }
        try kernel.requireReady()
        return try lock.withLock(for: "\(kind.rawValue) remove") { (interrupted) throws(Failure) in
            let lists = try KernelLists(kernel)
            if requireLoaded { try requireFiltering(lists, to: "remove from the \(kind.listName)") }
            let mending = try lists.mend(interrupted, from: record)

            let prefixes = prefixes.uniqued()
            let recorded = try record.contained(prefixes, in: kind)
            var held: Set<IPPrefix> = []
            var undo = UndoList()
            do throws(Failure) {
                for list in try lists.all(kind) {
                    let present = try list.map.present(among: prefixes)
                    held.formUnion(present)
                    undo.add("removed from \(list.name(kind)): \(present.count)") { () throws(Failure) in
                        try list.map.insert(Array(present)) { _ in }
                    }
                    try list.map.remove(Array(present))
                }
                try record.remove(Array(recorded), from: kind)
            } catch {
                throw undo.takeBack(after: error)
            }
            return RemoveReport(
                kind: kind, removed: prefixes.filter(recorded.contains),
                byHand: prefixes.filter { held.contains($0) && !recorded.contains($0) },
                notThere: prefixes.filter { !held.contains($0) && !recorded.contains($0) },
                isInForce: lists.isFiltering, mending: mending)
        }
    }
}

// MARK: - Adding

/// What adding means for each place: worked out first, then done.
struct Addition<Map: PolicyMapPort> {
    let kind: PolicyKind
    let lists: [KernelList<Map>]
    /// What each of `lists` lacks.
    private(set) var missing: [[IPPrefix]]
    private(set) var added: [IPPrefix] = []
    private(set) var byHand: [IPPrefix] = []
    private(set) var alreadyThere: [IPPrefix] = []

    /// What the record lacks.
    var unrecorded: [IPPrefix] { added + byHand }
    var unrecordedCount: Int { added.count + byHand.count }

    init(kind: PolicyKind, lists: [KernelList<Map>]) {
        self.kind = kind
        self.lists = lists
        missing = lists.map { _ in [] }
    }

    /// `isHeld`: for each of `lists`.
    mutating func take(_ prefix: IPPrefix, isRecorded: Bool, isHeld: [Bool]) {
        if isRecorded {
            alreadyThere.append(prefix)
        } else if isHeld.contains(true) {
            byHand.append(prefix)
        } else {
            added.append(prefix)
        }
        // Not `lists.indices`: their type is generic, and to look it up for each of a million prefixes takes its time.
        for index in isHeld.indices where !isHeld[index] { missing[index].append(prefix) }
    }
}

extension PolicyControl {
    /// Records, then applies; takes everything back where that fails.
    func apply(
        _ addition: Addition<Kernel.PolicyMap>, origin: Origin, now: Int64, progress: (ChangeProgress) -> Void
    ) throws(Failure) {
        let kind = addition.kind
        let unrecorded = addition.unrecorded
        var undo = UndoList()
        do throws(Failure) {
            let entries = unrecorded.map { PolicyEntry(kind: kind, prefix: $0, origin: origin, added: now) }
            try record.insert(entries) {
                progress(ChangeProgress(step: .recording, kind: kind, done: $0, total: entries.count))
            }
            undo.add("recorded: \(unrecorded.count)") { () throws(Failure) in try record.remove(unrecorded, from: kind)
            }

            let total = addition.missing.reduce(0) { $0 + $1.count }
            var done = 0
            for (list, missing) in zip(addition.lists, addition.missing) where !missing.isEmpty {
                // It can stop half-way.
                undo.add("in \(list.name(kind)): up to \(missing.count)") { () throws(Failure) in
                    try list.map.remove(missing)
                }
                try list.map.insert(missing) {
                    progress(ChangeProgress(step: .applying, kind: kind, done: done + $0, total: total))
                }
                done += missing.count
            }
        } catch {
            throw undo.takeBack(after: error)
        }
    }

    /// What the record may hold, and how much more. Nil where the shared list is there: its size bounds both.
    func recordRoom(
        _ kind: PolicyKind, _ lists: [KernelList<Kernel.PolicyMap>]
    ) throws(Failure) -> (capacity: Int, left: Int)? {
        if lists.contains(where: { $0.edge == nil }) { return nil }
        let capacity = try record.capacity(kind) ?? kind.map.defaultCapacity
        return (capacity, max(0, try capacity - record.count(kind)))
    }

    func requireFiltering(_ lists: KernelLists<Kernel>, to tried: String) throws(Failure) {
        guard !lists.isFiltering else { return }
        throw Failure(
            .notLoaded, tried: tried, on: "any interface", because: "the program is not loaded on any",
            next: "Load it: vos-fastpath up IFACE")
    }

    private func full(
        _ addition: Addition<Kernel.PolicyMap>, at capacity: Int, _ lists: KernelLists<Kernel>, details: String? = nil
    ) -> Failure {
        let shortage = Shortage(
            kind: addition.kind, capacity: capacity, interface: lists.edges.first(where: \.isFilteringForUs)?.name,
            suggestedCapacity: roomyCapacity(for: capacity + max(1, addition.unrecorded.count)))
        let prefixes = addition.unrecorded + addition.alreadyThere
        return Failure(
            .mapFull(capacity: capacity), tried: "add to the \(addition.kind.listName)",
            on: prefixes.count == 1 ? prefixes[0].description : "\(prefixes.count) addresses",
            because: "it has room for \(capacity) entries, and no more fit; nothing was changed",
            next: shortage.advice, details: details)
    }
}

extension Sequence where Element: Hashable {
    /// Each element once, in their order.
    func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
