// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathLab

struct StressCommand: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "stress",
        abstract: "Put the edge through five phases and compare every counter.",
        discussion: """
            Volume, block list, allow list, hammer (the program is replaced under a flood) and teardown, on hosts in \
            network namespaces of its own and with an instance of its own: an edge that runs here is not touched. \
            Counts are exact. Exit code 1 where anything differs.

            Example:
              vos-fastpath stress 3
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "How often.")
    var rounds = 1

    func validate() throws {
        try common.refuseInstance()
        if !(1...1_000).contains(rounds) { throw ValidationError("<rounds> must be from 1 to 1000") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        LabSignals.install()
        let stress = Stress()
        let edge = try LabEdge(instance: Instance(named: stress.name), settings: .classic)
        let output = context.output
        var results: [Stress.PhaseResult] = []
        let clock = ContinuousClock()
        let start = clock.now
        let isPassed = try stress.run(rounds: rounds, edge: edge) { event in
            switch event {
            case .started(let round, let phase): output.showStart(round, phase)
            case .finished(let result):
                results.append(result)
                output.show(result)
            }
            LabSignals.stopWithoutReader(output)
        }
        let seconds = (clock.now - start) / .seconds(1)
        if output.isJSON {
            output.json([
                "passed": .bool(isPassed), "rounds": .number(rounds), "seconds": .double(seconds),
                "phases": .array(results.map(\.json)),
            ])
        } else {
            let time = "\(Format.plural(rounds, "round")), \(Format.decimal(seconds, places: 1)) s"
            output.line(isPassed ? Styled("All phases passed", .green) : Styled("FAILED", .alarm), Styled(": \(time)"))
        }
        return isPassed ? .done : .failed
    }
}

extension Output {
    fileprivate func showStart(_ round: Int, _ phase: Stress.Phase) {
        guard !isJSON else { return }
        if phase == Stress.Phase.allCases.first { line(Styled("Round \(round)", .bold)) }
        // Overwritten by its result.
        if terminal.isInteractive {
            raw("  ...   \(phase.rawValue)\r")
            flush()
        }
    }

    fileprivate func show(_ result: Stress.PhaseResult) {
        guard !isJSON else { return }
        let name = result.phase.rawValue
        line(
            result.isPassed ? Styled("  ok    ", .green) : Styled("  FAIL  ", .alarm),
            Styled(name + String(repeating: " ", count: max(0, 10 - name.count))),
            Styled("  \(Format.plural(result.checks.count, "check")), "),
            Styled("\(Format.decimal(result.duration / .seconds(1), places: 1)) s"))
        for check in result.checks where !check.isPassed {
            line("        \(check.what): expected \(check.expected), found \(check.found)")
        }
    }
}

extension Stress.PhaseResult {
    fileprivate var json: JSONValue {
        [
            "round": .number(round), "phase": .string(phase.rawValue), "passed": .bool(isPassed),
            "seconds": .double(duration / .seconds(1)),
            "checks": .array(
                checks.map { check in
                    [
                        "what": .string(check.what), "expected": .string(check.expected), "found": .string(check.found),
                        "passed": .bool(check.isPassed),
                    ]
                }),
        ]
    }
}
