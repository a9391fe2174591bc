// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// The program with the policy, the settings and the socket of a row.
public struct RowProgram {
    public let instance: ProgramInstance
    /// Held, so that the slot stays filled.
    private let socket: SlotSocket?

    /// `object`: a path, or nil for the built-in program.
    public init(_ row: FrameRow, object: String? = nil) throws {
        instance = try ProgramInstance(
            blocked: row.blocked, allowed: row.allowed, settings: row.settings, object: object)
        socket = row.hasSocket ? try SlotSocket() : nil
        if let socket, let slots = try instance.program.map(.xsks) { try socket.fill(slots, queue: 0) }
    }
}
