// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

private func list(_ text: String) -> AddressList { AddressList(parsing: Array(text.utf8)) }

extension AddressList {
    fileprivate var texts: [String] { prefixes.map(\.description) }
    fileprivate var badTexts: [String] { badLines.map { "\($0.number) \($0.text): \($0.reason)" } }
}

@Suite struct AddressListTests {
    @Test func commentsAndBlankLinesAreSkipped() {
        let file = list("# head\n\n192.0.2.1\n  \t\n 192.0.2.2 \t# why\n#192.0.2.3\n192.0.2.4#close\n   # indented\n")
        #expect(file.texts == ["192.0.2.1", "192.0.2.2", "192.0.2.4"])
        #expect(file.badLines.isEmpty && file.duplicates == 0)
    }

    @Test(arguments: ["192.0.2.1\r\n192.0.2.2\r\n", "192.0.2.1\n192.0.2.2", "\u{feff}192.0.2.1\n192.0.2.2\n"])
    func lineEndsAndByteOrderMark(text: String) {
        #expect(list(text).texts == ["192.0.2.1", "192.0.2.2"])
        #expect(list(text).badLines.isEmpty)
    }

    @Test(arguments: ["", "\n", "\r\n\r\n", "#", "\u{feff}", "   "])
    func nothing(text: String) {
        #expect(list(text) == AddressList())
    }

    @Test func orderIsKeptAndRepetitionsCounted() {
        let file = list("192.0.2.9\n192.0.2.1\n192.0.2.9\n192.0.2.9/32\n192.0.2.1\n")
        #expect(file.texts == ["192.0.2.9", "192.0.2.1"])
        #expect(file.duplicates == 3)
    }

    private static let mixed =
        "# a\n999.1.2.3\n192.0.2.1\nabc.def.g.h # x\n\n10.0.0.0/8\n10.0.0.1/8\n2001:db8::1\n1.2.3.4 5\n2001:db8::1/32\n"

    @Test func everyBadLineIsNumbered() {
        let file = list(Self.mixed)
        #expect(file.texts == ["192.0.2.1", "10.0.0.0/8", "2001:db8::1"])
        #expect(file.lines == [3, 6, 8])
        #expect(
            file.badTexts == [
                "2 999.1.2.3: octet 999 is above 255",
                "4 abc.def.g.h: octet \"abc\" is not a number",
                "7 10.0.0.1/8: bits are set behind the length, the network is 10.0.0.0/8",
                "9 1.2.3.4 5: octet \"4 5\" is not a number",
                "10 2001:db8::1/32: bits are set behind the length, the network is 2001:db8::/32",
            ])
    }

    @Test func whereAddressesAreWantedPrefixesAndIPv6AreBadLines() {
        let file = AddressList(parsing: Array(Self.mixed.utf8), addressesOnly: true)
        #expect(file.texts == ["192.0.2.1"])
        #expect(file.badLines.map(\.number) == [2, 4, 6, 7, 8, 9, 10])
        #expect(file.badTexts.contains("6 10.0.0.0/8: it is no single IPv4 address"))
        #expect(file.badTexts.contains("8 2001:db8::1: it is no single IPv4 address"))
    }

    @Test func theSamePrefixIsARepetition() {
        let file = list("2001:db8::/32\n2001:0db8:0::/32\n10.0.0.0/8\n10.0.0.0\n10.0.0.0/8\n")
        #expect(file.texts == ["2001:db8::/32", "10.0.0.0/8", "10.0.0.0"] && file.duplicates == 2)
    }

    @Test func whatIsLeftOutTakesItsLineAlong() {
        var file = list("10.0.0.1\n192.0.2.1\n10.0.0.2\n192.0.2.2\n")
        #expect(file.remove { $0.bits >> 24 == 10 } == 2)
        #expect(file.texts == ["192.0.2.1", "192.0.2.2"] && file.lines == [2, 4])
    }

    @Test func strangeBytesAreBadLines() {
        var bytes = Array("192.0.2.1\n".utf8)
        bytes += [0x31, 0x00, 0x2e, 0x0a]
        bytes += Array("\u{1b}[2J\\\n".utf8)
        bytes += [UInt8](repeating: 0x31, count: 5_000) + [0x0a]
        bytes += [0xff, 0xfe, 0x0a]
        bytes += Array("192.0.2.2".utf8)
        let file = AddressList(parsing: bytes)
        #expect(file.texts == ["192.0.2.1", "192.0.2.2"])
        #expect(
            file.badTexts == [
                "2 1\\x00.: a NUL byte: this is no text, or not in UTF-8",
                "3 \\x1b[2J\\\\: octet \"\\x1b[2J\\\\\" is not a number",
                "4 \(String(repeating: "1", count: 60))...: 5000 bytes are too long for an address",
                "5 \\xff\\xfe: octet \"\\xff\\xfe\" is not a number",
            ])
    }

    @Test func longCommentsAreComments() {
        let comment = String(repeating: "x", count: 100_000)
        #expect(list("192.0.2.1 # \(comment)\n# \(comment)\n").texts == ["192.0.2.1"])
    }

    /// Whatever the bytes are, each line is an address, a repetition, a bad line or nothing.
    @Test func generatedBytesAreAccountedFor() {
        var random = SplitMix(state: 7)
        let alphabet: [UInt8] = Array("0123456789....\n\n# /:a\r\t".utf8) + [0x00, 0xff]
        var outcomes = (good: 0, bad: 0)
        for _ in 0..<2_000 {
            let bytes = (0..<200).map { _ in alphabet[Int(random.next() % UInt64(alphabet.count))] }
            let file = AddressList(parsing: bytes)
            let lines = bytes.split(separator: 0x0a).map { $0.prefix { $0 != 0x23 } }
            let filled = lines.count { line in line.contains { $0 != 0x20 && $0 != 0x09 && $0 != 0x0d } }
            #expect(file.prefixes.count + file.duplicates + file.badLines.count == filled)
            outcomes.good += file.prefixes.count
            outcomes.bad += file.badLines.count
        }
        #expect(outcomes.good > 0 && outcomes.bad > 0)
    }
}
