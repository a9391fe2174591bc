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
                Each address with its state (in force, recorded, by hand …), where it came from and since when. \
                'export' prints the addresses alone.

                Example:
                  vos-fastpath \(List.kind.rawValue) list
                """)
    }

    @OptionGroup var common: CommonOptions

    func run(_ context: Context) throws(Failure) -> Outcome {
        let listing = try context.policyControl().list(List.kind)
        let (rows, output) = (listing.rows, context.output)
        output.noteChange(listing)
        if output.isJSON {
            output.json(["list": .string(List.kind.rawValue), "entries": .array(rows.map(\.json))])
        } else if rows.isEmpty {
            output.note("the \(List.kind.listName) is empty")
        } else {
            output.table(Self.table(of: rows))
        }
        return .done
    }

    static func table(of rows: [PolicyRow]) -> Table {
        var table = Table([.left("ADDRESS"), .left("STATE"), .left("ORIGIN"), .left("ADDED")])
        for row in rows {
            table.add([
                Styled(row.prefix.description), Styled(row.state.rawValue, row.state == .inForce ? nil : .yellow),
                Styled(row.origin?.rawValue ?? "-"), Styled(row.added.map(Timestamp.local) ?? "-"),
            ])
        }
        return table
    }
}

extension PolicyRow {
    var json: JSONValue {
        [
            "address": .string(prefix.description), "state": .string(state.rawValue),
            "origin": .optional(origin?.rawValue), "added": .optional(added.map(Timestamp.utc)),
        ]
    }
}
