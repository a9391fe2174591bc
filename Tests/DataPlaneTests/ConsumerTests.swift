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
}
