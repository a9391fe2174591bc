// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// How the edge is.
public struct EdgeReport: Hashable, Sendable {
    /// Every interface with an XDP program or with pins of the instance.
    public var edges: [EdgeStatus]
    /// The shared public maps.
    public var lists: [ListStatus]
    /// Who reads them, and whether they can be written to.
    public var publicMaps = PublicMapsState.read
    /// What is recorded, by kind.
    public var policy: [KindStatus] = []
    /// The shared policy table; nil where there is none.
    public var table: TableStatus?
    public var oddities: [Oddity]
}

/// The entries of one kind.
public struct KindStatus: Hashable, Sendable {
    public var kind: PolicyKind
    /// Entries in the record. What is in several sets counts in each.
    public var recorded: Int
    /// Of these: expired, and not yet dropped from the record.
    public var expired: Int
    /// Of these: what no public map can hold, so that interfaces of profile `classic` do not enforce it.
    public var beyondPublicMaps: Int
    /// Prefixes that count and that the policy table lacks; 0 where there is no table.
    public var missing = 0
    /// Sets with a name.
    public var sets: Int
}

/// The policy table.
public struct TableStatus: Hashable, Sendable {
    /// Prefixes that it holds; one of several kinds counts once.
    public var prefixes: Int
    public var capacity: Int
    /// All its maps.
    public var bytes: Int
    /// The interfaces whose programs read it, as a person calls them.
    public var readers: [String]
}

/// One interface.
public struct EdgeStatus: Hashable, Sendable {
    public var edge: EdgeState
    /// What the program was loaded with, as the kernel has it. Nil where no program of ours filters, or it holds what
    /// this version does not know.
    public var settings: FilterSettings?
    /// Who reads its AF_XDP sockets; nil where no program of ours filters.
    public var consumers: InterfaceConsumers?
    /// What its program has written down since it was loaded; nil where none of ours filters.
    public var notes: EdgeNotes?
    /// The lists that its program has for itself and reads; empty where it reads the shared ones.
    public var ownLists: [ListStatus]

    /// Sockets in `xsks_map`; nil where no program of ours filters.
    public var sockets: Int? { consumers?.taken }
}

/// One list.
public struct ListStatus: Hashable, Sendable {
    public var kind: PolicyKind
    /// Entries in the record.
    public var recorded: Int
    /// Entries in the kernel; nil where there is no such list.
    public var inKernel: Int?
    /// Entries that it can hold: the map's, else the recorded one, else the default.
    public var capacity: Int
    /// In the kernel, not recorded.
    public var byHand: Int
    /// Recorded, not in the kernel's list; 0 where there is no list.
    public var missing: Int
    /// Shall it hold what is recorded? Else the policy table does, and the map holds what somebody wrote by hand.
    public var takesRecord = true
    /// Nobody can write to it any more.
    public var isFrozen = false
}

extension EdgeControl {
    /// What is there. Changes nothing and waits for nobody: during a change it may see half of it.
    ///
    /// - Parameter name: one interface only, named as for ``down(_:purge:now:)``; the lists are told all the same.
    /// - Throws: `.noInterface` for a name that nothing goes by.
    public func status(of name: String? = nil, now: Moment) throws(Failure) -> EdgeReport {
        let lists = try KernelLists(kernel)
        var edges = lists.edges
        if let name { edges = try selection(name, from: edges) }

        var report = EdgeReport(edges: [], lists: [], oddities: [])
        let known = try describePolicy(lists, &report, now)
        for kind in PolicyKind.inPublicMaps {
            let recorded = known[kind] ?? []
            let shared = try kernel.sharedPolicyMap(kind)
            let isFrozen = try shared?.isFrozen() ?? false
            var list = try listStatus(kind, recorded, shared, lists.publicMapsTakeRecord && !isFrozen)
            list.isFrozen = isFrozen
            report.lists.append(list)
            if try lists.isChangeOfMapCutOff(kind) { report.oddities.append(.capacityChangeCutOff(kind)) }
        }
        report.publicMaps = try lists.publicMapsState()
        for edge in edges {
            var status = EdgeStatus(edge: edge, settings: nil, consumers: nil, ownLists: [])
            if edge.isFiltering {
                status.settings = try kernel.settings(of: edge)
                status.consumers = try kernel.consumers(of: edge)
                status.notes = try kernel.notes(of: edge)
            }
            if lists.mapReaders.contains(edge) {
                for list in PolicyKind.inPublicMaps {
                    let map = try kernel.policyMap(list, of: edge)
                    if try map.id == kernel.sharedPolicyMap(list)?.id { continue }
                    try status.ownLists.append(listStatus(list, known[list] ?? [], map, lists.classic.contains(edge)))
                }
            }
            report.edges.append(status)
            report.oddities += Oddity.of(status)
            if status.ownLists.isEmpty, try lists.hasOtherTable(edge) { report.oddities.append(.ownTable(edge)) }
        }
        report.oddities += Oddity.of(report.lists, report.policy, isShared: lists.edges.contains(where: \.isPinned))
        return report
    }

    /// What the program on an interface was loaded with; nil where it holds what this version does not know.
    ///
    /// - Throws: `.notLoaded` where no program of ours is attached; `.noInterface` for a name that nothing goes by.
    public func settings(of name: String) throws(Failure) -> FilterSettings? {
        guard let edge = try selection(name, from: kernel.edges()).first, edge.isFiltering else {
            throw Failure(
                .notLoaded, tried: "read the switches of the program", on: name,
                because: "no edge is attached there", next: "Attach it: vos-fastpath up \(name)")
        }
        return try kernel.settings(of: edge)
    }

    /// What the program on an interface has written down since it was loaded. Throws as ``settings(of:)`` does.
    public func notes(of name: String) throws(Failure) -> EdgeNotes {
        guard let edge = try selection(name, from: kernel.edges()).first, edge.isFiltering else {
            throw Failure(
                .notLoaded, tried: "read the notes of the program", on: name, because: "no edge is attached there",
                next: "Attach it: vos-fastpath up \(name)")
        }
        return try kernel.notes(of: edge)
    }

    /// Returns what a public map can hold of what counts in the record.
    private func describePolicy(
        _ lists: KernelLists<Kernel>, _ report: inout EdgeReport, _ now: Moment
    ) throws(Failure) -> [PolicyKind: Set<IPPrefix>] {
        var known: [PolicyKind: Set<IPPrefix>] = [:]
        let held = try lists.table?.records().filter { $0.expiry.isLive(at: now.boot) }
        for kind in PolicyKind.allCases {
            let entries = try record.entries(kind)
            let live = Set(entries.lazy.filter { $0.isLive(at: now.wall) }.map(\.prefix))
            var status = KindStatus(
                kind: kind, recorded: entries.count, expired: entries.count { !$0.isLive(at: now.wall) },
                beyondPublicMaps: entries.count { kind.map == nil || $0.prefix.ipv4Address == nil },
                sets: try record.sets(kind).count { !$0.name.isEmpty })
            if let held {
                status.missing =
                    live.count - live.intersection(held.lazy.filter { $0.kind == kind.tableKind }.map(\.prefix)).count
            }
            report.policy.append(status)
            if kind.map != nil { known[kind] = live.filter { $0.ipv4Address != nil } }
            if let gap = EnforcementGap(kind, lists, count: status.beyondPublicMaps, late: 0) {
                report.oddities.append(.notEnforced(gap))
            }
        }
        report.table = lists.table.map {
            TableStatus(
                prefixes: $0.prefixCount, capacity: $0.capacity, bytes: $0.bytes, readers: lists.readers.map(\.label))
        }
        return known
    }

    /// `takesRecord`: shall the map hold what is recorded?
    private func listStatus(
        _ kind: PolicyKind, _ recorded: Set<IPPrefix>, _ map: Kernel.PolicyMap?, _ takesRecord: Bool
    ) throws(Failure) -> ListStatus {
        guard let map else {
            let capacity = try record.capacity(kind) ?? kind.defaultCapacity
            return ListStatus(
                kind: kind, recorded: recorded.count, inKernel: nil, capacity: capacity, byHand: 0, missing: 0)
        }
        let held = try map.prefixes()
        let common = held.count(where: recorded.contains)
        return ListStatus(
            kind: kind, recorded: recorded.count, inKernel: held.count, capacity: map.capacity,
            byHand: held.count - common, missing: takesRecord ? recorded.count - common : 0, takesRecord: takesRecord)
    }

    func selection(_ name: String, from edges: [EdgeState]) throws(Failure) -> [EdgeState] {
        if let edge = try edges.named(name) { return [edge] }
        // An interface without anything is a good answer; none of that name is not.
        _ = try kernel.interface(named: name)
        return []
    }
}
