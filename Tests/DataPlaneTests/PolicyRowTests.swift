// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// The policy table, frozen maps and rules in dry run: the loaded program and the reference filter against hand-written
/// frames and verdicts. Needs root.
@Suite(.serialized) struct PolicyRowTests {
    static let rows = fixture("policy")

    @Test("every row of the table", arguments: rows)
    func row(_ row: FrameRow) throws { try row.check() }

    @Test("the same, however few bytes lie in the first buffer, and as a kernel before 5.18 runs it")
    func buffers() throws {
        for row in Self.rows {
            let twin = try Twin(row)
            for linear in stride(from: 14, to: row.frame.count, by: 7) {
                try twin.expect(row.judgement, of: row.frame, linear: linear)
            }
            try Twin(row, object: "build/tests/one_buffer.bpf.o").expect(row.judgement, of: row.frame)
        }
    }

    @Test("every frame cut short at every byte: the program agrees with the reference filter")
    func truncated() throws {
        for row in Self.rows { try Twin(row).agreeOnCuts(of: row.frame) }
    }

    @Test("the sources that a dry run found, with what their packets began with")
    func sources() throws {
        var row = FrameRow(name: "sources")
        row.settings = .carrier
        row.settings.dryRun = Set(Reason.droppable)
        row.policy = [PolicyTableChange(try IPPrefix("2001:db8::/64"), .block)]
        let twin = try Twin(row)
        let options = Array("OPTIONS sip:100@192.0.2.2 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1\r\n".utf8)
        for _ in 0..<3 { try twin.expect(.init(.passed, wouldBe: .optionsDropped), of: sipFrame(options)) }
        twin.setTime(row.now + 7)
        try twin.expect(.init(.passed, wouldBe: .malformed), of: sipFrame(Array("aaaaaaaaaaaaaaaaaaaaaaa".utf8)))
        try twin.expect(.init(.passed, wouldBe: .blocked), of: sipFrame6(Array("INVITE sip:a SIP/2.0\r\n".utf8)))

        let found = try DryRunSource.all(of: twin.program.program).sorted { $0.reason.id < $1.reason.id }
        #expect(found.map(\.address.description) == ["192.0.2.1", "2001:db8::1", "192.0.2.1"])
        #expect(found.map(\.reason) == [.optionsDropped, .blocked, .malformed])
        #expect(found.map(\.packets) == [3, 1, 1])
        #expect(found.map(\.last) == [row.now, row.now + 7, row.now + 7])
        #expect(found[0].line == Array(options.prefix(64)))
        #expect(found[1].line == Array("INVITE sip:a SIP/2.0\r\n".utf8))
    }
}
