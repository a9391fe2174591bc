// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Glibc
import Synchronization
import Testing

@testable import FastpathKernel

/// The policy table while it is read: concurrent changes, capacity, a writer that dies. Needs root.
@Suite(.serialized) struct PolicyTableUseTests {
    private static let now = PolicyTableTests.now
    typealias Twin = PolicyTableTests.Twin

    /// Neighbours: IPv4 addresses that share their upper 16 bits, IPv6 addresses that share 64.
    private static func address(_ family: IPPrefix.Family, _ number: Int) -> IPPrefix {
        family == .ipv4
            ? IPPrefix(ipv4: 0x0a01_0000 + UInt32(number))
            : IPPrefix(ipv6: UInt128(0x2001_0db8) << 96 | UInt128(number))
    }

    private static func around(_ prefix: IPPrefix, _ length: Int) -> IPPrefix {
        IPPrefix(family: prefix.family, bits: prefix.bits, length: length)
    }

    /// Runs a sweep again and again until the body returns; how often.
    private func beside(_ program: Program, _ body: () throws -> Void) throws -> Int {
        let isDone = Atomic(false)
        let runs = Atomic(0)
        let reader = try Reader {
            while !isDone.load(ordering: .relaxed) {
                _ = [UInt8](repeating: 0, count: 64).withUnsafeBytes {
                    try? TestRun.run(program, frame: $0, repetitions: 20_000)
                }
                runs.add(1, ordering: .relaxed)
            }
        }
        defer {
            isDone.store(true, ordering: .relaxed)
            reader.join()
        }
        try body()
        return runs.load(ordering: .relaxed)
    }

    @Test(
        "readers beside a writer: what is there is never missed, what never was is never seen",
        arguments: [IPPrefix.Family.ipv4, .ipv6])
    func concurrent(family: IPPrefix.Family) throws {
        let table = try PolicyTable.make(capacity: 12_000)
        let probe = try PolicyProbe(table)
        let count = 2_000
        // Of four neighbours one is there all the time, one never, and two come and go; so do networks around them.
        let staying = (0..<count).map { Self.address(family, 4 * $0) }
        let changing = (0..<count).flatMap { [Self.address(family, 4 * $0 + 1), Self.address(family, 4 * $0 + 2)] }
        try table.apply(staying.map { PolicyTableChange($0, .block) }, now: Self.now)
        probe.setSources(
            (0..<count).flatMap { number in
                (0..<4).map { part in
                    PolicyProbe.Source(
                        Self.address(family, 4 * number + part), must: part == 0 ? .block : [],
                        may: part == 3 ? .trust : part == 0 ? [.block, .trust] : .all)
                }
            })
        var random = SplitMix64(state: 5)
        var changes = 0
        let runs = try beside(probe.program(family == .ipv4 ? .ipv4 : .ipv6)) {
            let start = ContinuousClock.now
            while ContinuousClock.now - start < .seconds(3) {
                let address = changing[Int.random(in: changing.indices, using: &random)]
                let isNetwork = Int.random(in: 0..<4, using: &random) == 0
                let length = Int.random(in: 8..<family.width, using: &random)
                let isGone = Int.random(in: 0..<3, using: &random) == 0
                let change = PolicyTableChange(
                    isNetwork ? Self.around(address, length) : address,
                    isNetwork ? .trust : Bool.random(using: &random) ? .block : .allow, expiry: isGone ? nil : .never)
                // Time passes quickly, so that places are used again: those that rest do so for a third of a second, far longer
                // than a reader can be held up here.
                let time = (ContinuousClock.now - start) / .milliseconds(10)
                try table.apply([change], now: Self.now + UInt32(time))
                changes += 1
            }
        }
        let wrong = probe.wrong()
        #expect(wrong.count == 0, "\(IPPrefix(family: family, bits: wrong.address, length: family.width)) \(wrong)")
        #expect(changes > 1_000 && runs > 2, "\(changes) changes, \(runs) runs")
        // The test can fail: with one entry gone the sweeps do see it.
        try table.apply([PolicyTableChange(staying[0], .block, expiry: nil)], now: .max - 1)
        try probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: PolicyProbe.sourceCount)
        #expect(probe.wrong().count > 0)
    }

    @Test("a list by another in one step: nobody sees half of it, or none", arguments: [IPPrefix.Family.ipv4, .ipv6])
    func atomicReplace(family: IPPrefix.Family) throws {
        let table = try PolicyTable.make(capacity: 4_000)
        let probe = try PolicyProbe(table)
        let width = family.width
        // The same sources are blocked by other prefixes in each list; and one is blocked here, allowed there.
        let sources = (0..<300).map { Self.address(family, 256 * $0 + 7) }
        let other = Self.address(family, 1 << 20)
        func list(_ number: Int) -> [PolicyTableChange] {
            let lengths = [width, width - 8, width - 5, width - 20]
            return sources.enumerated().map {
                PolicyTableChange(Self.around($0.element, lengths[($0.offset + number) % lengths.count]), .block)
            } + [PolicyTableChange(Self.around(other, width - number), number % 2 == 0 ? .block : .allow)]
        }
        let lists = (0..<4).map(list)
        func step(from old: [PolicyTableChange], to new: [PolicyTableChange]) -> [PolicyTableChange] {
            let kept = Set(new)
            return new + old.filter { !kept.contains($0) }.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) }
        }
        try table.apply(lists[0], now: Self.now)
        probe.setSources(sources.map { .init($0, must: .block, may: .block) })
        let odd = Atomic(0), asked = Atomic(0), isDone = Atomic(false)
        let reader = try Reader {
            while !isDone.load(ordering: .relaxed) {
                guard let kinds = try? probe.kinds(of: other) else { continue }
                asked.add(1, ordering: .relaxed)
                if kinds != .block, kinds != .allow { odd.add(1, ordering: .relaxed) }
            }
        }
        defer { reader.join() }
        defer { isDone.store(true, ordering: .relaxed) }
        var steps = 0
        let runs = try beside(probe.program(family == .ipv4 ? .ipv4 : .ipv6)) {
            let start = ContinuousClock.now
            while ContinuousClock.now - start < .seconds(3) {
                let from = lists[steps % 4], to = lists[(steps + 1) % 4]
                try table.apply(step(from: from, to: to), now: Self.now + UInt32(steps))
                steps += 1
            }
        }
        #expect(probe.wrong().count == 0 && odd.load(ordering: .relaxed) == 0, "\(steps) steps")
        #expect(steps > 3 && runs > 2 && asked.load(ordering: .relaxed) > 100, "\(steps) \(runs)")
    }

    @Test("hits are exact with several threads, while entries come and go")
    func exactHits() throws {
        let table = try PolicyTable.make(capacity: 200)
        let probe = try PolicyProbe(table)
        let addresses = (0..<64).map { Self.address(.ipv4, $0) }
        try table.apply(addresses.map { PolicyTableChange($0, .block) }, now: Self.now)
        probe.setSources(addresses.map { .init($0, must: .block, may: .all) })
        let runs = 40, repetitions = 20_000
        let program = probe.program(.ipv4)
        let readers = try (0..<3).map { _ in
            try Reader {
                for _ in 0..<runs {
                    _ = [UInt8](repeating: 0, count: 64).withUnsafeBytes {
                        try? TestRun.run(program, frame: $0, repetitions: repetitions)
                    }
                }
            }
        }
        for number in 0..<40 {
            // The same again, with a network around them, without, and with another end.
            let expiry = number % 3 == 0 ? PolicyExpiry.never : .second(.max - 5)
            try table.apply(
                addresses.map { PolicyTableChange($0, .block, expiry: expiry) }
                    + [
                        PolicyTableChange(Self.around(addresses[0], 24), .allow, expiry: number % 2 == 0 ? .never : nil)
                    ],
                now: Self.now)
        }
        for reader in readers { reader.join() }
        #expect(table.records().reduce(0) { $0 + Int($1.hits) } == 3 * runs * repetitions)
        #expect(probe.wrong().count == 0)
    }

    @Test("hits move into a larger table exactly once, while programs count there")
    func movedHits() throws {
        let addresses = (0..<64).map { Self.address(.ipv4, $0) }
        let changes = addresses.map { PolicyTableChange($0, .block) }
        let tables = try [100, 400].map { try PolicyTable.make(capacity: $0) }
        let probes = try tables.map { table in
            let probe = try PolicyProbe(table)
            try table.apply(changes, now: Self.now)
            probe.setSources(addresses.map { .init($0, must: .block, may: .block) })
            return probe
        }
        let (old, new) = (tables[0], tables[1])
        let runs = 30, repetitions = 20_000
        let program = probes[1].program(.ipv4)
        let reader = try Reader {
            for _ in 0..<runs {
                _ = [UInt8](repeating: 0, count: 64).withUnsafeBytes {
                    try? TestRun.run(program, frame: $0, repetitions: repetitions)
                }
            }
        }
        var counted = 0
        for _ in 0..<10 {
            try probes[0].run(.ipv4, count: 5_000)
            counted += 5_000
            try new.takeHits(from: old, now: Self.now)
            // A second time there is nothing left to take.
            try new.takeHits(from: old, now: Self.now)
            #expect(old.records().allSatisfy { $0.hits == 0 })
        }
        reader.join()
        #expect(new.records().reduce(0) { $0 + Int($1.hits) } == counted + runs * repetitions)
        // And back, as after a failure.
        try old.takeHits(from: new, now: Self.now)
        #expect(old.records().reduce(0) { $0 + Int($1.hits) } == counted + runs * repetitions)
        #expect(probes.allSatisfy { $0.wrong().count == 0 })
    }

    @Test("only entries that are in both tables take hits, with the time of the last; what had expired is another one")
    func hitsOfTheSameEntries() throws {
        let old = try PolicyTable.make(capacity: 20), new = try PolicyTable.make(capacity: 40)
        old.setSecond(Self.now)
        new.setSecond(Self.now + 7)
        let prefixes = [
            Self.address(.ipv4, 1), Self.address(.ipv6, 2), Self.around(Self.address(.ipv4, 0xff00), 24),
            Self.address(.ipv4, 4), Self.address(.ipv4, 5), Self.address(.ipv4, 6),
        ]
        try old.apply(prefixes.map { PolicyTableChange($0, .block, expiry: .second(Self.now + 100)) }, now: Self.now)
        let probe = try PolicyProbe(old)
        for (index, prefix) in prefixes.enumerated() {
            let address = IPPrefix(family: prefix.family, bits: prefix.bits, length: prefix.family.width)
            for _ in 0...index { _ = try probe.kinds(of: address) }
        }
        #expect(old.find(prefixes).map(\.hits) == [1, 2, 3, 4, 5, 6])
        // The fourth is gone, the fifth is trusted now, the sixth had expired and came again.
        try old.apply([PolicyTableChange(prefixes[5], .block, expiry: .second(Self.now + 1))], now: Self.now)
        try new.apply(
            [0, 1, 2, 5].map { PolicyTableChange(prefixes[$0], .block) } + [PolicyTableChange(prefixes[4], .trust)],
            now: Self.now + 5)
        let later = try PolicyProbe(new)
        _ = try later.kinds(of: prefixes[1])
        try new.takeHits(from: old, now: Self.now + 5)
        let found = new.find([0, 1, 2, 4, 5].map { prefixes[$0] })
        #expect(found.map(\.hits) == [1, 3, 3, 0, 0])
        #expect(found.map(\.lastHit) == [Self.now, Self.now + 7, Self.now, nil, nil])
        try new.apply([PolicyTableChange(prefixes[3], .block)], now: Self.now + 5)
        #expect(new.find([prefixes[3]]).map(\.hits) == [0])
    }

    @Test("a table that was opened again holds the same, and is changed further")
    func openedAgain() throws {
        let twin = try Twin()
        try twin.apply((0..<200).map { PolicyTableChange(Self.address($0 % 2 == 0 ? .ipv4 : .ipv6, $0), .block) })
        let again = try PolicyTable(maps: twin.table.maps)
        #expect(again.records() == twin.table.records() && again.statistics == twin.table.statistics)
        let changes = [
            PolicyTableChange(Self.address(.ipv4, 0), .block, expiry: nil),
            PolicyTableChange(Self.address(.ipv6, 5_000), .trust),
        ]
        try again.apply(changes, now: Self.now)
        twin.note(changes)
        try twin.expectAgreement(about: (0..<300).flatMap { [Self.address(.ipv4, $0), Self.address(.ipv6, $0)] })
        // Not with maps of another table's sizes.
        var mixed = twin.table.maps
        mixed["policy_records"] = try PolicyTable.make(capacity: 5).maps["policy_records"]
        #expect(throws: Failure.self) { try PolicyTable(maps: mixed) }
    }

    @Test("many neighbours, or random ones: all are found, and none beside", arguments: [1, 256, 0])
    func full(step: Int) throws {
        let count = 20_000
        let table = try PolicyTable.make(capacity: 2 * count)
        let probe = try PolicyProbe(table)
        var random = SplitMix64(state: 3)
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let numbers = (0..<2 * count).map { step == 0 ? Int.random(in: 0..<1 << 24, using: &random) : $0 * step }
            let there = Set(numbers.prefix(count))
            try table.apply(there.map { PolicyTableChange(Self.address(family, $0), .block) }, now: Self.now)
            probe.setSources(
                numbers.map {
                    let kinds: PolicyKinds = there.contains($0) ? .block : []
                    return PolicyProbe.Source(Self.address(family, $0), must: kinds, may: kinds)
                })
            try probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: 4 * PolicyProbe.sourceCount)
        }
        #expect(probe.wrong().count == 0)
        #expect(table.statistics.prefixes == table.records().count)
        #expect(table.statistics.bytes == PolicyTable.bytes(capacity: 2 * count))
    }

    @Test("without room it refuses, and everything stays; what was removed makes room at once")
    func capacity() throws {
        let twin = try Twin(capacity: 100)
        let first = (0..<90).map { PolicyTableChange(Self.address($0 % 2 == 0 ? .ipv4 : .ipv6, $0), .block) }
        try twin.apply(first)
        let probes = (0..<200).flatMap { [Self.address(.ipv4, $0), Self.address(.ipv6, $0)] }
        // Too many prefixes; too many networks longer than 24, each of which takes two blocks.
        let many = (100..<120).map { PolicyTableChange(Self.address(.ipv4, $0), .trust) }
        let networks = (0..<2_000).map {
            PolicyTableChange(IPPrefix(family: .ipv4, bits: UInt128($0 << 17), length: 30), .trust)
        }
        for changes in [many, networks, many + first.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) }] {
            let failure = #expect(throws: Failure.self) { try twin.table.apply(changes, now: twin.now) }
            #expect(failure?.kind == .mapFull(capacity: 100))
            try twin.expectAgreement(about: probes + networks.prefix(50).map(\.prefix))
        }
        // No time passes: it waits for programs instead.
        for turn in 0..<5 {
            try twin.apply(twin.entries.keys.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) })
            try twin.apply((0..<100).map { PolicyTableChange(Self.address(.ipv4, 300 * turn + 3 * $0), .allow) })
            #expect(twin.table.statistics.prefixes == 100)
            try twin.expectAgreement(about: probes)
        }
        // Networks here and there, one after the other: their blocks are used again.
        try twin.apply(twin.entries.keys.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) })
        for change in networks.prefix(400) {
            try twin.apply(change)
            try twin.apply(PolicyTableChange(change.prefix, change.kind, expiry: nil))
        }
        try twin.expectAgreement(about: probes)
    }

    @Test("a writer that dies behind any store: programs, and the next writer, see all of the old or all of the new")
    func death() throws {
        var prefixes = PolicyTableTests.Prefixes(seed: 77)
        let twin = try Twin(capacity: 200)
        var old: [PolicyTableChange] = []
        for _ in 0..<12 { old += prefixes.changes() }
        try twin.apply(old)
        var cuts = (before: 0, after: 0)
        for scenario in 0..<6 {
            let before = twin.entries
            var changes = before.keys.enumerated().filter { $0.offset % 3 == scenario % 3 }.map {
                PolicyTableChange($0.element.prefix, $0.element.kind, expiry: nil)
            }
            for _ in 0..<5 { changes += prefixes.changes() }
            twin.note(changes)
            let after = twin.entries
            let probes = prefixes.probes(Array(Set(before.keys.map(\.prefix) + changes.map(\.prefix))), count: 0)
            let back =
                after.keys.filter { before[$0] == nil }.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) }
                + before.map { PolicyTableChange($0.key.prefix, $0.key.kind, expiry: $0.value) }
            var left = 0
            while true {
                twin.entries = before
                let generation = twin.table.memory.generation
                twin.table.stores.left = left
                do {
                    try twin.table.apply(changes, now: twin.now)
                    twin.table.stores.left = nil
                    break
                } catch {}
                twin.table.stores.left = nil
                let isNew = twin.table.memory.generation > generation
                twin.entries = isNew ? after : before
                if isNew { cuts.after += 1 } else { cuts.before += 1 }
                try expectAnswers(twin, probes)
                let next = try PolicyTable(maps: twin.table.maps)
                // It dies at its repair as well, and the one after it.
                for cut in [left / 2, left / 5] where left % 3 == 0 && next.needsRepair {
                    next.stores.left = cut
                    _ = try? next.repairIfNeeded(now: twin.now)
                    next.stores.left = nil
                    try expectAnswers(twin, probes)
                }
                try next.repairIfNeeded(now: twin.now)
                try expectAnswers(twin, probes)
                twin.expectRecords()
                try twin.table.apply(back, now: twin.now)
                // Each of the first stores, and then some.
                left += left < 40 ? 1 : 1 + left / 8
            }
            twin.entries = after
            try twin.expectAgreement(about: probes)
        }
        #expect(cuts.before > 100 && cuts.after > 10, "\(cuts)")
        try twin.apply(twin.entries.keys.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) })
        try twin.table.sweep(now: twin.now)
        #expect(twin.table.statistics.blocks == 0 && twin.table.statistics.prefixes == 0)
        try twin.table.expectClean()
    }

    private func expectAnswers(_ twin: Twin, _ probes: [IPPrefix]) throws {
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let sources = probes.filter { $0.family == family }.map {
                PolicyProbe.Source($0, must: twin.kinds(of: $0), may: twin.kinds(of: $0))
            }
            twin.probe.setSources(sources)
            let before = twin.probe.wrong().count
            try twin.probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: 20 * sources.count)
            #expect(twin.probe.wrong().count == before, "\(twin.probe.wrong())")
        }
    }
}

/// A thread, to run a program beside the test's own.
private final class Reader: @unchecked Sendable {
    private var thread = pthread_t()
    private let body: () -> Void

    init(_ body: @escaping () -> Void) throws {
        self.body = body
        let raw = Unmanaged.passRetained(self).toOpaque()
        let code = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                Unmanaged<Reader>.fromOpaque(raw).takeRetainedValue().body()
                return nil
            }, raw)
        if code != 0 { throw Failure(tried: "start a thread", on: "a test", because: errorText(code), next: "-") }
    }

    func join() { pthread_join(thread, nil) }
}
