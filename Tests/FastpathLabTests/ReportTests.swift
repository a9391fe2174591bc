// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathLab

/// What other programs say, as they said it.
@Suite struct ReportTests {
    @Test func sippStatisticsAndTrace() throws {
        let statistics = """
            StartTime;TotalCallCreated;SuccessfulCall(P);SuccessfulCall(C);FailedCall(P);FailedCall(C);Retransmissions(P);Retransmissions(C);
            2026-01-01\t00:00:00.1\t1.1;0;0;0;0;0;0;0;
            2026-01-01\t00:00:01.1\t2.1;3;1;1;0;1;2;4;
            """
        // Call 1: answered after 1.5 ms. Call 2: sent twice, answered 501 ms after the first. Call 3: rings, no more.
        // Call 1's BYE gets a 200 too, which is no answer to the INVITE.
        let trace = """
            2026-01-01\t00:00:00.000000\t100.000000\tS\t1@x\tCSeq:1 INVITE\tINVITE sip:b@x SIP/2.0
            2026-01-01\t00:00:00.001500\t100.001500\tR\t1@x\tCSeq:1 INVITE\tSIP/2.0 200 OK
            2026-01-01\t00:00:00.200000\t100.200000\tS\t1@x\tCSeq:2 BYE\tBYE sip:b@x SIP/2.0
            2026-01-01\t00:00:00.201000\t100.201000\tR\t1@x\tCSeq:2 BYE\tSIP/2.0 200 OK
            2026-01-01\t00:00:01.000000\t101.000000\tS\t2@x\tCSeq:1 INVITE\tINVITE sip:b@x SIP/2.0
            2026-01-01\t00:00:01.500000\t101.500000\tS\t2@x\tCSeq:1 INVITE\tINVITE sip:b@x SIP/2.0
            2026-01-01\t00:00:01.501000\t101.501000\tR\t2@x\tCSeq:1 INVITE\tSIP/2.0 200 OK
            2026-01-01\t00:00:02.000000\t102.000000\tS\t3@x\tCSeq:1 INVITE\tINVITE sip:b@x SIP/2.0
            2026-01-01\t00:00:02.001000\t102.001000\tR\t3@x\tCSeq:1 INVITE\tSIP/2.0 180 Ringing
            """
        let report = try #require(SIPpReport(statistics: statistics, messages: trace))
        #expect(report.attempted == 3)
        #expect(report.answered == 2)
        #expect(report.completed == 1)
        #expect(report.failed == 1)
        #expect(report.retransmissions == 4)
        #expect(report.responseTimes == [.microseconds(1500), .microseconds(501_000)])
        #expect(report.percentile(0.5) == .microseconds(1500))
        #expect(report.percentile(0.51) == .microseconds(501_000))
        #expect(report.percentile(0.99) == .microseconds(501_000))
        #expect(SIPpReport(statistics: "StartTime;TotalCallCreated;\n", messages: trace) == nil)
    }

    @Test func svmapTable() {
        let table = """
            +----------------+---------------------------------+
            | SIP Device     | User Agent                      |
            +================+=================================+
            | 10.98.0.1:5060 | kamailio (5.6.3 (x86_64/linux)) |
            +----------------+---------------------------------+
            | 10.98.0.7:5062 | unknown                         |
            +----------------+---------------------------------+
            """
        #expect(
            Svmap.findings(in: table) == [
                .init(device: "10.98.0.1:5060", userAgent: "kamailio (5.6.3 (x86_64/linux))"),
                .init(device: "10.98.0.7:5062", userAgent: "unknown"),
            ])
        #expect(Svmap.findings(in: "WARNING:root:found nothing\n").isEmpty)
    }

    @Test func interfaceStatistics() {
        let text = """
            Inter-|   Receive                                                |  Transmit
             face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
                lo:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
             veth0:     100       7    0    0    0     0          0         0      200       9    0    5    0     0       0          0
            """
        #expect(LabInterface.parseStatistics(text, of: "veth0") == .init(received: 7, sent: 9, sendDropped: 5))
        #expect(LabInterface.parseStatistics(text, of: "lo") == .init(received: 2, sent: 10, sendDropped: 12))
        #expect(LabInterface.parseStatistics(text, of: "eth0") == nil)
    }

    @Test func refusedFramesOfAVeth() {
        let text = """
            NIC statistics:
                 peer_ifindex: 2
                 rx_queue_0_xdp_tx_errors: 100
                 tx_queue_0_xdp_xmit: 7
                 tx_queue_0_xdp_xmit_errors: 3
                 tx_queue_1_xdp_xmit_errors: 4
            """
        #expect(LiveFlood.parseRefused(text) == 7)
    }

    /// A process may call itself what it likes.
    @Test func processStatWithAnOddName() throws {
        let text = "42 (a) R 7 (b)) S 17 42 42 0 -1 4194560 1 2 3 4 50 60 70 80 20 0 1 0 99 1 1 1"
        let row = try #require(ProcessTime.Row(text))
        #expect(row.pid == 42)
        #expect(row.parent == 17)
        #expect(row.ticks == 50 + 60 + 70 + 80 && row.deadTicks == 70 + 80)
    }

    @Test func paceKeepsTheRate() {
        let start = ContinuousClock.now
        var pace = Pace(rate: 10_000, start: start)
        #expect(pace.take(limit: 1000, now: start) == 0)
        #expect(pace.take(limit: 1000, now: start + .milliseconds(1)) == 10)
        #expect(pace.take(limit: 1000, now: start + .milliseconds(1)) == 0)
        #expect(pace.take(limit: 3, now: start + .milliseconds(2)) == 3)
        #expect(pace.take(limit: 1000, now: start + .milliseconds(2)) == 7)
        // A second late: 20 ms of it are made up for.
        #expect(pace.take(limit: 100_000, now: start + .milliseconds(1002)) == 200)
        // Less than the least is none, and is due all the same.
        #expect(pace.take(limit: 1000, least: 6, now: start + .microseconds(1_002_500)) == 0)
        #expect(pace.take(limit: 1000, least: 6, now: start + .microseconds(1_002_600)) == 6)
        var unbound = Pace(rate: nil, start: start)
        #expect(unbound.take(limit: 64, now: start) == 64)
    }
}
