// SPDX-License-Identifier: Apache-2.0

extension JSONValue {
    /// What is wrong with a text that should be JSON.
    struct SyntaxError: Error, Hashable {
        /// Bytes before the place.
        var offset: Int
        var expected: String
    }

    /// Reads one document (RFC 8259). Fails on more than 64 levels of nesting: this is for documents of our own.
    init(parsing text: String) throws(SyntaxError) {
        var parser = JSONParser(text)
        self = try parser.document()
    }
}

private struct JSONParser {
    private let bytes: [UInt8]
    private var position = 0
    private var depth = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    mutating func document() throws(JSONValue.SyntaxError) -> JSONValue {
        let value = try value()
        skipBlanks()
        guard position == bytes.count else { throw failure("the end") }
        return value
    }

    private mutating func value() throws(JSONValue.SyntaxError) -> JSONValue {
        skipBlanks()
        guard depth < 64 else { throw failure("less nesting") }
        depth += 1
        defer { depth -= 1 }
        switch next {
        case UInt8(ascii: "{"): return try object()
        case UInt8(ascii: "["): return try array()
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func object() throws(JSONValue.SyntaxError) -> JSONValue {
        var members: [JSONValue.Member] = []
        try list(until: UInt8(ascii: "}")) { (parser) throws(JSONValue.SyntaxError) in
            let key = try parser.string()
            try parser.take(UInt8(ascii: ":"))
            members.append(JSONValue.Member(key: key, value: try parser.value()))
        }
        return .object(members)
    }

    private mutating func array() throws(JSONValue.SyntaxError) -> JSONValue {
        var elements: [JSONValue] = []
        try list(until: UInt8(ascii: "]")) { (parser) throws(JSONValue.SyntaxError) in
            elements.append(try parser.value())
        }
        return .array(elements)
    }

    /// Elements with commas between them, behind an opening bracket and up to `end`.
    private mutating func list(
        until end: UInt8, _ element: (inout JSONParser) throws(JSONValue.SyntaxError) -> Void
    ) throws(JSONValue.SyntaxError) {
        position += 1
        skipBlanks()
        if next == end {
            position += 1
            return
        }
        while true {
            skipBlanks()
            try element(&self)
            skipBlanks()
            if next == end {
                position += 1
                return
            }
            try take(UInt8(ascii: ","))
        }
    }

    private mutating func string() throws(JSONValue.SyntaxError) -> String {
        try take(UInt8(ascii: "\""))
        var content: [UInt8] = []
        while let byte = next {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: content, as: UTF8.self)
            case UInt8(ascii: "\\"): content += try escaped()
            case ..<0x20: throw failure("no control character")
            default: content.append(byte)
            }
        }
        throw failure("a quotation mark")
    }

    private mutating func escaped() throws(JSONValue.SyntaxError) -> [UInt8] {
        let plain: [UInt8: UInt8] = [
            0x22: 0x22, 0x5c: 0x5c, 0x2f: 0x2f, 0x62: 8, 0x66: 12, 0x6e: 10, 0x72: 13, 0x74: 9,
        ]
        guard let byte = next else { throw failure("an escape") }
        position += 1
        if let meant = plain[byte] { return [meant] }
        guard byte == UInt8(ascii: "u") else { throw failure("an escape") }
        var units = [try hexadecimal()]
        // A pair of surrogates is one character (section 7).
        if (0xd800..<0xdc00).contains(units[0]), bytes[position...].starts(with: [0x5c, 0x75]) {
            position += 2
            units.append(try hexadecimal())
        }
        return Array(String(decoding: units, as: UTF16.self).utf8)
    }

    private mutating func hexadecimal() throws(JSONValue.SyntaxError) -> UInt16 {
        let digits = bytes[position...].prefix(4)
        guard digits.count == 4, let unit = UInt16(String(decoding: digits, as: UTF8.self), radix: 16) else {
            throw failure("four hexadecimal digits")
        }
        position += 4
        return unit
    }

    private mutating func number() throws(JSONValue.SyntaxError) -> JSONValue {
        let isPart = { (byte: UInt8) in
            (0x30...0x39).contains(byte) || [0x2b, 0x2d, 0x2e, 0x45, 0x65].contains(byte)
        }
        let text = String(decoding: bytes[position...].prefix(while: isPart), as: UTF8.self)
        let value: JSONValue? =
            Int64(text).map(JSONValue.integer) ?? UInt64(text).map(JSONValue.unsigned)
            ?? Double(text).map(JSONValue.double)
        guard let value, !text.hasPrefix("+"), !text.hasPrefix(".") else { throw failure("a value") }
        position += text.utf8.count
        return value
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(JSONValue.SyntaxError) -> JSONValue {
        guard bytes[position...].starts(with: word.utf8) else { throw failure(word) }
        position += word.utf8.count
        return value
    }

    private var next: UInt8? { position < bytes.count ? bytes[position] : nil }

    private mutating func take(_ byte: UInt8) throws(JSONValue.SyntaxError) {
        skipBlanks()
        guard next == byte else { throw failure(String(Unicode.Scalar(byte))) }
        position += 1
    }

    private mutating func skipBlanks() {
        while let byte = next, [0x20, 0x09, 0x0a, 0x0d].contains(byte) { position += 1 }
    }

    private func failure(_ expected: String) -> JSONValue.SyntaxError {
        JSONValue.SyntaxError(offset: position, expected: expected)
    }
}
