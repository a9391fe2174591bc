// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// The loaded program and the reference filter with the same policy.
final class Twin {
    var program: ProgramInstance { loaded.instance }
    var reference: ReferenceFilter
    private let loaded: RowProgram
    private let notes: EdgeNotesReader
    private var expected = Counters()
    private var expectedNotes = EdgeNotes()
    private var expectedRefusals = ConsumerMap.Counts()

    /// `object`: a path, or nil for the built-in program.
    init(_ row: FrameRow, object: String? = nil) throws {
        reference = ReferenceFilter(
            settings: row.settings, blocked: Set(row.blocked.compactMap(\.ipv4Address)),
            allowed: Set(row.allowed.compactMap(\.ipv4Address)), policy: row.policy, hasSocket: row.hasSocket)
        reference.now = row.now
        reference.consumer = row.consumer
        loaded = try RowProgram(row, object: object)
        notes = try EdgeNotesReader(loaded.instance.program)
    }

    /// The boot-time clock of both, in microseconds.
    func setTime(_ micros: UInt64) {
        loaded.table.setMicros(micros)
        reference.now = micros
    }

    /// The consumer of both is willing to read, at a time in microseconds.
    func beat(at micros: UInt64) {
        reference.consumer?.beat = micros
        if let consumer = reference.consumer { loaded.consumers?.register(consumer, queue: 0) }
    }

    /// The program must answer with the reason's verdict, and of all counters only the reason's may move, by one; of
    /// the notes only those that the judgement says.
    func expect(
        _ judgement: ReferenceFilter.Judgement, of frame: [UInt8], linear: Int? = nil,
        sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let result = try frame.withUnsafeBytes { try TestRun.run(program.program, frame: $0, linear: linear) }
        let reason = judgement.reason
        if reason.isCounted { expected[reason] += 1 }
        if let rule = judgement.wouldBe { expectedNotes.dryRun[rule, default: 0] += 1 }
        if let off = judgement.unfiltered { expectedNotes.unfiltered[off, default: 0] += 1 }
        if let refusal = judgement.refusal { expectedRefusals.refused[refusal, default: 0] += 1 }
        let refused = loaded.consumers?.counts(queue: 0) ?? ConsumerMap.Counts()
        let counted = try program.counters()
        let noted = try notes.read()
        if result.action != reason.verdict.rawValue || counted != expected || noted != expectedNotes
            || refused != expectedRefusals
        {
            Issue.record(
                """
                wanted \(judgement), got action \(result.action) and \(Reason.counted.filter { counted[$0] != expected[$0] }), \
                notes \(noted) in place of \(expectedNotes), \(refused) in place of \(expectedRefusals), linear \(linear.map(String.init) ?? "all") of \
                \(frame.count): \(hexadecimal(frame))
                """, sourceLocation: sourceLocation)
            expected = counted
            expectedNotes = noted
            expectedRefusals = refused
        }
    }

    /// The same, where nothing is to be noted.
    func expect(
        _ reason: Reason, of frame: [UInt8], linear: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        try expect(ReferenceFilter.Judgement(reason), of: frame, linear: linear, sourceLocation: sourceLocation)
    }

    /// The program must answer as the reference filter does, which is returned.
    @discardableResult
    func agree(
        on frame: [UInt8], linear: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws -> ReferenceFilter.Judgement {
        let judgement = reference.judge(frame)
        try expect(judgement, of: frame, linear: linear, sourceLocation: sourceLocation)
        return judgement
    }

    /// The frame cut short at every byte: the program must agree with the reference filter.
    func agreeOnCuts(
        of frame: [UInt8], upTo end: Int = .max, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        for count in TestRun.shortestFrame..<max(TestRun.shortestFrame, min(frame.count, end)) {
            try agree(on: Array(frame[..<count]), sourceLocation: sourceLocation)
        }
    }
}

extension FrameRow {
    /// What must become of it.
    var judgement: ReferenceFilter.Judgement {
        ReferenceFilter.Judgement(reason, wouldBe: wouldBe, unfiltered: unfiltered, refusal: refusal)
    }

    /// Both must say of a row what it says.
    func check() throws {
        let twin = try Twin(self)
        #expect(reason.verdict == verdict, "the fixture contradicts itself")
        #expect(twin.reference.judge(frame) == judgement, "the reference filter")
        try twin.expect(judgement, of: frame)
    }
}

/// The rows of a file beside this one.
func fixture(_ name: String) -> [FrameRow] {
    do {
        return try FrameRow.read(path: fixturePath(name))
    } catch {
        preconditionFailure("\(error)")
    }
}

func fixturePath(_ name: String) -> String { #filePath.replacing("Twin.swift", with: "Fixtures/\(name).txt") }

/// Bytes as a fixture would write them.
func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// A frame with an honest IPv4 and UDP header from 192.0.2.1 to port 5060; checksums are not looked at.
func sipFrame(_ payload: [UInt8]) -> [UInt8] {
    return [UInt8](repeating: 0, count: 12) + [0x08, 0x00]
        + [0x45, 0] + word(28 + payload.count) + [0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]
        + [0x13, 0xc4, 0x13, 0xc4] + word(8 + payload.count) + [0, 0] + payload
}

/// The same by IPv6 from 2001:db8::1. `first`: the next header, of the first of `extensions`.
func sipFrame6(_ payload: [UInt8], first: UInt8 = 17, extensions: [UInt8] = []) -> [UInt8] {
    let network: [UInt8] = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    return [UInt8](repeating: 0, count: 12) + [0x86, 0xdd]
        + [0x60, 0, 0, 0] + word(extensions.count + 8 + payload.count) + [first, 64] + network + [1] + network + [2]
        + extensions + [0x13, 0xc4, 0x13, 0xc4] + word(8 + payload.count) + [0, 0] + payload
}

private func word(_ number: Int) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
