// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// Profile `carrier` and its switches: the loaded program and the reference filter against hand-written frames and
/// verdicts. Needs root.
@Suite(.serialized) struct CarrierTests {
    static let rows = fixture("carrier")

    @Test("every row of the table", arguments: rows)
    func row(_ row: FrameRow) throws {
        try row.check()
    }

    @Test("the same, however few bytes lie in the first buffer", arguments: rows)
    func cut(_ row: FrameRow) throws {
        let twin = try Twin(row)
        for linear in stride(from: 14, to: min(row.frame.count, 700), by: row.frame.count > 200 ? 7 : 1) {
            try twin.expect(row.judgement, of: row.frame, linear: linear)
        }
    }

    @Test("every frame cut short at every byte: the program agrees with the reference filter")
    func truncated() throws {
        for row in Self.rows where row.frame.count < 250 { try Twin(row).agreeOnCuts(of: row.frame) }
    }

    @Test("the same, as a kernel before 5.18 runs it, which knows one buffer only")
    func oneBuffer() throws {
        for row in Self.rows {
            let twin = try Twin(row, object: "build/tests/one_buffer.bpf.o")
            try twin.expect(row.judgement, of: row.frame)
        }
    }

    @Test("SIP/2.0 is found wherever it stands in a first line, and not behind it")
    func places() throws {
        var row = FrameRow(name: "places")
        row.settings = .carrier
        let twin = try Twin(row)
        for length in [64, 65, 72, 100, 511, 512, 513, 600] {
            for place in 0...(length - 7) {
                for filler in [UInt8(0x41), 0x2f] {
                    var payload = [UInt8](repeating: filler, count: length)
                    payload.replaceSubrange(place..<place + 7, with: Array("SIP/2.0".utf8))
                    try twin.expect(place <= 505 ? .passed : .malformed, of: sipFrame(payload))
                    guard place > 0, place % 5 == 0 else { continue }
                    // A line that ends before it.
                    payload[place - 1 - place % 3] = 0x0a
                    try twin.expect(.malformed, of: sipFrame(payload))
                }
            }
        }
    }

    @Test("every profile and every set of switches loads, within the size that the issue allows")
    func sizes() throws {
        for bits in UInt64(0)..<256 {
            let settings = FilterSettings(switches: Set(FilterSwitch.allCases.filter { $0.bit & bits != 0 }))
            let program = try ProgramInstance(settings: settings).program
            #expect(program.verifiedInstructions > 0 && program.verifiedInstructions <= 20_000, "\(bits)")
        }
    }
}
