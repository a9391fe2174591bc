// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct IPPrefixTextTests {
    /// RFC 5952, section 4.
    @Test(
        arguments: [
            (0x2001_0db8_0000_0000_0000_0000_0000_0001, "2001:db8::1"),
            (0x2001_0db8_0000_0000_0001_0000_0000_0001, "2001:db8::1:0:0:1"),
            (0x2001_0db8_0000_0001_0001_0001_0001_0001, "2001:db8:0:1:1:1:1:1"),
            (0x2001_0000_0000_0001_0000_0000_0000_0001, "2001:0:0:1::1"),
            (0x0000_0000_0000_0000_0000_0000_0000_0000, "::"),
            (0x0001_0000_0000_0000_0000_0000_0000_0000, "1::"),
            (0xabcd_ef01_2345_6789_abcd_ef01_2345_6789, "abcd:ef01:2345:6789:abcd:ef01:2345:6789"),
        ] as [(UInt128, String)])
    func ipv6(bits: UInt128, text: String) {
        #expect(IPPrefix(family: .ipv6, bits: bits, length: 128).description == text)
    }

    @Test func ipv4() {
        #expect(IPPrefix(ipv4: 0xc000_0201).description == "192.0.2.1")
        #expect(IPPrefix(ipv4: 0).description == "0.0.0.0")
        #expect(IPPrefix(ipv4: .max).description == "255.255.255.255")
    }

    @Test func prefixesShowTheirLength() {
        #expect(IPPrefix(family: .ipv4, bits: 0xc000_02ff, length: 24).description == "192.0.2.0/24")
        #expect(IPPrefix(family: .ipv4, bits: 0xffff_ffff, length: 0).description == "0.0.0.0/0")
        #expect(IPPrefix(family: .ipv6, bits: .max, length: 0).description == "::/0")
    }

    @Test func orderIsByFamilyThenAddressThenLength() throws {
        let texts = ["0.0.0.0/0", "0.0.0.0", "9.255.255.255", "10.0.0.0/8", "10.0.0.0", "::/0", "::", "2001:db8::"]
        let prefixes = try texts.map { try IPPrefix($0) }
        #expect(prefixes.shuffled().sorted() == prefixes)
    }
}
