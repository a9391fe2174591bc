// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct IPPrefixRangesTests {
    @Test(arguments: [
        ("192.0.2.1", UInt128(0xc000_0201), UInt128(0xc000_0201)), ("10.0.0.0/8", 0x0a00_0000, 0x0aff_ffff),
        ("0.0.0.0/0", 0, 0xffff_ffff), ("::/0", 0, .max), ("::/127", 0, 1),
    ])
    func ends(text: String, first: UInt128, last: UInt128) throws {
        let prefix = try IPPrefix(text)
        #expect(prefix.first == first && prefix.last == last)
    }

    @Test func privateRangesAreThoseOfTheirRFCs() {
        #expect(
            IPPrefix.privateRanges.map(\.description) == [
                "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                "224.0.0.0/4", "::1", "fc00::/7", "fe80::/10", "ff00::/8",
            ])
    }

    @Test func shares() throws {
        #expect(try IPPrefix("10.0.0.0/8").addressShare == 1.0 / 256)
        #expect(try IPPrefix("0.0.0.0/0").addressShare == 1)
        #expect(try IPPrefix("2000::/3").addressShare == 1)
        #expect(try IPPrefix("2a00::/11").addressShare == 1.0 / 256)
        #expect(try IPPrefix("192.0.2.1").addressShare * 0x1p32 == 1)
    }

    @Test func neighboursAreToldFromWhatIsTouched() throws {
        let overlap = PrefixOverlap(
            try ["10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "0.0.0.0/32"].map { try IPPrefix($0) })
        let cases = [
            ("10.1.2.3", "10.0.0.0/8"), ("10.0.0.0/8", "10.0.0.0/8"), ("8.0.0.0/6", "10.0.0.0/8"),
            ("192.0.2.0/24", "192.0.2.7"), ("192.0.2.7", "192.0.2.7"), ("192.0.2.6", nil), ("11.0.0.0", nil),
            ("9.255.255.255", nil), ("2001:db8:1::/48", "2001:db8::/32"), ("2001:db9::", nil),
            ("::/0", "2001:db8::/32"),
            ("0.0.0.0/0", "0.0.0.0"), ("::", nil),
        ]
        for (text, touched) in cases {
            #expect(try overlap.first(touching: IPPrefix(text))?.description == touched, "\(text)")
        }
        #expect(PrefixOverlap([]).isEmpty && !overlap.isEmpty)
    }

    /// The search against looking at each.
    @Test func generatedPrefixesAgreeWithThePlainWay() {
        var random = SplitMix(state: 11)
        let prefix = {
            let bits = UInt128(random.next() & 0xff) << 24 | UInt128(random.next() & 3) << 8
            return IPPrefix(family: .ipv4, bits: bits, length: Int(random.next() % 33))
        }
        for _ in 0..<200 {
            let others = (0..<6).map { _ in prefix() }
            let overlap = PrefixOverlap(others)
            for _ in 0..<20 {
                let one = prefix()
                let isTouched = others.contains { $0.covers(one) || one.covers($0) }
                let found = overlap.first(touching: one)
                #expect((found != nil) == isTouched)
                if let found { #expect(others.contains(found) && (found.covers(one) || one.covers(found))) }
            }
        }
    }
}
