// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// A list as it was found.
public struct PolicyListing: Hashable, Sendable {
    /// In order of address; what is in several sets has a row for each.
    public var rows: [PolicyRow]
    /// Who was changing something meanwhile, for a sentence; nil where nobody was, and the rows are of one moment.
    public var changing: String?

    /// Every address and prefix that counts, recorded or written by hand, once and in order: what `import` takes.
    public var prefixes: [IPPrefix] { rows.filter { $0.state != .expired }.map(\.prefix).uniqued() }

    /// The rows with the most hits first; those without any are left out.
    public func talkers(top: Int = .max) -> [PolicyRow] {
        let hit = rows.filter { $0.hits ?? 0 > 0 }
        return Array(hit.sorted { ($1.hits ?? 0, $0.prefix) < ($0.hits ?? 0, $1.prefix) }.prefix(top))
    }
}

extension PolicyControl {
    /// A list as record and kernel hold it. Waits a moment for an operation that changes something, so as not to see
    /// half of it. With `set`, the entries of one set only; what was written by hand is in none.
    public func list(_ kind: PolicyKind, set: String? = nil, now: Moment) throws(Failure) -> PolicyListing {
        try lock.whileReading { (changing) throws(Failure) in
            PolicyListing(rows: try rows(kind, set, now), changing: changing)
        }
    }

    /// The sets of a kind that have entries; the one without a name is left out.
    public func sets(_ kind: PolicyKind) throws(Failure) -> [(name: String, entries: Int)] {
        try record.sets(kind).filter { !$0.name.isEmpty }
    }

    private func rows(_ kind: PolicyKind, _ set: String?, _ now: Moment) throws(Failure) -> [PolicyRow] {
        let lists = try KernelLists(kernel)
        let maps = try lists.all(kind)
        let held = try maps.map { (list) throws(Failure) in try Set(list.map.prefixes()) }
        var table: [IPPrefix: PolicyTableRecord] = [:]
        for record in try lists.table?.records() ?? [] where record.kind == kind.tableKind {
            table[record.prefix] = record
        }
        let entries = try record.entries(kind, in: set)
        var byHand = set == nil ? held.reduce(into: Set()) { $0.formUnion($1) } : []
        var rows = entries.map { entry in
            byHand.remove(entry.prefix)
            // Where it belongs, and where it is.
            var (places, found) = (0, 0)
            for (list, held) in zip(maps, held) where list.takesRecord && entry.prefix.ipv4Address != nil {
                places += 1
                if held.contains(entry.prefix) { found += 1 }
            }
            if lists.table != nil {
                places += 1
                if table[entry.prefix]?.expiry.isLive(at: now.boot) ?? false { found += 1 }
            }
            if !lists.classic.isEmpty, kind.map == nil || entry.prefix.ipv4Address == nil { places += 1 }
            var row = PolicyRow(prefix: entry.prefix, state: .of(found, places, entry.isLive(at: now.wall)))
            row.origin = entry.origin
            row.added = entry.added
            row.expiry = entry.expiry
            row.set = entry.set
            row.comment = entry.comment
            row.hits = table[entry.prefix]?.hits
            row.lastHit = table[entry.prefix]?.lastHit.map(now.wall(ofBoot:))
            return row
        }
        rows += byHand.map { PolicyRow(prefix: $0, state: .byHand) }
        return rows.sorted { ($0.prefix, $0.set) < ($1.prefix, $1.set) }
    }
}

extension PolicyRow.State {
    fileprivate static func of(_ found: Int, _ places: Int, _ isLive: Bool) -> Self {
        if !isLive { return .expired }
        if places == 0 { return .recorded }
        return found == places ? .inForce : found == 0 ? .notInKernel : .partly
    }
}
