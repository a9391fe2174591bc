// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import FastpathCommands
@testable import FastpathControl
@testable import FastpathCore

@Suite struct EntryArgumentsTests {
    @Test(arguments: [
        ("1s", 1), ("90m", 5_400), ("2h", 7_200), ("1d", 86_400), ("3w", 1_814_400), ("3653d", 315_619_200),
    ])
    func lifetimes(text: String, seconds: Int64) {
        #expect(Lifetime(argument: text)?.seconds == seconds)
    }

    @Test(arguments: ["", "s", "0s", "1", "-1h", "1.5h", "1H", "1y", "3654d", "99999999999999999999s", "٣m", "1 h"])
    func whatIsNoLifetime(text: String) {
        #expect(Lifetime(argument: text) == nil)
    }

    @Test func anExpiryCountsFromNow() throws {
        let arguments = try EntryArguments.parse(["--for", "1h", "--comment", "why", "--exclude-private"])
        let options = arguments.options(set: "feed", origin: .importFile, now: Moment(wall: 1_000, boot: 7))
        #expect(
            options
                == EntryOptions(
                    set: "feed", expiry: 4_600, comment: "why", origin: .importFile, excludePrivate: true, force: false)
        )
    }

    @Test(arguments: [
        ["block", "import", "--set", "a b", "f"], ["block", "list", "--top", "3"],
        ["block", "list", "--hits", "--top", "0"],
        ["trust", "add"], ["allow", "remove"], ["block", "add", "--for", "1y", "192.0.2.1"],
        ["block", "list", "--sets", "--hits"], ["up", "eth0", "--policy-capacity", "0"],
    ])
    func wrongOptionsAre64(words: [String]) {
        #expect(run(words).status == .usage)
    }

    @Test func aRefusedLineIsNamedAndFails() throws {
        var report = ImportReport(kind: .block)
        report.added = 2
        report.leftOut = 3
        report.isInForce = true
        report.refused = [
            RefusedLine(
                number: 7, prefix: try IPPrefix("198.51.0.0/16"), refusal: .trusted(try IPPrefix("198.51.100.0/24")))
        ]
        report.gap = EnforcementGap(kind: .block, interfaces: ["eth1"], count: 1, late: 0)
        let recorder = Recorder()
        let output = recorder.output()
        #expect(output.show(report, file: "feed.txt", BlockList.self) == .failed)
        output.flush()
        #expect(recorder.out.hasPrefix("Addresses: 2 new, 3 private left out, 1 refused\nDone: 2 blocked"))
        let lines = recorder.err.split(separator: "\n")
        #expect(
            lines.first
                == "warning: feed.txt, line 7: \"198.51.0.0/16\" is refused: it would block 198.51.100.0/24, which is trusted"
        )
        #expect(recorder.err.contains("not in force on eth1"))
        #expect(report.json["refused"]?.elements.first?["line"] == 7 && report.json["not_enforced"]?["entries"] == 1)
    }

    @Test func hitsHaveATableOfTheirOwn() throws {
        var row = PolicyRow(prefix: try IPPrefix("192.0.2.0/24"), state: .inForce, origin: .importFile, added: 1)
        (row.hits, row.lastHit, row.set) = (1_234, 1_700_000_000, "feed")
        let lines = ListShow<BlockList>.hitTable(of: [row]).lines(colour: false)
        #expect(
            lines == [
                "ADDRESS        HITS  LAST HIT             SET",
                "192.0.2.0/24  1,234  \(Timestamp.local(1_700_000_000))  feed",
            ])
        row.expiry = 1_700_000_001
        row.comment = "why"
        #expect(
            ListShow<BlockList>.table(of: [row]).lines(colour: false)[0].hasSuffix("EXPIRES              SET   COMMENT")
        )
        #expect(row.json["expires"] == "2023-11-14T22:13:21Z" && row.json["hits"] == 1_234)
    }
}
