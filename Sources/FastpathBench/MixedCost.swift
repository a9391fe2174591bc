// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CFastpathProgram
import FastpathCore
import FastpathKernel
import FastpathLab

/// What a packet costs in mixed traffic: thousands of templates in random order, so that no branch can be learnt by
/// heart. Each run also copies a template; the empty program shows what that costs.
public struct MixedCost: Hashable, Sendable {
    public var edge = Figure("mix.edge", .nanoseconds)
    public var floor = Figure("mix.floor", .nanoseconds)
    public var empty = Figure("mix.empty", .nanoseconds)

    /// The edge less the empty program.
    public var net: Figure { edge.minus(empty, as: "mix.net") }
    public var floorNet: Figure { floor.minus(empty, as: "mix.floor_net") }
    public var ratio: Figure { edge.over(floor, as: "mix.ratio") }

    var figures: [Figure] { [edge, floor, empty, net, floorNet, ratio] }

    /// Of a hundred packets at an edge under attack.
    public static let shares: [(kind: PacketKind, percent: Int)] = [
        (.blocked, 35), (.optionsStranger, 20), (.optionsAllowed, 4), (.invite, 8), (.register, 12), (.response, 8),
        (.keepalive, 4), (.junkShort, 1), (.junkLong, 3), (.nearMiss, 1), (.lateVersion, 1), (.headerOptions, 1),
        (.shortRegister, 1), (.notSIP, 1),
    ]
}

extension MixedCost {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> MixedCost {
        var random = SeededGenerator(seed: bench.settings.seed)
        let lists = BenchLists(&random)
        let programs = try BenchPrograms(blocked: lists.blocked, allowed: lists.allowed)
        let mixer = try Mixer(in: laboratory)
        try mixer.fill { (kind, number) in
            kind.frame(from: lists.source(kind.source, &random), number: number, &random)
        }

        var cost = MixedCost()
        try pinned(toCPU: bench.settings.cpu) { () throws(Failure) in
            try bench.rounds(bench.settings.isQuick ? 7 : 25, of: .mix) { (_) throws(Failure) in
                let before = try programs.counters()
                let compared = [programs.edge, programs.floor, programs.empty]
                let bursts = try Bursts(of: compared.count) { (index) throws(Failure) in
                    try mixer.run(compared[index])
                }
                cost.edge.samples.append(bursts.best[0])
                cost.floor.samples.append(bursts.best[1])
                cost.empty.samples.append(bursts.best[2])
                let counted = try programs.counters() - before
                // One in a hundred is not SIP.
                let isAll = counted.total > UInt64(Bursts.count * Mixer.repetitions * 95 / 100)
                let unseen: Set<Reason> = [.redirected, .rateLimited]
                guard isAll, Reason.counted.allSatisfy({ counted[$0] > 0 || unseen.contains($0) }) else {
                    throw unexpected(
                        "measure mixed traffic", on: "\(Mixer.repetitions) packets",
                        because: "the edge counted \(counted.total)")
                }
            }
        }
        return cost
    }
}

/// Gives a program thousands of templates in random order (bpf/lab/mix.bpf.c).
final class Mixer {
    /// In a burst.
    static let repetitions = 100_000

    private let object: LoadedObject
    private let program: Program
    private let target: BPFMap
    /// As long as the longest template; what a template leaves as it was is payload that nobody reads.
    private let frame = [UInt8](repeating: UInt8(ascii: "x"), count: 700)

    init(in laboratory: Laboratory) throws(Failure) {
        object = try LoadedObject(embedded: fastpath_lab_mix(), name: "the mixer")
        program = try object.program(FASTPATH_MIX_PROGRAM)
        target = try object.map(FASTPATH_MIX_TARGET_MAP)
        try BenchPrograms.keepReady([program], in: laboratory)
    }

    /// `frame`: one of that kind; the number makes it differ from the others.
    func fill(_ frame: (PacketKind, Int) -> [UInt8]) throws(Failure) {
        let map = try object.map(FASTPATH_MIX_TEMPLATES_MAP)
        let kinds = MixedCost.shares.flatMap { Array(repeating: $0.kind, count: $0.percent) }
        let length = Int(FASTPATH_MIX_LENGTH)
        var random = SeededGenerator(seed: UInt64(kinds.count))
        for index in UInt32(0)..<UInt32(FASTPATH_MIX_COUNT) {
            let kind = kinds[Int.random(in: kinds.indices, using: &random)]
            let template = Array((frame(kind, Int(index)) + [UInt8](repeating: 0, count: length)).prefix(length))
            try map.update(key: withUnsafeBytes(of: index) { Array($0) }, value: template)
        }
    }

    /// Nanoseconds a packet, the template's copy included.
    func run(_ program: Program) throws(Failure) -> Double {
        try target.update(key: [0, 0, 0, 0], value: withUnsafeBytes(of: program.fd) { Array($0) })
        return Double(try BenchPrograms.run(self.program, frame, repetitions: Self.repetitions).duration)
    }
}
