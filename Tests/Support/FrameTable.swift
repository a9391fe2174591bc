// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// A row of a fixture: a frame, the policy it meets and what must become of it. The format is explained in the
/// fixture's own head.
public struct FrameRow: Sendable, CustomStringConvertible {
    public var name: String
    public var blocked: [IPPrefix] = []
    public var allowed: [IPPrefix] = []
    public var hasSocket = false
    /// Who reads the socket.
    public var consumer: RegisteredConsumer?
    public var settings = FilterSettings.classic
    /// The policy table.
    public var policy: [PolicyTableChange] = []
    /// The boot-time clock, in microseconds; not 0, which would be the real one.
    public var now: UInt64 = 1_000_000_000
    public var verdict = Verdict.pass
    public var reason = Reason.ignored
    public var wouldBe: Reason?
    public var unfiltered: FilterSwitch?
    public var refusal: RegisteredConsumer.Refusal?
    public var frame: [UInt8] = []

    public init(name: String) { self.name = name }

    public var description: String { name }
}

/// What is wrong with a fixture.
public struct FixtureError: Error {
    public var text: String
}

extension FrameRow {
    /// The rows of a fixture.
    public static func read(path: String) throws -> [FrameRow] {
        var rows: [FrameRow] = []
        for text in try fixtureLines(path: path) {
            if let name = text.after("row: ") {
                rows.append(FrameRow(name: name))
            } else if rows.isEmpty {
                throw FixtureError(text: "a line before the first row: \(text)")
            } else {
                try rows[rows.count - 1].read(text)
            }
        }
        return rows
    }

    private mutating func read(_ line: String) throws {
        if let policy = line.after("policy: ") {
            for word in policy.split(separator: ",") { try readPolicy(word.drop { $0 == " " }) }
        } else if let words = line.after("settings: ") {
            for word in words.split(separator: ",") { try readSettings(word.drop { $0 == " " }) }
        } else if let words = line.after("consumer: ") {
            try readConsumer(words.split(separator: " ").map(String.init))
        } else if let name = line.after("refusal: ") {
            refusal = RegisteredConsumer.Refusal(rawValue: name)
            if refusal == nil { throw FixtureError(text: "refusal: \(line)") }
        } else if let name = line.after("would be: ") {
            wouldBe = Reason.droppable.first { $0.name == name }
            if wouldBe == nil { throw FixtureError(text: "rule: \(line)") }
        } else if let name = line.after("unfiltered: ") {
            unfiltered = FilterSwitch.observed.first { $0.name == name }
            if unfiltered == nil { throw FixtureError(text: "switch: \(line)") }
        } else if let expected = line.after("expect: ") {
            let words = expected.split(separator: " ")
            guard words.count == 2, let verdict = Verdict.allCases.first(where: { $0.name == words[0] }),
                let reason = Reason.all.first(where: { $0.name == words[1] })
            else { throw FixtureError(text: "expectation: \(line)") }
            (self.verdict, self.reason) = (verdict, reason)
        } else {
            frame += try Self.bytes(line)
        }
    }

    /// `carrier` or `classic`, then any of `+NAME`, `-NAME` of a switch, `port N`, `limit N`, `dry RULE`, `frozen`.
    private mutating func readSettings(_ word: Substring) throws {
        let parts = word.split(separator: " ").map(String.init)
        let named = FilterSwitch.allCases.first { $0.name == word.dropFirst() }
        switch (parts.first, parts.count) {
        case ("carrier", 1): settings = .carrier
        case ("classic", 1): settings = .classic
        case ("frozen", 1): settings.hasLiveMaps = false
        case ("dry", 2):
            guard let rules = Set(dryRun: parts[1]) else { fallthrough }
            settings.dryRun.formUnion(rules)
        case ("port", 2):
            guard let port = UInt16(parts[1]) else { fallthrough }
            settings.ports.insert(port)
        case ("limit", 2):
            guard let limit = Int(parts[1]) else { fallthrough }
            settings.firstLineLimit = limit
        default:
            guard let named else { throw FixtureError(text: "settings: \(word)") }
            if word.first == "+" { settings.switches.insert(named) } else { settings.switches.remove(named) }
        }
    }

    /// The age of its beat in microseconds, the longest frame, then `ADDRESS PORT` for each endpoint.
    private mutating func readConsumer(_ words: [String]) throws {
        guard words.count >= 2, words.count.isMultiple(of: 2), let age = UInt64(words[0]), let longest = Int(words[1])
        else { throw FixtureError(text: "consumer: \(words)") }
        var endpoints: [UDPEndpoint] = []
        for place in stride(from: 2, to: words.count, by: 2) {
            guard let port = UInt16(words[place + 1]) else { throw FixtureError(text: "port: \(words[place + 1])") }
            endpoints.append(UDPEndpoint(try IPPrefix(words[place]), port))
        }
        consumer = RegisteredConsumer(beat: now - age, endpoints: endpoints, longest: longest)
        hasSocket = true
    }

    private mutating func readPolicy(_ word: Substring) throws {
        let parts = word.split(separator: " ")
        if parts == ["socket"] {
            hasSocket = true
            return
        }
        if parts.count >= 3, parts[0] == "table" { return try readTable(parts.dropFirst().map(String.init)) }
        let octets = parts.last?.split(separator: ".").compactMap { UInt32($0) } ?? []
        guard parts.count == 2, octets.count == 4 else { throw FixtureError(text: "policy: \(word)") }
        let address = IPPrefix(ipv4: octets.reduce(0) { $0 << 8 | $1 })
        if parts[0] == "block" { blocked.append(address) } else { allowed.append(address) }
    }

    /// `block PREFIX`, and a number for an entry that expires in that second.
    private mutating func readTable(_ words: [String]) throws {
        let kinds: [String: PolicyKinds] = ["block": .block, "allow": .allow, "trust": .trust]
        guard let kind = kinds[words[0]], words.count <= 3 else { throw FixtureError(text: "table: \(words)") }
        let second = words.count == 3 ? UInt32(words[2]) : nil
        policy.append(
            PolicyTableChange(try IPPrefix(words[1]), kind, expiry: second.map(PolicyExpiry.second) ?? .never))
    }

    /// `0a1b`, `"text"` with \r \n \t, or `41*20`.
    public static func bytes(_ line: String) throws -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = line[...]
        while true {
            rest = rest.drop { $0 == " " }
            guard let first = rest.first else { return bytes }
            if first == "\"" {
                guard let end = rest.dropFirst().firstIndex(of: "\"") else {
                    throw FixtureError(text: "open text: \(line)")
                }
                bytes += unescaped(rest[rest.index(after: rest.startIndex)..<end])
                rest = rest[rest.index(after: end)...]
            } else {
                let word = rest.prefix { $0 != " " }
                rest = rest.dropFirst(word.count)
                let parts = word.split(separator: "*")
                let digits = Array(parts[0])
                guard digits.count.isMultiple(of: 2), parts.count <= 2 else {
                    throw FixtureError(text: "bytes: \(word)")
                }
                let unit = stride(from: 0, to: digits.count, by: 2).compactMap {
                    UInt8(String(digits[$0...$0 + 1]), radix: 16)
                }
                guard unit.count * 2 == digits.count, let times = parts.count == 2 ? Int(parts[1]) : 1
                else { throw FixtureError(text: "bytes: \(word)") }
                for _ in 0..<times { bytes += unit }
            }
        }
    }

    private static func unescaped(_ text: Substring) -> [UInt8] {
        var bytes: [UInt8] = []
        var escaped = false
        for byte in text.utf8 {
            if escaped {
                bytes.append(byte == 0x72 ? 0x0d : byte == 0x6e ? 0x0a : byte == 0x74 ? 0x09 : byte)
                escaped = false
            } else if byte == 0x5c {
                escaped = true
            } else {
                bytes.append(byte)
            }
        }
        return bytes
    }
}

extension String {
    fileprivate func after(_ prefix: String) -> String? {
        hasPrefix(prefix) ? String(dropFirst(prefix.count)) : nil
    }

    fileprivate func trimmingSuffix(_ suffix: String) -> String {
        hasSuffix(suffix) ? String(dropLast(suffix.count)) : self
    }
}

/// The lines of a fixture that are neither empty nor comments.
private func fixtureLines(path: String) throws -> [String] {
    guard let file = fopen(path, "r") else { throw FixtureError(text: "no fixture at \(path)") }
    defer { fclose(file) }
    var lines: [String] = []
    var line: UnsafeMutablePointer<CChar>?
    var size = 0
    defer { free(line) }
    while getline(&line, &size, file) >= 0, let start = line {
        let text = String(cString: start).trimmingSuffix("\n")
        if !text.isEmpty, !text.hasPrefix("#") { lines.append(text) }
    }
    return lines
}

/// A payload of a corpus, with its name.
public struct NamedPayload: Sendable, CustomStringConvertible {
    public let name: String
    public private(set) var bytes: [UInt8] = []

    public var description: String { name }

    /// The payloads of a fixture: `payload: NAME`, then lines of bytes as in ``FrameRow``.
    public static func read(path: String) throws -> [NamedPayload] {
        var payloads: [NamedPayload] = []
        for text in try fixtureLines(path: path) {
            if let name = text.after("payload: ") {
                payloads.append(NamedPayload(name: name))
            } else if payloads.isEmpty {
                throw FixtureError(text: "a line before the first payload: \(text)")
            } else {
                payloads[payloads.count - 1].bytes += try FrameRow.bytes(text)
            }
        }
        return payloads
    }

    private init(name: String) { self.name = name }
}
