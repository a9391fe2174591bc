// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct PolicyKeyTests {
    /// Every length around a pattern that has ones and zeros at all its ends.
    private static let prefixes: [IPPrefix] =
        (1...32).map { IPPrefix(family: .ipv4, bits: 0xa5c3_965b, length: $0) }
        + (1...128).map { IPPrefix(family: .ipv6, bits: 0xa5c3_965b_0000_0000_ffff_ffff_8000_0001, length: $0) }

    @Test func aPrefixIsReadBackAsItWas() {
        let state = PolicyState(slot: 1, buckets: 4_096, seed: 0x1234_5678_9abc_def1)
        for prefix in Self.prefixes {
            let (key, other) = PolicyKey.keys(of: prefix)
            #expect(other == nil)
            let word = key.place(in: state).word | key.flags
            let back = PolicyKey(family: prefix.family, word: word, high: key.high, low: key.low)
            #expect(back == key && back.prefix == prefix && back.bits == prefix.bits)
            #expect(word >> 31 != 0, "a word without a key is no entry")
        }
        #expect(Set(Self.prefixes.map { PolicyKey.keys(of: $0).0 }).count == Self.prefixes.count)
    }

    @Test func lengthZeroIsKeptAsItsHalves() {
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let all = IPPrefix(family: family, bits: 0, length: 0)
            let (lower, upper) = PolicyKey.keys(of: all)
            #expect(lower.prefix == all && upper?.prefix == all && lower.length == 1)
            #expect(lower.bits == 0 && upper?.bits == UInt128(1) << UInt128(family.width - 1))
            // Not the same as an entry of length 1.
            #expect(lower != PolicyKey.keys(of: IPPrefix(family: family, bits: 0, length: 1)).0)
        }
    }

    /// Runs of neighbours fill the buckets like random addresses, whatever the seed: two a bucket, hardly ever nine.
    @Test func neighboursSpread() {
        for seed in [UInt64(0), 1, 2, 0x8000_0000, 0xffff_ffff, .max] {
            let state = PolicyState(slot: 0, buckets: 4_096, seed: seed)
            for family in [IPPrefix.Family.ipv4, .ipv6] {
                for step in [1, 256, 65_536] as [UInt128] {
                    var counts = [Int](repeating: 0, count: 4_096)
                    for number in 0..<UInt128(8_192) {
                        let prefix = IPPrefix(family: family, bits: 0x0a00_0000 + number * step, length: family.width)
                        counts[PolicyKey.keys(of: prefix).0.place(in: state).bucket] += 1
                    }
                    #expect(counts.max() ?? 0 <= 14, "seed \(seed), \(family), step \(step)")
                }
            }
        }
    }

    @Test func prefixesCover() {
        let net = IPPrefix(family: .ipv4, bits: 0x0a00_0000, length: 8)
        #expect(net.covers(IPPrefix(ipv4: 0x0aff_ffff)) && net.covers(net))
        #expect(!net.covers(IPPrefix(ipv4: 0x0b00_0000)) && !IPPrefix(ipv4: 0x0a00_0000).covers(net))
        #expect(!IPPrefix(family: .ipv6, bits: 0, length: 0).covers(net))
    }
}
