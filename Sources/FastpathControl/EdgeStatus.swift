// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// How the edge is.
public struct EdgeReport: Hashable, Sendable {
    /// Every interface with an XDP program or with pins of the instance.
    public var edges: [EdgeStatus]
    /// The shared lists, one for each kind.
    public var lists: [ListStatus]
    public var oddities: [Oddity]
}

/// One interface.
public struct EdgeStatus: Hashable, Sendable {
    public var edge: EdgeState
    /// What the program was loaded with, as the kernel has it. Nil where no program of ours filters, or it holds what
    /// this version does not know.
    public var settings: FilterSettings?
    /// Sockets in `xsks_map`; nil where no program of ours filters, or the kernel does not tell.
    public var sockets: Int?
    /// The lists that its program has for itself; empty where it reads the shared ones.
    public var ownLists: [ListStatus]
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
}

extension EdgeControl {
    /// What is there. Changes nothing and waits for nobody: during a change it may see half of it.
    ///
    /// - Parameter name: one interface only, named as for ``down(_:purge:now:)``; the lists are told all the same.
    /// - Throws: `.noInterface` for a name that nothing goes by.
    public func status(of name: String? = nil) throws(Failure) -> EdgeReport {
        let lists = try KernelLists(kernel)
        var edges = lists.edges
        if let name { edges = try selection(name, from: edges) }

        var report = EdgeReport(edges: [], lists: [], oddities: [])
        var known: [PolicyKind: Set<IPPrefix>] = [:]
        for kind in PolicyKind.allCases {
            let recorded = try Set(record.entries(kind).map(\.prefix))
            known[kind] = recorded
            let shared = try kernel.sharedPolicyMap(kind)
            try report.lists.append(listStatus(kind, recorded, shared))
            if let shared, try shared.isFrozen() { report.oddities.append(.capacityChangeCutOff(kind)) }
        }
        for edge in edges {
            var status = EdgeStatus(edge: edge, settings: nil, sockets: nil, ownLists: [])
            if edge.isFiltering {
                status.settings = try kernel.settings(of: edge)
                status.sockets = try kernel.socketCount(of: edge)
            }
            if edge.isFilteringForUs {
                for list in PolicyKind.allCases {
                    let map = try kernel.policyMap(list, of: edge)
                    if try map.id == kernel.sharedPolicyMap(list)?.id { continue }
                    try status.ownLists.append(listStatus(list, known[list] ?? [], map))
                }
            }
            report.edges.append(status)
            report.oddities += Oddity.of(status)
        }
        report.oddities += Oddity.of(report.lists, isShared: lists.edges.contains(where: \.isPinned))
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

    private func listStatus(
        _ kind: PolicyKind, _ recorded: Set<IPPrefix>, _ map: Kernel.PolicyMap?
    ) throws(Failure) -> ListStatus {
        guard let map else {
            let capacity = try record.capacity(kind) ?? kind.map.defaultCapacity
            return ListStatus(
                kind: kind, recorded: recorded.count, inKernel: nil, capacity: capacity, byHand: 0, missing: 0)
        }
        let held = try map.prefixes()
        let common = held.count(where: recorded.contains)
        return ListStatus(
            kind: kind, recorded: recorded.count, inKernel: held.count, capacity: map.capacity,
            byHand: held.count - common, missing: recorded.count - common)
    }

    func selection(_ name: String, from edges: [EdgeState]) throws(Failure) -> [EdgeState] {
        if let edge = try edges.named(name) { return [edge] }
        // An interface without anything is a good answer; none of that name is not.
        _ = try kernel.interface(named: name)
        return []
    }
}
