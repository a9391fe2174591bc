// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Foundation
import Testing

@Suite struct ExampleTests {
    @Test("the document shows the example that is compiled here")
    func isTheDocuments() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let source = try String(contentsOf: folder.appending(path: "Example.swift"), encoding: .utf8)
        let document = try String(contentsOf: folder.appending(path: "../../docs/AF_XDP.md"), encoding: .utf8)
        let start = try #require(source.firstRange(of: "import FastpathAFXDP\n"))
        #expect(document.contains("```swift\n" + source[start.lowerBound...] + "```\n"))
    }

    @Test("without such an interface it says so")
    func failure() throws {
        let failure = #expect(throws: Failure.self) { try echo(on: "no-such-one") { false } }
        #expect(failure?.kind == .noInterface && failure?.subject == "no-such-one")
    }
}
