// SPDX-License-Identifier: Apache-2.0
import FastpathCore

extension PolicyControl {
    /// Adds the addresses of a file to a list, effective with the next packet on all interfaces. Those that find no
    /// room are neither recorded nor applied, and reported; all others are both. `now`: seconds since 1970-01-01 UTC.
    public func importList(
        _ file: AddressList, into kind: PolicyKind, requireLoaded: Bool = false, now: Int64,
        progress: (ChangeProgress) -> Void
    ) throws(Failure) -> ImportReport {
        try kernel.requireReady()
        return try lock.withLock(for: "\(kind.rawValue) import") { (interrupted) throws(Failure) in
            let lists = try KernelLists(kernel)
            if requireLoaded { try requireFiltering(lists, to: "import into the \(kind.listName)") }
            var report = ImportReport(kind: kind)
            report.mending = try lists.mend(interrupted, from: record)
            report.duplicates = file.duplicates
            report.badLines = file.badLines
            report.isInForce = lists.isFiltering

            let addition = try fit(file.prefixes, into: kind, lists, &report)
            try apply(addition, origin: .importFile, now: now, progress: progress)
            report.added = addition.added.count
            report.byHand = addition.byHand.count
            report.alreadyThere = addition.alreadyThere.count
            return report
        }
    }

    /// Gives each prefix its place in the record and in every list, as long as there is room in all of them: one
    /// that is blocked on some interfaces only would be worse than one that is reported.
    private func fit(
        _ prefixes: [IPPrefix], into kind: PolicyKind, _ lists: KernelLists<Kernel>, _ report: inout ImportReport
    ) throws(Failure) -> Addition<Kernel.PolicyMap> {
        var addition = Addition(kind: kind, lists: try lists.all(kind))
        let held = try addition.lists.map { (list) throws(Failure) in try Set(list.map.prefixes()) }
        let recorded = try record.contained(prefixes, in: kind)
        let recordRoom = try recordRoom(kind, addition.lists)
        var room = zip(addition.lists, held).map { $0.map.capacity - $1.count }
        var isHeld = held.map { _ in false }

        for prefix in prefixes {
            let isRecorded = recorded.contains(prefix)
            for index in held.indices { isHeld[index] = held[index].contains(prefix) }
            if let full = room.indices.first(where: { room[$0] <= 0 && !isHeld[$0] }) {
                report.refuse(prefix, by: addition.lists[full].map.capacity, at: addition.lists[full].edge)
            } else if !isRecorded, let recordRoom, addition.unrecordedCount >= recordRoom.left {
                report.refuse(prefix, by: recordRoom.capacity, at: nil)
            } else {
                addition.take(prefix, isRecorded: isRecorded, isHeld: isHeld)
                for index in room.indices where !isHeld[index] { room[index] -= 1 }
            }
        }
        report.completeShortage(
            capacities: addition.lists.map(\.map.capacity),
            interface: lists.edges.first(where: \.isFilteringForUs)?.name)
        return addition
    }
}

extension ImportReport {
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
