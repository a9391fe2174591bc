// SPDX-License-Identifier: Apache-2.0
import CFastpathProgram
import FastpathCore
import FastpathKernel
import FastpathLab

/// What profile `carrier` costs over a program that does nothing but drop (BPF_PROG_TEST_RUN: one frame again and again),
/// kind by kind, and for mixed traffic.
public struct CarrierCost: Hashable, Sendable {
    /// One kind of packet.
    public struct Row: Hashable, Sendable {
        public let name: String
        public let label: String
        /// Is it one of IPv4 whose first line is short?
        let isPlain: Bool
        let isLong: Bool
        /// ns a packet over the empty program, by variant; a kind with a long line has `long` alone.
        var nets: [String: Figure] = [:]

        public func net(_ variant: String) -> Figure? { nets[variant] }
    }

    public var rows: [Row]
    /// ns a packet of mixed traffic over the empty program.
    public var mixed = Figure("carrier.mix.net", .nanoseconds)

    /// The names of the variants, in order of display.
    public static let variants = CarrierProgram.Variant.allCases.map(\.rawValue)

    init() {
        rows = CarrierKind.all.map { kind in
            var row = Row(name: kind.name, label: kind.label, isPlain: false, isLong: kind.isLong)
            if case .ipv4 = kind { row = Row(name: kind.name, label: kind.label, isPlain: true, isLong: false) }
            for variant in CarrierProgram.Variant.allCases where (variant == .long) == kind.isLong {
                row.nets[variant.rawValue] = Figure("carrier.\(kind.name).\(variant.rawValue)", .nanoseconds)
            }
            return row
        }
    }

    private func row(_ name: String) -> Row? { rows.first { $0.name == name } }

    /// One figure less another, of rows or variants.
    private func difference(_ name: String, _ one: (String, String), _ other: (String, String)) -> Figure? {
        guard let one = row(one.0)?.net(one.1), let other = row(other.0)?.net(other.1) else { return nil }
        return one.minus(other, as: name)
    }

    /// What a tag, IPv6, limits and live maps cost more.
    public var surcharges: [(label: String, figure: Figure, limit: Double?)] {
        let all: [(String, Figure?, Double?)] = [
            ("a VLAN tag", difference("carrier.vlan.more", ("vlan_invite", "frozen"), ("invite", "frozen")), 3),
            ("IPv6", difference("carrier.ipv6.more", ("ipv6_invite", "frozen"), ("invite", "frozen")), 8),
            ("limits", difference("carrier.limits.more", ("invite", "limited"), ("invite", "frozen")), 6),
            ("live maps", difference("carrier.live.more", ("invite", "live"), ("invite", "frozen")), nil),
        ]
        return all.compactMap { label, figure, limit in figure.map { (label, $0, limit) } }
    }

    var figures: [Figure] {
        rows.flatMap { row in Self.variants.compactMap { row.nets[$0] } } + surcharges.map(\.figure) + [mixed]
    }

    var goals: [Goal] {
        var goals: [Goal] = []
        func goal(_ figure: Figure?, _ limit: Double, _ label: String) {
            guard let figure, !figure.samples.isEmpty else { return }
            goals.append(Goal(figure: figure, relation: .atMost, limit: limit, label: label))
        }
        for row in rows where row.isPlain {
            goal(row.net("frozen"), 10, "carrier: \(row.label), 1,000 entries")
            goal(row.net("million"), 60, "carrier: \(row.label), 1,000,000 entries")
        }
        for row in rows where row.isLong { goal(row.net("long"), 100, "carrier: \(row.label)") }
        for more in surcharges { if let limit = more.limit { goal(more.figure, limit, "carrier: \(more.label)") } }
        goal(mixed, 22, "carrier: mixed traffic")
        return goals
    }
}

extension CarrierCost {
    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> CarrierCost {
        var random = SeededGenerator(seed: bench.settings.seed)
        let small = try CarrierTable(size: 1_000, &random)
        let large = try CarrierTable(size: 1_000_000, &random)
        let programs = try CarrierProgram.Variant.allCases.map { (variant) throws(Failure) in
            try CarrierProgram(variant, variant == .million ? large : small)
        }
        let empty = try LoadedObject(embedded: fastpath_lab_empty_drop(), name: "the empty program")
            .program(BenchPrograms.emptyName)
        try BenchPrograms.keepReady(programs.map(\.program) + [empty], in: laboratory)
        let mixer = try Mixer(in: laboratory)
        try mixer.fill { (kind, number) in CarrierKind.ipv4(kind).frame(small, number: number, &random).frame }
        guard let frozen = programs.first(where: { $0.variant == .frozen }) else { return CarrierCost() }

        var cost = CarrierCost()
        try pinned(toCPU: bench.settings.cpu) { () throws(Failure) in
            try bench.rounds(bench.settings.isQuick ? 5 : 15, of: .carrier) { (round) throws(Failure) in
                for (index, kind) in CarrierKind.all.enumerated() {
                    let compared = programs.filter { ($0.variant == .long) == kind.isLong }
                    try cost.rows[index].measure(kind, compared, empty, number: 100_000 + round, &random)
                    try Interruption.check()
                }
                let bursts = try Bursts(of: 2) { (index) throws(Failure) in
                    try mixer.run(index == 0 ? frozen.program : empty)
                }
                cost.mixed.samples.append(bursts.best[0] - bursts.best[1])
            }
        }
        return cost
    }
}

extension CarrierCost.Row {
    /// In a burst: half a millisecond.
    private static let repetitions = 12_500

    /// Adds a sample to each figure: each program has a frame from a source of its own table.
    fileprivate mutating func measure(
        _ kind: CarrierKind, _ programs: [CarrierProgram], _ empty: Program, number: Int,
        _ random: inout SeededGenerator
    ) throws(Failure) {
        let frames = programs.map { kind.frame($0.table, number: number, &random) }
        let before = try programs.map { (program) throws(Failure) in try program.counters() }
        let bursts = try Bursts(of: programs.count + 1) { (index) throws(Failure) in
            let isEmpty = index == programs.count
            let result = try BenchPrograms.run(
                isEmpty ? empty : programs[index].program, frames[isEmpty ? 0 : index].frame,
                repetitions: Self.repetitions)
            return Double(result.duration)
        }
        for (index, program) in programs.enumerated() {
            let reason = program.reason(for: frames[index].frame, from: frames[index].source, kind.source)
            let counted = try program.counters() - before[index]
            let expected = reason.isCounted ? UInt64(Bursts.count * Self.repetitions) : 0
            guard counted.total == expected, counted[reason] == expected else {
                throw unexpected(
                    "measure \(label) (\(program.variant.rawValue))", on: "\(frames[index].frame.count) bytes",
                    because: "the program did not treat it as \(reason)")
            }
            nets[program.variant.rawValue]?.samples.append(bursts.best[index] - (bursts.best.last ?? 0))
        }
    }
}
