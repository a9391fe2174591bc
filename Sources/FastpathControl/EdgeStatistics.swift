// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Packets by reason, for each interface that filters and in all.
public struct EdgeStatistics: Hashable, Sendable {
    public struct Row: Hashable, Sendable {
        public var edge: EdgeState
        /// The kernel's id of its `xdp_counters`.
        public var mapID: UInt32
        public var counters: Counters
    }

    public var rows: [Row]

    public init(rows: [Row]) { self.rows = rows }

    /// The sum over all interfaces.
    public var total: Counters { rows.reduce(Counters()) { $0 + $1.counters } }
}

extension EdgeControl {
    /// The counters of one interface, named as for ``down(_:purge:now:)``, or of all that filter for this instance.
    ///
    /// - Throws: `.notLoaded` where no program of ours filters; `.noInterface` for a name that nothing goes by.
    public func statistics(of name: String? = nil) throws(Failure) -> EdgeStatistics {
        var edges = try kernel.edges()
        if let name { edges = try selection(name, from: edges) }
        edges = edges.filter { name == nil ? $0.isFilteringForUs : $0.isFiltering }
        guard !edges.isEmpty else {
            throw Failure(
                .notLoaded, tried: "read the counters", on: name ?? "any interface",
                because: "the program is not loaded there", next: "Load it: vos-fastpath up \(name ?? "IFACE")")
        }
        return EdgeStatistics(
            rows: try edges.map { (edge) throws(Failure) in
                try EdgeStatistics.Row(
                    edge: edge, mapID: kernel.countersMapID(of: edge), counters: kernel.counters(of: edge))
            })
    }
}
