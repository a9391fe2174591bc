// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore

/// A progress bar for each step of a change of lists, one after the other.
final class ListProgress {
    private let output: Output
    private var current: (step: ChangeProgress.Step, kind: PolicyKind, bar: ProgressBar)?

    init(_ output: Output) { self.output = output }

    func update(_ progress: ChangeProgress) {
        if current?.step != progress.step || current?.kind != progress.kind {
            finish()
            let verb = progress.step == .recording ? "Recording" : "Applying"
            let bar = ProgressBar(output, "\(verb) the \(progress.kind.listName)", total: progress.total)
            current = (progress.step, progress.kind, bar)
        }
        current?.bar.update(progress.done)
    }

    func finish() {
        current?.bar.finish()
        current = nil
    }
}
