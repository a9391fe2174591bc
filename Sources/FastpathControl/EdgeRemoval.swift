// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What `down` is asked to take down.
public enum DownTarget: Hashable, Sendable {
    /// A name as ``EdgeState/label`` gives it, `ifindex N` or the number alone for an interface that is gone, or the
    /// name of its folder of pins.
    case interface(String)
    /// Every interface with a program or pins of the instance.
    case all
}

/// What `down` did.
public struct DownReport: Hashable, Sendable {
    /// As they were before.
    public var takenDown: [EdgeState] = []
    /// Those of `takenDown` that carry a foreign program; it was left there.
    public var foreign: [EdgeState] = []
    /// Interfaces that could not be taken down, of several.
    public var failed: [FailedEdge] = []
    /// Entries that were written by hand and are recorded now.
    public var adopted: [PolicyKind: Int] = [:]
    /// Entries in the record, for the next `up`.
    public var recorded: [PolicyKind: Int] = [:]
    /// Interfaces that still have pins of the instance.
    public var remaining: [EdgeState] = []
    /// Were the shared lists taken out of the kernel, as no interface is left?
    public var areListsRemoved = false
    /// Was the record emptied?
    public var isPurged = false
    /// An operation that had not come to its end, and is put right now.
    public var mending: Mending?
}

/// An interface and what went wrong there.
public struct FailedEdge: Hashable, Sendable {
    public var edge: EdgeState
    public var failure: Failure
}

extension EdgeControl {
    /// Takes the program off one interface or all, and removes the pins: nothing of it is left in the kernel. What
    /// was written to the lists by hand is recorded first, and the record stays for the next `up`. Lists that no
    /// interface uses any more (an earlier `down` was cut off) go with any interface of the caller's namespace.
    ///
    /// - Parameters:
    ///   - purge: forget the record too. Refused while other interfaces go on filtering.
    /// - Throws: `.notLoaded` where nothing of ours is on the interface; `.noInterface` where there is none.
    public func down(_ target: DownTarget, purge: Bool = false, now: Moment) throws(Failure) -> DownReport {
        try kernel.requireReady()
        let operation = if case .interface(let name) = target { "down \(name)" } else { "down --all" }
        return try lock.withLock(for: operation) { (interrupted) throws(Failure) in
            var lists = try KernelLists(kernel)
            var targets = try edges(for: target, among: lists.edges)
            let ours = lists.edges.filter { $0.isPinned || $0.isFilteringForUs }
            if purge { try refusePurge(leaving: ours.filter { !targets.contains($0) }) }

            var report = DownReport()
            // For the interfaces that stay.
            report.mending = try policy.prepare(&lists, interrupted, now)
            if report.mending != nil { targets = try edges(for: target, among: lists.edges) }
            report.mending?.strays.removeAll(where: targets.contains)
            if !purge { report.adopted = try adoptEntriesByHand(lists, of: targets, now: now) }
            try takeDown(targets, &report)
            report.remaining = try kernel.edges().filter(\.isPinned)
            if report.remaining.isEmpty {
                report.areListsRemoved = kernel.hasSharedPins
                try kernel.removeSharedPins()
            } else {
                try dropFromPublicMaps(now)
                _ = try KernelLists(kernel).freezeUnreadMaps(policy.keeper(now))
            }
            if purge, report.failed.isEmpty {
                try record.purge()
                report.isPurged = true
            }
            for kind in PolicyKind.allCases { report.recorded[kind] = try record.count(kind) }
            return report
        }
    }

    private func takeDown(_ targets: [EdgeState], _ report: inout DownReport) throws(Failure) {
        for edge in targets {
            do throws(Failure) {
                try kernel.detach(edge)
                report.takenDown.append(edge)
                if let program = edge.attachment, !program.isEdge { report.foreign.append(edge) }
            } catch {
                // The other interfaces of `--all` need not suffer from it.
                if targets.count == 1 { throw error }
                report.failed.append(FailedEdge(edge: edge, failure: error))
            }
        }
    }

    /// The shared lists may go, and those of `targets` will: what only they hold is recorded.
    private func adoptEntriesByHand(
        _ lists: KernelLists<Kernel>, of targets: [EdgeState], now: Moment
    ) throws(Failure) -> [PolicyKind: Int] {
        var adopted: [PolicyKind: Int] = [:]
        for kind in PolicyKind.inPublicMaps {
            var held: Set<IPPrefix> = []
            for list in try lists.all(kind) where list.edge.map(targets.contains) ?? true {
                held.formUnion(try list.map.prefixes())
            }
            if held.isEmpty { continue }
            let byHand = try held.subtracting(record.entries(kind, of: Array(held)).map(\.prefix))
            if byHand.isEmpty { continue }
            let entries = byHand.map { PolicyEntry(kind: kind, prefix: $0, origin: .adopted, added: now.wall) }
            try record.insert(entries)
            adopted[kind] = byHand.count
            // What goes on filtering with the table has them from there.
            if lists.readers.allSatisfy(targets.contains) { continue }
            do throws(Failure) {
                _ = try policy.keeper(now).apply(
                    byHand.map { PolicyTableChange($0, kind.tableKind) }, lists, progress: { _ in })
            } catch {
                var undo = UndoList()
                undo.add("the record") { () throws(Failure) in try record.remove(entries) }
                throw undo.takeBack(after: error)
            }
        }
        return adopted
    }

    /// Where no program is left that reads the public maps alone, they hold what somebody wrote by hand, and no more.
    private func dropFromPublicMaps(_ now: Moment) throws(Failure) {
        let lists = try KernelLists(kernel)
        if lists.publicMapsTakeRecord || lists.readers.isEmpty { return }
        for kind in PolicyKind.inPublicMaps {
            guard let shared = try kernel.sharedPolicyMap(kind), try !shared.isFrozen() else { continue }
            let recorded = try shared.present(among: record.addresses(kind, at: now))
            if !recorded.isEmpty { try shared.remove(Array(recorded)) }
        }
    }

    private func refusePurge(leaving edges: [EdgeState]) throws(Failure) {
        guard !edges.isEmpty else { return }
        throw Failure(
            .usage, tried: "forget the lists", on: edges.map(\.label).joined(separator: ", "),
            because: "other interfaces go on filtering with them",
            next: "Take all down with --all --purge, or this one without --purge.")
    }

    private func edges(for target: DownTarget, among edges: [EdgeState]) throws(Failure) -> [EdgeState] {
        let ours = edges.filter { $0.isPinned || $0.isFilteringForUs }
        guard case .interface(let name) = target else { return ours }
        if let edge = try ours.named(name) { return [edge] }
        let other = try edges.named(name)
        if other == nil { _ = try kernel.interface(named: name) }
        let areListsLeft = kernel.hasSharedPins && !edges.contains(where: \.isPinned)
        if areListsLeft, other?.otherInstance == nil { return [] }

        let tried = "take the program off"
        if let other, let program = other.attachment {
            throw Failure(
                .notLoaded, tried: tried, on: name,
                because: other.otherInstance.map { "it belongs to the instance \"\($0)\"" }
                    ?? "the program there (\(program.programName), id \(program.programID)) is not ours",
                next: other.otherInstance == nil
                    ? "Detach it with the tool that attached it."
                    : "Use that instance (\(Instance.environmentVariable)).")
        }
        throw Failure(
            .notLoaded, tried: tried, on: name, because: "nothing of ours is there",
            next: "See `vos-fastpath status` for where it is.")
    }
}

extension [EdgeState] {
    /// The one that a person calls `name`. An interface of the caller's namespace goes first: its name may well be
    /// a number.
    func named(_ name: String) throws(Failure) -> EdgeState? {
        if let here = first(where: { $0.name == name && $0.namespaceName == nil }) { return here }
        let matches = filter { edge in
            let isGone = edge.name == nil
            return edge.label == name || edge.interface.pinName == name
                || isGone && name == "\(edge.interface.index)"
        }
        guard matches.count <= 1 else {
            throw Failure(
                .usage, tried: "find the interface", on: name, because: "several go by that name",
                next: "Use one of \(matches.map(\.interface.pinName).sorted().joined(separator: ", ")).")
        }
        return matches.first
    }
}
