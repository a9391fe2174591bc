// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Glibc
import Synchronization
import Testing

@testable import FastpathKernel

/// The policy table while it is read: concurrent changes, growth, limits, a writer that dies. Needs root.
@Suite(.serialized) struct PolicyTableUseTests {
    private static let now = PolicyTableTests.now

    /// Neighbours: IPv4 addresses that share their upper 16 bits, IPv6 addresses that share 64.
    private static func address(_ family: IPPrefix.Family, _ number: Int) -> IPPrefix {
        family == .ipv4
            ? IPPrefix(ipv4: 0x0a01_0000 + UInt32(number))
            : IPPrefix(ipv6: UInt128(0x2001_0db8) << 96 | UInt128(number))
    }

    @Test(
        "readers beside a writer: what is there is never missed, what never was is never seen",
        arguments: [IPPrefix.Family.ipv4, .ipv6])
    func concurrent(family: IPPrefix.Family) throws {
        let table = try PolicyTable.make()
        let probe = try PolicyProbe(table)
        let count = 3_000
        // Of four neighbours one is there all the time, one never, and two come and go.
        let staying = (0..<count).map { Self.address(family, 4 * $0) }
        let changing = (0..<count).flatMap { [Self.address(family, 4 * $0 + 1), Self.address(family, 4 * $0 + 2)] }
        try table.replace(with: staying.map { PolicyTableEntry($0, .block) })
        probe.setSources(
            (0..<count).flatMap { number in
                (0..<4).map { part in
                    let kinds: PolicyKinds = part == 3 ? [] : .block
                    return PolicyProbe.Source(
                        Self.address(family, 4 * number + part), must: part == 0 ? .block : [],
                        may: part == 0 ? .block : kinds.union(part == 3 ? [] : .allow))
                }
            })
        let isDone = Atomic(false)
        let runs = Atomic(0)
        let reader = try Reader { [program = probe.program(family == .ipv4 ? .ipv4 : .ipv6)] in
            while !isDone.load(ordering: .relaxed) {
                _ = [UInt8](repeating: 0, count: 64).withUnsafeBytes {
                    try? TestRun.run(program, frame: $0, repetitions: 20_000)
                }
                runs.add(1, ordering: .relaxed)
            }
        }
        defer { reader.join() }
        defer { isDone.store(true, ordering: .relaxed) }
        var random = SplitMix64(state: 5)
        var changes = 0
        let start = ContinuousClock.now
        while ContinuousClock.now - start < .seconds(4) {
            let address = changing[Int.random(in: changing.indices, using: &random)]
            let kind: PolicyKinds = Bool.random(using: &random) ? .block : .allow
            // Time passes quickly, so that places are used again; and the table grows meanwhile.
            let second = Self.now + UInt32(changes / 10)
            if Int.random(in: 0..<3, using: &random) == 0 {
                try table.remove(address, .all, now: second)
            } else {
                try table.set(PolicyTableEntry(address, kind), now: second)
            }
            if changes % 20_000 == 19_999 { try table.replace(with: table.records().map(\.entry)) }
            changes += 1
        }
        let wrong = try probe.wrong()
        #expect(wrong.count == 0, "\(IPPrefix(family: family, bits: wrong.address, length: family.width))")
        #expect(changes > 5_000 && runs.load(ordering: .relaxed) > 20, "\(changes) changes")
        // The test can fail: with one entry gone the sweeps do see it.
        try table.remove(staying[0], .all, now: .max - 1)
        try probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: PolicyProbe.sourceCount)
        #expect(try probe.wrong().count > 0)
    }

    @Test("hits are exact with several threads, while the table is built anew")
    func exactHits() throws {
        let table = try PolicyTable.make()
        let probe = try PolicyProbe(table)
        let addresses = (0..<64).map { Self.address(.ipv4, $0) }
        try table.replace(with: addresses.map { PolicyTableEntry($0, .block) })
        probe.setSources(addresses.map { .init($0, must: .block, may: .block) })
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
        for _ in 0..<10 { try table.replace(with: addresses.map { PolicyTableEntry($0, .block) }) }
        for reader in readers { reader.join() }
        #expect(try table.records().reduce(0) { $0 + Int($1.hits) } == 3 * runs * repetitions)
        #expect(try probe.wrong().count == 0)
    }

    @Test("a table that was opened again holds the same, and is changed further")
    func openedAgain() throws {
        let twin = try PolicyTableTests.Twin()
        for number in 0..<200 {
            try twin.set(PolicyTableEntry(Self.address(number % 2 == 0 ? .ipv4 : .ipv6, number), .block))
        }
        let again = try PolicyTable(maps: twin.table.maps)
        #expect(Set(try again.records().map(\.entry)) == Set(twin.entries))
        try again.remove(Self.address(.ipv4, 0), .block, now: Self.now)
        try again.set(PolicyTableEntry(Self.address(.ipv6, 5_000), .trust), now: Self.now)
        twin.entries.removeAll { $0.prefix == Self.address(.ipv4, 0) }
        twin.entries.append(PolicyTableEntry(Self.address(.ipv6, 5_000), .trust))
        try twin.expectAgreement(about: (0..<300).flatMap { [Self.address(.ipv4, $0), Self.address(.ipv6, $0)] })
    }

    @Test("it grows entry by entry, and no source is forgotten", arguments: [IPPrefix.Family.ipv4, .ipv6])
    func growth(family: IPPrefix.Family) throws {
        let twin = try PolicyTableTests.Twin()
        for number in 0..<6_000 {
            try twin.table.set(PolicyTableEntry(Self.address(family, number), .block), now: Self.now)
        }
        let statistics = twin.table.statistics(family)
        #expect(statistics.entries == 6_000 && statistics.buckets == 4_096 && statistics.overflowBuckets > 0)
        #expect(statistics.longestChain <= 5)
        let sources = (0..<12_000).map { number in
            let kinds: PolicyKinds = number < 6_000 ? .block : []
            return PolicyProbe.Source(Self.address(family, number), must: kinds, may: kinds)
        }
        twin.probe.setSources(sources)
        try twin.probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: 4 * PolicyProbe.sourceCount)
        #expect(try twin.probe.wrong().count == 0)
    }

    @Test("beyond the memory limit it refuses, and everything stays")
    func limit() throws {
        let twin = try PolicyTableTests.Twin(memoryLimit: 1_700_000)
        let entries = (0..<2_000).map { PolicyTableEntry(Self.address(.ipv4, $0), .block) }
        try twin.table.replace(with: entries)
        twin.entries = entries
        let many = (0..<9_000).map { PolicyTableEntry(Self.address(.ipv4, $0 + 100_000), .block) }
        let failure = #expect(throws: Failure.self) { try twin.table.replace(with: many) }
        #expect(failure?.kind == .mapFull(capacity: 1_700_000))
        // The same one by one.
        let one = #expect(throws: Failure.self) {
            for entry in many {
                try twin.table.set(entry, now: Self.now)
                twin.entries.append(entry)
            }
        }
        #expect(one?.kind == .mapFull(capacity: 1_700_000))
        #expect(twin.entries.count < 9_000)
        #expect(twin.table.statistics().bytes <= 1_700_000)
        try twin.expectAgreement(about: entries.prefix(500).map(\.prefix) + many.prefix(500).map(\.prefix))
    }

    @Test("an address may be in IPv6 prefixes of 32 lengths, and not of more")
    func tooManyLengths() throws {
        let twin = try PolicyTableTests.Twin()
        let address = IPPrefix(ipv6: UInt128(0x2001_0db8) << 96)
        let entries = [PolicyTableEntry(Self.address(.ipv4, 1), .block), PolicyTableEntry(address, .block)]
        try twin.table.replace(with: entries)
        twin.entries = entries
        let lengths = (60..<100).map {
            PolicyTableEntry(IPPrefix(family: .ipv6, bits: address.bits, length: $0), .allow)
        }
        let failure = #expect(throws: Failure.self) { try twin.table.replace(with: lengths) }
        #expect(failure?.kind == .usage)
        try twin.expectAgreement(about: entries.map(\.prefix))
        for entry in lengths.prefix(31) { try twin.set(entry) }
        #expect(throws: Failure.self) { try twin.table.set(lengths[31], now: Self.now) }
        try twin.expectAgreement(about: [address])
        // All other lengths at once, while the first ones are still read.
        twin.entries = (100..<116).map {
            PolicyTableEntry(IPPrefix(family: .ipv6, bits: address.bits, length: $0), .trust)
        }
        try twin.table.replace(with: twin.entries)
        try twin.expectAgreement(about: [address])
    }

    @Test("a writer that dies behind any store leaves every other entry as it was, and its own there or not")
    func death() throws {
        var reached = 0
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            for number in 0..<30 {
                let twin = try PolicyTableTests.Twin()
                // Nearly full, so that some changes link a bucket or build a table.
                let entries = (0..<2_300).map { PolicyTableEntry(Self.address(family, 3 * $0), .block) }
                try twin.table.replace(with: entries)
                let wide = IPPrefix(family: family, bits: entries[0].prefix.bits, length: family == .ipv4 ? 12 : 30)
                let added = PolicyTableEntry(number % 3 == 0 ? wide : Self.address(family, 3 * number + 1), .trust)
                let removed = entries[number]
                twin.table.stores.left = number % (number % 3 == 0 ? 24 : 5)
                do {
                    try twin.table.set(added, now: Self.now)
                    if number % 2 == 0 { try twin.table.remove(removed.prefix, .block, now: Self.now) }
                    if number % 5 == 0 { try twin.table.replace(with: entries + [added]) }
                } catch {
                    reached += 1
                }
                let changed: PolicyKinds = number % 2 == 0 ? .block : []
                twin.probe.setSources(
                    entries.map {
                        .init(
                            $0.prefix, must: $0 == removed ? .block.subtracting(changed) : .block,
                            may: [.block, .trust])
                    }
                        + (0..<200).map { .init(Self.address(family, 3 * $0 + 2), must: [], may: .trust) })
                try twin.probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: PolicyProbe.sourceCount)
                let wrong = try twin.probe.wrong()
                #expect(wrong.count == 0, "case \(number): \(wrong)")
                // The next one builds it from the record.
                let next = try PolicyTable(maps: twin.table.maps)
                try next.replace(with: entries)
                #expect(Set(try next.records().map(\.entry)) == Set(entries))
                #expect(try twin.probe.kinds(of: entries[1].prefix) == .block)
            }
        }
        #expect(reached > 20, "\(reached) were cut off")
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
