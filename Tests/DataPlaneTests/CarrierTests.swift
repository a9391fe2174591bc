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

    /// The goal of 20 000 is for the profile, with limits and without live maps, too. A dry run of all rules (20 620), and
    /// sets of switches that nobody has chosen yet, may take a fifth more.
    @Test("the profile and any third set of switches loads, within the size that is allowed")
    func sizes() throws {
        let limit = try #require(RateLimit("5/s:20", scope: .source))
        func expect(_ switches: Set<FilterSwitch>, _ variant: UInt64, upTo bound: Int) throws {
            var settings = FilterSettings(switches: switches)
            settings.hasLiveMaps = variant & 1 == 0
            if variant & 2 != 0 { settings.limits[.invite] = limit }
            if variant & 4 != 0 { settings.dryRun = Set(Reason.droppable) }
            let size = try ProgramInstance(settings: settings).program.verifiedInstructions
            #expect(size > 0 && size <= bound, "\(switches.map(\.name).sorted()), variant \(variant)")
        }
        for variant in UInt64(0)..<8 {
            try expect(FilterSettings.carrier.switches, variant, upTo: variant < 4 ? 20_000 : 24_000)
        }
        for bits in stride(from: UInt64(0), to: 2_048, by: 5) {
            try expect(
                Set(FilterSwitch.allCases.filter { $0.bit & bits != 0 }), (bits &* 0x9e37_79b9_7f4a_7c15) >> 61,
                upTo: 24_000)
        }
    }
}
