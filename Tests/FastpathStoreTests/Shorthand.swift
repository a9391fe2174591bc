// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathStore

extension PolicyDatabase {
    func insert(_ entries: [PolicyEntry], progress: (Int) -> Void = { _ in }) throws {
        try change(removing: [], putting: entries, progress: progress)
    }

    /// From the set without a name.
    func remove(_ prefixes: [IPPrefix], from kind: PolicyKind) throws {
        let entries = prefixes.map { PolicyEntry(kind: kind, prefix: $0, origin: .adopted, added: 0) }
        try change(removing: entries, putting: []) { _ in }
    }

    func contained(_ prefixes: [IPPrefix], in kind: PolicyKind) throws -> Set<IPPrefix> {
        Set(try entries(kind, of: prefixes).map(\.prefix))
    }
}
