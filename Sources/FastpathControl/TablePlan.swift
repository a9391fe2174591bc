// SPDX-License-Identifier: Apache-2.0
import FastpathCore

extension UndoList {
    mutating func addRemoval(
        of changes: [PolicyTableChange], from table: some PolicyTablePort, _ now: Moment
    ) {
        if changes.isEmpty { return }
        add("in the policy table: \(changes.count)") { () throws(Failure) in
            try table.apply(
                changes.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) }, now: now.boot, progress: { _ in })
        }
    }
}

/// What `up` makes of the policy table.
struct TablePlan<Kernel: EdgeKernelPort> {
    /// As it was found; nil before the first `up` of an interface that reads it.
    let shared: Kernel.Table?
    private let isNeeded: Bool
    private let wanted: Int?
    /// The table that programs will read; nil where there is none, or until it is filled.
    private(set) var table: Kernel.Table?

    init(_ lists: KernelLists<Kernel>, isReader: Bool, _ others: OtherEdges<Kernel>, wanted: Int?) {
        shared = lists.table
        self.wanted = wanted
        isNeeded = isReader || shared != nil || wanted != nil || lists.readers.contains { $0.isPinned }
    }

    /// Brings the shared table up to the record, or makes one that holds it. `adopted` are new in the record.
    mutating func fill(
        _ keeper: TableKeeper<Kernel, some PolicyRecord>, adopted: [PolicyTableChange], _ undo: inout UndoList,
        _ progress: (ChangeProgress) -> Void
    ) throws(Failure) {
        guard isNeeded else { return }
        let projection = try keeper.projection()
        func report(_ done: Int) {
            progress(ChangeProgress(step: .applying, kind: .block, done: done, total: projection.count))
        }
        var wanted = self.wanted
        // The wish of an earlier `up` outlives a reboot.
        if wanted == nil, shared == nil, let recorded = try keeper.record.capacity(nil) {
            wanted = max(recorded, projection.count)
        }
        if let wanted, wanted < projection.count {
            throw Failure(
                .mapFull(capacity: wanted), tried: "set the capacity of the policy table", on: "\(wanted)",
                because: "there are \(projection.count) entries",
                next: "Choose \(projection.count) or more, or remove entries first.")
        }
        if let shared, wanted == nil || wanted == shared.capacity {
            table = shared
            do throws(Failure) {
                _ = try keeper.settle(shared, to: projection, progress: report)
                // The rest is as recorded before.
                undo.addRemoval(of: adopted, from: shared, keeper.now)
                return
            } catch {
                guard case .mapFull = error.kind else { throw error }
            }
        }
        let room = wanted ?? max(projection.count, shared?.capacity ?? 0)
        table = try keeper.makeFilled(
            projection, wanted: room, isWish: wanted != nil, canGrow: self.wanted == nil, progress: report)
    }

    /// What is counted in the new table comes back to the old one when the programs have; to be called before any of them
    /// is replaced.
    func undoHits(_ undo: inout UndoList, _ now: Moment) {
        guard let shared, let table, shared.id != table.id else { return }
        undo.add("hits of the policy table") { () throws(Failure) in try shared.takeHits(from: table, now: now.boot) }
    }

    /// What a program with these settings is loaded with.
    func table(for settings: FilterSettings, _ kernel: Kernel) -> Kernel.Table? {
        kernel.readsPolicyTable(settings) ? table : nil
    }

    var outcome: UpTable? {
        table.map {
            UpTable(
                prefixes: $0.prefixCount, capacity: $0.capacity, bytes: $0.bytes, capacityBefore: shared?.capacity)
        }
    }
}
