// SPDX-License-Identifier: Apache-2.0
@testable import FastpathCommands

/// Keeps what an output printed.
final class Recorder {
    private(set) var out = ""
    private(set) var err = ""
    /// What the next writes to standard output answer.
    var outError: Int32 = 0

    func output(terminal: Terminal = .none, errorTerminal: Terminal = .none) -> Output {
        Output(
            terminal: terminal, errorTerminal: errorTerminal,
            sink: { [self] text in
                if outError == 0 { out += text }
                return outError
            },
            errorSink: { [self] text in
                err += text
                return 0
            })
    }
}

extension Terminal {
    static let colour = Terminal(isInteractive: true, hasColour: true, isUnicode: true)
    static let plain = Terminal(isInteractive: true, hasColour: false)
}

/// Runs a command line as `main` does.
func run(
    _ arguments: [String], environment: [String: String] = [:]
) -> (status: Outcome, out: String, err: String) {
    let recorder = Recorder()
    let runner = CommandRunner(output: recorder.output(), environment: { environment[$0] })
    let status = runner.run(arguments)
    return (status, recorder.out, recorder.err)
}
