// SPDX-License-Identifier: Apache-2.0
import FastpathCore

extension PolicyControl {
    /// A list as record and kernel hold it, in order of address.
    public func list(_ kind: PolicyKind) throws(Failure) -> [PolicyRow] {
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

    /// Every address of a list, recorded or written by hand, in order of address: what `import` takes.
    public func export(_ kind: PolicyKind) throws(Failure) -> [IPPrefix] {
        try list(kind).map(\.prefix)
    }
}
