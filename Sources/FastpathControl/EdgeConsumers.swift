// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Who reads the AF_XDP sockets, for each interface that filters.
public struct EdgeConsumers: Hashable, Sendable {
    public struct Row: Hashable, Sendable {
        public var edge: EdgeState
        public var consumers: InterfaceConsumers
        /// What the program counts there.
        public var counters: Counters

        public init(edge: EdgeState, consumers: InterfaceConsumers, counters: Counters) {
            self.edge = edge
            self.consumers = consumers
            self.counters = counters
        }
    }

    public var rows: [Row]

    public init(rows: [Row]) { self.rows = rows }
}

extension EdgeControl {
    /// The readers of one interface's sockets, or of all that filter for this instance.
    ///
    /// - Throws: as ``statistics(of:)``.
    public func consumers(of name: String? = nil) throws(Failure) -> EdgeConsumers {
        do throws(Failure) {
            return EdgeConsumers(
                rows: try statistics(of: name).rows.map { (row) throws(Failure) in
                    let consumers = try kernel.consumers(of: row.edge)
                    // Last, and at once: what was delivered by then was redirected before.
                    return EdgeConsumers.Row(
                        edge: row.edge, consumers: consumers, counters: try kernel.counters(of: row.edge))
                })
        } catch {
            var failure = error
            if error.kind == .notLoaded { failure.tried = "see who reads the sockets" }
            throw failure
        }
    }
}
