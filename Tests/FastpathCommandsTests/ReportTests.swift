// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import FastpathCommands
@testable import FastpathControl
@testable import FastpathCore
@testable import FastpathLab

/// Reports, made by hand.
enum Made {
    static let native = FastpathCore.Attachment(
        mode: .native, programID: 42, programName: "sip_xdp_prog", tag: "0123456789abcdef", loaded: 1_700_000_000,
        isEdge: true)

    static func edge(_ name: String?, index: UInt32 = 2, _ attachment: FastpathCore.Attachment? = native) -> EdgeState {
        EdgeState(
            interface: InterfaceID(index: index, namespace: 1), name: name, driver: name == nil ? nil : "veth",
            namespaceName: nil, attachment: attachment, isPinned: true)
    }

    /// One queue without a socket.
    static let unread = InterfaceConsumers(
        queues: [QueueConsumer(queue: 0, hasSocket: false)], time: 1, isAsked: true)

    static func counters(_ packets: [Reason: UInt64]) -> Counters {
        var counters = Counters()
        for (reason, number) in packets { counters[reason] = number }
        return counters
    }

    static func statistics(_ rows: [(String, UInt32, [Reason: UInt64])]) -> EdgeStatistics {
        EdgeStatistics(
            rows: rows.enumerated().map { number, row in
                EdgeStatistics.Row(
                    edge: edge(row.0, index: UInt32(number + 2)), mapID: row.1, counters: counters(row.2))
            })
    }

    static func prefixes(_ texts: String...) throws -> [IPPrefix] { try texts.map { try IPPrefix($0) } }
}

/// What `body` prints.
private func printed(json: Bool = false, _ body: (Output) -> Void) -> (out: String, err: String) {
    let recorder = Recorder()
    let output = recorder.output()
    output.isJSON = json
    body(output)
    output.flush()
    return (recorder.out, recorder.err)
}

@Suite struct StatisticsTests {
    private let one = Made.statistics([
        ("veth-sip", 12, [.optionsDropped: 100, .blocked: 5, .malformed: 2, .passed: 50])
    ])
    private let two = Made.statistics([("eth0", 12, [.blocked: 1]), ("eth1", 15, [.passed: 2_000])])

    @Test func jsonIsTheDocumentedOne() {
        #expect(
            one.json.encoded
                == #"{"interfaces":[{"name":"veth-sip","mode":"native","counters":{"options_dropped":100,"redirected":0,"#
                + #""passed":50,"blocked":5,"malformed":2,"rate_limited":0}}],"total":{"options_dropped":100,"#
                + #""redirected":0,"passed":50,"blocked":5,"malformed":2,"rate_limited":0}}"#)
    }

    /// Copied from the documentation of read_xdp_stats.sh.
    @Test func summaryIsTheDocumentedOneToTheBlank() {
        #expect(
            one.summaryLines.joined(separator: "\n") == """
                XDP counters (map id 12):
                  OPTIONS dropped (stealth): 100
                  Blocked (DoS list):        5
                  Malformed (dropped):       2
                  Redirected (AF_XDP):      0
                  Passed to stack:          50
                  Total UDP 5060 handled:   157
                """)
        #expect(two.summaryLines.first == "XDP counters (map ids 12, 15):")
        #expect(two.summaryLines.last == "  Total UDP 5060 handled:   2001")
        let limited = Made.statistics([("eth0", 12, [.rateLimited: 7])])
        #expect(limited.summaryLines.contains("  Rate limited (dropped):    7"))
    }

    @Test func severalInterfacesHaveASum() {
        #expect(
            two.tables.flatMap { $0.lines(colour: false) } == [
                "PACKETS                    eth0   eth1    ALL",
                "OPTIONS dropped (stealth)     0      0      0",
                "Blocked (DoS list)            1      0      1",
                "Malformed (dropped)           0      0      0",
                "Rate limited (dropped)        0      0      0",
                "Redirected (AF_XDP)           0      0      0",
                "Passed to stack               0  2,000  2,000",
                "Total                         1  2,000  2,001",
            ])
    }

    @Test func manyInterfacesMakeSeveralTables() {
        let many = Made.statistics((0..<6).map { ("eth\($0)", 1, [:]) })
        #expect(many.tables.map(\.columns.count) == [5, 4])
    }

    @Test func ratesComeFromTheDifferenceOfTwoLooks() {
        let later = Made.statistics([("eth0", 12, [.blocked: 101]), ("eth1", 15, [.passed: 2_010])])
        let interval = StatsWatch.Interval(before: two, after: later, seconds: 2, time: 1_700_000_000)
        #expect(
            StatsWatch.lines(interval) == [
                "2023-11-14T22:13:20Z  total 55.0/s  options_dropped 0/s  blocked 50.0/s  malformed 0/s  "
                    + "rate_limited 0/s  redirected 0/s  passed 5.0/s"
            ])
        let json = StatsWatch.json(interval)
        #expect(json["per_second"]?["blocked"] == .double(50))
        #expect(json["total"]?["passed"] == .integer(2_010))
        #expect(json["interfaces"]?.elements.last?["per_second"]?["passed"] == .double(5))
    }

    @Test func anInterfaceThatIsNewHasNoRate() {
        let interval = StatsWatch.Interval(before: Made.statistics([]), after: one, seconds: 1, time: 0)
        #expect(interval.totalRates.total == 0)
    }

    @Test func countersThatBeginAnewGiveNoNegativeRate() {
        let later = Made.statistics([("veth-sip", 12, [.optionsDropped: 10])])
        let interval = StatsWatch.Interval(before: one, after: later, seconds: 1, time: 0)
        #expect(interval.totalRates.total == 10)
    }

    @Test func thePictureFitsTheScreen() {
        for width in [60, 80, 200] {
            var terminal = Terminal.plain
            terminal.width = width
            let watch = StatsWatch(output: Recorder().output(terminal: terminal), interval: .seconds(1))
            let busy = Made.statistics([("veth-sip", 1, [.optionsDropped: 40_000_000_000, .passed: 20_000_000_000])])
            let interval = StatsWatch.Interval(
                before: Made.statistics([("veth-sip", 1, [:])]), after: busy, seconds: 1, time: 0)
            for line in watch.picture(interval).dropFirst() { #expect(line.count <= max(width, 66), "\(line)") }
        }
    }

    @Test func watchEndsAfterItsCount() throws {
        let recorder = Recorder()
        var looks = 0
        let watch = StatsWatch(output: recorder.output(), interval: .milliseconds(1), count: 3)
        try watch.run { () throws(Failure) in
            looks += 1
            // Taken off while somebody watches.
            if looks == 3 { throw Failure(.notLoaded, tried: "", on: "", because: "", next: "") }
            return one
        }
        let lines = recorder.out.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[1].hasSuffix("not loaded"))
    }

    @Test func watchOfNothingFailsAtOnce() {
        let watch = StatsWatch(output: Recorder().output(), interval: .milliseconds(1), count: 3)
        #expect(throws: Failure.self) {
            try watch.run { () throws(Failure) in throw Failure(.notLoaded, tried: "", on: "", because: "", next: "") }
        }
    }
}

@Suite struct EdgeReportTests {
    private let up = UpReport(
        edge: Made.edge("eth0"), settings: .carrier, replaced: nil, settingsBefore: .classic,
        notes: ["native mode was refused: x"],
        lists: [
            UpList(kind: .block, entries: 3, capacity: 2_048, capacityBefore: 1_024, adopted: 1, byHand: 0),
            UpList(kind: .allow, entries: 0, capacity: 256, capacityBefore: 256, adopted: 0, byHand: 0),
        ], table: nil, recorded: [.block: 3], moved: [Made.edge("eth1")],
        warnings: [.allowListEmpty, .firstNativeAttach], mending: nil)

    @Test func upSaysWhatIsInForceAndWarnsOnStandardError() {
        let result = printed { $0.show(up) }
        #expect(
            result.out == """
                eth0: the edge is on, in native mode, driver veth, program 42
                  profile carrier; was classic
                  block list  3 of 2,048 entries  capacity was 1,024; 1 adopted from the program that was there
                  allow list    0 of 256 entries
                  eth1: moved to the shared lists, native mode

                """)
        // A veth pair has no rings: the second warning is left out.
        #expect(
            result.err == "note: native mode was refused: x\nwarning: \(UpWarning.allowListEmpty.sentence)\n")
    }

    @Test func upOnARealDriverWarnsOfItsRings() {
        var report = up
        report.edge.driver = "ice"
        #expect(printed { $0.show(report) }.err.contains(UpWarning.firstNativeAttach.sentence))
    }

    @Test func upInJSON() throws {
        let document = try JSONValue(parsing: printed(json: true) { $0.show(up) }.out)
        #expect(document["mode"] == "native")
        #expect(document["program"]?["tag"] == "0123456789abcdef")
        #expect(document["warnings"]?.elements == ["allow_list_empty", "first_native_attach"])
        #expect(document["lists"]?.elements.first?["entries"] == 3)
    }

    @Test func downSaysWhatIsKept() {
        var report = DownReport()
        report.takenDown = [Made.edge("eth0")]
        report.recorded = [.block: 3, .allow: 0]
        report.adopted = [.block: 2]
        let result = printed { #expect($0.show(report) == .done) }
        #expect(
            result.out == """
                eth0: the edge is off
                  block list: 2 written by hand, recorded now
                  Recorded for the next 'up': block list 3, allow list 0, trust list 0

                """)
    }

    @Test func downFailsWhereAnInterfaceDoes() {
        var report = DownReport()
        report.failed = [
            FailedEdge(
                edge: Made.edge("eth0"), failure: Failure(tried: "detach", on: "eth0", because: "x", next: "y"))
        ]
        let result = printed { #expect($0.show(report) == .failed) }
        #expect(result.err.hasPrefix("error: cannot detach\n"))
    }

    @Test func downOfListsThatWereLeftSaysSo() {
        var report = DownReport()
        report.areListsRemoved = true
        #expect(printed { _ = $0.show(report) }.out.hasPrefix("Nothing was on; what was left of the lists"))
        report.areListsRemoved = false
        #expect(printed { _ = $0.show(report) }.out.hasPrefix("Nothing was on.\n"))
    }

    @Test func whatHadNotComeToItsEndIsSaidAndNoMore() {
        var mending = Mending(interrupted: "up eth0", restored: 0, notFitted: 0, strays: [])
        let head = "note: 'up eth0' had not come to its end; "
        #expect(printed { $0.note(mending) }.err == head + "it was put right\n")
        mending.restored = 1
        #expect(printed { $0.note(mending) }.err == head + "it was put right: 1 recorded entry put back in force\n")
        mending.restored = 0
        mending.strays = [Made.edge("eth1")]
        let lines = printed { $0.note(mending) }.err.split(separator: "\n")
        #expect(lines.count == 2 && lines.first.map(String.init) == head + "the shared lists were put right")
        #expect(lines.last?.hasPrefix("warning: eth1 reads lists of its own still") == true)
        #expect(lines.last?.hasSuffix("vos-fastpath up eth1") == true)
        #expect(printed { $0.note(nil as Mending?) }.err == "")
    }

    @Test func statusShowsOdditiesWithAdvice() {
        let foreign = FastpathCore.Attachment(
            mode: .generic, programID: 7, programName: "other", tag: "ff", loaded: 0, isEdge: false)
        let report = EdgeReport(
            edges: [
                EdgeStatus(edge: Made.edge("eth0"), settings: .carrier, consumers: Made.unread, ownLists: []),
                EdgeStatus(edge: Made.edge("eth1", foreign), settings: nil, consumers: nil, ownLists: []),
            ],
            lists: [ListStatus(kind: .block, recorded: 3, inKernel: 3, capacity: 1_024, byHand: 0, missing: 0)],
            oddities: [.foreignProgram(Made.edge("eth1", foreign), id: 7, hadOurs: true)])
        let out = printed { $0.show(report, name: nil) }.out
        let lines = out.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.first?.hasPrefix("INTERFACE  MODE     DRIVER  PROFILE  PROGRAM    TAG") == true)
        #expect(lines.contains { $0.hasPrefix("eth0       native   veth    carrier  42") })
        #expect(report.json["interfaces"]?.elements.map { $0["profile"] } == ["carrier", .null])
        #expect(lines.contains { $0.hasPrefix("eth1       generic  veth    -        7 (other)") })
        #expect(lines.contains("LIST   IN FORCE  CAPACITY  RECORDED"))
        #expect(lines.contains("block         3     1,024         3"))
        #expect(lines.contains { $0.hasPrefix("odd   eth1: a program that is not ours (id 7)") })
        #expect(lines.contains { $0.hasPrefix("      -> Put ours back: ") })
        #expect(report.json["oddities"]?.elements.first?["name"] == "foreign_program")
    }

    @Test func statusSaysWhatThePublicMapsHoldBesideAPolicyTable() {
        let list = ListStatus(
            kind: .block, recorded: 3, inKernel: 1, capacity: 1_024, byHand: 1, missing: 0, takesRecord: false)
        let out = printed { $0.show(EdgeReport(edges: [], lists: [list], oddities: []), name: nil) }.out
        #expect(out.contains("PUBLIC MAP   ENTRIES  CAPACITY\nblocked_ips        1     1,024\n"), "\(out)")
    }

    @Test func upShowsPublicMapsOnlyWhereTheyMatter() {
        var report = up
        report.warnings = []
        report.lists = [
            UpList(
                kind: .block, entries: 0, capacity: 1_024, capacityBefore: 1_024, adopted: 0, byHand: 0,
                takesRecord: false),
            UpList(
                kind: .allow, entries: 2, capacity: 256, capacityBefore: 256, adopted: 0, byHand: 2, takesRecord: false),
        ]
        let out = printed { $0.show(report) }.out
        #expect(!out.contains("blocked_ips") && !out.contains("block list"), "\(out)")
        #expect(out.contains("  allowed_ips  2 of 256 entries  2 written by hand\n"))
    }

    @Test func upSaysWhyPublicMapsAreFrozen() throws {
        var report = up
        report.publicMaps = .frozen(unreadBy: ["eth0"])
        report.lists = [
            UpList(
                kind: .block, entries: 0, capacity: 1_024, capacityBefore: 1_024, adopted: 2, byHand: 0, isFrozen: true,
                takesRecord: false)
        ]
        let out = printed { $0.show(report) }.out
        #expect(out.contains("  blocked_ips  frozen  2 written by hand: recorded now, and in the policy table\n"))
        #expect(out.contains("  blocked_ips and allowed_ips are empty and frozen: live_maps is false on eth0"))
        #expect(report.json["public_maps"]?["state"] == "frozen")
        #expect(report.json["lists"]?.elements.first?["frozen"] == true)
        report.publicMaps = .keptWritable(readBy: ["eth1"], unreadBy: ["eth0"])
        report.warnings = [.mapsNotFrozen(report.publicMaps)]
        let err = printed { $0.show(report) }.err
        #expect(err.contains("warning: blocked_ips and allowed_ips are not frozen, as eth1 reads them"))
        #expect(report.json["public_maps"]?["read_by"]?.elements == ["eth1"])
    }

    @Test func statusSaysLoudlyWhatIsNotDropped() {
        var dry = FilterSettings.carrier
        dry.dryRun = Set(Reason.droppable)
        var partly = FilterSettings.carrier
        (partly.switches, partly.dryRun) = (partly.switches.subtracting([.ipv6, .ports]), [.malformed])
        var notes = EdgeNotes()
        notes.unfiltered = [.ipv6: 12, .ports: 1]
        var report = EdgeReport(
            edges: [
                EdgeStatus(
                    edge: Made.edge("eth0"), settings: dry, consumers: Made.unread, notes: EdgeNotes(), ownLists: []),
                EdgeStatus(
                    edge: Made.edge("eth1"), settings: partly, consumers: Made.unread, notes: notes, ownLists: []),
                EdgeStatus(
                    edge: Made.edge("eth2"), settings: .classic, consumers: Made.unread, notes: EdgeNotes(),
                    ownLists: []),
            ], lists: [], oddities: [])
        report.publicMaps = .keptWritable(readBy: ["eth2"], unreadBy: ["eth0"])
        let lines = printed { $0.show(report, name: nil) }.out.split(separator: "\n").map(String.init)
        #expect(
            lines.suffix(6) == [
                "eth0 drops nothing: all rules are in dry run; see 'vos-fastpath report'",
                "eth1 does not drop what is malformed: that rule is in dry run; see 'vos-fastpath report'",
                "eth1: 12 packets of SIP passed unfiltered: the switch ipv6 is off; turn it on with --switch ipv6=on",
                "eth1: 1 packet of SIP passed unfiltered: it goes to other ports; filter them with --port, or ports in the "
                    + "configuration",
                "eth2: profile classic does not look for SIP that passes unfiltered: ipv6, vlan, ports",
                report.publicMaps.sentence ?? "",
            ])
        let interfaces = report.json["interfaces"]?.elements ?? []
        #expect(interfaces.map { $0["unfiltered"] }.last == .null)
        #expect(interfaces.dropFirst().first?["unfiltered"]?["ipv6"] == 12)
        #expect(report.json["public_maps"]?["state"] == "kept_writable")
        #expect(UpWarning.dryRun(interface: "eth0", dry).sentence == lines[lines.count - 6])
    }

    @Test func doctorSaysWhatPassesUnfiltered() {
        var notes = EdgeNotes()
        #expect(unfilteredFindings(notes, .carrier).map(\.grade) == [.ok])
        notes.unfiltered = [.vlan: 3, .ports: 4]
        let findings = unfilteredFindings(notes, FilterSettings(switches: [.ipv6]))
        #expect(findings.map(\.grade) == [.warn, .warn])
        #expect(findings.first?.detail == notes.unfilteredSentences(FilterSettings(switches: [.ipv6])).first)
        #expect(unfilteredFindings(notes, .classic) == [.ok("unfiltered", EdgeNotes.nobodyLooks)])
    }

    @Test func statusOfNothingSaysHowToBegin() {
        let out = printed { $0.show(EdgeReport(edges: [], lists: [], oddities: []), name: nil) }.out
        #expect(out.hasPrefix("The edge is on no interface. Put it on one: vos-fastpath up IFACE\n"))
    }
}

@Suite struct ListReportTests {
    @Test func importNamesEveryBadLineAndEndsWithThePromisedLine() throws {
        let list = AddressList(parsing: Array("192.0.2.1\n999.1.2.3\n\n# x\n10.0.0.1/8\n192.0.2.1\n192.0.2.2\n".utf8))
        var report = ImportReport(kind: .block)
        (report.added, report.alreadyThere, report.duplicates) = (1, 1, list.duplicates)
        report.badLines = list.badLines
        report.isInForce = true
        let result = printed {
            #expect($0.show(report, file: "bad.txt", BlockList.self) == .done)
        }
        #expect(
            result.out == """
                Addresses: 1 new, 1 there already, 1 repeated line
                Done: 2 blocked, 2 skipped (invalid), 0 failed (map full)

                """)
        let warnings = result.err.split(separator: "\n")
        #expect(warnings.count == 2)
        #expect(warnings[0].hasPrefix("warning: bad.txt, line 2: \"999.1.2.3\": "))
        #expect(warnings[1].hasPrefix("warning: bad.txt, line 5: \"10.0.0.1/8\": "))
    }

    @Test func aFullListIsAnErrorWithTheWayOut() throws {
        var report = ImportReport(kind: .allow)
        report.added = 2
        report.notFitted = try Made.prefixes("192.0.2.8", "192.0.2.9")
        report.shortage = Shortage(kind: .allow, capacity: 2, interface: "eth0", suggestedCapacity: 4)
        report.isInForce = true
        let result = printed {
            #expect($0.show(report, file: "f", AllowList.self) == .failed)
        }
        #expect(result.out.hasSuffix("Done: 2 allowed, 0 skipped (invalid), 2 failed (map full)\n"))
        #expect(
            result.err == """
                error: cannot add every address of the file to the allow list
                  on    f
                  why   the list has room for 2 entries, and 2 of 4 addresses found none
                  next  Raise it: vos-fastpath up eth0 --profile classic --allowed-capacity 4. Or use profile carrier, whose table grows by itself.
                        Then import the file again.

                """)
    }

    @Test func whatWaitsForUpIsSaid() {
        let result = printed {
            _ = $0.show(ImportReport(kind: .block), file: "f", BlockList.self)
        }
        #expect(result.err.hasPrefix("note: no interface filters"))
    }

    @Test func aListThatMayBeHalfOfAChangeIsSaidToBe() {
        #expect(printed { $0.noteChange(PolicyListing(rows: [], changing: nil)) }.err == "")
        let warned = printed { $0.noteChange(PolicyListing(rows: [], changing: "`up eth0`, process 7,")) }
        #expect(warned.err.hasPrefix("warning: `up eth0`, process 7, is changing something;") && warned.out == "")
    }

    @Test func listShowsStateAndOrigin() throws {
        let rows = [
            PolicyRow(prefix: try IPPrefix("192.0.2.1"), state: .inForce, origin: .importFile, added: 1_700_000_000),
            PolicyRow(prefix: try IPPrefix("192.0.2.200"), state: .byHand, origin: nil, added: nil),
        ]
        let lines = ListShow<BlockList>.table(of: rows).lines(colour: false)
        #expect(lines[0] == "ADDRESS      STATE     ORIGIN  ADDED")
        #expect(lines[1] == "192.0.2.1    in force  import  " + Timestamp.local(1_700_000_000))
        #expect(lines[2] == "192.0.2.200  by hand   -       -")
        #expect(
            rows[0].json.encoded
                == #"{"address":"192.0.2.1","state":"in force","origin":"import","added":"2023-11-14T22:13:20Z","#
                + #""expires":null,"set":null,"comment":null,"hits":null,"last_hit":null}"#)
    }
}

@Suite struct DemoViewTests {
    private func column(_ isProtected: Bool, answered: Int, statistics: String) throws -> Demo.Column {
        let report = try #require(SIPpReport(statistics: statistics, messages: ""))
        return Demo.Column(
            isProtected: isProtected, calls: report, trunk: report, findings: [],
            flood: Sent(packets: 160_000, refused: 0, duration: .seconds(8)), serverCPU: .seconds(4),
            duration: .seconds(8), counters: isProtected ? Made.counters([.blocked: 160_000]) : nil)
    }

    @Test func tableComparesTheSameTraffic() throws {
        let statistics = "TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n400;400;0;0\n"
        let lines = DemoView.table(
            try column(false, answered: 0, statistics: statistics),
            try column(true, answered: 0, statistics: statistics)
        ).lines(colour: false)
        #expect(lines.first == "THE SAME TRAFFIC             WITHOUT THE EDGE  WITH THE EDGE")
        #expect(lines.contains("Flood sent                           20,000/s       20,000/s"))
        #expect(lines.contains("Flood dropped in the kernel                 -        160,000"))
        #expect(lines.contains("Server CPU                               50 %           50 %"))
    }

    @Test func sampleOnOneLine() {
        let sample = Demo.Sample(
            isProtected: true, elapsed: .milliseconds(1_500), callsPlaced: 75, callsAnswered: 74, findings: 0,
            counters: Counters(), droppedPerSecond: 20_000, serverCPUPercent: 4.4)
        #expect(
            DemoView.line(sample)
                == "  1.5 s, calls answered 74 of 75, server CPU 4 %, scanner found nothing, dropped 20.0 k/s")
    }
}
