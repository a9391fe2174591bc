// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CFastpathProgram
import FastpathCore
import FastpathKernel

/// Programs to compare the edge with (bpf/lab/), for BPF_PROG_TEST_RUN and for an interface.
public enum Yardstick: String, Sendable, CaseIterable {
    /// Drops and does nothing else: what a run costs before any rule.
    case empty
    /// Finds the UDP header, looks the source up once, drops: the floor of a filter with a list.
    case floor

    /// Loads it; it stays in the kernel as long as the result lives.
    public func load() throws(Failure) -> Program {
        switch self {
        case .empty:
            try LoadedObject(embedded: fastpath_lab_empty_drop(), name: "the empty program").program(
                FASTPATH_EMPTY_PROGRAM)
        case .floor:
            try LoadedObject(embedded: fastpath_lab_floor(), name: "the floor program").program(FASTPATH_FLOOR_PROGRAM)
        }
    }
}

/// Test runs of a program over mixed traffic: a frame repeated a million times is learnt by the branch predictor, four
/// thousand in random order are not.
public final class MixedTraffic {
    /// Templates in the map; frames are repeated until it is full.
    public static let capacity = Int(FASTPATH_MIX_COUNT)
    /// Bytes of a frame that a template holds; what is behind is the same in all, shorter ones are followed by zeros.
    public static let templateLength = Int(FASTPATH_MIX_LENGTH)

    private let driver: Program
    private let templates: BPFMap
    private let target: BPFMap

    /// At least one frame; kinds come up as often as they stand in `frames`.
    public init(frames: [[UInt8]]) throws(Failure) {
        precondition(!frames.isEmpty, "no traffic")
        let object = try LoadedObject(embedded: fastpath_lab_mix(), name: "the driver of mixed traffic")
        driver = try object.program(FASTPATH_MIX_PROGRAM)
        templates = try object.map(FASTPATH_MIX_TEMPLATES_MAP)
        target = try object.map(FASTPATH_MIX_TARGET_MAP)
        for index in 0..<Self.capacity {
            var template = Array(frames[index % frames.count].prefix(Self.templateLength))
            template += [UInt8](repeating: 0, count: Self.templateLength - template.count)
            try templates.update(key: withUnsafeBytes(of: UInt32(index)) { Array($0) }, value: template)
        }
    }

    /// Nanoseconds a packet, the driver's own cost included: take the same figure of ``Yardstick/empty`` off.
    public func run(_ program: Program, repetitions: Int) throws(Failure) -> UInt32 {
        try target.update(key: [0, 0, 0, 0], value: withUnsafeBytes(of: program.fd) { Array($0) })
        let frame = [UInt8](repeating: 0, count: 512)
        return try frame.span.withUnsafeBytes { (bytes) throws(Failure) in
            try TestRun.run(driver, frame: bytes, repetitions: repetitions).duration
        }
    }
}
