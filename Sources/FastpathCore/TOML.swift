// SPDX-License-Identifier: Apache-2.0

/// A value of a TOML file, with the line that it begins in.
public struct TOMLValue: Hashable, Sendable {
    /// The types that are read.
    public enum Content: Hashable, Sendable {
        case string(String)
        case integer(Int)
        case boolean(Bool)
        case array([TOMLValue])
    }

    /// What it is.
    public var content: Content
    /// Counted from 1.
    public var line: Int

    /// "a string", "a number": for messages.
    public var typeName: String {
        switch content {
        case .string: "a string"
        case .integer: "a number"
        case .boolean: "true or false"
        case .array: "an array"
        }
    }
}

/// A key with its value.
public struct TOMLEntry: Hashable, Sendable {
    /// Without quotes.
    public var key: String
    /// The key's line.
    public var line: Int
    /// What stands behind the `=`.
    public var value: TOMLValue
}

/// A `[table]`; the first of a document, without a name, holds what stands before all others.
public struct TOMLTable: Hashable, Sendable {
    /// Empty for the first.
    public var name: String
    /// The line of its head.
    public var line: Int
    /// In the file's order; no key is there twice.
    public var entries: [TOMLEntry] = []
}

/// Why a text is not TOML, or not the part of it that is read here.
public struct TOMLError: Error, Hashable, Sendable {
    /// Counted from 1.
    public var line: Int
    /// A clause: "a value is missing".
    public var reason: String
}

/// The part of TOML 1.0 that a configuration of one level needs: tables, bare and quoted keys, strings of one line,
/// decimal integers, booleans, arrays, comments. The rest of TOML is refused by its name, so every file that is read
/// here means the same to any other reader of TOML. docs/decisions/0021 says why it is ours.
public struct TOMLReader {
    private let text: [UInt8]
    private var position = 0
    private var line = 1
    /// Arrays in arrays; deeper ones have no use, and a stack has an end.
    private static let deepestNesting = 8

    private init(_ text: [UInt8]) { self.text = text }

    /// The tables of a document, in its order.
    public static func tables(of text: [UInt8]) throws(TOMLError) -> [TOMLTable] {
        var reader = TOMLReader(text)
        return try reader.document()
    }

    // MARK: Lines

    private mutating func document() throws(TOMLError) -> [TOMLTable] {
        var tables = [TOMLTable(name: "", line: 1)]
        while true {
            try skipLinesAndComments()
            guard let byte = next else { return tables }
            if byte == UInt8(ascii: "[") {
                let table = try header()
                if let former = tables.dropFirst().first(where: { $0.name == table.name }) {
                    throw error("the table [\(table.name)] is there already, in line \(former.line)")
                }
                tables.append(table)
            } else {
                let entry = try entry()
                let last = tables.count - 1
                if let former = tables[last].entries.first(where: { $0.key == entry.key }) {
                    throw TOMLError(
                        line: entry.line, reason: "\(entry.key) is set already, in line \(former.line)")
                }
                tables[last].entries.append(entry)
            }
            try endLine()
        }
    }

    private mutating func header() throws(TOMLError) -> TOMLTable {
        position += 1
        if next == UInt8(ascii: "[") { throw error("arrays of tables ([[…]]) are not read here") }
        skipBlanks()
        let name = try key()
        if name.isEmpty { throw error("the table has no name") }
        skipBlanks()
        if next == UInt8(ascii: ".") { throw error("tables in tables ([a.b]) are not read here") }
        guard next == UInt8(ascii: "]") else { throw error("the table's head has no ] at its end") }
        position += 1
        return TOMLTable(name: name, line: line)
    }

    private mutating func entry() throws(TOMLError) -> TOMLEntry {
        let start = line
        let key = try key()
        skipBlanks()
        if next == UInt8(ascii: ".") { throw error("keys with a dot are not read here: write a [table]") }
        guard next == UInt8(ascii: "=") else { throw error("there is no = behind \(key)") }
        position += 1
        skipBlanks()
        return TOMLEntry(key: key, line: start, value: try value(nesting: 0))
    }

    private mutating func endLine() throws(TOMLError) {
        skipBlanks()
        try skipComment()
        guard let byte = next else { return }
        guard takeNewline() else { throw error("\(Self.name(of: byte)) behind the end of what the line says") }
    }

    // MARK: Keys and values

    private mutating func key() throws(TOMLError) -> String {
        guard let byte = next else { throw error("a key is missing") }
        if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") { return try string() }
        let start = position
        while let byte = next, Self.isBare(byte) { position += 1 }
        guard position > start else { throw error("\(Self.name(of: byte)) where a key or a [table] should be") }
        return String(decoding: text[start..<position], as: UTF8.self)
    }

    private mutating func value(nesting: Int) throws(TOMLError) -> TOMLValue {
        let start = line
        guard let byte = next, !Self.isNewline(byte), byte != UInt8(ascii: "#") else {
            throw error("a value is missing")
        }
        let content: TOMLValue.Content
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "'"): content = .string(try string())
        case UInt8(ascii: "["): content = .array(try array(nesting: nesting + 1))
        case UInt8(ascii: "{"): throw error("inline tables ({…}) are not read here: write a [table]")
        default: content = try word()
        }
        return TOMLValue(content: content, line: start)
    }

    private mutating func array(nesting: Int) throws(TOMLError) -> [TOMLValue] {
        guard nesting <= Self.deepestNesting else { throw error("arrays are nested too deep") }
        let start = line
        position += 1
        var values: [TOMLValue] = []
        while true {
            try skipLinesAndComments()
            if next == UInt8(ascii: "]") { break }
            guard next != nil else { throw TOMLError(line: start, reason: "the array has no ] at its end") }
            values.append(try value(nesting: nesting))
            try skipLinesAndComments()
            if next == UInt8(ascii: ",") {
                position += 1
            } else if next != UInt8(ascii: "]"), let byte = next {
                throw error("\(Self.name(of: byte)) where a , or a ] should be")
            }
        }
        position += 1
        return values
    }

    /// A boolean or an integer.
    private mutating func word() throws(TOMLError) -> TOMLValue.Content {
        let start = position
        while let byte = next, Self.isBare(byte) || "+.:".utf8.contains(byte) { position += 1 }
        guard position > start else { throw error("\(Self.name(of: text[position])) where a value should be") }
        let word = String(decoding: text[start..<position], as: UTF8.self)
        if word == "true" { return .boolean(true) }
        if word == "false" { return .boolean(false) }
        guard let first = word.utf8.first(where: { $0 != UInt8(ascii: "-") && $0 != UInt8(ascii: "+") }),
            Self.isDigit(first)
        else { throw error("\(word) is no value: a string stands in quotes, a boolean is true or false") }
        return .integer(try integer(word))
    }

    /// Decimal, as TOML writes them: underscores between digits, no zero in front.
    private func integer(_ word: String) throws(TOMLError) -> Int {
        let isSigned = word.hasPrefix("-") || word.hasPrefix("+")
        let digits = isSigned ? word.dropFirst() : word[...]
        let groups = digits.split(separator: "_", omittingEmptySubsequences: false)
        let isDecimal = groups.allSatisfy { !$0.isEmpty && $0.utf8.allSatisfy(Self.isDigit) }
        guard isDecimal, digits == "0" || !digits.hasPrefix("0") else {
            throw error("\(word) is no decimal number: no other numbers, dates and times are read here")
        }
        guard let number = Int((word.hasPrefix("-") ? "-" : "") + groups.joined()) else {
            throw error("\(word) is too large")
        }
        return number
    }

    private mutating func string() throws(TOMLError) -> String {
        let quote = text[position]
        let isLiteral = quote == UInt8(ascii: "'")
        if text[position...].starts(with: [quote, quote, quote]) {
            throw error("strings of several lines are not read here")
        }
        position += 1
        var bytes: [UInt8] = []
        while let byte = next, !Self.isNewline(byte) {
            position += 1
            if byte == quote {
                guard let string = String(validating: bytes, as: UTF8.self) else { throw error("no UTF-8") }
                return string
            }
            if byte < 0x20 && byte != 0x09 || byte == 0x7f { throw error("a control character in a string") }
            bytes += byte == UInt8(ascii: "\\") && !isLiteral ? try escape() : [byte]
        }
        throw error("the string has no \(Character(Unicode.Scalar(quote))) at its end")
    }

    /// What stands behind a backslash, as UTF-8.
    private mutating func escape() throws(TOMLError) -> [UInt8] {
        guard let byte = next else { throw error("nothing behind a backslash") }
        position += 1
        switch byte {
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "\""), UInt8(ascii: "\\"): return [byte]
        case UInt8(ascii: "u"), UInt8(ascii: "U"):
            let digits = text[position...].prefix(byte == UInt8(ascii: "u") ? 4 : 8)
            let isWhole = digits.count == (byte == UInt8(ascii: "u") ? 4 : 8) && digits.allSatisfy(Self.isHexadecimal)
            guard isWhole, let value = UInt32(String(decoding: digits, as: UTF8.self), radix: 16),
                let scalar = Unicode.Scalar(value)
            else { throw error("\\u and \\U take four and eight hexadecimal digits of a character") }
            position += digits.count
            return Array(String(Character(scalar)).utf8)
        default: throw error("\\\(Character(Unicode.Scalar(byte))) is no escape sequence")
        }
    }

    // MARK: Bytes

    private var next: UInt8? { position < text.count ? text[position] : nil }

    private func error(_ reason: String) -> TOMLError { TOMLError(line: line, reason: reason) }

    private mutating func skipBlanks() {
        while next == UInt8(ascii: " ") || next == UInt8(ascii: "\t") { position += 1 }
    }

    private mutating func skipComment() throws(TOMLError) {
        guard next == UInt8(ascii: "#") else { return }
        while let byte = next, !Self.isNewline(byte) {
            if byte < 0x20 && byte != 0x09 || byte == 0x7f { throw error("a control character in a comment") }
            position += 1
        }
    }

    private mutating func skipLinesAndComments() throws(TOMLError) {
        repeat {
            skipBlanks()
            try skipComment()
        } while takeNewline()
    }

    /// LF, or CR LF.
    private mutating func takeNewline() -> Bool {
        let length = text[position...].starts(with: [0x0d, 0x0a]) ? 2 : next == 0x0a ? 1 : 0
        position += length
        line += length > 0 ? 1 : 0
        return length > 0
    }

    private static func isNewline(_ byte: UInt8) -> Bool { byte == 0x0a || byte == 0x0d }
    private static func isDigit(_ byte: UInt8) -> Bool { (0x30...0x39).contains(byte) }
    private static func isHexadecimal(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x41...0x46).contains(byte & 0xdf)
    }
    private static func isBare(_ byte: UInt8) -> Bool {
        isDigit(byte) || (0x41...0x5a).contains(byte & 0xdf) || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
    }

    /// "'x'", or "byte 0x07".
    private static func name(of byte: UInt8) -> String {
        (0x21...0x7e).contains(byte)
            ? "'\(Character(Unicode.Scalar(byte)))'"
            : "byte 0x\(String(byte >> 4, radix: 16))\(String(byte & 15, radix: 16))"
    }
}
