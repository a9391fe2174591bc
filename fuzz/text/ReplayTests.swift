// SPDX-License-Identifier: Apache-2.0
import Glibc
import Testing

/// What the fuzzer once found interesting, and what once crashed (fuzz/corpus).
@Suite struct ReplayTests {
    @Test("every input that was kept", arguments: Target.allCases)
    func corpus(_ target: Target) throws {
        let folder = #filePath.replacing("text/ReplayTests.swift", with: "corpus/\(target.rawValue)")
        let directory = try #require(opendir(folder), "no corpus at \(folder)")
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard name.first != "." else { continue }
            target.run(try Self.read("\(folder)/\(name)"))
            count += 1
        }
        #expect(count >= 5, "hardly a corpus at \(folder)")
    }

    private static func read(_ path: String) throws -> [UInt8] {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        try #require(file >= 0, "cannot open \(path)")
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = Glibc.read(file, &bytes, bytes.count)
        try #require(count >= 0 && count < bytes.count, "cannot read \(path)")
        return Array(bytes[..<count])
    }
}
