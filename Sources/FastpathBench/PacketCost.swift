// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab

/// What one kind of packet costs (BPF_PROG_TEST_RUN: one frame again and again, the kernel's loop included).
public struct PacketCost: Hashable, Sendable {
    public let kind: PacketKind
    /// ns a packet.
    public var edge: Figure
    /// ns a packet of a program that parses, looks the source up once and drops.
    public var floor: Figure
    /// ns a packet of a program that drops.
    public var empty: Figure

    init(_ kind: PacketKind) {
        self.kind = kind
        edge = Figure("packet.\(kind.rawValue).edge", .nanoseconds)
        floor = Figure("packet.\(kind.rawValue).floor", .nanoseconds)
        empty = Figure("packet.\(kind.rawValue).empty", .nanoseconds)
    }

    /// The edge less the empty program.
    public var net: Figure { edge.minus(empty, as: "packet.\(kind.rawValue).net") }
    /// The edge over the floor.
    public var ratio: Figure { edge.over(floor, as: "packet.\(kind.rawValue).ratio") }

    var figures: [Figure] { [edge, floor, empty, net, ratio] }
}

extension PacketCost {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> [PacketCost] {
        var random = SeededGenerator(seed: bench.settings.seed)
        let lists = BenchLists(&random)
        let programs = try BenchPrograms(blocked: lists.blocked, allowed: lists.allowed)
        try BenchPrograms.keepReady([programs.edge, programs.floor, programs.empty], in: laboratory)
        var costs = PacketKind.allCases.map(PacketCost.init)
        try pinned(toCPU: bench.settings.cpu) { () throws(Failure) in
            try bench.rounds(bench.settings.isQuick ? 7 : 25, of: .packets) { (round) throws(Failure) in
                for index in costs.indices {
                    // Another source each round: which bucket it falls into is luck, but the same for all programs.
                    let kind = costs[index].kind
                    let frame = kind.frame(from: lists.source(kind.source, &random), number: 100_000 + round, &random)
                    try costs[index].measure(frame, programs)
                    try Interruption.check()
                }
            }
        }
        return costs
    }

    /// In a burst: about a millisecond.
    private static let repetitions = 25_000

    /// Adds a sample to each figure.
    private mutating func measure(_ frame: [UInt8], _ programs: BenchPrograms) throws(Failure) {
        let compared = [programs.edge, programs.floor, programs.empty]
        let before = try programs.counters()
        var action: UInt32 = 0
        let bursts = try Bursts(of: compared.count) { (index) throws(Failure) in
            let result = try BenchPrograms.run(
                compared[index], frame, linear: kind.linear(frame), repetitions: Self.repetitions)
            if index == 0 { action = result.action }
            return Double(result.duration)
        }
        edge.samples.append(bursts.best[0])
        floor.samples.append(bursts.best[1])
        empty.samples.append(bursts.best[2])

        let counted = try programs.counters() - before
        let expected = kind.reason.isCounted ? UInt64(Bursts.count * Self.repetitions) : 0
        guard action == kind.reason.verdict.rawValue, counted.total == expected, counted[kind.reason] == expected else {
            throw unexpected(
                "measure \(kind.label)", on: "\(frame.count) bytes",
                because: "the program did not treat it as \(kind.reason)")
        }
    }
}
