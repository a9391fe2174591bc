// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// The program with the policy, the settings, the socket and the time of a row.
public struct RowProgram {
    public let instance: ProgramInstance
    /// Gives the time too.
    public let table: PolicyTable
    public let consumers: ConsumerMap?
    /// Held, so that the slot stays filled.
    private let socket: SlotSocket?

    /// `object`: a path, or nil for the built-in program.
    public init(_ row: FrameRow, object: String? = nil) throws {
        table = try PolicyTable.make(capacity: max(16, row.policy.count))
        try table.apply(row.policy, now: 0)
        table.setMicros(row.now)
        instance = try ProgramInstance(
            blocked: row.blocked, allowed: row.allowed, table: table, settings: row.settings, object: object)
        socket = row.hasSocket ? try SlotSocket() : nil
        if let socket, let slots = try instance.program.map(.xsks) { try socket.fill(slots, queue: 0) }
        consumers = try ConsumerMap(of: instance.program)
        if let consumer = row.consumer { consumers?.register(consumer, queue: 0) }
    }
}
