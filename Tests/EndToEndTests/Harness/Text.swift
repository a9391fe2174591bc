// SPDX-License-Identifier: Apache-2.0
import Foundation
import Testing

/// Small files.
enum Text {
    static func write(_ text: String, to path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    static func read(_ path: String) throws -> String {
        String(decoding: try Data(contentsOf: URL(fileURLWithPath: path)), as: UTF8.self)
    }
}

extension Ran {
    @discardableResult
    func requireDone(sourceLocation: SourceLocation = #_sourceLocation) throws -> Ran {
        try #require(isDone, "\(self)", sourceLocation: sourceLocation)
        return self
    }
}
