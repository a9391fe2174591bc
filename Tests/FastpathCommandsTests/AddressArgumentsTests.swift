// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc
import Testing

@testable import FastpathCommands

@Suite struct AddressArgumentsTests {
    /// Words behind the command's names, and what the parser gets; `+` stands for the join.
    private static let lines: [(words: [String], packed: [String])] = [
        ([], []),
        (["a"], ["a"]),
        (["a", "b"], ["a", "b"]),
        (["a", "b", "c"], ["a", "b+c"]),
        (["--from", "f", "a", "b", "c"], ["--from", "f", "a+b+c"]),
        (["a", "b", "c", "--from", "f", "d"], ["a", "b+c", "--from", "f", "d"]),
        (["--json", "a", "b", "c", "--instance", "i"], ["--json", "a", "b+c", "--instance", "i"]),
        (["--", "a", "b", "c", "-d", "e"], ["--", "a", "b+c", "-d", "e"]),
        (["--from", "-", "a", "b", "c"], ["--from", "-", "a", "b+c"]),
        (["", "", "", "a"], ["", "++a"]),
    ]

    @Test(arguments: lines)
    func onlyWordsBehindAValueAreJoined(words: [String], packed: [String]) {
        let result = AddressArguments.packed(words)
        #expect(result.map { $0.replacing("\0", with: "+") } == packed)
        #expect(AddressArguments.unpacked(result) == words)
    }

    @Test func whatIsJoinedIsParsedInOrder() throws {
        let words = AddressArguments.packed([
            "192.0.2.3", "192.0.2.1", "--require-loaded", "192.0.2.2", "192.0.2.9", "192.0.2.4",
        ])
        let arguments = try AddressArguments.parse(words)
        #expect(arguments.requireLoaded)
        let prefixes = try arguments.prefixes(Recorder().output())
        #expect(
            prefixes.map(\.description) == ["192.0.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.9", "192.0.2.4"])
    }

    /// The parser alone takes minutes for as many.
    @Test(.timeLimit(.minutes(1)))
    func thousandsOfAddressesTakeNoTime() {
        let addresses = (0..<100_000).map { "11.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255)" }
        let result = run(["block", "remove"] + addresses + ["bad"])
        #expect(result.status == .usage)
        #expect(result.err.contains("\n  on    bad\n"))
    }

    @Test func aFileAddsToTheCommandLine() throws {
        try withFile("# a list\n192.0.2.7 # a scanner\r\n\n192.0.2.1\n192.0.2.7\n") { path in
            let arguments = try AddressArguments.parse(["192.0.2.9", "--from", path])
            let recorder = Recorder()
            let prefixes = try arguments.prefixes(recorder.output())
            #expect(prefixes.map(\.description) == ["192.0.2.9", "192.0.2.7", "192.0.2.1"])
            #expect(recorder.err == "")
        }
    }

    @Test(arguments: [("block", "add"), ("block", "remove"), ("allow", "add"), ("allow", "remove")])
    func aBadLineIsNamedAndEndsIt(list: String, change: String) throws {
        try withFile("192.0.2.1\n999.1.2.3\n10.0.0.1/8\n") { path in
            let result = run([list, change, "--from", path])
            #expect(result.status == .usage)
            #expect(result.out == "")
            let lines = result.err.split(separator: "\n")
            #expect(lines.count == 6)
            #expect(lines.first?.hasPrefix("warning: \(path), line 2: \"999.1.2.3\": ") == true)
            #expect(lines.dropFirst().first?.hasPrefix("warning: \(path), line 3: \"10.0.0.1/8\": ") == true)
            #expect(lines.dropFirst(2).first == "error: cannot take the addresses from a file")
            #expect(result.err.contains("\n  why   2 lines of it are no addresses; nothing was changed\n"))
        }
    }

    @Test func aFileThatIsNotThereIsNoUsageError() {
        let result = run(["block", "remove", "--from", "/nonexistent"])
        #expect(result.status == .failed)
        #expect(result.err.contains("\n  on    /nonexistent\n"))
    }

    private func withFile(_ content: String, _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/vos-fastpath-XXXXXX".utf8CString)
        let descriptor = mkstemp(&template)
        try #require(descriptor >= 0)
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { unlink(path) }
        try #require(write(descriptor, content, content.utf8.count) == content.utf8.count)
        close(descriptor)
        try body(path)
    }
}
