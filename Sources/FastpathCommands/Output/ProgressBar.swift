// SPDX-License-Identifier: Apache-2.0

/// A bar on standard error for work of known length. Only on a terminal, and only for work over a second:
/// short work leaves no trace.
final class ProgressBar {
    private let output: Output
    private let title: String
    private let total: Int
    private let now: () -> Duration
    private let start: Duration
    private var lastDrawn: Duration?

    private static let patience: Duration = .seconds(1)
    private static let interval: Duration = .milliseconds(100)

    /// `now` is a clock that never goes back.
    init(_ output: Output, _ title: String, total: Int, now: @escaping () -> Duration = monotonicClock()) {
        self.output = output
        self.title = title
        self.total = total
        self.now = now
        start = now()
    }

    /// `done` counts from 0 to `total`.
    func update(_ done: Int) {
        guard output.errorTerminal.isInteractive else { return }
        let time = now()
        guard time - start >= Self.patience, lastDrawn.map({ time - $0 >= Self.interval }) ?? true else { return }
        lastDrawn = time
        draw(done, elapsed: time - start)
    }

    private func draw(_ done: Int, elapsed: Duration) {
        let share = total > 0 ? min(Double(done) / Double(total), 1) : 0
        let numbers = " \(Int(share * 100)) %  \(Format.count(done)) of \(Format.count(total))"
        let left = share > 0.01 ? "  \(Int((elapsed / share - elapsed) / .seconds(1)) + 1) s left" : ""
        let width = min(40, output.errorTerminal.width - title.count - numbers.count - left.count - 4)
        var bar = ""
        if width >= 10 {
            bar = Format.bar(share, width: width, unicode: output.errorTerminal.isUnicode)
            bar = " [" + bar + String(repeating: " ", count: width - bar.count) + "]"
        }
        // Carriage return, the line, erase to its end.
        output.writeError("\r" + title + bar + numbers + left + "\u{1b}[K")
    }

    /// Takes the bar off the screen.
    func finish() {
        guard lastDrawn != nil else { return }
        output.writeError("\r\u{1b}[K")
        lastDrawn = nil
    }
}

/// Time since the call, from a clock that never goes back.
func monotonicClock() -> () -> Duration {
    let clock = ContinuousClock()
    let start = clock.now
    return { start.duration(to: clock.now) }
}
