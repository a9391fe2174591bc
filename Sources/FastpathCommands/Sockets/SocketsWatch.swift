// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore

/// `sockets --watch`: rates since the last look.
struct SocketsWatch: IntervalView {
    var output: Output
    /// Between two looks.
    var seconds: Double
    /// How many looks; nil for no end.
    var count: Int?

    typealias Interval = LookInterval<SocketsReport>

    func run(_ read: () throws(Failure) -> SocketsReport) throws(Failure) {
        try RepeatedLook(view: self, interval: .seconds(seconds), count: count).run(read)
    }

    func nothing(after last: SocketsReport) -> SocketsReport { SocketsReport.nothing(last) }

    /// One an interface.
    static func lines(_ interval: Interval) -> [String] {
        let time = Timestamp.utc(interval.time)
        if interval.after.consumers.rows.isEmpty { return ["\(time)  not loaded"] }
        return interval.after.consumers.rows.map { row in
            let rates = interval.rates(of: row)
            let parts = rates.map { "\($0.name) \(Format.rate($0.perSecond))/s" }
            return "\(time)  \(row.edge.label)  \(row.consumers.summary)  \(parts.joined(separator: "  "))"
        }
    }

    static func json(_ interval: Interval) -> JSONValue {
        let report = interval.after.json { numbers in
            let since = interval.since(numbers)
            let rates =
                ConsumerCount.allCases.map { ($0.name, since[$0]) }
                + RegisteredConsumer.Refusal.allCases.map { ($0.rawValue, since.refused[$0, default: 0]) }
            return [
                .init(
                    key: "per_second",
                    value: .object(
                        rates.map {
                            // A tenth of a packet a second is fine enough.
                            .init(key: $0.0, value: .double((interval.perSecond($0.1) * 10).rounded() / 10))
                        }))
            ]
        }
        return ["time": .string(Timestamp.utc(interval.time)), "interfaces": report["interfaces"] ?? []]
    }

    func picture(_ interval: Interval) -> [String] {
        let head = output.render([
            Styled("vos-fastpath sockets", .bold),
            Styled(
                "  \(Timestamp.local(interval.time)), a second, every \(Format.decimal(seconds, places: 1)) s"),
            Styled("  Ctrl-C ends", .faint),
        ])
        guard !interval.after.consumers.rows.isEmpty else {
            return [head, output.render([Styled("not loaded: nothing is filtered", .alarm)])]
        }
        let lines = interval.after.lines(
            colour: output.terminal.hasColour,
            redirected: { row in
                let rate = interval.rates(of: row).first?.perSecond ?? 0
                return "redirected \(Format.rate(rate))/s, \(Format.count(row.counters[.redirected])) in all"
            }, number: interval.since, format: { Format.rate(interval.perSecond($0)) })
        return [head] + lines
    }
}

extension LookInterval where Look == SocketsReport {
    /// What a queue counted in the interval; nothing where it was not there before.
    func since(_ numbers: QueueNumbers) -> QueueNumbers {
        for row in before.consumers.rows where row.edge.interface == numbers.interface {
            if let queue = row.consumers.queues.first(where: { $0.queue == numbers.queue }) {
                return numbers - QueueNumbers(numbers.interface, queue)
            }
        }
        return numbers - numbers
    }

    func perSecond(_ packets: UInt64) -> Double { seconds > 0 ? Double(packets) / seconds : 0 }

    /// Of an interface, all its queues together; the first one is what was redirected.
    func rates(of row: EdgeConsumers.Row) -> [(name: String, perSecond: Double)] {
        let earlier = before.consumers.rows.first { $0.edge.interface == row.edge.interface }
        let counters = row.counters - (earlier?.counters ?? row.counters)
        let queues = row.consumers.queues.map { since(QueueNumbers(row.edge.interface, $0)) }
        let sum = { (value: (QueueNumbers) -> UInt64) in queues.reduce(UInt64(0)) { $0 + value($1) } }
        var numbers = [(name: Reason.redirected.name, packets: counters[.redirected])]
        for count in [ConsumerCount.delivered, .byKernel, .handedBack] {
            numbers.append((count.name, sum { $0[count] }))
        }
        numbers.append(("dropped", sum(\.dropped)))
        numbers.append(("not_taken", sum(\.notTaken)))
        return numbers.map { ($0.name, perSecond($0.packets)) }
    }
}
