// SPDX-License-Identifier: Apache-2.0
import Testing

@testable import FastpathCore

@Suite struct TOMLTests {
    private func tables(_ text: String) throws -> [TOMLTable] { try TOMLReader.tables(of: Array(text.utf8)) }

    private func value(_ text: String) throws -> TOMLValue.Content? {
        try tables("key = " + text).first?.entries.first?.value.content
    }

    @Test func readsTablesKeysCommentsAndLines() throws {
        let text = """
            # a comment, with ünïcode
            bare-key_1 = 1 # behind a value
            "quoted key" = 2\r
            \t'literal' = 3

            [ table ] # a head
              key = [ # an array
                1, 2,
                # in it
                3,
              ]
            ["other.one"]
            """
        let tables = try tables(text)
        #expect(tables.map(\.name) == ["", "table", "other.one"])
        #expect(tables.map(\.line) == [1, 6, 12])
        #expect(tables[0].entries.map(\.key) == ["bare-key_1", "quoted key", "literal"])
        #expect(tables[0].entries.map(\.line) == [2, 3, 4])
        #expect(tables[1].entries.first?.line == 7)
        guard case .array(let values) = tables[1].entries.first?.value.content else {
            Issue.record("no array")
            return
        }
        #expect(values.map(\.content) == [.integer(1), .integer(2), .integer(3)])
        #expect(values.map(\.line) == [8, 8, 10])
    }

    @Test(arguments: [
        ("0", 0), ("+7", 7), ("-12", -12), ("1_000", 1000), ("-0", 0), ("9223372036854775807", Int.max),
        ("-9223372036854775808", Int.min),
    ])
    func integers(text: String, number: Int) throws { #expect(try value(text) == .integer(number)) }

    @Test(arguments: [
        (#""""#, ""), ("''", ""), (#""a\tb\"\\ \u00e4\U0001F600""#, "a\tb\"\\ ä😀"), (#"'a\t"'"#, #"a\t""#),
        ("\"\t\"", "\t"),
    ])
    func strings(text: String, string: String) throws { #expect(try value(text) == .string(string)) }

    @Test func booleansAndArrays() throws {
        #expect(try value("true") == .boolean(true))
        #expect(try value("false") == .boolean(false))
        #expect(try value("[]") == .array([]))
        #expect(
            try value("[[true],]")
                == .array([TOMLValue(content: .array([.init(content: .boolean(true), line: 1)]), line: 1)]))
    }

    /// A text, the line at fault, and a word of the reason.
    private static let bad: [(String, Int, String)] = [
        ("a", 1, "no ="), ("\n\na b = 1", 3, "no ="), ("= 1", 1, "a key"), ("a =", 1, "missing"),
        ("a = # x", 1, "missing"), ("a = 1 2", 1, "'2'"), ("a = 1\nb = 1\na = 2", 3, "line 1"),
        ("[t]\n[t]", 2, "line 1"), ("[t]\na = 1\n\na = 1", 4, "line 2"), ("[t", 1, "]"), ("[]", 1, "']'"),
        ("[\"\"]", 1, "no name"), ("[[t]]", 1, "arrays of tables"), ("[a.b]", 1, "tables in tables"),
        ("a.b = 1", 1, "dot"), ("a = {b = 1}", 1, "inline tables"), ("a = 1.5", 1, "1.5"), ("a = 1e3", 1, "1e3"),
        ("a = 0x10", 1, "0x10"), ("a = 007", 1, "007"), ("a = 1__0", 1, "1__0"), ("a = 1_", 1, "1_"),
        ("a = 1979-05-27", 1, "1979-05-27"), ("a = 12:00", 1, "12:00"), ("a = inf", 1, "inf"),
        ("a = 9223372036854775808", 1, "too large"), ("a = yes", 1, "yes"), ("a = True", 1, "True"),
        ("a = +", 1, "+"), ("a = \"x", 1, "at its end"), ("a = 'x\n'", 1, "at its end"),
        ("a = \"\"\"x\"\"\"", 1, "several lines"), ("a = '''x'''", 1, "several lines"), ("a = \"\\q\"", 1, "\\q"),
        ("a = \"\\ud800\"", 1, "\\u"), ("a = \"\\u12\"", 1, "\\u"), ("a = \"\\", 1, "backslash"),
        ("a = \"\u{1}\"", 1, "control character"), ("# \u{7}", 1, "control character"),
        ("a = [1\n2]", 2, "'2'"), ("\na = [1,\n\n", 2, "]"), ("a = [,]", 1, "','"), ("a = [1;2]", 1, "';'"),
        ("a = 1\rb = 2", 1, "0x0d"), ("\u{feff}a = 1", 1, "0xef"),
        ("a = \(String(repeating: "[", count: 100))", 1, "deep"),
    ]

    @Test(arguments: bad.indices)
    func refusesWithTheLine(index: Int) {
        let (text, line, word) = Self.bad[index]
        let error = #expect(throws: TOMLError.self) { try tables(text) }
        #expect(error?.line == line)
        #expect(error?.reason.contains(word) == true, "\(error?.reason ?? "")")
    }

    @Test func refusesWhatIsNoUTF8() {
        let error = #expect(throws: TOMLError.self) {
            try TOMLReader.tables(of: Array("a = 1\nb = \"".utf8) + [0xff] + Array("\"".utf8))
        }
        #expect(error?.line == 2)
    }

    /// Random bytes, and good files with bytes changed: an error or an answer, and a line that is there.
    @Test func neverCrashes() {
        var generator = SplitMix(state: 21)
        let good = Array(FilterSettings.carrier.toml.utf8)
        let alphabet = Array("[]{}=.,#\"'\\\n\r\t +-_0123456789aeftrlsu\u{0}é".utf8)
        var errors = 0
        for round in 0..<20_000 {
            var text: [UInt8]
            if round % 2 == 0 {
                text = (0..<Int.random(in: 0...60, using: &generator)).map { _ in
                    alphabet.randomElement(using: &generator) ?? 0
                }
            } else {
                text = Array(good.prefix(Int.random(in: 0...good.count, using: &generator)))
                for _ in 0..<Int.random(in: 0...4, using: &generator) where !text.isEmpty {
                    text[Int.random(in: text.indices, using: &generator)] = .random(in: 0...255, using: &generator)
                }
            }
            do throws(TOMLError) {
                let tables = try TOMLReader.tables(of: text)
                #expect(tables.first?.name == "")
            } catch {
                errors += 1
                let lines = 1 + text.count { $0 == 0x0a }
                #expect((1...lines).contains(error.line) && !error.reason.isEmpty, "\(text)")
            }
            _ = try? Configuration(parsing: text, name: "random")
        }
        #expect(errors > 5_000 && errors < 20_000, "both ways are taken: \(errors)")
    }
}
