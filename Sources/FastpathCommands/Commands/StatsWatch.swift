// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore

/// `stats --watch`: rates since the last look.
struct StatsWatch: IntervalView {
    var output: Output
    var interval: Duration
    /// How many looks; nil for no end.
    var count: Int?

    typealias Interval = LookInterval<EdgeStatistics>

    /// Packets of an interval, and packets a second.
    struct Rates {
        var packets: Counters
        var seconds: Double

        init(_ packets: Counters, _ seconds: Double) {
            self.packets = packets
            self.seconds = seconds
        }

        subscript(_ reason: Reason) -> Double { seconds > 0 ? Double(packets[reason]) / seconds : 0 }
        var total: Double { seconds > 0 ? Double(packets.total) / seconds : 0 }
        var dropped: Double { Reason.counted.reduce(0) { $1.verdict == .drop ? $0 + self[$1] : $0 } }

        var json: JSONValue {
            // A tenth of a packet a second is fine enough.
            .object(
                Reason.counted.sorted { $0.id < $1.id }.map {
                    .init(key: $0.name, value: .double((self[$0] * 10).rounded() / 10))
                })
        }
    }

    func run(_ read: () throws(Failure) -> EdgeStatistics) throws(Failure) {
        try RepeatedLook(view: self, interval: interval, count: count).run(read)
    }

    func nothing(after last: EdgeStatistics) -> EdgeStatistics { EdgeStatistics(rows: []) }

    static func json(_ interval: Interval) -> JSONValue {
        [
            "time": .string(Timestamp.utc(interval.time)),
            "interfaces": .array(
                interval.after.rows.map { row in
                    [
                        "name": .string(row.edge.label), "mode": .string(row.edge.modeText),
                        "counters": row.counters.json, "per_second": interval.rates(of: row).json,
                    ]
                }),
            "total": interval.after.total.json,
            "per_second": interval.totalRates.json,
        ]
    }

    /// One for all interfaces.
    static func lines(_ interval: Interval) -> [String] {
        let rates = interval.totalRates
        let parts = Reason.counted.map { "\($0.name) \(Format.rate(rates[$0]))/s" }
        let missing = interval.after.rows.isEmpty ? "  not loaded" : ""
        let total = "total \(Format.rate(rates.total))/s"
        return ["\(Timestamp.utc(interval.time))  \(total)  \(parts.joined(separator: "  "))\(missing)"]
    }

    func picture(_ interval: Interval) -> [String] {
        let rates = interval.totalRates
        let total = interval.after.total
        let barWidth = max(0, min(30, output.terminal.width - 56))
        var table = Table([.left("REASON"), .right("PACKETS/S"), .left(""), .right("IN ALL")])
        for reason in Reason.counted {
            let share = rates.total > 0 ? rates[reason] / rates.total : 0
            let bar = Format.bar(share, width: barWidth, unicode: output.terminal.isUnicode)
            // Blanks behind a bar keep the last column in its place.
            let fill = String(repeating: " ", count: barWidth - bar.count)
            table.add([
                Styled(reason.label), Styled(Format.rate(rates[reason])), Styled(bar + fill, reason.verdict.style),
                Styled(Format.count(total[reason])),
            ])
        }
        table.add([
            Styled("Total", .bold), Styled(Format.rate(rates.total), .bold), Styled(""),
            Styled(Format.count(total.total), .bold),
        ])
        return [head(interval)] + table.lines(colour: output.terminal.hasColour) + [""] + interfaceLines(interval)
    }

    private func head(_ interval: Interval) -> String {
        let seconds = Format.decimal(self.interval / .seconds(1), places: 1)
        return output.render([
            Styled("vos-fastpath stats", .bold), Styled("  \(Timestamp.local(interval.time)), every \(seconds) s"),
            Styled("  Ctrl-C ends", .faint),
        ])
    }

    private func interfaceLines(_ interval: Interval) -> [String] {
        guard !interval.after.rows.isEmpty else {
            return [output.render([Styled("not loaded: nothing is filtered", .alarm)])]
        }
        var table = Table([
            .left("INTERFACE"), .left("MODE"), .right("PACKETS/S"), .right("DROPPED/S"), .right("LEFT THROUGH/S"),
        ])
        for row in interval.after.rows {
            let rates = interval.rates(of: row)
            table.add([
                Styled(row.edge.label), Styled(row.edge.modeText), Styled(Format.rate(rates.total)),
                Styled(Format.rate(rates.dropped)), Styled(Format.rate(rates.total - rates.dropped)),
            ])
        }
        return table.lines(colour: output.terminal.hasColour)
    }
}

extension LookInterval where Look == EdgeStatistics {
    /// Packets a second that an interface counted, and all of them. An interface that was not there before has none.
    func rates(of row: EdgeStatistics.Row) -> StatsWatch.Rates {
        guard let earlier = before.rows.first(where: { $0.edge.interface == row.edge.interface }) else {
            return StatsWatch.Rates(Counters(), seconds)
        }
        return StatsWatch.Rates(row.counters - earlier.counters, seconds)
    }

    var totalRates: StatsWatch.Rates {
        let sum = after.rows.reduce(Counters()) { sum, row in sum + rates(of: row).packets }
        return StatsWatch.Rates(sum, seconds)
    }
}
