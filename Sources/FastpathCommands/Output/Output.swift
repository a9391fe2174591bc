// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// The one printer of the commands: results go to standard output, everything else to standard error.
///
/// Results are text for people, or JSON with `--json`. Warnings, notes, progress and errors are text for people
/// in both cases: a script looks at the exit code.
final class Output {
    /// Where bytes go. Returns 0 or an errno.
    typealias Sink = (String) -> Int32

    /// Set from `--json` before a command runs.
    var isJSON = false
    /// What standard output can show.
    let terminal: Terminal
    /// What standard error can show.
    let errorTerminal: Terminal

    private let sink: Sink
    private let errorSink: Sink
    private var pending = ""
    /// The first errno of a write to standard output. What follows is thrown away.
    private(set) var writeError: Int32 = 0

    init(terminal: Terminal, errorTerminal: Terminal, sink: @escaping Sink, errorSink: @escaping Sink) {
        self.terminal = terminal
        self.errorTerminal = errorTerminal
        self.sink = sink
        self.errorSink = errorSink
    }

    /// The process's own streams.
    static func standard() -> Output {
        Output(
            terminal: Terminal(descriptor: STDOUT_FILENO, environment: environmentVariable),
            errorTerminal: Terminal(descriptor: STDERR_FILENO, environment: environmentVariable),
            sink: { Self.writeAll($0, to: STDOUT_FILENO) },
            errorSink: { Self.writeAll($0, to: STDERR_FILENO) })
    }

    private static func writeAll(_ text: String, to descriptor: Int32) -> Int32 {
        var text = text
        return text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                let written = write(
                    descriptor, UnsafeBufferPointer(rebasing: bytes[done...]).baseAddress, bytes.count - done)
                if written < 0 && errno == EINTR { continue }
                if written < 0 { return errno }
                done += written
            }
            return 0
        }
    }

    // MARK: Results

    /// One line of text to standard output.
    func line(_ text: String = "") {
        guard writeError == 0 else { return }
        pending += text
        pending += "\n"
        // On a terminal each line is seen at once; else in large pieces.
        if terminal.isInteractive || pending.utf8.count >= 1 << 16 { flush() }
    }

    /// One line of styled pieces.
    func line(_ pieces: Styled...) { line(render(pieces)) }

    func render(_ pieces: [Styled]) -> String {
        pieces.reduce(into: "") { $0 += $1.rendered(colour: terminal.hasColour) }
    }

    func table(_ table: Table) {
        for text in table.lines(colour: terminal.hasColour) { line(text) }
    }

    /// A whole document, or one record of JSON Lines.
    func json(_ value: JSONValue) { line(value.encoded) }

    /// Text as it is, without a line's end: for a live screen.
    func raw(_ text: String) {
        guard writeError == 0 else { return }
        pending += text
    }

    /// Hands everything over. After a failed write nothing more is written.
    func flush() {
        guard writeError == 0, !pending.isEmpty else { return }
        writeError = sink(pending)
        pending = ""
    }

    // MARK: Standard error

    /// The operator should know, and need do nothing.
    func note(_ text: String) { say("note", .cyan, text) }

    /// The operator should do something.
    func warning(_ text: String) { say("warning", .yellow, text) }

    private func say(_ word: String, _ style: Style, _ text: String) {
        flush()
        writeError(render(word + ":", style) + " " + harmless(text) + "\n")
    }

    /// An error, in a shape that stays as it is:
    /// ```
    /// error: cannot TRIED
    ///   on    SUBJECT
    ///   why   REASON
    ///   next  NEXT
    /// ```
    /// with `details` indented below.
    func failure(_ failure: Failure) {
        flush()
        var text = render("error:", .alarm) + " cannot " + failure.tried + "\n"
        for (key, value) in [("on", failure.subject), ("why", failure.reason), ("next", failure.next)] {
            for (index, part) in lines(value).enumerated() {
                let head = index == 0 ? key : ""
                text += "  " + render(head, .bold) + String(repeating: " ", count: 6 - head.count) + part + "\n"
            }
        }
        for part in lines(failure.details ?? "") {
            text += "    " + render("|", .faint) + (part.isEmpty ? "" : " ") + part + "\n"
        }
        writeError(text)
    }

    /// A text that may quote what somebody typed or a file held, with nothing in it that a terminal would act on.
    private func harmless(_ text: String) -> String {
        let isHarmful = { (scalar: Unicode.Scalar) in
            scalar.properties.generalCategory == .control && scalar != "\n" && scalar != "\t"
        }
        guard text.unicodeScalars.contains(where: isHarmful) else { return text }
        return String(String.UnicodeScalarView(text.unicodeScalars.map { isHarmful($0) ? "\u{fffd}" : $0 }))
    }

    /// The lines of a text, without a last empty one.
    private func lines(_ text: String) -> [Substring] {
        var lines = harmless(text).split(separator: "\n", omittingEmptySubsequences: false)
        while lines.last?.isEmpty ?? false { lines.removeLast() }
        return lines
    }

    private func render(_ text: String, _ style: Style) -> String {
        Styled(text, style).rendered(colour: errorTerminal.hasColour)
    }

    /// There is nowhere left to report a failed write to standard error.
    func writeError(_ text: String) { _ = errorSink(text) }
}
