// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Lines that are redrawn in place, below what the terminal already shows; the last picture stays when it ends.
struct LiveScreen {
    private let output: Output
    private var height = 0

    init(_ output: Output) { self.output = output }

    /// Draws `lines` over the ones of the last call. A line longer than the terminal would wrap and break the
    /// picture, so callers keep within `output.terminal.width`; lines below the terminal's end are left out.
    mutating func show(_ lines: [String]) {
        let shown = lines.prefix(max(1, output.terminal.height - 1))
        // Hide the cursor, go up, and erase each line's rest, so that nothing flickers.
        var text = "\u{1b}[?25l"
        if height > 0 { text += "\u{1b}[\(height)A" }
        for line in shown { text += line + "\u{1b}[K\n" }
        // Lines that the last picture had and this one has not.
        output.raw(text + "\u{1b}[J")
        output.flush()
        height = shown.count
    }

    /// Shows the cursor again.
    func end() {
        guard height > 0 else { return }
        output.raw("\u{1b}[?25h")
        output.flush()
    }
}

/// Signals that ask a long command to stop, held back so that it can tidy up first. They stay blocked until
/// the process ends: a second one changes nothing.
struct StopSignals {
    private var set = sigset_t()

    /// Blocks SIGINT, SIGTERM and SIGHUP, and with `closedPipe` SIGPIPE too, for this thread and those it starts.
    init(closedPipe: Bool = false) {
        sigemptyset(&set)
        for signal in [SIGINT, SIGTERM, SIGHUP] + (closedPipe ? [SIGPIPE] : []) { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
    }

    /// Sleeps; returns early, with true, when one of the signals has come.
    func wait(_ duration: Duration) -> Bool {
        var set = set
        let parts = max(duration, .zero).components
        var time = timespec(tv_sec: Int(parts.seconds), tv_nsec: Int(parts.attoseconds / 1_000_000_000))
        return sigtimedwait(&set, nil, &time) > 0
    }
}
