// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

@testable import FastpathCommands

@Suite struct SocketsTests {
    private static let now: UInt64 = 500_000_000

    /// A reader of a queue that last beat so many microseconds ago.
    private static func queue(
        _ number: Int, ago: UInt64, socket: Bool = true, _ counts: [ConsumerCount: UInt64] = [:],
        _ refused: [RegisteredConsumer.Refusal: UInt64] = [:]
    ) -> QueueConsumer {
        var queue = QueueConsumer(queue: number, hasSocket: socket)
        queue.beat = now - ago
        queue.counts = Dictionary(uniqueKeysWithValues: ConsumerCount.allCases.map { ($0, counts[$0] ?? 0) })
        queue.refused = Dictionary(
            uniqueKeysWithValues: RegisteredConsumer.Refusal.allCases.map { ($0, refused[$0] ?? 0) })
        queue.endpoints = [
            UDPEndpoint(IPPrefix(ipv4: 0xc000_0201), 5060), UDPEndpoint(IPPrefix(ipv6: 0x2001_0db8 << 96 | 1), 5080),
        ]
        (queue.ringSize, queue.longest, queue.processes) = (2_048, 1_792, [77, 12])
        return queue
    }

    private static func report(_ queues: [QueueConsumer], redirected: UInt64 = 0, asked: Bool = true) -> SocketsReport {
        SocketsReport(
            EdgeConsumers(rows: [
                .init(
                    edge: Made.edge("eth0"), consumers: .init(queues: queues, time: now, isAsked: asked),
                    counters: Made.counters([.redirected: redirected]))
            ]), ProcessNames { $0 == 12 ? "kamailio" : nil })
    }

    @Test func aBeatIsGoodForASecond() {
        let limit = UInt64(RegisteredConsumer.beatLimit)
        #expect(Self.queue(0, ago: limit).state(now: Self.now) == .alive(1_000_000))
        #expect(Self.queue(0, ago: limit + 1).state(now: Self.now) == .silent(1_000_001))
        #expect(Self.queue(0, ago: 1, socket: false).state(now: Self.now) == .gone(1))
        // A reader's clock may be ahead of ours by what passes between the looks.
        #expect(Self.queue(0, ago: 0).state(now: Self.now - 5) == .alive(0))
        #expect(QueueConsumer(queue: 0, hasSocket: true).state(now: Self.now) == .unregistered)
        #expect(QueueConsumer(queue: 0, hasSocket: false).state(now: Self.now) == QueueConsumer.State.none)
    }

    @Test func theTableLinesUp() {
        var first = Self.queue(
            0, ago: 1_000,
            [
                .delivered: 12_345, .byKernel: 3, .handedBack: 2, .badChecksum: 4, .badFormat: 1, .ringFull: 7,
                .wakeups: 99,
            ], [.unwanted: 6])
        first.ringReady = 5
        let report = Self.report(
            [
                first,
                Self.queue(1, ago: 125_000_000, [.delivered: 7], [.stale: 1_000]),
                QueueConsumer(queue: 2, hasSocket: false),
            ], redirected: 20_000)
        #expect(
            report.lines(colour: false) == [
                "eth0  AF_XDP: 2 of 3 queues taken, 1 silent; 20,000 redirected",
                "  QUEUE  READER        DELIVERED  BY KERNEL  HANDED BACK  DROPPED  NOT TAKEN  WAKEUPS        RING",
                "      0  alive            12,345          3            2       12          6       99  5 of 2,048",
                "      1  silent 2 min          7          0            0        0      1,000        0  0 of 2,048",
                "      2  -                     -          -            -        -          -        -           -",
                "  queue 0: 4 dropped: bad checksum",
                "  queue 0: 1 dropped: no whole datagram",
                "  queue 0: 7 dropped: no room in the rings",
                "  queue 0: 6 not taken: for an address and port that no reader has registered",
                "  queue 1: 1,000 not taken: the reader was silent",
                "  rings: 2,048 frames of up to 1,792 bytes, copy mode",
                "  endpoints: 192.0.2.1:5060, [2001:db8::1]:5080",
                "  processes: 12 (kamailio), 77",
            ])
    }

    @Test func withoutSocketsThereIsOneLine() {
        let queues = [QueueConsumer(queue: 0, hasSocket: false), QueueConsumer(queue: 1, hasSocket: false)]
        #expect(Self.report(queues).lines(colour: false) == ["eth0  AF_XDP: 0 of 2 queues taken"])
    }

    @Test func whereNobodyIsAskedItSaysSo() {
        let lines = Self.report([QueueConsumer(queue: 0, hasSocket: true)], asked: false).lines(colour: false)
        #expect(lines[0] == "eth0  AF_XDP: 1 of 1 queue taken, unregistered; 0 redirected")
        #expect(lines[1].contains("switch consumers is off"))
        #expect(lines[3].contains("unregistered"))
    }

    @Test func jsonHasEveryNumber() throws {
        var queue = Self.queue(4, ago: 250_000, [.delivered: 5], [.tooLong: 1])
        queue.isZeroCopy = true
        queue.ringReady = 3
        let json = Self.report([queue], redirected: 9).json
        #expect(try JSONValue(parsing: json.encoded) == json)
        let row = try #require(json["interfaces"]?.elements.first)
        #expect(row["redirected"] == 9 && row["queues"] == 1 && row["taken"] == 1)
        let socket = try #require(row["sockets"]?.elements.first)
        #expect(socket["queue"] == 4 && socket["state"] == "alive" && socket["beat_age_ms"] == 250)
        #expect(socket["ring_ready"] == 3 && socket["zero_copy"] == true && socket["transmits"] == false)
        for count in ConsumerCount.allCases { #expect(socket[count.name] == (count == .delivered ? 5 : 0)) }
        #expect(socket["too_long"] == 1 && socket["stale"] == 0 && socket["unwanted"] == 0)
        #expect(socket["processes"]?.elements.map { $0["name"] } == ["kamailio", .null])
    }

    @Test func ratesAreOfTheInterval() throws {
        let before = Self.report([Self.queue(0, ago: 1, [.delivered: 100]), Self.queue(1, ago: 1)], redirected: 100)
        let after = Self.report(
            [
                Self.queue(0, ago: 1, [.delivered: 300, .badFormat: 10]),
                Self.queue(1, ago: 1, [.delivered: 50], [.stale: 4]),
            ],
            redirected: 340)
        let interval = LookInterval(before: before, after: after, seconds: 2, time: 1_700_000_000)
        #expect(
            SocketsWatch.lines(interval) == [
                "2023-11-14T22:13:20Z  eth0  AF_XDP: 2 of 2 queues taken, alive  redirected 120/s  delivered 125/s  "
                    + "by_kernel 0/s  handed_back 0/s  dropped 5.0/s  not_taken 2.0/s"
            ])
        let sockets = SocketsWatch.json(interval)["interfaces"]?.elements.first?["sockets"]?.elements ?? []
        #expect(sockets.map { $0["per_second"]?["delivered"] } == [.double(100), .double(25)])
        #expect(sockets.map { $0["per_second"]?["stale"] } == [.double(0), .double(2)])
        #expect(sockets.map { $0["delivered"] } == [300, 50])

        // A reader that began anew, and a queue that was not there before.
        let anew = Self.report([Self.queue(0, ago: 1, [.delivered: 6]), Self.queue(2, ago: 1, [.delivered: 1_000])])
        let rates = LookInterval(before: after, after: anew, seconds: 2, time: 0).rates(of: anew.consumers.rows[0])
        #expect(rates.first { $0.name == "delivered" }?.perSecond == 3)
        let nothing = LookInterval(before: after, after: SocketsReport.nothing(after), seconds: 1, time: 1_700_000_000)
        #expect(SocketsWatch.lines(nothing) == ["2023-11-14T22:13:20Z  not loaded"])
    }

    @Test func thePictureKeepsWithinTheScreen() {
        let recorder = Recorder()
        let watch = SocketsWatch(output: recorder.output(terminal: .plain), seconds: 1)
        let report = Self.report([Self.queue(0, ago: 1, [.delivered: 100])], redirected: 8)
        let picture = watch.picture(LookInterval(before: report, after: report, seconds: 0, time: 1_700_000_000))
        #expect(picture[0].hasPrefix("vos-fastpath sockets"))
        #expect(picture[1] == "eth0  AF_XDP: 1 of 1 queue taken, alive; redirected 0/s, 8 in all")
        #expect(picture.contains { $0.hasPrefix("      0  alive") && $0.contains(" 0 ") })
    }

    @Test func doctorNamesASilentReaderAndWhatNobodyWanted() {
        let quiet = InterfaceConsumers(queues: [Self.queue(0, ago: 1)], time: Self.now, isAsked: true)
        #expect(socketFindings(quiet, "eth0") == [.ok("AF_XDP", "1 of 1 queue taken, alive")])
        let bad = InterfaceConsumers(
            queues: [Self.queue(0, ago: 5_000_000, [.ringFull: 9], [.unwanted: 3]), Self.queue(1, ago: 1)],
            time: Self.now,
            isAsked: true)
        let findings = socketFindings(bad, "eth0")
        #expect(findings.map(\.grade) == [.warn, .warn, .warn])
        #expect(findings[0].detail.contains("queue 0: its reader is silent 5 s"))
        #expect(findings[1].detail == "9 packets dropped: no room in the rings")
        #expect(findings[2].detail.hasPrefix("3 packets went to the kernel"))
        #expect(findings[0].advice.contains("sockets eth0") && findings[2].advice.contains("sockets eth0"))
        let none = InterfaceConsumers(
            queues: [QueueConsumer(queue: 0, hasSocket: false)], time: Self.now, isAsked: true)
        #expect(socketFindings(none, "eth0").isEmpty)
    }
}
