// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Testing

@testable import FastpathKernel

/// The policy table, asked by a program in the kernel, against a plain list of entries. Needs root.
@Suite(.serialized) struct PolicyTableTests {
    static let now: UInt32 = 1_000_000

    /// A table, its probe, and the same entries as a list.
    final class Twin {
        let table: PolicyTable
        let probe: PolicyProbe
        var entries: [PolicyTableEntry] = []
        var now = PolicyTableTests.now

        init(memoryLimit: Int = PolicyTable.defaultMemoryLimit) throws {
            table = try PolicyTable.make(memoryLimit: memoryLimit)
            table.setSecond(now)
            probe = try PolicyProbe(table)
        }

        func kinds(of address: IPPrefix) -> PolicyKinds {
            entries.reduce(into: []) { kinds, entry in
                if entry.prefix.covers(address), entry.isLive(at: now) { kinds.formUnion(entry.kinds) }
            }
        }

        func set(_ entry: PolicyTableEntry) throws {
            try table.set(entry, now: now)
            for kind in entry.kinds.each {
                entries.removeAll { $0.prefix == entry.prefix && $0.kinds == kind }
                entries.append(PolicyTableEntry(entry.prefix, kind, expiry: entry.expiry))
            }
        }

        func remove(_ entry: PolicyTableEntry) throws {
            let removed = try table.remove(entry.prefix, entry.kinds, now: now)
            let there = entries.filter { $0.prefix == entry.prefix && entry.kinds.contains($0.kinds) }
            #expect(removed == there.reduce(into: []) { if $1.isLive(at: now) { $0.formUnion($1.kinds) } })
            entries.removeAll { $0.prefix == entry.prefix && entry.kinds.contains($0.kinds) }
        }

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
                let before = try probe.wrong()
                try probe.run(family == .ipv4 ? .ipv4 : .ipv6, count: 2 * PolicyProbe.sourceCount)
                let wrong = try probe.wrong()
                #expect(
                    wrong.count == before.count,
                    """
                    \(IPPrefix(family: family, bits: wrong.address, length: family.width)): the program found \
                    \(wrong.kinds.rawValue), the list has \
                    \(kinds(of: IPPrefix(family: family, bits: wrong.address, length: family.width)).rawValue)
                    """)
            }
            for address in addresses.prefix(200) {
                #expect(try probe.kinds(of: address) == kinds(of: address), "\(address)")
                #expect(table.kinds(of: address, now: now) == kinds(of: address), "\(address), user space")
            }
            let records = try table.records().map(\.entry)
            #expect(records.count == entries.count && Set(records) == Set(entries))
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

        /// IPv6 has at most 32 lengths for a source.
        static let lengths6 = [
            0, 1, 3, 16, 29, 31, 32, 33, 40, 47, 48, 49, 56, 63, 64, 65, 66, 80, 96, 112, 126, 127, 128,
        ]

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
            let length =
                address.family == .ipv4
                ? Int.random(in: 0...32, using: &random)
                : Self.lengths6[Int.random(in: Self.lengths6.indices, using: &random)]
            // Short ones cover all others, and would hide them.
            let isRare = length < 8 && Int.random(in: 0..<6, using: &random) > 0
            return IPPrefix(
                family: address.family, bits: address.bits, length: isRare ? address.family.width : length)
        }

        mutating func entry() -> PolicyTableEntry {
            let kinds = PolicyKinds(rawValue: UInt8.random(in: 1...7, using: &random))
            let expiry = UInt32.random(in: 0..<4, using: &random)
            return PolicyTableEntry(
                prefix(), kinds, expiry: expiry == 0 ? PolicyTableTests.now + .random(in: 1...300, using: &random) : nil
            )
        }

        /// Addresses at and next to the ends of prefixes, and others.
        mutating func probes(_ entries: [PolicyTableEntry], count: Int) -> [IPPrefix] {
            var addresses: [IPPrefix] = []
            for entry in entries {
                let prefix = entry.prefix
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
        for _ in 0..<3 {
            let twin = try Twin()
            twin.entries = []
            var start: [PolicyTableEntry] = []
            for _ in 0..<80 { start.append(prefixes.entry()) }
            // As `replace` sees it: of the same prefix and kind the later expiry counts.
            var latest: [PolicyTableEntry: UInt32] = [:]
            for entry in start {
                for kind in entry.kinds.each {
                    let key = PolicyTableEntry(entry.prefix, kind)
                    latest[key] = max(latest[key] ?? 0, entry.expiry ?? .max)
                }
            }
            twin.entries = latest.map {
                PolicyTableEntry($0.key.prefix, $0.key.kinds, expiry: $0.value == .max ? nil : $0.value)
            }
            try twin.table.replace(with: start)
            try twin.expectAgreement(about: prefixes.probes(twin.entries, count: 3_000))
            for _ in 0..<4 {
                for _ in 0..<30 { try twin.set(prefixes.entry()) }
                for _ in 0..<30 {
                    var entry = twin.entries[Int.random(in: twin.entries.indices, using: &prefixes.random)]
                    if Bool.random(using: &prefixes.random) { entry.kinds = .all }
                    try twin.remove(entry)
                }
                twin.setTime(twin.now + .random(in: 1...60, using: &prefixes.random))
                try twin.expectAgreement(about: prefixes.probes(twin.entries, count: 3_000))
            }
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
        for prefix in probes { try twin.set(PolicyTableEntry(prefix, .block)) }
        try twin.expectAgreement(about: probes)
        for prefix in [all4, all6] {
            try twin.set(PolicyTableEntry(prefix, [.allow, .trust]))
            try twin.expectAgreement(about: probes)
            let half = IPPrefix(family: prefix.family, bits: 0, length: 1)
            try twin.set(PolicyTableEntry(half, .allow))
            try twin.expectAgreement(about: probes)
            try twin.remove(PolicyTableEntry(prefix, .allow))
            try twin.expectAgreement(about: probes)
            try twin.remove(PolicyTableEntry(half, .all))
            try twin.expectAgreement(about: probes)
            try twin.remove(PolicyTableEntry(prefix, .all))
            try twin.expectAgreement(about: probes)
        }
    }

    @Test("an entry counts up to its expiry and not from there on, whatever process runs")
    func expiry() throws {
        let twin = try Twin()
        let addresses = [IPPrefix(ipv4: 0xc000_0201), IPPrefix(ipv6: UInt128(0x2001_0db8) << 96 | 1)]
        for address in addresses {
            try twin.set(PolicyTableEntry(address, .block, expiry: Self.now + 10))
            try twin.set(PolicyTableEntry(address, .allow))
            let both: PolicyKinds = [.block, .allow]
            let expectations: [(UInt32, PolicyKinds)] = [
                (Self.now, both), (Self.now + 9, both), (Self.now + 10, .allow), (Self.now + 5_000, .allow),
            ]
            for (second, expected) in expectations {
                twin.setTime(second)
                #expect(try twin.probe.kinds(of: address) == expected, "\(second - Self.now)")
            }
            twin.setTime(Self.now + 20)
            try twin.set(PolicyTableEntry(address, .block, expiry: Self.now + 30))
            #expect(try twin.probe.kinds(of: address) == [.block, .allow])
            // Longer, and then for good: the entry stays the same.
            try twin.set(PolicyTableEntry(address, .block))
            twin.setTime(Self.now + 1_000_000)
            #expect(try twin.probe.kinds(of: address) == [.block, .allow])
            twin.setTime(Self.now)
        }
        // By the kernel's own clock.
        twin.setTime(0)
        let real = PolicyTable.now()
        let address = IPPrefix(ipv4: 0xc000_0202)
        try twin.table.set(PolicyTableEntry(address, .block, expiry: real + 1_000), now: real)
        #expect(try twin.probe.kinds(of: address) == .block)
        try twin.table.set(PolicyTableEntry(address, .block, expiry: real - 2), now: real)
        #expect(try twin.probe.kinds(of: address) == [])
        #expect(try twin.table.removeExpired(now: real).map(\.prefix) == [address])
    }

    @Test("the hit goes to the most specific live block entry, and none to what is trusted")
    func hits() throws {
        let twin = try Twin()
        func hits() throws -> [IPPrefix: UInt64] {
            try twin.table.records().filter { $0.entry.kinds == .block }.reduce(into: [:]) {
                $0[$1.entry.prefix] = $1.hits
                #expect(($1.hits == 0) == ($1.lastHit == nil))
                if let last = $1.lastHit { #expect(last >= Self.now && last <= Self.now + 2_000) }
            }
        }
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let width = family.width
            let base = family == .ipv4 ? UInt128(0x0a01_0203) : UInt128(0x2001_0db8_0001_0002) << 64 | 7
            func prefix(_ length: Int) -> IPPrefix { IPPrefix(family: family, bits: base, length: length) }
            let lengths = [width, width - 8, width - 16, 8, 0]
            for length in lengths {
                try twin.set(
                    PolicyTableEntry(prefix(length), .block, expiry: Self.now + UInt32(10 * (1 + width - length))))
                try twin.set(PolicyTableEntry(prefix(length), .allow))
            }
            var expected = try hits()
            // One after the other expires, the most specific first.
            for (number, length) in lengths.enumerated() {
                twin.setTime(number == 0 ? Self.now : Self.now + UInt32(10 * (1 + width - lengths[number - 1])))
                for _ in 0...number { #expect(try twin.probe.kinds(of: prefix(width)).contains(.block)) }
                expected[prefix(length), default: 0] += UInt64(number + 1)
                #expect(try hits() == expected)
            }
            twin.setTime(Self.now)
            try twin.set(PolicyTableEntry(prefix(8), .trust))
            _ = try twin.probe.kinds(of: prefix(width))
            #expect(try hits() == expected)
        }
    }

    @Test("an entry that was there before leaves no hits to the next one in its place")
    func noOldHits() throws {
        let twin = try Twin()
        for number in 0..<3_000 {
            // The same few buckets again and again.
            let address = IPPrefix(ipv4: 0xc000_0200 + UInt32(number % 7))
            try twin.set(PolicyTableEntry(address, .block))
            #expect(try twin.table.records().allSatisfy { $0.hits == 0 && $0.lastHit == nil })
            _ = try twin.probe.kinds(of: address)
            #expect(try twin.table.records().map(\.hits) == [1])
            try twin.remove(PolicyTableEntry(address, .block))
            twin.setTime(twin.now + UInt32(number % 3))
        }
        #expect(twin.table.statistics(.ipv4).bytes < 1 << 20)
    }
}
