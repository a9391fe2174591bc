// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListShow<List: ListTag>: EdgeCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "list",
            abstract: "Show the \(List.kind.listName).",
            discussion: """
                Each entry with its state (in force, recorded, by hand …), where it came from, since when and until when, \
                its set and its comment. 'export' prints the addresses alone.

                With --hits, the entries that dropped packets, the busiest first, with the time of the last: the \
                policy table counts them in the most specific entry that covers the source.

                Examples:
                  vos-fastpath \(List.kind.rawValue) list
                  vos-fastpath \(List.kind.rawValue) list --hits --top 20
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var set: SetArgument

    @Flag(help: "Entries that dropped packets, the busiest first.")
    var hits = false

    @Option(help: ArgumentHelp("With --hits: so many at most.", valueName: "n"))
    var top: Int?

    @Flag(help: "The named sets and how many entries they have.")
    var sets = false

    func validate() throws {
        if top != nil, !hits { throw ValidationError("--top goes with --hits") }
        if let top, top < 1 { throw ValidationError("--top must be 1 or more") }
        if sets, hits || set.set != nil { throw ValidationError("--sets goes without --hits and --set") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let (control, output) = (try context.policyControl(), context.output)
        if sets {
            showSets(try control.sets(List.kind), output)
            return .done
        }
        let listing = try control.list(List.kind, set: set.set, now: moment())
        let rows = hits ? listing.talkers(top: top ?? .max) : listing.rows
        output.noteChange(listing)
        if output.isJSON {
            output.json(["list": .string(List.kind.rawValue), "entries": .array(rows.map(\.json))])
        } else if rows.isEmpty {
            output.note(hits ? "no entry of the \(List.kind.listName) was hit" : "the \(List.kind.listName) is empty")
        } else {
            output.table(hits ? Self.hitTable(of: rows) : Self.table(of: rows))
        }
        return .done
    }

    private func showSets(_ sets: [(name: String, entries: Int)], _ output: Output) {
        if output.isJSON {
            output.json([
                "list": .string(List.kind.rawValue),
                "sets": .array(sets.map { ["set": .string($0.name), "entries": .number($0.entries)] }),
            ])
        } else if sets.isEmpty {
            output.note("the \(List.kind.listName) has no named set")
        } else {
            var table = Table([.left("SET"), .right("ENTRIES")])
            for set in sets { table.add([Styled(set.name), Styled(Format.count(set.entries))]) }
            output.table(table)
        }
    }

    /// Columns that would be empty are left out.
    static func table(of rows: [PolicyRow]) -> Table {
        let hasExpiry = rows.contains { $0.expiry != nil }
        let hasSet = rows.contains { !$0.set.isEmpty }
        let hasComment = rows.contains { $0.comment != nil }
        var columns: [Table.Column] = [.left("ADDRESS"), .left("STATE"), .left("ORIGIN"), .left("ADDED")]
        if hasExpiry { columns.append(.left("EXPIRES")) }
        if hasSet { columns.append(.left("SET")) }
        if hasComment { columns.append(.left("COMMENT")) }
        var table = Table(columns)
        for row in rows {
            var cells = [
                Styled(row.prefix.description), Styled(row.state.rawValue, row.state == .inForce ? nil : .yellow),
                Styled(row.origin?.rawValue ?? "-"), Styled(row.added.map(Timestamp.local) ?? "-"),
            ]
            if hasExpiry { cells.append(Styled(row.expiry.map(Timestamp.local) ?? "-")) }
            if hasSet { cells.append(Styled(row.set.isEmpty ? "-" : row.set)) }
            if hasComment { cells.append(Styled(row.comment ?? "-")) }
            table.add(cells)
        }
        return table
    }

    static func hitTable(of rows: [PolicyRow]) -> Table {
        let hasSet = rows.contains { !$0.set.isEmpty }
        let hasComment = rows.contains { $0.comment != nil }
        var columns: [Table.Column] = [.left("ADDRESS"), .right("HITS"), .left("LAST HIT")]
        if hasSet { columns.append(.left("SET")) }
        if hasComment { columns.append(.left("COMMENT")) }
        var table = Table(columns)
        for row in rows {
            var cells = [
                Styled(row.prefix.description), Styled(Format.count(row.hits ?? 0)),
                Styled(row.lastHit.map(Timestamp.local) ?? "-"),
            ]
            if hasSet { cells.append(Styled(row.set.isEmpty ? "-" : row.set)) }
            if hasComment { cells.append(Styled(row.comment ?? "-")) }
            table.add(cells)
        }
        return table
    }
}

extension PolicyRow {
    var json: JSONValue {
        [
            "address": .string(prefix.description), "state": .string(state.rawValue),
            "origin": .optional(origin?.rawValue), "added": .optional(added.map(Timestamp.utc)),
            "expires": .optional(expiry.map(Timestamp.utc)), "set": .optional(set.isEmpty ? nil : set),
            "comment": .optional(comment), "hits": hits.map { .number($0) } ?? .null,
            "last_hit": .optional(lastHit.map(Timestamp.utc)),
        ]
    }
}
