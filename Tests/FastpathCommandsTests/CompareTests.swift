// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathBench
@testable import FastpathCommands
@testable import FastpathLab

@Suite struct ComparisonReportTests {
    private static func sipp(_ attempted: Int, _ answered: Int) throws -> SIPpReport {
        var report = try #require(
            SIPpReport(
                statistics: "TotalCallCreated;SuccessfulCall(C);FailedCall(C);Retransmissions(C)\n\(attempted);0;0;1\n",
                messages: ""))
        report.answered = answered
        report.responseTimes = [.milliseconds(1), .milliseconds(7)]
        return report
    }

    private static func phase(_ phase: Comparison.Phase, _ counted: [Reason: UInt64]? = nil) -> Comparison.Measurement {
        var host = HostFigures()
        (host.packets, host.bytes, host.datagrams, host.datagramErrors) = (2_000, 900_000, 1_234, 5)
        (host.ticks, host.idleTicks, host.softirqTicks) = (400, 100, 30)
        return Comparison.Measurement(
            phase: phase, mode: counted == nil ? nil : .native, duration: .seconds(2), host: host,
            counters: counted.map { Made.counters($0) })
    }

    private let real = ComparisonReport(
        interface: "eth0", profile: "carrier",
        phases: [phase(.baseline), phase(.edge, [.blocked: 1_500, .passed: 7]), phase(.after)])

    @Test func aRowAMetricAColumnAPhase() {
        let lines = real.table.lines(colour: false)
        #expect(lines[0].split(separator: "  ").map { $0.trimmed } == ["BASELINE", "WITH THE EDGE", "AFTER UNLOAD"])
        let row = { (title: String) in
            lines.first { $0.hasPrefix(title) }?.dropFirst(title.count).split(separator: "  ").map { $0.trimmed }
        }
        #expect(row("XDP") == ["none", "native", "none"])
        #expect(row("Received packets a second") == ["1,000", "1,000", "1,000"])
        #expect(row("CPU in soft interrupts, of all CPUs") == ["7.5 %", "7.5 %", "7.5 %"])
        #expect(row("Blocked (DoS list)") == ["-", "1,500", "-"])
        #expect(row("Datagrams lost at sockets") == ["5", "5", "5"])
        // Whose traffic it is nobody knows: no rows for phones.
        #expect(!lines.contains { $0.hasPrefix("Phone") })
    }

    @Test func jsonHasEveryPhase() throws {
        var report = real
        report.phases[1].sip = try Comparison.SIP(
            phone: Self.sipp(10, 9), trunk: Self.sipp(4, 4), bad: 100, serverPercent: 12.345)
        let json = report.json
        #expect(try JSONValue(parsing: json.encoded) == json)
        let phases = json["phases"]?.elements ?? []
        #expect(phases.map { $0["phase"] } == ["baseline", "edge", "after"])
        #expect(phases[0]["counters"] == .null && phases[1]["counters"]?["blocked"] == 1_500)
        #expect(phases[1]["sip"]?["phone"]?["answered"] == 9 && phases[1]["sip"]?["phone"]?["p99_ms"] == .double(7))
        #expect(phases[1]["sip"]?["server_cpu_percent"] == .double(12.35))
        #expect(phases[0]["received"]?["bytes"] == 900_000 && phases[0]["udp"]?["datagrams"] == 1_234)
        #expect(
            report.table.lines(colour: false).contains {
                $0.hasPrefix("Phone's REGISTERs answered") && $0.contains("9 of 10")
            })
    }

    @Test func thePageNamesVersionKernelAndDay() {
        let page = ComparisonPage(report: real, kernel: "6.1.0", processor: "", cores: 2, time: 1_700_000_000).markdown
        #expect(
            page.contains("vos-fastpath \(VosFastpath.version), 2023-11-14; 2 cores, Linux 6.1.0; profile carrier."))
        #expect(page.contains("`vos-fastpath compare IFACE --yes --markdown FILE`"))
        #expect(page.contains("|  | Baseline | With the edge | After unload |"))
        #expect(page.contains("| Blocked (DoS list) | - | 1,500 | - |"))
        #expect(page.contains("| – of these: buffer full | 0 | 0 | 0 |"))
        #expect(!page.contains("eth0 |"), "no name of the machine's")
    }
}

@Suite struct HostFiguresTests {
    @Test func tablesOfProc() throws {
        var figures = HostFigures()
        let isThere = figures.addInterface(
            """
            Inter-|   Receive                                                |  Transmit
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
                lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
              eth0:123456     789    1    2    0     0          0         0       55       5    0    0    0     0       0          0

            """, "eth0")
        #expect(isThere && figures.bytes == 123_456 && figures.packets == 789 && figures.dropped == 2)
        let isElsewhere = figures.addInterface("", "eth1")
        #expect(!isElsewhere)
        figures.addUDP(
            """
            Tcp: RtoAlgorithm RtoMin
            Tcp: 1 200
            Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
            Udp: 50 6 7 8 3
            UdpLite: InDatagrams NoPorts
            UdpLite: 1000 1000

            """)
        figures.addUDP6("Ip6InReceives 9\nUdp6InDatagrams 40\nUdp6NoPorts 1\nUdp6InErrors 2\nUdp6RcvbufErrors 1\n")
        #expect(figures.datagrams == 90 && figures.noPort == 7)
        #expect(figures.datagramErrors == 9 && figures.bufferErrors == 4)
        figures.addCPU("cpu  100 20 30 700 50 10 90 0 5 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
        #expect(figures.ticks == 1_000 && figures.softirqPercent == 9 && figures.busyPercent == 25)
    }

    @Test func differencesAndNewStarts() {
        var (before, after) = (HostFigures(), HostFigures())
        (before.packets, after.packets) = (10, 25)
        (before.noPort, after.noPort) = (10, 4)
        let difference = after - before
        #expect(difference.packets == 15 && difference.noPort == 4 && difference.softirqPercent == 0)
    }

    @Test func theLoopbackOfThisHostIsThere() throws {
        let figures = try HostFigures.read(interface: "lo")
        #expect(figures.ticks > 0)
        #expect(throws: Failure.self) { try HostFigures.read(interface: "no-such-one") }
    }
}

extension StringProtocol {
    fileprivate var trimmed: String {
        String(drop { $0 == " " }.reversed().drop { $0 == " " }.reversed())
    }
}
