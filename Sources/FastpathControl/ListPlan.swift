// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What `up` makes of one public map: where its entries come from and what size it gets.
struct ListPlan<Map: PolicyMapPort> {
    let kind: PolicyKind
    /// The shared list as it was found; nil before the first `up`.
    let shared: Map?
    /// What `shared` held when it was read.
    let held: Set<IPPrefix>
    /// What counts of the record and a public map can hold.
    let recorded: [IPPrefix]
    /// Shall the map hold what is recorded? Else only what was written by hand.
    let takesRecord: Bool
    /// No program will read it: it is emptied and frozen at the end, and what was written by hand is adopted.
    let isUnread: Bool
    /// Was `shared` frozen when it was found? What is written to takes its place.
    let wasFrozen: Bool
    /// In lists of their own, of programs that are about to be replaced, and not recorded.
    var adopted: [IPPrefix] = []
    /// In `shared`, not recorded and not about to be.
    let byHand: [IPPrefix]
    let capacity: Int
    /// The list that programs will read: `shared` or a new one; nil until it is filled.
    var map: Map?

    /// The maps that `adopted` came from, and what they held.
    private var sources: [(map: Map, held: Set<IPPrefix>)] = []

    /// - Parameters:
    ///   - edges: interfaces whose program is about to be replaced.
    ///   - wanted: the capacity that was asked for.
    ///   - isUnread: see the property.
    init<Kernel: EdgeKernelPort>(
        _ kind: PolicyKind, _ kernel: Kernel, _ record: some PolicyRecord, adopting edges: [EdgeState], wanted: Int?,
        takesRecord: Bool, isUnread: Bool = false, now: Moment
    ) throws(Failure) where Kernel.PolicyMap == Map {
        self.kind = kind
        self.takesRecord = takesRecord
        self.isUnread = isUnread
        shared = try kernel.sharedPolicyMap(kind)
        wasFrozen = try shared?.isFrozen() ?? false
        held = if let shared { Set(try shared.prefixes()) } else { [] }
        recorded = try record.addresses(kind, at: now)
        var known = Set(recorded)
        for edge in edges {
            let map = try kernel.policyMap(kind, of: edge)
            if map.id == shared?.id || sources.contains(where: { $0.map.id == map.id }) { continue }
            let own = try map.prefixes()
            sources.append((map, Set(own)))
            adopted += own.filter { known.insert($0).inserted }
        }
        let unrecorded = held.filter { !known.contains($0) }.sorted()
        if isUnread, let shared {
            sources.append((shared, held))
            adopted += unrecorded
        }
        byHand = isUnread ? [] : unrecorded
        // The capacity of a map that nobody can write to says nothing.
        let recordedCapacity = try record.capacity(kind) ?? kind.defaultCapacity
        capacity = try Self.capacity(
            kind, for: (takesRecord ? known.count : 0) + byHand.count, wanted: wanted,
            current: wasFrozen ? recordedCapacity : shared?.capacity ?? recordedCapacity)
    }

    /// Without a wish it stays, and grows where it must: what is recorded always finds its place.
    private static func capacity(_ kind: PolicyKind, for entries: Int, wanted: Int?, current: Int) throws(Failure)
        -> Int
    {
        guard let wanted else { return entries <= current ? current : roomyCapacity(for: entries) }
        guard wanted > 0 else {
            throw Failure(
                .usage, tried: "set the capacity of the \(kind.listName)", on: "\(wanted)",
                because: "a list has room for one entry at least", next: "Choose another \(kind.capacityOption).")
        }
        guard wanted >= entries else {
            throw Failure(
                .mapFull(capacity: wanted), tried: "set the capacity of the \(kind.listName)", on: "\(wanted)",
                because: "it has \(entries) entries", next: "Choose \(entries) or more, or remove entries first.")
        }
        return wanted
    }

    /// The kernel cannot change a map's size, and thaws none. One that nobody reads does as it is.
    var needsNewMap: Bool { isUnread ? shared == nil : wasFrozen || shared?.capacity != capacity }

    /// What `map` lacks.
    var entriesToFill: [IPPrefix] {
        if !takesRecord { return needsNewMap ? byHand : [] }
        return needsNewMap ? recorded + adopted + byHand : (recorded + adopted).filter { !held.contains($0) }
    }

    /// Recorded entries that the shared map was left with and shall not hold any more.
    var entriesToDrop: [IPPrefix] { takesRecord || needsNewMap ? [] : recorded.filter(held.contains) }

    /// What came into the lists that were adopted after they were read.
    func latecomers() throws(Failure) -> [IPPrefix] {
        var late: Set<IPPrefix> = []
        for source in sources { late.formUnion(try Set(source.map.prefixes()).subtracting(source.held)) }
        return late.isEmpty ? [] : late.subtracting(recorded).subtracting(adopted).sorted()
    }

    var outcome: UpList {
        UpList(
            kind: kind, entries: (takesRecord ? recorded.count + adopted.count : 0) + byHand.count, capacity: capacity,
            capacityBefore: wasFrozen ? nil : shared?.capacity, adopted: adopted.count, byHand: byHand.count,
            isFrozen: isUnread, takesRecord: takesRecord)
    }
}

extension PolicyKind {
    /// Entries that its public map has room for where nobody says; 0 where there is no such map.
    var defaultCapacity: Int { map?.defaultCapacity ?? 0 }
}
