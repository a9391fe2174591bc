// SPDX-License-Identifier: Apache-2.0
import FastpathBench

extension Output {
    /// A table a part, the goals beside their figures, and a sentence on the machine.
    func show(_ report: Bench.Report) {
        let machine = report.machine
        line(
            "\(machine.processor.isEmpty ? machine.architecture : machine.processor), "
                + "\(Format.plural(machine.cores, "core")), Linux \(machine.kernel), load "
                + machine.loadAverage.map { Format.decimal($0, places: 2) }.joined(separator: " ")
                + "; measured on CPU \(report.cpu), seed \(report.seed)")
        for table in report.tables {
            line()
            self.table(table)
        }
        line()
        let goals = report.goals
        let missed = goals.filter { !$0.isMet }
        line(
            Styled("\(goals.count - missed.count) of \(Format.plural(goals.count, "goal")) met", .bold),
            Styled(missed.isEmpty ? "" : "; missed: " + missed.map(\.label).joined(separator: ", ")))
        line("Medians (minima in brackets); took \(Format.decimal(report.duration / .seconds(1), places: 0)) s.")
    }
}

extension Bench.Report {
    fileprivate var tables: [Table] {
        [
            packetTable, mixTable, carrierTable, surchargeTable, policyTable, dropTable, receiveTable, serverTable,
            callsTable,
            timeTable,
        ].compactMap { $0 }
    }

    /// A median, and the minimum in brackets.
    private func cell(_ figure: Figure, places: Int = 1) -> Styled {
        guard !figure.samples.isEmpty else { return "-" }
        let minimum = Format.decimal(figure.minimum, places: places)
        return Styled("\(Format.decimal(figure.median, places: places)) (\(minimum))")
    }

    /// What the goal says of a figure.
    private func verdict(_ figure: Figure) -> Styled {
        guard let goal = goals.first(where: { $0.figure.name == figure.name }) else { return "" }
        let sign = goal.relation == .atMost ? "<=" : ">="
        let places = goal.limit == goal.limit.rounded() ? 0 : 2
        let text = "\(sign) \(Format.decimal(goal.limit, places: places))"
        return goal.isMet ? Styled("met \(text)", .green) : Styled("MISSED \(text)", .red)
    }

    private var packetTable: Table? {
        guard !packets.isEmpty else { return nil }
        var table = Table([
            .left("NS A PACKET"), .right("EDGE"), .right("NET"), .right("FLOOR"), .right("EMPTY"), .left("LOOK-UP"),
            .right("RATIO"), .left("GOAL"),
        ])
        for packet in packets {
            table.add([
                Styled(packet.kind.label), cell(packet.edge, places: 0), cell(packet.net, places: 0),
                cell(packet.floor, places: 0), cell(packet.empty, places: 0), Styled(packet.kind.floorLookup.rawValue),
                cell(packet.ratio, places: 2), verdict(packet.ratio),
            ])
        }
        return table
    }

    private var mixTable: Table? {
        guard let mix else { return nil }
        var table = Table([
            .left("MIXED TRAFFIC, NS"), .right("EDGE"), .right("FLOOR"), .right("EMPTY"), .right("RATIO"),
            .left("GOAL"),
        ])
        table.add([
            "a packet and its template", cell(mix.edge, places: 0), cell(mix.floor, places: 0),
            cell(mix.empty, places: 0), cell(mix.ratio, places: 2), verdict(mix.ratio),
        ])
        table.add(["net", cell(mix.net, places: 0), cell(mix.floorNet, places: 0)])
        return table
    }

    private var carrierTable: Table? {
        guard let carrier else { return nil }
        var table = Table(
            [.left("CARRIER, NS OVER THE EMPTY PROGRAM")]
                + ["1,000", "1,000,000", "LIVE MAPS", "LIMITS", "LONG"].map { .right($0) }
                + [.left("GOALS")])
        for row in carrier.rows {
            let nets = CarrierCost.variants.map { row.net($0) }
            table.add(
                [Styled(row.label)] + nets.map { $0.map { cell($0, places: 0) } ?? "" }
                    + [joined(nets.compactMap { $0 }.map(verdict))])
        }
        return table
    }

    private var surchargeTable: Table? {
        guard let carrier else { return nil }
        var table = Table([.left("CARRIER, NS MORE"), .right("MORE"), .left("GOAL")])
        for more in carrier.surcharges {
            table.add([Styled(more.label), cell(more.figure), verdict(more.figure)])
        }
        table.add(["mixed traffic, in all", cell(carrier.mixed), verdict(carrier.mixed)])
        return table
    }

    /// Several verdicts in one cell; missed as soon as one is.
    private func joined(_ verdicts: [Styled]) -> Styled {
        let told = verdicts.filter { !$0.text.isEmpty }
        let text = told.map(\.text).joined(separator: ", ")
        return Styled(text, text.contains("MISSED") ? .red : .green)
    }

    private var policyTable: Table? {
        guard let first = policy.first else { return nil }
        var table = Table([.left("POLICY TABLE, NS A LOOK-UP")] + policy.map { .right(Format.count(UInt64($0.size))) })
        for (index, lookUp) in first.lookUps.enumerated() {
            let name =
                "\(lookUp.sweep.rawValue), \(lookUp.isHit ? "hit" : "miss")\(lookUp.isRepeated ? ", one source" : "")"
            table.add([Styled(name)] + policy.map { cell($0.lookUps[index].net, places: 0) })
        }
        table.add(["build IPv4, ms"] + policy.map { cell($0.build4) })
        table.add(["build IPv6, ms"] + policy.map { cell($0.build6) })
        table.add(["replace a tenth, ms"] + policy.map { cell($0.replace) })
        table.add(["one change, ms"] + policy.map { cell($0.change, places: 4) })
        table.add(["bytes"] + policy.map { Styled(Format.count(UInt64($0.bytes))) })
        return table
    }

    private var dropTable: Table? {
        guard !drops.isEmpty else { return nil }
        let ratios = dropRatios
        var table = Table([
            .left("FLOOD OF BLOCKED SOURCES"), .right("MPPS"), .right("CPU NS A PACKET"), .right("TIMES NATIVE"),
            .right("DROPPED"), .left("GOAL"),
        ])
        for drop in drops {
            let ratio = ratios.first { $0.name.hasPrefix("drop.\(drop.method.name).") }
            table.add([
                Styled(drop.method.label), Styled(Format.decimal(drop.rate.median, places: 2)),
                cell(drop.cpuTime, places: 0), ratio.map { cell($0, places: 2) } ?? "",
                Styled(Format.count(drop.packets)), ratio.map(verdict) ?? "",
            ])
        }
        return table
    }

    private var receiveTable: Table? {
        guard !receivers.isEmpty else { return nil }
        let counts = ReceiveCost.workerCounts.filter { count in receivers.contains { $0.workers == count } }
        var table = Table(
            [.left("RECEIVING, WORKERS")] + counts.map { .right("CPU NS, \($0)") }
                + counts.map { .right("KPPS, \($0)") }
                + [.left("GOALS")])
        for method in ReceiveMethod.allCases {
            let costs = counts.compactMap { count in
                receivers.first { $0.method == method && $0.workers == count }
            }
            guard costs.count == counts.count else { continue }
            let ratios = receivers.ratios.filter { $0.name.hasPrefix("afxdp.\(method.rawValue).") }
            table.add(
                [Styled(method.label)] + costs.map { cell($0.cpuTime, places: 0) }
                    + costs.map { Styled(Format.decimal($0.rate.median, places: 0)) } + [joined(ratios.map(verdict))])
        }
        for ratio in receivers.ratios { table.add([Styled("  \(ratio.name)"), cell(ratio, places: 2)]) }
        return table
    }

    private var serverTable: Table? {
        guard !servers.isEmpty else { return nil }
        var table = Table([
            .left("KAMAILIO, \(Format.count(ServerCost.rate)) REQUESTS A SECOND"), .right("CPU NS A REQUEST"),
            .right("P50, MS"), .right("P99, MS"), .right("ANSWERED"), .right("MOST, THOUSANDS A SECOND"),
            .left("GOALS"),
        ])
        for cost in servers {
            let ratios = servers.ratios.filter { $0.name.hasPrefix("servers.\(cost.way.rawValue).") }
            table.add([
                Styled(cost.way.label), cell(cost.cpuTime, places: 0), cell(cost.p50, places: 3),
                cell(cost.p99, places: 3), Styled("\(Format.decimal(cost.answered.median, places: 2)) %"),
                cell(cost.throughput), joined((ratios + [cost.answered]).map(verdict)),
            ])
        }
        for ratio in servers.ratios { table.add([Styled("  \(ratio.name)"), cell(ratio, places: 2)]) }
        return table
    }

    private var callsTable: Table? {
        guard let calls else { return nil }
        var table = Table([
            .left("FLOOD"), .left("SENT BY"), .left("BEFORE THE SERVER"), .right("SENT, KPPS"), .right("TRUNK"),
            .right("P99, MS"), .right("PHONE"), .right("P99, MS"), .right("SERVER CPU"), .left("GOALS"),
        ])
        for row in calls.rows {
            let goods = [row.trunk, row.phone]
            let verdicts = goods.flatMap { [verdict($0.answered), verdict($0.p99)] }
            table.add(
                [
                    Styled(row.flood?.label ?? "none"), Styled(row.flood == nil ? "" : row.means.label),
                    Styled(row.guardian.label), Styled(Format.decimal(row.sent.median, places: 0)),
                ]
                    + goods.flatMap { good in
                        [
                            Styled(Format.decimal(good.answered.median, places: 1) + " %"),
                            Styled(Format.decimal(good.p99.median, places: 1)),
                        ]
                    } + [Styled(Format.decimal(row.server.median, places: 0) + " %"), joined(verdicts)])
        }
        return table
    }

    private var timeTable: Table? {
        let figures = (lists?.rows ?? []) + (start?.rows ?? [])
        guard !figures.isEmpty else { return nil }
        var table = Table([.left("COMMANDS, MS"), .right("TIME"), .right("LONGEST"), .left("GOAL")])
        for (label, figure) in figures {
            let longest = figure.samples.isEmpty ? "-" : Format.decimal(figure.maximum, places: 1)
            table.add([Styled(label), cell(figure), Styled(longest), verdict(figure)])
        }
        return table
    }

    /// Keys are stable: names of figures never change, new ones may come.
    var json: JSONValue {
        [
            "schema": 1,
            "version": .string(VosFastpath.version),
            "started": .string(Timestamp.utc(started)),
            "seconds": .double(rounded(duration / .seconds(1))),
            "quick": .bool(isQuick),
            "seed": .number(seed),
            "cpu": .number(cpu),
            "machine": [
                "kernel": .string(machine.kernel), "architecture": .string(machine.architecture),
                "processor": .string(machine.processor), "cores": .number(machine.cores),
                "memory": .number(machine.memory),
                "load_average": .array(machine.loadAverage.map { .double(rounded($0)) }),
            ],
            "figures": .object(figures.map { .init(key: $0.name, value: json($0)) }),
            "goals": .array(
                goals.map { goal in
                    [
                        "figure": .string(goal.figure.name), "value": .double(rounded(goal.figure.median)),
                        "relation": .string(goal.relation.rawValue), "limit": .double(goal.limit),
                        "met": .bool(goal.isMet),
                    ]
                }),
            "floor_lookup": .object(
                packets.map { .init(key: $0.kind.rawValue, value: .string($0.kind.floorLookup.rawValue)) }),
        ]
    }

    private func json(_ figure: Figure) -> JSONValue {
        [
            "unit": .string(figure.unit.rawValue), "rounds": .number(figure.samples.count),
            "min": .double(rounded(figure.minimum)), "median": .double(rounded(figure.median)),
            "max": .double(rounded(figure.maximum)),
        ]
    }

    /// To a thousandth: nothing here is known better.
    private func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}

extension ListTimes {
    fileprivate var rows: [(String, Figure)] {
        [
            ("block add, one address", addOne), ("block add, beside a million", addOneToMany),
            ("block import, 5,000 addresses", importSome), ("block import, 1,000,000 addresses", importMany),
            ("block import, 1,000,000 mixed prefixes", importMixed), ("  a tenth of them replaced", replaceMixed),
        ] + zip(Self.otherLabels, others)
    }

    private static let otherLabels = [
        "  nft add element", "  ipset add", "  iptables -I, a rule an address", "  nft -f, 1,000,000 addresses",
        "  ipset restore, 1,000,000 addresses",
    ]
}

extension StartTime {
    fileprivate var rows: [(String, Figure)] { [("--help", help), ("  /bin/true", nothing)] }
}
