// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct PolicyTableEntryTests {
    @Test func prefixesCover() {
        let net = IPPrefix(family: .ipv4, bits: 0x0a00_0000, length: 8)
        #expect(net.covers(IPPrefix(ipv4: 0x0aff_ffff)) && net.covers(net))
        #expect(!net.covers(IPPrefix(ipv4: 0x0b00_0000)) && !IPPrefix(ipv4: 0x0a00_0000).covers(net))
        #expect(!IPPrefix(family: .ipv6, bits: 0, length: 0).covers(net))
    }

    @Test func anEntryCountsBeforeItsEnd() {
        #expect(PolicyExpiry.never.isLive(at: .max))
        #expect(PolicyExpiry.second(10).isLive(at: 9) && !PolicyExpiry.second(10).isLive(at: 10))
    }
}
