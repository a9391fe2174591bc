// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathCommands

@Suite struct JSONParserTests {
    @Test(arguments: [
        #"{"b":1,"a":[true,false,null,"x"],"c":{},"d":[]}"#, "18446744073709551615", "-9223372036854775808", "0.5",
        #""a\"b\\c\n\r\t\u0000\u007f\u009b/ü😀""#,
    ])
    func whatIsWrittenIsReadBack(text: String) throws {
        #expect(try JSONValue(parsing: text).encoded == text)
    }

    @Test func blanksAndEscapes() throws {
        let value = try JSONValue(parsing: " { \"a\" :\t[ 1 ,\n-2.5e1 ] , \"\\u00fc\\ud83d\\ude00\\/\\b\\f\" : \"\" } ")
        #expect(value["a"]?.elements == [1, .double(-25)])
        #expect(value["ü😀/\u{8}\u{c}"] == "")
    }

    @Test(arguments: [
        "", "{", "[1,]", "{\"a\"}", "{\"a\":1,}", "nul", "\"a", "\"\u{1}\"", "\"\\x\"", "\"\\u12\"", "1 2", "+1", ".5",
        "--1",
        String(repeating: "[", count: 100),
    ])
    func whatIsNoJSON(text: String) {
        #expect(throws: JSONValue.SyntaxError.self) { try JSONValue(parsing: text) }
    }
}

@Suite struct ManualTests {
    private let pages: [ManualPage]

    init() throws { pages = try GenerateManual.pages(time: 1_700_000_000) }

    @Test func everyCommandHasAPage() {
        let commands = allCommands().filter { $0.names.count <= 2 && $0.type.configuration.shouldDisplay }
        #expect(pages.map(\.name) == commands.map { $0.names.joined(separator: "-") })
    }

    @Test func everyOptionIsOnItsPage() throws {
        let up = try #require(pages.first { $0.name == "vos-fastpath-up" }).source
        for option in ["-mode", "-object", "-allowed-capacity", "-blocked-capacity", "-force", "-json", "-instance"] {
            #expect(up.contains("\n.It Fl \(option)"), "\(option)")
        }
        #expect(up.hasPrefix(".\\\" SPDX"))
        #expect(up.contains("\n.Dd November 14, 2023\n.Dt VOS-FASTPATH-UP 8\n"))
        #expect(!up.contains("generate-manual"))
        let block = try #require(pages.first { $0.name == "vos-fastpath-block" }).source
        for command in ["add", "remove", "list", "import", "export"] {
            #expect(block.contains("\n.Ss block \(command)\n"))
        }
    }

    @Test func whatStandsBehindTheMarkIsShownThere() throws {
        let exec = try #require(pages.first { $0.name == "vos-fastpath-exec" }).source
        #expect(exec.contains("\n.Fl - Ar command ...\n"))
    }

    /// Of mdoc(7): every macro known to us, lists and displays closed, ASCII only, no empty line.
    @Test func pagesAreSound() {
        let macros: Set<String> = [
            "Dd", "Dt", "Os", "Sh", "Ss", "Nm", "Nd", "Op", "Ar", "Fl", "Pp", "Bd", "Ed", "Bl", "It", "El", "Ev", "Pa",
            "Xr",
        ]
        for page in pages {
            var depth = 0
            var isLiteral = false
            for line in page.source.split(separator: "\n", omittingEmptySubsequences: false).dropLast() {
                #expect(line.utf8.allSatisfy { $0 < 0x80 }, "\(page.name): \(line)")
                #expect(isLiteral || !line.isEmpty, "\(page.name): empty line")
                guard line.hasPrefix("."), !line.hasPrefix(".\\\"") else { continue }
                let macro = String(line.dropFirst().prefix { $0 != " " })
                #expect(macros.contains(macro), "\(page.name): \(line)")
                switch macro {
                case "Bl": depth += 1
                case "El": depth -= 1
                case "Bd": isLiteral = true
                case "Ed": isLiteral = false
                default: break
                }
                #expect(depth >= 0)
            }
            #expect(depth == 0 && !isLiteral, "\(page.name)")
        }
    }
}
