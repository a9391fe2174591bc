// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore

/// The parts of the page that show figures; each is empty where the run did not measure it.
extension ProofPage {
    // MARK: Packets

    /// The kinds of packet that were measured in profile carrier.
    private var carrierKinds: [String] {
        result.names(between: "carrier.", and: CarrierCost.variants.map { ".\($0)" })
    }

    var carrierPicture: Picture {
        let shown = ["frozen", "million", "long"]
        let rows = carrierKinds.map { kind in
            BarChart.Row(
                label: Self.packetLabel(kind), values: shown.map { result.figure("carrier.\(kind).\($0)")?.median })
        }.filter { $0.values.contains { $0 != nil } }
        let chart = BarChart(
            title: "Profile carrier: ns a packet over a program that only drops", unit: "ns", places: 0,
            series: shown.map(Self.variantLabel), rows: rows)
        return Picture(
            name: "packets", svg: rows.isEmpty ? nil : chart.svg, needs: "packets in profile carrier (--only carrier)")
    }

    var packets: String {
        let kinds = carrierKinds
        guard !kinds.isEmpty else { return "" }
        let variants = CarrierCost.variants.filter { variant in
            kinds.contains { result.figure("carrier.\($0).\(variant)") != nil }
        }
        var table = MarkdownTable(
            [.left("ns over the empty program")] + variants.map { .right(Self.variantLabel($0)) } + [.left("goals")])
        for kind in kinds {
            let names = variants.map { "carrier.\(kind).\($0)" }
            table.add(
                [Self.packetLabel(kind)]
                    + names.map { result.figure($0) == nil ? "" : cell($0, places: 0) } + [verdict(names)])
        }
        return "## A packet in profile carrier\n\n"
            + image(carrierPicture, "Bars: ns a packet in profile carrier, kind by kind") + table.text + surcharges
    }

    /// What single rules cost more.
    private var surcharges: String {
        let more = result.names(between: "carrier.", and: [".more"])
        guard !more.isEmpty || result.figure("carrier.mix.net") != nil else { return "" }
        var table = MarkdownTable([.left("ns"), .right("measured"), .left("goal")])
        for name in more {
            table.add([
                "\(Self.packetLabel(name)): an INVITE with it, less one without", cell("carrier.\(name).more"),
                verdict(["carrier.\(name).more"]),
            ])
        }
        table.add(["mixed traffic, over the empty program", cell("carrier.mix.net"), verdict(["carrier.mix.net"])])
        return "\n\n" + table.text
    }

    var classic: String {
        let kinds = result.names(between: "packet.", and: [".edge"])
        guard !kinds.isEmpty else { return "" }
        let columns = ["edge", "net", "floor", "empty"]
        var table = MarkdownTable(
            [.left("ns a packet")] + columns.map { .right($0) } + [.right("edge over floor"), .left("goal")])
        for kind in kinds {
            table.add(
                [Self.packetLabel(kind)] + columns.map { cell("packet.\(kind).\($0)", places: 0) }
                    + [cell("packet.\(kind).ratio", places: 2), verdict(["packet.\(kind).ratio"])])
        }
        if result.figure("mix.edge") != nil {
            table.add(
                ["mixed traffic"] + columns.map { cell("mix.\($0)", places: 0) }
                    + [cell("mix.ratio", places: 2), verdict(["mix.ratio"])])
        }
        return "## A packet in profile classic\n\n" + table.text
    }

    // MARK: The policy table

    var policy: String {
        let sizes = result.names(between: "policy.", and: [".change"])
        guard let first = sizes.first else { return "" }
        let rows = result.figures.filter { $0.name.hasPrefix("policy.\(first).") }
        var table = MarkdownTable(
            [.left("entries")] + sizes.map { .right(Int($0).map { Format.count($0) } ?? $0) } + [.left("unit")])
        for row in rows {
            let name = row.name.dropFirst("policy.\(first).".count)
            let places = row.unit == FastpathBench.Unit.milliseconds.rawValue ? 4 : 0
            table.add(["`\(name)`"] + sizes.map { cell("policy.\($0).\(name)", places: places) } + [row.unit])
        }
        return """
            ## A look-up in the policy table

            `ipv4` and `ipv6` are the table, `hash` and `trie` the kernel's hash and LPM trie beside it. `hit`, `miss`: one \
            of 65,536 sources at random; `repeated`: one source again and again.


            """ + table.text
    }

    // MARK: Floods

    private var dropMethods: [String] { result.names(between: "drop.", and: [".rate"]) }

    private func dropLabel(_ name: String) -> String { DropMethod(rawValue: name)?.label ?? name }

    var dropPicture: Picture {
        let rows = dropMethods.map {
            BarChart.Row(label: dropLabel($0), values: [result.figure("drop.\($0).rate")?.median])
        }
        let chart = BarChart(
            title: "Packets of blocked sources dropped a second, millions, on one CPU with their generator",
            unit: "Mpps", places: 2, series: ["Mpps"], rows: rows)
        return Picture(
            name: "drop", svg: rows.isEmpty ? nil : chart.svg, needs: "floods of blocked sources (--only drop)")
    }

    var drops: String {
        guard !dropMethods.isEmpty else { return "" }
        var table = MarkdownTable([
            .left("in the way"), .right("Mpps"), .right("CPU ns a packet"), .right("times native"), .left("goal"),
        ])
        for method in dropMethods {
            let ratio = "drop.\(method).over_native"
            table.add([
                dropLabel(method), cell("drop.\(method).rate", places: 2), cell("drop.\(method).cpu", places: 0),
                result.figure(ratio) == nil ? "" : cell(ratio, places: 2),
                verdict([ratio, "drop.\(method).over_empty"]),
            ])
        }
        return "## A flood of blocked sources\n\n" + image(dropPicture, "Bars: packets dropped a second, by method")
            + table.text
    }

    // MARK: Calls

    /// Shares of good transactions answered, by what stands before the server and by the rate of the flood.
    var curvePicture: Picture {
        var curves: [CurveChart.Curve] = []
        // Good callers try again: nearly all are answered in the end, and the time tells. Older figures do not have it.
        let hasTimes = !result.names(between: "calls.curve.", and: [".p99"]).isEmpty
        let suffix = hasTimes ? ".p99" : ".answered"
        for name in result.names(between: "calls.curve.", and: [suffix]) {
            let parts = name.split(separator: ".").map(String.init)
            guard parts.count == 2, let rate = Double(parts[1]), rate > 0,
                let figure = result.figure("calls.curve.\(name)\(suffix)")
            else { continue }
            let label = Self.guardLabel(parts[0])
            let index = curves.firstIndex { $0.label == label } ?? curves.endIndex
            if index == curves.endIndex { curves.append(.init(label: label, points: [])) }
            curves[index].points.append((rate, figure.median))
        }
        for index in curves.indices { curves[index].points.sort { $0.x < $1.x } }
        let chart = CurveChart(
            title: hasTimes
                ? "How long a trusted trunk waits while a blocked source floods with INVITEs"
                : "A trusted trunk's transactions while a blocked source floods with INVITEs",
            xLabel: "flood, thousands of packets a second",
            yLabel: hasTimes ? "99 of 100 are answered within, ms" : "answered in the end, %",
            scale: hasTimes ? .milliseconds : .percent, curves: curves)
        return Picture(
            name: "calls", svg: curves.isEmpty ? nil : chart.svg,
            needs: "the curve of calls by the flood's rate (calls.curve.*)")
    }

    var floods: String {
        let rows = result.names(between: "calls.", and: [".trunk.answered"])
        guard !rows.isEmpty || curvePicture.svg != nil else { return "" }
        var table = MarkdownTable([
            .left("flood"), .left("sent by"), .left("before the server"), .right("sent, kpps"),
            .right("trunk answered, %"),
            .right("p99, ms"), .right("phone answered, %"), .right("p99, ms"), .right("server's CPU, %"),
            .left("goals"),
        ])
        for row in rows {
            let parts = row.split(separator: ".").map(String.init)
            let words =
                parts.count == 3
                ? [Self.floodLabel(parts[0]), Self.meansLabel(parts[1]), Self.guardLabel(parts[2])]
                : ["none", "", Self.guardLabel(FloodGuard.edge.rawValue)]
            let goods = ["trunk.answered", "trunk.p99", "phone.answered", "phone.p99"].map { "calls.\(row).\($0)" }
            table.add(
                words + [cell("calls.\(row).sent", places: 0)]
                    + goods.map { cell($0, places: $0.hasSuffix("p99") ? 1 : 2) }
                    + [cell("calls.\(row).server", places: 0), verdict(goods)])
        }
        return """
            ## Calls under flood

            Kamailio behind the edge, 200 good transactions a second: 180 OPTIONS of a trunk that is trusted, 20 REGISTERs of \
            a phone that no list names. A p99 of 60,000 ms stands for nobody answered.


            """ + image(curvePicture, "Curves: what a trusted trunk gets, by the flood's rate") + table.text
    }

    // MARK: Commands

    var commands: String {
        let figures = result.figures.filter { $0.name.hasPrefix("lists.") || $0.name.hasPrefix("start.") }
        guard !figures.isEmpty else { return "" }
        var table = MarkdownTable([.left("ms"), .right("median (minimum)"), .right("longest"), .left("goal")])
        for figure in figures {
            table.add([
                "`\(figure.name)`", cell(figure.name), Format.decimal(figure.maximum, places: 1),
                verdict([figure.name]),
            ])
        }
        return "## Commands\n\n" + table.text
    }
}
