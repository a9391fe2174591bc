// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab

/// The demo on the screen: one picture that changes, then the table. Where nobody watches, a line each time.
struct DemoView {
    private let demo: Demo
    private let output: Output
    private var screen: LiveScreen
    private var interfaces: [String] = []
    /// What the last sample showed; it stays while the last calls end.
    private var lastPicture: [String] = []

    init(demo: Demo, output: Output) {
        self.demo = demo
        self.output = output
        screen = LiveScreen(output)
    }

    mutating func show(_ event: Demo.Event) {
        guard !output.isJSON else { return }
        switch event {
        case .building(let isProtected):
            lastPicture = []
            tell(isProtected, "building the network, starting the SIP server")
        case .running(let isProtected, let interfaces):
            self.interfaces = interfaces
            tell(isProtected, "traffic begins")
        case .sample(let sample): show(sample)
        case .settling(let isProtected): tell(isProtected, "the last calls come to their end")
        case .finished: break
        }
    }

    func end() { screen.end() }

    private func title(_ isProtected: Bool) -> String {
        isProtected ? "2 of 2: with the edge" : "1 of 2: without the edge"
    }

    private mutating func tell(_ isProtected: Bool, _ text: String) {
        if output.terminal.isInteractive {
            screen.show(head(isProtected, text) + lastPicture)
        } else {
            output.line("\(title(isProtected)): \(text)")
            output.flush()
        }
    }

    private func head(_ isProtected: Bool, _ text: String) -> [String] {
        [
            output.render([
                Styled("vos-fastpath demo", .bold), Styled("  \(title(isProtected))", isProtected ? .green : .yellow),
                Styled("  \(text)"),
            ]),
            "",
            "  A phone places \(demo.callRate) calls/s through a SIP server; a scanner looks for it;",
            "  a flooder sends \(Format.count(demo.floodRate)) INVITEs/s from CPU \(demo.generatorCPU).",
            "",
        ]
    }

    private mutating func show(_ sample: Demo.Sample) {
        guard output.terminal.isInteractive else {
            output.line(Self.line(sample))
            output.flush()
            return
        }
        let seconds = Format.decimal(sample.elapsed / .seconds(1), places: 1)
        let whole = Format.decimal(demo.duration / .seconds(1), places: 0)
        lastPicture = picture(sample)
        screen.show(head(sample.isProtected, "\(seconds) s of \(whole) s") + lastPicture)
    }

    /// One line, for files and pipes.
    static func line(_ sample: Demo.Sample) -> String {
        var parts = [
            "\(Format.decimal(sample.elapsed / .seconds(1), places: 1)) s",
            "calls answered \(sample.callsAnswered) of \(sample.callsPlaced)",
            "server CPU \(Format.decimal(sample.serverCPUPercent, places: 0)) %",
            "scanner \(findings(sample.findings))",
        ]
        if let dropped = sample.droppedPerSecond { parts.append("dropped \(Format.rate(dropped))/s") }
        return "  " + parts.joined(separator: ", ")
    }

    private func picture(_ sample: Demo.Sample) -> [String] {
        let width = max(0, min(40, output.terminal.width - 44))
        let bar = { (share: Double, style: Style) in
            Styled(Format.bar(share, width: width, unicode: output.terminal.isUnicode), style)
        }
        let answered = sample.callsPlaced > 0 ? Double(sample.callsAnswered) / Double(sample.callsPlaced) : 0
        let floodShare = sample.droppedPerSecond.map { $0 / Double(demo.floodRate) }
        var table = Table([.left(""), .right(""), .left("")], indent: 2)
        table.add([
            "Calls answered", "\(sample.callsAnswered) of \(sample.callsPlaced)",
            bar(answered, answered > 0.95 ? .green : .red),
        ])
        table.add([
            "Server CPU", "\(Format.decimal(sample.serverCPUPercent, places: 0)) %",
            bar(sample.serverCPUPercent / 100 / Double(onlineProcessors()), .yellow),
        ])
        table.add([
            "Dropped by the edge", Styled(sample.droppedPerSecond.map { Format.rate($0) + "/s" } ?? "no edge"),
            bar(floodShare ?? 0, .red),
        ])
        table.add(["Scanner", Styled(Self.findings(sample.findings))])
        var lines = table.lines(colour: output.terminal.hasColour)
        if let counters = sample.counters {
            lines += ["", "  Counters on \(interfaces.joined(separator: ", "))"]
            var table = Table([.left(""), .right("")], indent: 2)
            for reason in Reason.counted { table.add([Styled(reason.label), Styled(Format.count(counters[reason]))]) }
            lines += table.lines(colour: output.terminal.hasColour)
        }
        return lines
    }

    private static func findings(_ number: Int?) -> String {
        switch number {
        case nil: "at work"
        case 0: "found nothing"
        case .some(let number): "found \(Format.plural(number, "server"))"
        }
    }

    /// The same traffic, without and with the edge.
    static func table(_ without: Demo.Column, _ with: Demo.Column) -> Table {
        var table = Table([.left("THE SAME TRAFFIC"), .right("WITHOUT THE EDGE"), .right("WITH THE EDGE")])
        let add = { (table: inout Table, name: String, value: (Demo.Column) -> String) in
            table.add([Styled(name), Styled(value(without)), Styled(value(with), .bold)])
        }
        add(&table, "Calls answered") { "\(Format.decimal($0.calls.answeredPercent, places: 1)) %" }
        add(&table, "Call set-up, p50") { milliseconds($0.calls.percentile(0.5)) }
        add(&table, "Call set-up, p99") { milliseconds($0.calls.percentile(0.99)) }
        add(&table, "Trunk's OPTIONS answered") { "\($0.trunk.answered) of \($0.trunk.attempted)" }
        add(&table, "Scanner found") { Format.plural($0.findings.count, "server") }
        add(&table, "Server CPU") { "\(Format.decimal($0.serverCPUPercent, places: 0)) %" }
        add(&table, "Flood sent") { "\(Format.count(Int($0.flood.rate.rounded())))/s" }
        add(&table, "Flood dropped in the kernel") { $0.counters.map { Format.count($0[.blocked]) } ?? "-" }
        return table
    }

    private static func milliseconds(_ duration: Duration?) -> String {
        duration.map { "\(Format.decimal($0 / .milliseconds(1), places: 1)) ms" } ?? "-"
    }
}

extension Demo.Column {
    var json: JSONValue {
        let milliseconds = { (duration: Duration?) -> JSONValue in
            duration.map { .double($0 / .milliseconds(1)) } ?? .null
        }
        return [
            "calls": .number(calls.attempted), "answered": .number(calls.answered),
            "answered_percent": .double(calls.answeredPercent), "setup_p50_ms": milliseconds(calls.percentile(0.5)),
            "setup_p99_ms": milliseconds(calls.percentile(0.99)), "trunk_options": .number(trunk.attempted),
            "trunk_answered": .number(trunk.answered), "scanner_findings": .array(findings.map { .string($0.device) }),
            "server_cpu_percent": .double(serverCPUPercent), "flood_packets": .number(flood.packets),
            "flood_per_second": .double(flood.rate), "counters": counters?.json ?? .null,
        ]
    }
}
