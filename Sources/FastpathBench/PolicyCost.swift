// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab

/// What a look-up in the policy table costs, beside the kernel's hash and LPM trie, and what its changes cost. Each run
/// takes one of 65,536 sources at random, so that neither caches nor branch predictor know what comes; or one source
/// again and again, as in a flood from one address.
public struct PolicyCost: Hashable, Sendable {
    /// A look-up, less a run without.
    public struct LookUp: Hashable, Sendable {
        public var sweep: PolicyProbe.Sweep
        public var isHit: Bool
        /// One source again and again.
        public var isRepeated: Bool
        public var net: Figure
    }

    /// Entries for IPv4, and as many for IPv6 in a table of their own.
    public let size: Int
    public var lookUps: [LookUp] = []
    /// Of all maps of a table with room for so many.
    public var bytes = 0
    public var build4: Figure
    public var build6: Figure
    /// All entries of the IPv4 list once more, and a tenth of them by others, in one step.
    public var replace: Figure
    /// Adding one entry, and removing it.
    public var change: Figure

    init(size: Int) {
        self.size = size
        build4 = Figure("policy.\(size).build_ipv4", .milliseconds)
        build6 = Figure("policy.\(size).build_ipv6", .milliseconds)
        replace = Figure("policy.\(size).replace_ipv4", .milliseconds)
        change = Figure("policy.\(size).change", .milliseconds)
    }

    var figures: [Figure] { lookUps.map(\.net) + [build4, build6, replace, change] }

    /// Of the tables.
    static let sizes = [1_000, 100_000, 1_000_000]

    static func measure(_ bench: Bench, in laboratory: Laboratory) throws(Failure) -> [PolicyCost] {
        var costs: [PolicyCost] = []
        let rounds = bench.settings.isQuick ? 5 : 15
        try pinned(toCPU: bench.settings.cpu) { () throws(Failure) in
            for (number, size) in sizes.enumerated() {
                var random = SeededGenerator(seed: bench.settings.seed)
                let lists = PolicyLists(size: size, &random)
                var cost = PolicyCost(size: size)
                for family in [IPPrefix.Family.ipv4, .ipv6] {
                    let list = family == .ipv4 ? lists.ipv4 : lists.ipv6
                    let table = try cost.measureBuilding(list, rounds: bench.settings.isQuick ? 1 : 5)
                    let probe = try PolicyProbe(table, hash: size, trie: size)
                    let sweeps = cost.sweeps(family)
                    try BenchPrograms.keepReady(sweeps.map(probe.program), in: laboratory)
                    if family == .ipv4 {
                        try cost.measureChanges(table, lists, &random)
                        try probe.setYardsticks(lists.ipv4)
                    }
                    try cost.measureLookUps(probe, lists, family, rounds: rounds, &random) { (round) throws(Failure) in
                        try Interruption.check()
                        let done = (2 * number + (family == .ipv4 ? 0 : 1)) * rounds + round
                        bench.progress(.init(section: .policy, done: done, total: 2 * sizes.count * rounds))
                    }
                }
                costs.append(cost)
            }
        }
        return costs
    }

    /// The last table that was built, with the list in it.
    private mutating func measureBuilding(_ list: [IPPrefix], rounds: Int) throws(Failure) -> PolicyTable {
        let changes = list.map { PolicyTableChange($0, .block) }
        var table = try PolicyTable.make(capacity: list.count)
        bytes = table.statistics.bytes
        for round in 0..<rounds {
            try Interruption.check()
            if round > 0 { table = try PolicyTable.make(capacity: list.count) }
            let time = try milliseconds { () throws(Failure) in try table.apply(changes, now: PolicyTable.now()) }
            if list[0].family == .ipv4 { build4.samples.append(time) } else { build6.samples.append(time) }
        }
        return table
    }

    private mutating func measureChanges(
        _ table: PolicyTable, _ lists: PolicyLists, _ random: inout SeededGenerator
    ) throws(Failure) {
        // A tenth goes and comes back.
        let all = lists.ipv4.map { PolicyTableChange($0, .block) }
        let without = lists.ipv4.enumerated().map {
            PolicyTableChange($0.element, .block, expiry: $0.offset % 10 == 0 ? nil : .never)
        }
        for changes in [without, all] {
            replace.samples.append(
                try milliseconds { () throws(Failure) in try table.apply(changes, now: PolicyTable.now()) })
        }
        // There is no room left: one makes room for another.
        try table.apply([PolicyTableChange(lists.ipv4[0], .block, expiry: nil)], now: PolicyTable.now())
        try table.apply([PolicyTableChange(lists.ipv4[0], .block)], now: PolicyTable.now())
        for _ in 0..<200 {
            let prefix = lists.ipv4[Int.random(in: lists.ipv4.indices, using: &random)]
            let now = PolicyTable.now()
            let time = try milliseconds { () throws(Failure) in
                try table.apply([PolicyTableChange(prefix, .allow)], now: now)
                try table.apply([PolicyTableChange(prefix, .allow, expiry: nil)], now: now)
            }
            change.samples.append(time / 2)
        }
    }

    private func sweeps(_ family: IPPrefix.Family) -> [PolicyProbe.Sweep] {
        family == .ipv4 ? [.none, .ipv4, .hash, .trie] : [.none, .ipv6]
    }

    private mutating func measureLookUps(
        _ probe: PolicyProbe, _ lists: PolicyLists, _ family: IPPrefix.Family, rounds: Int,
        _ random: inout SeededGenerator, progress: (Int) throws(Failure) -> Void
    ) throws(Failure) {
        let repetitions = 65_536
        let sweeps = sweeps(family)
        for (isHit, isRepeated) in [(false, false), (true, false), (false, true), (true, true)] {
            let first = lookUps.count
            for sweep in sweeps where sweep != .none {
                let name =
                    "policy.\(size).\(sweep.rawValue).\(isHit ? "hit" : "miss")\(isRepeated ? ".repeated" : "")"
                lookUps.append(
                    LookUp(sweep: sweep, isHit: isHit, isRepeated: isRepeated, net: Figure(name, .nanoseconds)))
            }
            for round in 0..<rounds {
                try progress(round)
                probe.setSources(
                    lists.sources(family, isHit: isHit, count: isRepeated ? 1 : PolicyProbe.sourceCount, &random))
                let bursts = try Bursts(of: sweeps.count) { (index) throws(Failure) in
                    Double(try probe.run(sweeps[index], count: repetitions))
                }
                for index in 1..<sweeps.count {
                    lookUps[first + index - 1].net.samples.append(bursts.best[index] - bursts.best[0])
                }
            }
        }
        let wrong = probe.wrong()
        guard wrong.count == 0 else {
            throw unexpected(
                "measure the policy table", on: "\(size) entries", because: "\(wrong.count) answers are wrong")
        }
    }

    private func milliseconds(_ body: () throws(Failure) -> Void) throws(Failure) -> Double {
        let start = ContinuousClock.now
        try body()
        return (ContinuousClock.now - start) / .milliseconds(1)
    }
}

/// Lists as feeds are: most entries are single addresses, some are networks, anywhere in the address space.
struct PolicyLists {
    let ipv4: [IPPrefix]
    let ipv6: [IPPrefix]
    private let all: Set<IPPrefix>

    init(size: Int, _ random: inout SeededGenerator) {
        var ipv4: Set<IPPrefix> = [], ipv6: Set<IPPrefix> = []
        while ipv4.count < size {
            // Of a hundred: 75 addresses, 20 of length 24, the rest 16 to 23.
            let share = Int.random(in: 0..<100, using: &random)
            let length = share < 75 ? 32 : share < 95 ? 24 : Int.random(in: 16...23, using: &random)
            let address = UInt32.random(in: 0x0100_0000...0xdfff_ffff, using: &random)
            ipv4.insert(IPPrefix(family: .ipv4, bits: UInt128(address), length: length))
        }
        while ipv6.count < size {
            // 40 addresses, 40 of length 64, 15 of 48, the rest whole networks: some of 20,000 of length 32.
            let share = Int.random(in: 0..<100, using: &random)
            let length = share < 40 ? 128 : share < 80 ? 64 : share < 95 ? 48 : 32
            let address = length == 32 ? Self.network(.random(in: 0..<2_000, using: &random)) : Self.address6(&random)
            ipv6.insert(IPPrefix(family: .ipv6, bits: address, length: length))
        }
        self.ipv4 = Array(ipv4)
        self.ipv6 = Array(ipv6)
        all = ipv4.union(ipv6)
    }

    private static func network(_ number: UInt32) -> UInt128 { UInt128(0x2001_0000 + number * 977) << 96 }

    private static func address6(_ random: inout SeededGenerator) -> UInt128 {
        network(.random(in: 0..<20_000, using: &random))
            | UInt128(UInt32.random(in: 0...UInt32.max, using: &random)) << 64
            | UInt128(UInt64.random(in: 0...UInt64.max, using: &random))
    }

    private func isCovered(_ address: IPPrefix) -> Bool {
        let lengths = address.family == .ipv4 ? Array(16...24) + [32] : [32, 48, 64, 128]
        return lengths.contains {
            all.contains(IPPrefix(family: address.family, bits: address.bits, length: $0))
        }
    }

    /// Addresses in entries, or in none; of IPv6 in the networks where entries are. (The kernel's hash knows an address of
    /// an entry only where it is an entry itself; so it need not answer.)
    func sources(
        _ family: IPPrefix.Family, isHit: Bool, count: Int, _ random: inout SeededGenerator
    ) -> [PolicyProbe.Source] {
        let list = family == .ipv4 ? ipv4 : ipv6
        return (0..<count).map { _ in
            if isHit {
                let prefix = list[Int.random(in: list.indices, using: &random)]
                return PolicyProbe.Source(
                    IPPrefix(family: family, bits: prefix.bits, length: family.width), must: [], may: .block)
            }
            while true {
                let address =
                    family == .ipv4
                    ? IPPrefix(ipv4: UInt32.random(in: 0x0100_0000...0xdfff_ffff, using: &random))
                    : IPPrefix(ipv6: Self.address6(&random))
                if !isCovered(address) { return PolicyProbe.Source(address, must: [], may: []) }
            }
        }
    }
}
