// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What an operation has done so far, and how to take it back, last first.
struct UndoList {
    private var steps: [(what: String, undo: () throws(Failure) -> Void)] = []

    /// Remembers a step. One that can stop half-way is remembered before it is taken, any other one after.
    /// `what` completes "left as it is: ".
    mutating func add(_ what: String, _ undo: @escaping () throws(Failure) -> Void) {
        steps.append((what, undo))
    }

    /// Takes everything back and returns the failure to throw. Where a step cannot be taken back, those before it
    /// stay too: they may be what it rests on. The failure then says what is left.
    consuming func takeBack(after failure: Failure) -> Failure {
        while let step = steps.popLast() {
            do throws(Failure) {
                try step.undo()
            } catch {
                var failure = failure
                let left = ([step.what] + steps.reversed().map(\.what)).joined(separator: "; ")
                let lines = [failure.details, "taking it back failed too: \(error)", "left as it is: \(left)"]
                failure.details = lines.compactMap { $0 }.joined(separator: "\n")
                failure.isHalfDone = true
                return failure
            }
        }
        return failure
    }
}
