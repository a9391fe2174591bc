// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// A list as it was found.
public struct PolicyListing: Hashable, Sendable {
    /// In order of address.
    public var rows: [PolicyRow]
    /// Who was changing something meanwhile, for a sentence; nil where nobody was, and the rows are of one moment.
    public var changing: String?

    /// Every address, recorded or written by hand, in order: what `import` takes.
    public var prefixes: [IPPrefix] { rows.map(\.prefix) }
}

extension PolicyControl {
    /// A list as record and kernel hold it. Waits a moment for an operation that changes something, so as not to see
    /// half of it.
    public func list(_ kind: PolicyKind) throws(Failure) -> PolicyListing {
        try lock.whileReading { (changing) throws(Failure) in
            PolicyListing(rows: try rows(kind), changing: changing)
        }
    }

    private func rows(_ kind: PolicyKind) throws(Failure) -> [PolicyRow] {
        let held = try KernelLists(kernel).all(kind).map { (list) throws(Failure) in try Set(list.map.prefixes()) }
        let entries = try record.entries(kind)
        var byHand = held.reduce(into: Set()) { $0.formUnion($1) }
        var rows = entries.map { entry in
            byHand.remove(entry.prefix)
            let state: PolicyRow.State
            switch held.count(where: { $0.contains(entry.prefix) }) {
            case held.count: state = held.isEmpty ? .recorded : .inForce
            case 0: state = .notInKernel
            default: state = .partly
            }
            return PolicyRow(prefix: entry.prefix, state: state, origin: entry.origin, added: entry.added)
        }
        rows += byHand.map { PolicyRow(prefix: $0, state: .byHand) }
        return rows.sorted { $0.prefix < $1.prefix }
    }
}
