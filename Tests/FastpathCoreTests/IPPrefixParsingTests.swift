// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc
import Testing

/// What the parser says: the canonical text, or what is wrong.
private func parsed(_ text: String) -> String {
    let result = Array(text.utf8).withUnsafeBytes { bytes in
        Result { () throws(IPPrefix.SyntaxError) in try IPPrefix(parsing: bytes) }
    }
    switch result {
    case .success(let prefix): return prefix.description
    case .failure(let error): return "error: \(error)"
    }
}

@Suite struct IPPrefixParsingTests {
    @Test(arguments: [
        ("0.0.0.0", "0.0.0.0"), ("192.0.2.1", "192.0.2.1"), ("255.255.255.255", "255.255.255.255"),
        ("192.0.2.1/32", "192.0.2.1"), ("10.0.0.0/8", "10.0.0.0/8"), ("0.0.0.0/0", "0.0.0.0/0"),
        ("128.0.0.0/1", "128.0.0.0/1"),
        ("::", "::"), ("::1", "::1"), ("2001:db8::/32", "2001:db8::/32"), ("::/0", "::/0"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
        ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"), ("::2:3:4:5:6:7:8", "0:2:3:4:5:6:7:8"), ("1::8/128", "1::8"),
        ("::ffff:192.0.2.1", "::ffff:c000:201"), ("64:ff9b::192.0.2.33", "64:ff9b::c000:221"),
        ("1:2:3:4:5:6:192.0.2.1", "1:2:3:4:5:6:c000:201"),
    ])
    func accepts(text: String, canonical: String) {
        #expect(parsed(text) == canonical)
    }

    @Test(arguments: [
        ("", "it is empty"),
        ("999.1.2.3", "octet 999 is above 255"), ("1.2.3.256", "octet 256 is above 255"),
        ("1.2.3.99999999999999999999999", "octet 99999999999999999999... is above 255"),
        ("1.2.3", "four octets wanted, three found"), ("10", "four octets wanted, one found"),
        ("1.2.3.4.5", "four octets wanted, five found"), ("10.0.0/8", "four octets wanted, three found"),
        ("1..2.3", "octet 2 is empty"), ("1.2.3.", "octet 4 is empty"), (".1.2.3", "octet 1 is empty"),
        ("abc.def.g.h", "octet \"abc\" is not a number"), ("1.2.3.4 ", "octet \"4 \" is not a number"),
        (" 1.2.3.4", "octet \" 1\" is not a number"), ("1.2.3.-4", "octet \"-4\" is not a number"),
        ("0x1.2.3.4", "octet \"0x1\" is not a number"), ("1.2.3.\u{7}", "octet \"\\x07\" is not a number"),
        ("1.2.3.٤", "octet \"\\xd9\\xa4\" is not a number"),
        ("010.1.2.3", "octet 010 begins with a zero"), ("1.2.3.00", "octet 00 begins with a zero"),
        ("10.0.0.0/", "the length behind the slash is missing"), ("10.0.0.0/33", "length 33 is above 32"),
        ("10.0.0.0/x", "length \"x\" is not a number"), ("10.0.0.0/08", "length 08 begins with a zero"),
        ("10.0.0.0/8/8", "something follows the length"), ("10.0.0.0/8.", "something follows the length"),
        ("10.1.2.3/8", "bits are set behind the length, the network is 10.0.0.0/8"),
        ("1.2.3.4/0", "bits are set behind the length, the network is 0.0.0.0/0"),
        ("2001:db8::1/32", "bits are set behind the length, the network is 2001:db8::/32"),
        ("::1/129", "length 129 is above 128"), (":", "a group is empty"), (":::", "a group is empty"),
        ("1:", "a group is empty"), (":1", "a group is empty"), ("1:2:::3", "a group is empty"),
        ("1:2:3", "eight groups wanted, three found"), ("1:2:3:4:5:6:7:8:9", "more than eight groups"),
        ("1::2::3", "\"::\" stands in it twice"),
        ("1:2:3:4::5:6:7:8", "\"::\" stands for no group, there are eight already"),
        ("12345::", "group 12345 has more than four digits"), ("g::", "group \"g\" is not hexadecimal"),
        ("fe80::1%eth0", "zone %eth0 is no part of a source address"),
        ("::1.2.3", "four octets wanted, three found"), ("::1.2.3.4:5", "octet \"4:5\" is not a number"),
        ("::1.2.3.256", "octet 256 is above 255"), ("1:2:3:4:5:6:7:1.2.3.4", "more than eight groups"),
    ])
    func saysWhatIsWrong(text: String, reason: String) {
        #expect(parsed(text) == "error: \(reason)")
    }

    /// The C library reads the same addresses as this parser, and refuses the same: near misses included.
    @Test func agreesWithTheCLibrary() {
        var random = SplitMix(state: 20_260_101)
        let seeds = [
            "192.0.2.1", "255.255.255.255", "0.0.0.0", "10.20.30.40", "::", "::1", "2001:db8::1", "fe80::1:2:3:4",
            "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::ffff:192.0.2.1", "1:2:3:4:5:6:1.2.3.4", "ffff::ffff",
        ]
        let characters = Array("0123456789abcfF.:.:g ".utf8)
        var accepted = 0
        for _ in 0..<30_000 {
            var text = Array(seeds[Int(random.next() % UInt64(seeds.count))].utf8)
            for _ in 0..<random.next() % 4 {
                let place = Int(random.next() % UInt64(text.count + 1))
                let character = characters[Int(random.next() % UInt64(characters.count))]
                switch random.next() % 3 {
                case 0: text.insert(character, at: place)
                case 1 where place < text.count: text[place] = character
                case _ where place < text.count && text.count > 1: text.remove(at: place)
                default: break
                }
            }
            let string = String(decoding: text, as: UTF8.self)
            let ours = try? IPPrefix(string)
            // Not an #expect each: a hundred thousand of them take seconds.
            if ours?.bits != bitsByTheCLibrary(string) { Issue.record("they differ on \(string)") }
            guard let ours else { continue }
            accepted += 1
            let again = try? IPPrefix(ours.description)
            if again != ours || !ours.isSingleAddress { Issue.record("\(string) does not come back as it went") }
        }
        // Both sorts came up.
        #expect(accepted > 6_000 && accepted < 27_000)
    }

    private func bitsByTheCLibrary(_ text: String) -> UInt128? {
        var ipv4: UInt32 = 0
        if inet_pton(AF_INET, text, &ipv4) == 1 { return UInt128(UInt32(bigEndian: ipv4)) }
        var ipv6: UInt128 = 0
        return inet_pton(AF_INET6, text, &ipv6) == 1 ? UInt128(bigEndian: ipv6) : nil
    }

    @Test func everyLengthKeepsItsNetwork() throws {
        for (family, ones) in [(IPPrefix.Family.ipv4, UInt128(UInt32.max)), (.ipv6, UInt128.max)] {
            for length in 0...family.width {
                let prefix = IPPrefix(family: family, bits: ones, length: length)
                #expect(prefix.bits.nonzeroBitCount == length)
                #expect(try IPPrefix(prefix.description) == prefix)
            }
        }
    }

    @Test func typedTextFailsAsUsage() {
        #expect {
            try IPPrefix("10.0.0.1\u{1b}[2J")
        } throws: { error in
            guard let failure = error as? Failure else { return false }
            return failure.kind == .usage && failure.subject == "10.0.0.1\\x1b[2J"
        }
    }

    @Test(arguments: [("192.0.2.1", true), ("192.0.2.0/24", false), ("2001:db8::1", false), ("0.0.0.0/0", false)])
    func whereAnAddressIsWantedAPrefixIsRefused(text: String, isAddress: Bool) throws {
        let prefix = try IPPrefix(text)
        if isAddress { return try prefix.requireAddress() }
        let failure = #expect(throws: Failure.self) { try prefix.requireAddress() }
        #expect(failure?.kind == .usage && failure?.subject == text)
        #expect(failure?.reason == "it is no single IPv4 address")
    }
}

/// A small generator with a seed, so that a failure can be repeated.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var mixed = state
        mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
        mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
        return mixed ^ mixed >> 31
    }
}
