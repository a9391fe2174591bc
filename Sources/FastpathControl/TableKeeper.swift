// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// A policy table took the place of a smaller one, on every interface that reads it.
public struct TableGrowth: Hashable, Sendable {
    /// Prefixes that there is room for.
    public var capacity: Int
    /// Nil where there was none before.
    public var capacityBefore: Int?
    /// Interfaces whose program was replaced, as they are now.
    public var moved: [EdgeState]
    /// Those of `moved` that ran another object, and run the built-in one now.
    public var otherObjects: [String]
}

/// Keeps the policy table as the record says: unlike the public maps it is nobody else's, so whatever the record lacks
/// goes, and whatever the record has is put there.
struct TableKeeper<Kernel: EdgeKernelPort, Record: PolicyRecord> {
    let kernel: Kernel
    let record: Record
    let limits: PolicyLimits
    let now: Moment

    /// The least that is made.
    static var smallestCapacity: Int { 1 << 12 }

    // MARK: What it shall hold

    /// What the whole record makes of the table.
    func projection() throws(Failure) -> [PolicyTableChange] {
        var all: [PolicyTableChange] = []
        for kind in PolicyKind.allCases {
            // In order of address: what is in several sets stands together.
            var last: PolicyEntry?
            for entry in try record.entries(kind) where entry.isLive(at: now.wall) {
                guard let before = last, before.prefix == entry.prefix else {
                    if let last { all.append(change(for: last)) }
                    last = entry
                    continue
                }
                last?.expiry = Self.later(before.expiry, entry.expiry)
            }
            if let last { all.append(change(for: last)) }
        }
        return all
    }

    /// What a change of the record makes of the table. `live`: all entries of the kind that are there now and concern the
    /// prefixes; what was `removed` and has none of them is removed.
    func changes(live: [PolicyEntry], removed: [PolicyEntry]) -> [PolicyTableChange] {
        // A set has each prefix once. Where one set is all there is, nobody need look for another's.
        let set = live.first?.set ?? removed.first?.set
        if live.allSatisfy({ $0.set == set }), removed.allSatisfy({ $0.set == set }) {
            return live.map(change) + removed.map { PolicyTableChange($0.prefix, $0.kind.tableKind, expiry: nil) }
        }
        var last: [IPPrefix: PolicyEntry] = [:]
        last.reserveCapacity(live.count)
        for entry in live {
            guard let before = last[entry.prefix] else {
                last[entry.prefix] = entry
                continue
            }
            last[entry.prefix]?.expiry = Self.later(before.expiry, entry.expiry)
        }
        let gone = Set(removed.lazy.map { PolicyTableChange($0.prefix, $0.kind.tableKind, expiry: nil) })
        return last.values.map(change) + gone.filter { last[$0.prefix] == nil }
    }

    private func change(for entry: PolicyEntry) -> PolicyTableChange {
        PolicyTableChange(entry.prefix, entry.kind.tableKind, expiry: expiry(entry.expiry))
    }

    private func expiry(_ wall: Int64?) -> PolicyExpiry { wall.map { .second(now.boot(ofWall: $0)) } ?? .never }

    private static func later(_ one: Int64?, _ other: Int64?) -> Int64? {
        guard let one, let other else { return nil }
        return max(one, other)
    }

    // MARK: Bringing it there

    /// Makes `table` hold the projection, and nothing else, at one moment. Returns how many entries it lacked.
    func settle(
        _ table: Kernel.Table, to projection: [PolicyTableChange], progress: (Int) -> Void = { _ in }
    ) throws(Failure) -> Int {
        try table.repairIfNeeded(now: now.boot)
        var held: [TableKey: PolicyExpiry] = [:]
        for record in try table.records() { held[TableKey(record.prefix, record.kind)] = record.expiry }
        var changes = projection.filter { wanted in
            guard let expiry = held.removeValue(forKey: TableKey(wanted.prefix, wanted.kind)) else { return true }
            return !Self.isSame(expiry, wanted.expiry)
        }
        let lacking = changes.count
        changes += held.keys.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) }
        if !changes.isEmpty { try table.apply(changes, now: now.boot, progress: progress) }
        return lacking
    }

    private struct TableKey: Hashable {
        var prefix: IPPrefix
        var kind: PolicyKinds

        init(_ prefix: IPPrefix, _ kind: PolicyKinds) {
            self.prefix = prefix
            self.kind = kind
        }
    }

    /// The two clocks are not read at the same moment.
    private static func isSame(_ one: PolicyExpiry, _ other: PolicyExpiry?) -> Bool {
        guard case .second(let one) = one, case .second(let other) = other else { return one == other }
        return max(one, other) - min(one, other) <= 2
    }

    /// A new table that holds the projection, with room for `wanted` prefixes where the bounds allow it: exactly so many
    /// where somebody wished for it, else a power of two.
    func makeFilled(
        _ projection: [PolicyTableChange], wanted: Int, isWish: Bool = false, canGrow: Bool = true,
        progress: (Int) -> Void = { _ in }
    ) throws(Failure) -> Kernel.Table {
        let needed = projection.count
        var capacity = isWish ? wanted : max(Self.smallestCapacity, roomyCapacity(for: wanted))
        if kernel.policyTableBytes(capacity: capacity) > limits.policyMemory, canGrow {
            capacity = max(Self.smallestCapacity, roomyCapacity(for: needed))
        }
        while true {
            guard kernel.policyTableBytes(capacity: capacity) <= limits.policyMemory else {
                throw beyondBounds(needed, capacity)
            }
            let table = try kernel.makePolicyTable(capacity: capacity)
            do throws(Failure) {
                if !projection.isEmpty { try table.apply(projection, now: now.boot, progress: progress) }
                return table
            } catch {
                guard case .mapFull = error.kind, canGrow else { throw error }
                // Networks need more room than addresses.
                capacity *= 2
            }
        }
    }

    private func beyondBounds(_ needed: Int, _ capacity: Int) -> Failure {
        let megabytes = { (bytes: Int) in (bytes + (1 << 20) - 1) >> 20 }
        let wanted = megabytes(kernel.policyTableBytes(capacity: capacity))
        return Failure(
            .mapFull(capacity: capacity), tried: "make room in the policy table", on: "\(needed) entries",
            because: "a table for \(capacity) prefixes takes \(wanted) MB, and policy_memory allows "
                + "\(limits.policyMemory >> 20)",
            next: "Set policy_memory to \(wanted) or more in the configuration, or remove entries.")
    }

    // MARK: Changes

    /// Makes the changes in the shared table; where they do not fit, a larger table takes its place.
    func apply(
        _ changes: [PolicyTableChange], _ lists: KernelLists<Kernel>, progress: (Int) -> Void
    ) throws(Failure) -> TableGrowth? {
        guard let table = lists.table, !changes.isEmpty else { return nil }
        do throws(Failure) {
            try table.apply(changes, now: now.boot, progress: progress)
            return nil
        } catch {
            guard case .mapFull = error.kind else { throw error }
        }
        let added = changes.count { $0.expiry != nil }
        let wanted = max(table.prefixCount + added, table.capacity)
        let larger = try makeFilled(projection(), wanted: wanted, progress: progress)
        return try move(lists.readers, to: larger, from: table)
    }

    /// Gives every interface that reads a table `new`, each in one atomic step, and shares it; takes all of it back where
    /// that fails. Hits that were counted up to then move into `new`.
    private func move(
        _ readers: [EdgeState], to new: Kernel.Table, from old: Kernel.Table?
    ) throws(Failure) -> TableGrowth {
        var growth = TableGrowth(capacity: new.capacity, capacityBefore: old?.capacity, moved: [], otherObjects: [])
        var undo = UndoList()
        var sources: [Kernel.Table] = []
        func willLeave(_ table: Kernel.Table?) {
            guard let table, table.id != new.id, !sources.contains(where: { $0.id == table.id }) else { return }
            sources.append(table)
        }
        willLeave(old)
        if let old, old.id != new.id {
            // Done last, when the programs are back.
            undo.add("hits of the policy table") { [boot = now.boot] () throws(Failure) in
                try old.takeHits(from: new, now: boot)
            }
        }
        do throws(Failure) {
            for edge in readers {
                let before = try kernel.policyTable(of: edge)
                if before?.id == new.id { continue }
                willLeave(before)
                let now = try attach(new, to: edge)
                undo.add("the program on \(edge.label)") { () throws(Failure) in _ = try attach(before, to: now) }
                growth.moved.append(now)
                if now.attachment?.tag != edge.attachment?.tag { growth.otherObjects.append(edge.label) }
            }
            for source in sources { try new.takeHits(from: source, now: now.boot) }
            if new.id != old?.id { try kernel.share(new) }
        } catch {
            throw undo.takeBack(after: error)
        }
        return growth
    }

    /// The program anew with another table; everything else as it is.
    private func attach(_ table: Kernel.Table?, to edge: EdgeState) throws(Failure) -> EdgeState {
        var policy: [PolicyKind: Kernel.PolicyMap] = [:]
        for kind in PolicyKind.inPublicMaps { policy[kind] = try kernel.policyMap(kind, of: edge) }
        guard let settings = try kernel.settings(of: edge) else {
            throw Failure(
                .unsupported, tried: "replace the program", on: edge.label,
                because: "it was loaded with switches that this version does not know",
                next: "Use the version that loaded it.")
        }
        let mode: ModeRequest = edge.attachment?.mode == .generic ? .generic : .native
        return try kernel.attach(
            edge.interface, object: nil, policy: policy, table: table, settings: settings, mode: mode, force: false
        ).0
    }

    /// After an operation that was cut off: one table for all, as the record says. Returns how many entries it lacked.
    func mend(_ lists: KernelLists<Kernel>) throws(Failure) -> Int {
        // The change may have been one to a larger table, which some have: the largest is the best to go on with.
        var best = lists.table
        for edge in lists.readers where edge.isPinned {
            guard let table = try kernel.policyTable(of: edge), table.capacity > best?.capacity ?? 0 else { continue }
            best = table
        }
        guard var best else { return 0 }
        let projection = try projection()
        var restored = 0
        do throws(Failure) {
            restored = try settle(best, to: projection)
        } catch {
            guard case .mapFull = error.kind else { throw error }
            restored = projection.count
            best = try makeFilled(projection, wanted: max(projection.count, best.capacity))
        }
        _ = try move(lists.readers.filter(\.isPinned), to: best, from: lists.table)
        return restored
    }
}
