// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct Stats: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "stats",
        abstract: "Show the packets counted, by reason and interface.",
        discussion: """
            Every UDP packet to the SIP port is counted once. With --watch, rates since the last look, redrawn in \
            place; where the output is no terminal, a line each time (with --json, JSON Lines). Ctrl-C ends it.

            Examples:
              vos-fastpath stats
              vos-fastpath stats eth0 --watch 5
              vos-fastpath stats --json | jq .total
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var watching: WatchOptions

    @Flag(help: "The sums over the interfaces, in the fixed layout of read_xdp_stats.sh.")
    var summary = false

    @Argument(help: "This interface only.", completion: .interfaces)
    var iface: String?

    func validate() throws {
        if summary, watching.watch != nil || common.json {
            throw ValidationError("--summary goes without --watch and --json")
        }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        try WatchOptions.requireInterval(context.arguments, of: "stats")
        let control = try context.edgeControl()
        if let seconds = watching.watch {
            let read = { () throws(Failure) in try control.statistics(of: iface) }
            try StatsWatch(output: context.output, interval: .seconds(seconds), count: watching.count).run(read)
            return .done
        }
        let statistics = try control.statistics(of: iface)
        let output = context.output
        if output.isJSON {
            output.json(statistics.json)
        } else if summary {
            for line in statistics.summaryLines { output.line(line) }
        } else {
            for (number, table) in statistics.tables.enumerated() {
                if number > 0 { output.line() }
                output.table(table)
            }
        }
        return .done
    }
}

extension Counters {
    /// Every counted reason by its name, in order of its key in `xdp_counters`.
    var json: JSONValue {
        .object(Reason.counted.sorted { $0.id < $1.id }.map { .init(key: $0.name, value: .number(self[$0])) })
    }
}

extension EdgeStatistics {
    var json: JSONValue {
        [
            "interfaces": .array(
                rows.map { row in
                    [
                        "name": .string(row.edge.label), "mode": .string(row.edge.modeText),
                        "counters": row.counters.json,
                    ]
                }),
            "total": total.json,
        ]
    }

    /// A row a reason, a column an interface; four interfaces a table, so that it fits the screen.
    var tables: [Table] {
        let width = 4
        return stride(from: 0, to: rows.count, by: width).map { start in
            let shown = rows[start..<min(start + width, rows.count)]
            let isLast = start + width >= rows.count && rows.count > 1
            var columns = shown.map { (title: $0.edge.label, counters: $0.counters) }
            if isLast { columns.append(("ALL", total)) }
            var table = Table([.left("PACKETS")] + columns.map { .right($0.title) })
            for reason in Reason.counted {
                table.add([Styled(reason.label)] + columns.map { Styled(Format.count($0.counters[reason])) })
            }
            table.add([Styled("Total", .bold)] + columns.map { Styled(Format.count($0.counters.total), .bold) })
            return table
        }
    }

    /// The layout of read_xdp_stats.sh, to the blank: scripts parse it. Numbers of drops begin in column 29, the others
    /// one column before, as they always did. Reasons that classic does not have come in where they have been counted.
    var summaryLines: [String] {
        let ids = rows.map { "\($0.mapID)" }.joined(separator: ", ")
        let padded = { (label: String, width: Int, number: UInt64) in
            "  \(label):" + String(repeating: " ", count: max(1, width - label.count - 1)) + "\(number)"
        }
        var lines = ["XDP counters (map id\(rows.count == 1 ? "" : "s") \(ids)):"]
        for reason in Reason.counted where reason != .rateLimited || total[reason] > 0 {
            lines.append(padded(reason.label, reason.verdict == .drop ? 27 : 26, total[reason]))
        }
        lines.append(padded("Total UDP \(Listener.sipPort) handled", 26, total.total))
        return lines
    }
}
