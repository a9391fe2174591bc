// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// The loaded program and the reference filter with the same policy.
final class Twin {
    let program: ProgramInstance
    var reference: ReferenceFilter
    private let socket: SlotSocket?
    private var expected = Counters()

    /// `object`: a path, or nil for the built-in program.
    init(_ row: FrameRow, object: String? = nil) throws {
        reference = ReferenceFilter(
            settings: row.settings, blocked: Set(row.blocked.compactMap(\.ipv4Address)),
            allowed: Set(row.allowed.compactMap(\.ipv4Address)),
            hasSocket: row.hasSocket)
        program = try ProgramInstance(
            blocked: row.blocked, allowed: row.allowed, settings: row.settings, object: object)
        socket = row.hasSocket ? try SlotSocket() : nil
        if let socket, let slots = try program.program.map(.xsks) { try socket.fill(slots, queue: 0) }
    }

    /// The program must answer with the reason's verdict, and of all counters only the reason's may move, by one.
    func expect(
        _ reason: Reason, of frame: [UInt8], linear: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) throws {
        let result = try frame.withUnsafeBytes { try TestRun.run(program.program, frame: $0, linear: linear) }
        if reason.isCounted { expected[reason] += 1 }
        let counted = try program.counters()
        if result.action != reason.verdict.rawValue || counted != expected {
            Issue.record(
                """
                wanted \(reason), got action \(result.action) and \(Reason.counted.filter { counted[$0] != expected[$0] }), \
                linear \(linear.map(String.init) ?? "all") of \(frame.count): \(hexadecimal(frame))
                """, sourceLocation: sourceLocation)
            expected = counted
        }
    }
}

/// The rows of a file beside this one.
func fixture(_ name: String) -> [FrameRow] {
    do {
        return try FrameRow.read(path: #filePath.replacing("Twin.swift", with: "Fixtures/\(name).txt"))
    } catch {
        preconditionFailure("\(error)")
    }
}

/// Bytes as a fixture would write them.
func hexadecimal(_ bytes: [UInt8]) -> String {
    bytes.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
}

/// A frame with an honest IPv4 and UDP header from 192.0.2.1 to port 5060; checksums are not looked at.
func sipFrame(_ payload: [UInt8]) -> [UInt8] {
    func word(_ number: Int) -> [UInt8] { [UInt8(number >> 8), UInt8(number & 255)] }
    return [UInt8](repeating: 0, count: 12) + [0x08, 0x00]
        + [0x45, 0] + word(28 + payload.count) + [0, 1, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]
        + [0x13, 0xc4, 0x13, 0xc4] + word(8 + payload.count) + [0, 0] + payload
}
