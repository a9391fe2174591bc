// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// What the consumer of a queue's AF_XDP socket gets: the loaded program and the reference filter. Needs root.
@Suite(.serialized) struct ConsumerTests {
    static let rows = fixture("consumers")

    @Test("every row of the table", arguments: rows)
    func row(_ row: FrameRow) throws {
        try row.check()
    }

    @Test("the same, however few bytes lie in the first buffer", arguments: rows)
    func cut(_ row: FrameRow) throws {
        let twin = try Twin(row)
        for linear in 14..<row.frame.count { try twin.expect(row.judgement, of: row.frame, linear: linear) }
    }

    @Test("every frame cut short at every byte: the program agrees with the reference filter")
    func truncated() throws {
        for row in Self.rows { try Twin(row).agreeOnCuts(of: row.frame) }
    }

    @Test("the same, as a kernel before 5.18 runs it, which knows one buffer only")
    func oneBuffer() throws {
        for row in Self.rows {
            try Twin(row, object: "build/tests/one_buffer.bpf.o").expect(row.judgement, of: row.frame)
        }
    }

    @Test("a beat that stops and comes back, as time goes on")
    func beat() throws {
        let row = try #require(Self.rows.first { $0.consumer != nil && $0.refusal == nil })
        let twin = try Twin(row)
        let start = row.now
        for (milliseconds, reason) in [(0, Reason.redirected), (900, .redirected), (1_001, .passed), (60_000, .passed)]
        {
            twin.setTime(start + UInt64(milliseconds) * 1_000)
            #expect(try twin.agree(on: row.frame).reason == reason, "\(milliseconds) ms")
        }
        twin.beat(at: start + 60_000_000)
        #expect(try twin.agree(on: row.frame).reason == .redirected)
    }

    @Test("what is told of a queue is what was registered there, and what the program refused")
    func state() throws {
        let row = try #require(Self.rows.first { $0.consumer != nil && $0.refusal == nil })
        let loaded = try RowProgram(row)
        let consumers = try #require(loaded.consumers)
        let endpoints = [
            UDPEndpoint(IPPrefix(ipv4: 0xc000_0263), 5060),
            UDPEndpoint(IPPrefix(ipv6: 0x2001_0db8 << 96 | 0xff), 65_535),
        ]
        consumers.register(RegisteredConsumer(beat: row.now, endpoints: endpoints, longest: 9_000), queue: 3)
        let state = consumers.state(queue: 3, hasSocket: true)
        #expect(state.endpoints == endpoints && state.beat == row.now && state.longest == 9_000)
        #expect(state.state(now: row.now + 5) == .alive(5))
        #expect(state.processes.isEmpty && !state.isZeroCopy && !state.transmits)
        #expect(state.counts == Dictionary(uniqueKeysWithValues: ConsumerCount.allCases.map { ($0, 0) }))
        #expect(consumers.state(queue: 2, hasSocket: false).state(now: row.now) == QueueConsumer.State.none)

        // A second of silence is one too many.
        loaded.table.setMicros(row.now + 2_000_000)
        _ = try row.frame.withUnsafeBytes { try loaded.instance.judge(frame: $0) }
        let refused = consumers.state(queue: 0, hasSocket: true).refused
        #expect(refused == [.stale: 1, .tooLong: 0, .unwanted: 0])
    }
}
