// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore
import Testing

@testable import FastpathCommands

/// The page that is made from a bench's figures. The figures here are invented.
@Suite struct ProofTests {
    private static let figures = [
        ("packet.invite.edge", "ns", 36), ("packet.invite.ratio", "ratio", 1.46), ("carrier.invite.frozen", "ns", 9.4),
        ("carrier.invite.million", "ns", 31), ("carrier.ipv6_blocked.frozen", "ns", 20),
        ("carrier.long_line.long", "ns", 88),
        ("carrier.vlan.more", "ns", 2.5), ("carrier.mix.net", "ns", 21), ("policy.1000.ipv4.miss", "ns", 8),
        ("policy.1000.change", "ms", 0.0006), ("drop.native.rate", "Mpps", 6.91), ("drop.native.cpu", "ns", 135),
        ("drop.socket.rate", "Mpps", 0.67), ("calls.quiet.trunk.answered", "%", 100),
        ("calls.forged.frames.edge.trunk.answered", "%", 99.95), ("calls.forged.frames.edge.phone.answered", "%", 12.5),
        ("calls.curve.none.25.answered", "%", 80), ("calls.curve.none.800.answered", "%", 0),
        ("calls.curve.edge.800.answered", "%", 100), ("calls.curve.edge.25.answered", "%", 100),
        ("start.help", "ms", 4.6), ("afxdp.swift.1.cpu", "ns", 220), ("afxdp.swift.1.rate", "kpps", 400),
        ("afxdp.swift.1.over_c", "ratio", 1.02),
    ]
    private static let goals = [
        ("carrier.invite.frozen", 9.4, "at_most", 10.0, true), ("afxdp.swift.1.over_c", 1.02, "at_most", 1.05, true),
        ("packet.invite.ratio", 1.46, "at_most", 1.35, false),
        ("calls.forged.frames.edge.trunk.answered", 99.95, "at_least", 99.9, true),
    ]

    /// What a bench writes, with the figures whose names begin with one of `prefixes`.
    private func json(_ prefixes: [String] = [""], isQuick: Bool = false) -> String {
        func isIn(_ name: String) -> Bool { prefixes.contains { name.hasPrefix($0) } }
        let document: JSONValue = [
            "schema": 1, "version": "0.1.0", "started": "2026-01-01T00:00:00Z", "seconds": 120, "quick": .bool(isQuick),
            "seed": 1, "cpu": 1,
            "machine": [
                "kernel": "6.18", "architecture": "x86_64", "processor": "P & <Q>", "cores": 2,
                "load_average": .array([.double(0.5), 1, 2]),
            ],
            "figures": .object(
                Self.figures.filter { isIn($0.0) }.map { name, unit, median in
                    .init(
                        key: name,
                        value: [
                            "unit": .string(unit), "rounds": 5, "min": .double(median * 0.5), "median": .double(median),
                            "max": .double(median * 2),
                        ])
                } + [
                    .init(
                        key: "carrier.live.more",
                        value: ["unit": "ns", "rounds": 0, "min": nil, "median": nil, "max": nil])
                ]),
            "goals": .array(
                Self.goals.filter { isIn($0.0) }.map { figure, value, relation, limit, isMet in
                    [
                        "figure": .string(figure), "value": .double(value), "relation": .string(relation),
                        "limit": .double(limit), "met": .bool(isMet),
                    ]
                }),
        ]
        return document.encoded
    }

    private func page(_ prefixes: [String] = [""], isQuick: Bool = false) throws -> ProofPage {
        ProofPage(result: try BenchResult(parsing: json(prefixes, isQuick: isQuick), name: "bench.json"))
    }

    @Test func goalsAreToldPlainly() throws {
        let text = try page().markdown
        #expect(text.contains("3 of 4 met, 1 missed."))
        let missed = try #require(text.firstRange(of: "### Missed")), met = try #require(text.firstRange(of: "### Met"))
        let ratio = try #require(
            text.firstRange(of: "| classic: INVITE, ratio | 1.46 | ≤ 1.35 | `packet.invite.ratio` |"))
        let invite = try #require(
            text.firstRange(of: "| carrier: INVITE, 1,000 entries | 9.4 ns | ≤ 10 ns | `carrier.invite.frozen` |"))
        #expect(
            missed.lowerBound < ratio.lowerBound && ratio.lowerBound < met.lowerBound
                && met.lowerBound < invite.lowerBound)
        #expect(text.contains("P & <Q>, 2 cores, Linux 6.18, load 0.50 1.00 2.00 before"))
        #expect(!text.contains("a look, not a measurement"))
        #expect(try page(isQuick: true).markdown.contains("**This was a quick run: a look, not a measurement.**"))
    }

    @Test func everyFigureHasItsCell() throws {
        let text = try page().markdown
        for row in [
            "| INVITE | 9 (5) | 31 (16) |  | met |", "| IPv6 blocked | 20 (10) |  |  |  |",
            "| mixed traffic, over the empty program | 21.0 (10.5) |  |",
            "| INVITE | 36 (18) | – | – | – | 1.46 (0.73) | **missed** ≤ 1.35 |", "| `ipv4.miss` | 8 (4) | ns |",
            "| the edge, native mode | 6.91 (3.46) | 135 (68) |  |  |",
            "| none |  | the edge, native | – | 100.00 (50.00) |",
            "| INVITEs of 100,000 forged sources | live frames, 1 Mpps | the edge, native | – | 99.95 (49.98) | – | "
                + "12.50 (6.25) | – | – | met |",
            "| `start.help` | 4.6 (2.3) | 9.2 |  |", "| AF_XDP, the receiver in Swift | 220 (110) | 400 (200) | met |",
            "| AF_XDP, the receiver in Swift, 1 worker: over AF_XDP, the same loop in C | 1.02 | ≤ 1.05 |",
        ] {
            #expect(text.contains(row), "\(row)")
        }
        #expect(!text.contains("Left out"))
    }

    @Test func aPictureWithoutFiguresIsLeftOutAndNamed() throws {
        let all = try page().pictures.map(\.name)
        #expect(all == ["packets", "drop", "calls"])
        let some = try page(["drop.", "calls.quiet"])
        #expect(some.pictures.filter { $0.svg != nil }.map(\.name) == ["drop"])
        let text = some.markdown
        #expect(text.contains("- `packets.svg`: this run did not measure"))
        #expect(text.contains("- `calls.svg`: this run did not measure the curve of calls"))
        #expect(text.contains("](pictures/drop.svg)") && !text.contains("](pictures/calls.svg)"))
        #expect(text.contains("None was measured."))
    }

    @Test func theSameFiguresMakeTheSameBytes() throws {
        let one = try page(), other = try page()
        #expect(one.markdown == other.markdown)
        #expect(one.pictures.map { $0.svg?.source } == other.pictures.map { $0.svg?.source })
    }

    /// Of XML: tags closed in order, text escaped, no script, nothing from elsewhere.
    @Test func picturesAreSound() throws {
        for picture in try page().pictures {
            let source = try #require(picture.svg).source
            #expect(source.hasPrefix("<svg xmlns=\"http://www.w3.org/2000/svg\""))
            #expect(!source.contains("<script") && !source.contains("href") && !source.contains("url("))
            #expect(!source.contains("nan") && !source.contains("inf"))
            var open: [Substring] = []
            for part in source.split(separator: "<").dropFirst(0) {
                let tag = part.prefix { $0 != ">" }
                if tag.hasPrefix("/") { #expect(open.popLast() == tag.dropFirst()) }
                if !tag.hasPrefix("/"), !tag.hasSuffix("/") { open.append(tag.prefix { $0 != " " }) }
            }
            #expect(open.isEmpty, "\(picture.name)")
        }
        #expect(SVG.escaped("a<b>&\"c\"") == "a&lt;b&gt;&amp;&quot;c&quot;")
    }

    @Test func aBarIsAsLongAsItsValue() throws {
        let chart = BarChart(
            title: "t", unit: "u", places: 0, series: ["one"],
            rows: [.init(label: "a", values: [10]), .init(label: "b", values: [5]), .init(label: "c", values: [-1])])
        let widths = chart.svg.source.split(separator: "\n").filter { $0.hasSuffix("class=\"s0\"/>") }.compactMap {
            $0.firstMatch(of: /width="([0-9.]+)"/).flatMap { Double($0.1) }
        }
        #expect(widths.count == 3)
        #expect(abs(widths[0] - 2 * widths[1]) < 0.2 && widths[2] == 1)
    }

    @Test func curvesRunFromTheLowestRateToTheHighest() throws {
        let svg = try #require(try page().pictures.last?.svg).source
        let lines = svg.split(separator: "\n").filter { $0.hasPrefix("<polyline") }
        // 80 % to 0 %, and 100 % all the way: downwards is more in a picture.
        #expect(
            lines == [
                "<polyline points=\"74,124.8 668,360\" class=\"curve s0\"/>",
                "<polyline points=\"74,66 668,66\" class=\"curve s1\"/>",
            ])
    }

    @Test func timesStandOnALogarithm() throws {
        let chart = CurveChart(
            title: "t", xLabel: "x", yLabel: "y", scale: .milliseconds,
            curves: [.init(label: "a", points: [(1, 0.01), (10, 1), (100, 1_000), (1_000, 60_000)])])
        let lines = chart.svg.source.split(separator: "\n").filter { $0.hasPrefix("<polyline") }
        // A fifth of the height each power of ten; what is beyond stays inside.
        #expect(lines == ["<polyline points=\"74,360 272,301.2 470,124.8 668,66\" class=\"curve s0\"/>"])
    }

    @Test(arguments: [(0.4, 0.4), (0.67, 0.8), (1, 1), (9.9, 10), (10.15, 12), (61, 80), (100, 100), (2_300, 2_500)])
    func scalesEndAtRoundNumbers(value: Double, top: Double) {
        let scale = Scale(upTo: value)
        #expect(abs(scale.top - top) < 1e-9 * top && scale.top >= value * (1 - 1e-9))
        #expect(scale.ticks.count >= 4 && scale.ticks.count <= 8)
        let texts = scale.ticks.map { Format.decimal($0, places: scale.places) }
        #expect(Set(texts).count == texts.count)
        for (text, tick) in zip(texts, scale.ticks) {
            #expect(abs((Double(text.filter { $0 != "," }) ?? -1) - tick) < 1e-9 * top, "\(text)")
        }
    }

    @Test func costsStandBetweenTheirMarks() throws {
        let document = "a\n\(ProofPage.costsBegin)\nold\n\(ProofPage.costsEnd)\nb\n"
        let new = try page().withCosts(document)
        #expect(new.hasPrefix("a\n\(ProofPage.costsBegin)\n| what |") && new.hasSuffix("|\n\(ProofPage.costsEnd)\nb\n"))
        #expect(new.contains("| `vlan` | 2.5 (1.3) |") && new.contains("| `live_maps` | – |") && !new.contains("old"))
        #expect(try page().withCosts(new) == new)
        #expect(try page().withCosts("nothing") == "nothing")
    }

    @Test(arguments: ["", "{", "[]", "{\"schema\":2,\"figures\":{}}", "{\"schema\":1}"])
    func whatIsNoBenchIsRefused(text: String) {
        #expect(throws: Failure.self) { try BenchResult(parsing: text, name: "x") }
    }
}
