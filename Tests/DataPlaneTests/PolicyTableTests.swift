// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Testing

@testable import FastpathKernel

/// The policy table, asked by a program in the kernel, against a plain list of entries. Needs root.
@Suite(.serialized) struct PolicyTableTests {
    static let now: UInt32 = 1_000_000

    /// What an entry is told apart by.
    struct Key: Hashable {
        var prefix: IPPrefix
        var kind: PolicyKinds
    }

    /// A table, its probe, and the same entries as a list.
    final class Twin {
        let table: PolicyTable
        let probe: PolicyProbe
        var entries: [Key: PolicyExpiry] = [:]
        var now = PolicyTableTests.now

        init(capacity: Int = 4096) throws {
            table = try PolicyTable.make(capacity: capacity)
            table.setSecond(now)
            probe = try PolicyProbe(table)
        }

        func kinds(of address: IPPrefix) -> PolicyKinds {
            entries.reduce(into: []) { kinds, entry in
                if entry.key.prefix.covers(address), entry.value.isLive(at: now) { kinds.insert(entry.key.kind) }
            }
        }

        func note(_ changes: [PolicyTableChange]) {
            for change in changes { entries[Key(prefix: change.prefix, kind: change.kind)] = change.expiry }
        }

        func apply(_ changes: [PolicyTableChange]) throws {
            try table.apply(changes, now: now)
            note(changes)
        }

        func apply(_ change: PolicyTableChange) throws { try apply([change]) }

        func setTime(_ second: UInt32) {
            now = second
            table.setSecond(second)
        }

        /// Program, user space and list must agree about these addresses.
        func expectAgreement(about addresses: [IPPrefix]) throws {
            for family in [IPPrefix.Family.ipv4, .ipv6] {
                let sources = addresses.filter { $0.family == family }.map {
                    let kinds = kinds(of: $0)
                    return PolicyProbe.Source($0, must: kinds, may: kinds)
                }
                guard !sources.isEmpty else { continue }
                probe.setSources(sources)
                let before = probe.wrong()
                try probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: 2 * PolicyProbe.sourceCount)
                let wrong = probe.wrong()
                let address = IPPrefix(family: family, bits: wrong.address, length: family.width)
                #expect(
                    wrong.count == before.count,
                    "\(address): the program found \(wrong.kinds.rawValue), the list has \(kinds(of: address).rawValue)"
                )
            }
            for address in addresses.prefix(200) {
                #expect(try probe.kinds(of: address) == kinds(of: address), "\(address)")
            }
            expectRecords()
        }

        func expectRecords() {
            let records = table.records()
            #expect(records.count == entries.count)
            #expect(
                records.reduce(into: [:]) { $0[Key(prefix: $1.prefix, kind: $1.kind)] = $1.expiry } == entries)
            #expect(table.statistics.prefixes == Set(entries.keys.map(\.prefix)).count)
            #expect(!table.needsRepair)
            let some = Array(Set(entries.keys.map(\.prefix)).prefix(50))
            let found = table.find(some)
            #expect(
                Set(found.map { Key(prefix: $0.prefix, kind: $0.kind) })
                    == Set(entries.keys.filter { some.contains($0.prefix) }))
        }
    }

    /// Prefixes of all lengths, near to each other, so that they nest and touch.
    struct Prefixes {
        var random: SplitMix64
        /// A few places that the prefixes are around.
        var centres4: [UInt32] = []
        var centres6: [UInt128] = []

        init(seed: UInt64) {
            random = SplitMix64(state: seed)
            for _ in 0..<8 {
                centres4.append(UInt32.random(in: 0...UInt32.max, using: &random))
                centres6.append(UInt128(UInt64.random(in: 0...UInt64.max, using: &random)) << 64 | 1)
            }
        }

        mutating func address() -> IPPrefix {
            // Some bits of a centre, then others: from next to it to far away.
            if Bool.random(using: &random) {
                let noise = UInt32.random(in: 0...UInt32.max, using: &random)
                let shift = UInt32.random(in: 0...32, using: &random)
                return IPPrefix(ipv4: centres4[Int.random(in: 0..<8, using: &random)] ^ (noise >> shift))
            }
            let noise =
                UInt128(UInt64.random(in: 0...UInt64.max, using: &random)) << 64
                | UInt128(UInt64.random(in: 0...UInt64.max, using: &random))
            let shift = UInt128(Int.random(in: 0...128, using: &random))
            return IPPrefix(ipv6: centres6[Int.random(in: 0..<8, using: &random)] ^ (noise >> shift))
        }

        mutating func prefix() -> IPPrefix {
            let address = address()
            let length = Int.random(in: 0...address.family.width, using: &random)
            // Short ones cover all others, and would hide them.
            let isRare = length < 8 && Int.random(in: 0..<6, using: &random) > 0
            return IPPrefix(
                family: address.family, bits: address.bits, length: isRare ? address.family.width : length)
        }

        /// Something to add, of one kind or two.
        mutating func changes() -> [PolicyTableChange] {
            let prefix = prefix()
            let isShort = UInt32.random(in: 0..<4, using: &random) == 0
            let end = PolicyTableTests.now + .random(in: 1...300, using: &random)
            let kinds = PolicyKinds(rawValue: UInt8.random(in: 1...7, using: &random))
            return kinds.each.map { PolicyTableChange(prefix, $0, expiry: isShort ? .second(end) : .never) }
        }

        /// Addresses at and next to the ends of prefixes, and others.
        mutating func probes(_ prefixes: [IPPrefix], count: Int) -> [IPPrefix] {
            var addresses: [IPPrefix] = []
            for prefix in prefixes {
                let width = prefix.family.width
                let mask = width == 32 ? UInt128(UInt32.max) : UInt128.max
                let size = width - Int(prefix.length)
                let last = size == 128 ? UInt128.max : prefix.bits | (1 << UInt128(size) - 1)
                for bits in [prefix.bits, prefix.bits &- 1, last, last &+ 1] {
                    addresses.append(IPPrefix(family: prefix.family, bits: bits & mask, length: width))
                }
            }
            while addresses.count < count { addresses.append(address()) }
            return addresses
        }
    }

    @Test("random policies of all lengths and kinds, IPv4 and IPv6, with changes in between: no difference to a list")
    func differential() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("policy table: seed \(seed)")
        var prefixes = Prefixes(seed: seed)
        for _ in 0..<4 {
            let twin = try Twin(capacity: 600)
            var start: [PolicyTableChange] = []
            for _ in 0..<80 { start += prefixes.changes() }
            try twin.apply(start)
            try twin.expectAgreement(about: prefixes.probes(twin.entries.keys.map(\.prefix), count: 3_000))
            for turn in 0..<6 {
                var changes: [PolicyTableChange] = []
                for _ in 0..<30 { changes += prefixes.changes() }
                let there = Array(twin.entries.keys)
                for _ in 0..<there.count / 3 {
                    let key = there[Int.random(in: there.indices, using: &prefixes.random)]
                    changes.append(PolicyTableChange(key.prefix, key.kind, expiry: nil))
                }
                changes.shuffle(using: &prefixes.random)
                if turn % 2 == 0 { try twin.apply(changes) } else { for change in changes { try twin.apply(change) } }
                twin.setTime(twin.now + .random(in: 1...60, using: &prefixes.random))
                if turn == 3 {
                    let live = twin.entries.filter { $0.value.isLive(at: twin.now) }
                    #expect(try twin.table.sweep(now: twin.now) == twin.entries.count - live.count)
                    twin.entries = live
                }
                try twin.expectAgreement(about: prefixes.probes(twin.entries.keys.map(\.prefix), count: 3_000))
            }
            // Nothing is left behind.
            try twin.apply(twin.entries.keys.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) })
            try twin.table.sweep(now: twin.now)
            try twin.expectAgreement(about: prefixes.probes([], count: 500))
            #expect(twin.table.statistics.blocks == 0)
            try twin.table.expectClean()
        }
    }

    @Test("every prefix length of both families, nested around one address, put in and taken out in any order")
    func allLengths() throws {
        var random = SplitMix64(state: 11)
        let twin = try Twin(capacity: 200)
        let bases = [IPPrefix(ipv4: 0xa5c3_965b), IPPrefix(ipv6: 0xa5c3_965b_0000_0000_ffff_ffff_8000_0001)]
        let all = bases.flatMap { base in
            (0...base.family.width).map { IPPrefix(family: base.family, bits: base.bits, length: $0) }
        }
        // Each address differs from the base from another bit on, so that it is in the prefixes up to there.
        let probes = bases.flatMap { base in
            [base]
                + (0..<base.family.width).map {
                    IPPrefix(family: base.family, bits: base.bits ^ 1 << UInt128($0), length: base.family.width)
                }
        }
        for turn in 0..<2 {
            for (number, prefix) in all.shuffled(using: &random).enumerated() {
                try twin.apply(PolicyTableChange(prefix, PolicyKinds.all.each[(number + turn) % 3]))
                if number % 80 == 0 { try twin.expectAgreement(about: probes) }
            }
            try twin.expectAgreement(about: probes)
            for (number, key) in twin.entries.keys.shuffled(using: &random).enumerated() {
                try twin.apply(PolicyTableChange(key.prefix, key.kind, expiry: nil))
                if number % 80 == 0 { try twin.expectAgreement(about: probes) }
            }
            try twin.expectAgreement(about: probes)
            twin.setTime(twin.now + 40)
        }
    }

    @Test("the ends of the address space, and lengths 0, 1 and full")
    func ends() throws {
        let all4 = IPPrefix(family: .ipv4, bits: 0, length: 0), all6 = IPPrefix(family: .ipv6, bits: 0, length: 0)
        let probes =
            [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff].map { IPPrefix(ipv4: $0) }
            + [0, 1, UInt128(1) << 127, (UInt128(1) << 127) - 1, .max, .max - 1].map { IPPrefix(ipv6: $0) }
        let twin = try Twin()
        try twin.expectAgreement(about: probes)
        for prefix in probes { try twin.apply(PolicyTableChange(prefix, .block)) }
        try twin.expectAgreement(about: probes)
        for prefix in [all4, all6] {
            try twin.apply([PolicyTableChange(prefix, .allow), PolicyTableChange(prefix, .trust)])
            try twin.expectAgreement(about: probes)
            let half = IPPrefix(family: prefix.family, bits: 0, length: 1)
            try twin.apply(PolicyTableChange(half, .allow))
            try twin.expectAgreement(about: probes)
            for (gone, kind) in [(prefix, PolicyKinds.allow), (half, .allow), (prefix, .trust)] {
                try twin.apply(PolicyTableChange(gone, kind, expiry: nil))
                try twin.expectAgreement(about: probes)
            }
        }
    }

    @Test("an entry counts up to its expiry and not from there on, whatever process runs")
    func expiry() throws {
        let twin = try Twin()
        let addresses = [IPPrefix(ipv4: 0xc000_0201), IPPrefix(ipv6: UInt128(0x2001_0db8) << 96 | 1)]
        for address in addresses {
            try twin.apply(PolicyTableChange(address, .block, expiry: .second(Self.now + 10)))
            try twin.apply(PolicyTableChange(address, .allow))
            let both: PolicyKinds = [.block, .allow]
            let expectations: [(UInt32, PolicyKinds)] = [
                (Self.now, both), (Self.now + 9, both), (Self.now + 10, .allow), (Self.now + 5_000, .allow),
            ]
            for (second, expected) in expectations {
                twin.setTime(second)
                #expect(try twin.probe.kinds(of: address) == expected, "\(second - Self.now)")
            }
            twin.setTime(Self.now + 20)
            try twin.apply(PolicyTableChange(address, .block, expiry: .second(Self.now + 30)))
            #expect(try twin.probe.kinds(of: address) == both)
            #expect(twin.table.records().allSatisfy { $0.prefix != address || $0.hits == ($0.kind == .block ? 1 : 0) })
            // Longer, and then for good: the entry stays the same, and so do its hits.
            try twin.apply(PolicyTableChange(address, .block))
            twin.setTime(Self.now + 1_000_000)
            #expect(try twin.probe.kinds(of: address) == both)
            #expect(twin.table.records().allSatisfy { $0.prefix != address || $0.hits == ($0.kind == .block ? 2 : 0) })
            twin.setTime(Self.now)
        }
        // By the kernel's own clock.
        twin.setTime(0)
        let real = PolicyTable.now()
        let address = IPPrefix(ipv4: 0xc000_0202)
        try twin.table.apply([PolicyTableChange(address, .block, expiry: .second(real + 1_000))], now: real)
        #expect(try twin.probe.kinds(of: address) == .block)
        let last = try #require(twin.table.find([address]).first?.lastHit)
        #expect(last >= real && last <= real + 5)
        try twin.table.apply([PolicyTableChange(address, .block, expiry: .second(real - 2))], now: real)
        #expect(try twin.probe.kinds(of: address) == [])
        #expect(twin.table.find([address]).count == 1)
        #expect(try twin.table.sweep(now: real) == 1)
        #expect(twin.table.find([address]).isEmpty)
    }

    @Test("the hit goes to the most specific live block entry, and none to what is trusted")
    func hits() throws {
        let twin = try Twin()
        func hits() -> [IPPrefix: UInt64] {
            twin.table.records().reduce(into: [:]) {
                #expect(($1.hits == 0) == ($1.lastHit == nil))
                guard $1.kind == .block else { return #expect($1.hits == 0) }
                $0[$1.prefix] = $1.hits
                if let last = $1.lastHit { #expect(last >= Self.now && last <= Self.now + 2_000) }
            }
        }
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let width = family.width
            let base = family == .ipv4 ? UInt128(0x0a01_0203) : UInt128(0x2001_0db8_0001_0002) << 64 | 7
            func prefix(_ length: Int) -> IPPrefix { IPPrefix(family: family, bits: base, length: length) }
            let lengths = family == .ipv4 ? [32, 31, 28, 24, 20, 17, 16, 8, 0] : [128, 120, 65, 64, 63, 32, 31, 8, 0]
            for length in lengths {
                let end = Self.now + UInt32(10 * (1 + width - length))
                try twin.apply(PolicyTableChange(prefix(length), .block, expiry: .second(end)))
                try twin.apply(PolicyTableChange(prefix(length), .allow))
            }
            var expected = hits()
            // One after the other expires, the most specific first.
            for (number, length) in lengths.enumerated() {
                twin.setTime(number == 0 ? Self.now : Self.now + UInt32(10 * (1 + width - lengths[number - 1])))
                for _ in 0...number { #expect(try twin.probe.kinds(of: prefix(width)).contains(.block)) }
                expected[prefix(length), default: 0] += UInt64(number + 1)
                #expect(hits() == expected)
            }
            twin.setTime(Self.now)
            try twin.apply(PolicyTableChange(prefix(8), .trust))
            _ = try twin.probe.kinds(of: prefix(width))
            #expect(hits() == expected)
        }
    }

    @Test("an entry that was there before leaves no hits to the next one in its place")
    func noOldHits() throws {
        let twin = try Twin(capacity: 16)
        for number in 0..<400 {
            // The same few places again and again: half of them of IPv4 addresses, half of networks.
            let address = IPPrefix(ipv4: 0xc000_0200 + UInt32(number % 7))
            let prefix = number % 2 == 0 ? address : IPPrefix(family: .ipv4, bits: address.bits, length: 30)
            try twin.apply(PolicyTableChange(prefix, .block))
            #expect(twin.table.records().map(\.hits) == [0] && twin.table.records().map(\.lastHit) == [nil])
            _ = try twin.probe.kinds(of: address)
            #expect(twin.table.records().map(\.hits) == [1])
            // Gone and there again in the record of another kind.
            try twin.apply(PolicyTableChange(prefix, .allow))
            try twin.apply(PolicyTableChange(prefix, .block, expiry: nil))
            try twin.apply(PolicyTableChange(prefix, .block))
            #expect(twin.table.records().map(\.hits) == [0, 0])
            try twin.apply([
                PolicyTableChange(prefix, .allow, expiry: nil), PolicyTableChange(prefix, .block, expiry: nil),
            ])
            twin.setTime(twin.now + UInt32(number % 3))
        }
    }
}

extension PolicyTable {
    /// Is nothing in the memory that programs read?
    func expectClean() throws {
        #expect((0..<65_536).allSatisfy { memory.root4[$0] == 0 && memory.root6[2 * $0] == 0 })
        #expect((0..<65_536).allSatisfy { memory.root6[2 * $0 + 1] == 0 })
        #expect(memory.control.pointee.short_lengths6 == 0 && memory.control.pointee.all6 == 0)
        let spilled = UInt64(0x4000_0000)
        let index = try #require(maps["policy_index"])
        #expect(
            (0..<index.capacity * PolicyMemory.ways).allSatisfy {
                memory.bucket($0 / PolicyMemory.ways)[$0 % PolicyMemory.ways] & ~spilled == 0
            })
    }
}
