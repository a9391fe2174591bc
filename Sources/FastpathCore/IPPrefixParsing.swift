// SPDX-License-Identifier: Apache-2.0

extension IPPrefix {
    /// What is wrong with a text that should be an address or a prefix.
    public struct SyntaxError: Error, Hashable, Sendable, CustomStringConvertible {
        /// The rule that was broken and where, as a clause: "octet 999 is above 255".
        public let description: String

        init(_ description: String) { self.description = description }
    }

    /// Reads `192.0.2.1`, `192.0.2.0/24`, `2001:db8::1` or `2001:db8::/32`, and nothing else: no spaces around it,
    /// no leading zeros in decimal numbers (some readers take them for octal), no bits behind the length, no zone.
    ///
    /// IPv4 in four decimal octets; IPv6 as in RFC 4291, section 2.2. Allocates only to describe an error.
    public init(parsing text: UnsafeRawBufferPointer) throws(SyntaxError) {
        var reader = AddressReader(text)
        if text.contains(UInt8(ascii: ":")) {
            let bits = try reader.ipv6()
            try self.init(.ipv6, bits, length: reader.length(atMost: 128))
        } else {
            let bits = try reader.ipv4()
            try self.init(.ipv4, UInt128(bits), length: reader.length(atMost: 32))
        }
    }

    /// As ``init(parsing:)``, for text that an operator typed. Throws `.usage`.
    public init(_ text: String) throws(Failure) {
        var text = text
        let result = text.withUTF8 { bytes in
            Result { () throws(SyntaxError) in try IPPrefix(parsing: UnsafeRawBufferPointer(bytes)) }
        }
        switch result {
        case .success(let prefix): self = prefix
        case .failure(let error):
            throw Failure(
                .usage, tried: "read an address", on: printable(text.utf8), because: error.description,
                next: "Write an address like 192.0.2.1 or 2001:db8::1, or a prefix like 192.0.2.0/24.")
        }
    }

    private init(_ family: Family, _ bits: UInt128, length: Int) throws(SyntaxError) {
        self.init(family: family, bits: bits, length: length)
        guard self.bits == bits else {
            throw SyntaxError("bits are set behind the length, the network is \(self)")
        }
    }
}

extension IPPrefix {
    static let noAddressReason = "it is no single IPv4 address"

    /// Throws `.usage` for whatever is not a single IPv4 address: all that the public maps hold.
    public func requireAddress() throws(Failure) {
        guard ipv4Address == nil else { return }
        throw Failure(
            .usage, tried: "put an address into a list", on: description, because: Self.noAddressReason,
            next: "Give each IPv4 address by itself, like 192.0.2.1.")
    }
}

/// Reads the parts of an address from left to right; each step says exactly what is wrong.
private struct AddressReader {
    private let text: UnsafeRawBufferPointer
    private var position = 0

    init(_ text: UnsafeRawBufferPointer) { self.text = text }

    private var next: UInt8? { position < text.count ? text[position] : nil }

    /// Four octets, up to the end or a slash. Host byte order.
    mutating func ipv4() throws(IPPrefix.SyntaxError) -> UInt32 {
        if text.isEmpty { throw IPPrefix.SyntaxError("it is empty") }
        let start = position
        var address: UInt32 = 0
        for number in 1...4 {
            address = try address << 8 | UInt32(decimal("octet", number: number, atMost: 255))
            if number < 4 {
                guard next == UInt8(ascii: ".") else { throw wrongOctetCount(from: start) }
                position += 1
            }
        }
        guard next == nil || next == UInt8(ascii: "/") else { throw wrongOctetCount(from: start) }
        return address
    }

    /// Eight groups, or fewer around one `::`, the last two perhaps as an IPv4 address; up to the end or a slash.
    mutating func ipv6() throws(IPPrefix.SyntaxError) -> UInt128 {
        var bits: UInt128 = 0
        var groups = 0
        var groupsBeforeGap: Int?
        while let byte = next, byte != UInt8(ascii: "/") {
            if isGap(at: position) {
                guard groupsBeforeGap == nil else { throw IPPrefix.SyntaxError("\"::\" stands in it twice") }
                groupsBeforeGap = groups
                position += 2
                continue
            }
            if groups > 0, groups != groupsBeforeGap {
                // Behind a group there is a colon, or nothing any more.
                position += 1
            }
            if isEmbeddedIPv4(at: position) {
                bits = try bits << 32 | UInt128(ipv4())
                groups += 2
            } else {
                bits = try bits << 16 | UInt128(group())
                groups += 1
            }
            if groups > 8 { throw IPPrefix.SyntaxError("more than eight groups") }
        }
        guard let groupsBeforeGap else {
            if groups == 8 { return bits }
            throw IPPrefix.SyntaxError("eight groups wanted, \(inWords(groups)) found")
        }
        if groups == 8 { throw IPPrefix.SyntaxError("\"::\" stands for no group, there are eight already") }
        let bitsBehindGap = UInt128(16 * (groups - groupsBeforeGap))
        let behind = bits & (1 << bitsBehindGap - 1)
        return (bits >> bitsBehindGap) << UInt128(128 - 16 * groupsBeforeGap) | behind
    }

    /// The number behind a slash, or `width` where there is none. Nothing may follow.
    mutating func length(atMost width: Int) throws(IPPrefix.SyntaxError) -> Int {
        if next == nil { return width }
        position += 1
        if next == nil { throw IPPrefix.SyntaxError("the length behind the slash is missing") }
        let length = try decimal("length", number: nil, atMost: width)
        guard next == nil else { throw IPPrefix.SyntaxError("something follows the length") }
        return length
    }

    /// A decimal number without leading zeros; `word` and `number` name it in errors.
    private mutating func decimal(_ word: String, number: Int?, atMost limit: Int) throws(IPPrefix.SyntaxError) -> Int {
        let start = position
        var value = 0
        while let byte = next, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) {
            // A number that is too large already cannot shrink again; it must not overflow either.
            if value <= limit { value = value * 10 + Int(byte - UInt8(ascii: "0")) }
            position += 1
        }
        let digits = position - start
        if digits > 0, value <= limit, digits == 1 || text[start] != UInt8(ascii: "0"), isEndOfNumber { return value }
        throw flaw(ofDecimal: word, number: number, from: start, atMost: limit)
    }

    private var isEndOfNumber: Bool { next == nil || next == UInt8(ascii: ".") || next == UInt8(ascii: "/") }

    private func flaw(
        ofDecimal word: String, number: Int?, from start: Int, atMost limit: Int
    ) -> IPPrefix.SyntaxError {
        let part = text[start...].prefix { $0 != UInt8(ascii: ".") && $0 != UInt8(ascii: "/") }
        let shown = printable(part, limit: 20)
        if part.isEmpty { return IPPrefix.SyntaxError("\(word)\(number.map { " \($0)" } ?? "") is empty") }
        if !part.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }) {
            return IPPrefix.SyntaxError("\(word) \"\(shown)\" is not a number")
        }
        if part.count > 1, part.first == UInt8(ascii: "0") {
            return IPPrefix.SyntaxError("\(word) \(shown) begins with a zero")
        }
        return IPPrefix.SyntaxError("\(word) \(shown) is above \(limit)")
    }

    private func wrongOctetCount(from start: Int) -> IPPrefix.SyntaxError {
        let octets = text[start...].prefix { $0 != UInt8(ascii: "/") }.count { $0 == UInt8(ascii: ".") } + 1
        return IPPrefix.SyntaxError("four octets wanted, \(inWords(octets)) found")
    }

    private func isGap(at position: Int) -> Bool {
        position + 1 < text.count && text[position] == UInt8(ascii: ":") && text[position + 1] == UInt8(ascii: ":")
    }

    private func isEmbeddedIPv4(at position: Int) -> Bool {
        for byte in text[position...] {
            if byte == UInt8(ascii: ".") { return true }
            if byte == UInt8(ascii: ":") || byte == UInt8(ascii: "/") { return false }
        }
        return false
    }

    /// One to four hexadecimal digits.
    private mutating func group() throws(IPPrefix.SyntaxError) -> UInt16 {
        let start = position
        var value: UInt32 = 0
        while let byte = next, let digit = hexDigit(byte), position - start < 4 {
            value = value << 4 | UInt32(digit)
            position += 1
        }
        if position > start, next == nil || next == UInt8(ascii: ":") || next == UInt8(ascii: "/") {
            return UInt16(truncatingIfNeeded: value)
        }
        let part = text[start...].prefix { $0 != UInt8(ascii: ":") && $0 != UInt8(ascii: "/") }
        let shown = printable(part, limit: 20)
        if part.isEmpty { throw IPPrefix.SyntaxError("a group is empty") }
        if let zone = part.firstIndex(of: UInt8(ascii: "%")) {
            throw IPPrefix.SyntaxError("zone \(printable(part[zone...], limit: 20)) is no part of a source address")
        }
        guard part.allSatisfy({ hexDigit($0) != nil }) else {
            throw IPPrefix.SyntaxError("group \"\(shown)\" is not hexadecimal")
        }
        throw IPPrefix.SyntaxError("group \(shown) has more than four digits")
    }

    private func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

/// Small numbers as words, as sentences have them.
private func inWords(_ number: Int) -> String {
    let words = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    return words.indices.contains(number) ? words[number] : "\(number)"
}

/// Foreign bytes as text that is safe to print: what is not printable ASCII is written as `\xNN`, so that it can
/// neither move a terminal's cursor nor pretend to be something else. Longer text is cut after `limit` bytes.
func printable(_ bytes: some Collection<UInt8>, limit: Int = 60) -> String {
    var text = ""
    for byte in bytes.prefix(limit) {
        switch byte {
        case UInt8(ascii: "\\"): text += "\\\\"
        case 0x20...0x7e: text.unicodeScalars.append(Unicode.Scalar(byte))
        default: text += byte < 0x10 ? "\\x0\(String(byte, radix: 16))" : "\\x\(String(byte, radix: 16))"
        }
    }
    return bytes.count > limit ? text + "..." : text
}
