// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathLab
import Glibc

/// How a command ended. The raw value is the exit code.
public enum Outcome: Int32, Sendable {
    case done = 0
    case failed = 1
    /// EX_USAGE of sysexits.h: the command line, or a value in it, is wrong.
    case usage = 64
}

/// A command of ours: what it prints goes through the context's output, and it says how it ended.
protocol EdgeCommand: ParsableCommand {
    var common: CommonOptions { get }

    /// Returns `.failed` when it did its work and the answer is bad, with everything said; throws when it could not.
    func run(_ context: Context) throws(Failure) -> Outcome
}

/// Options of every command.
struct CommonOptions: ParsableArguments {
    @Flag(help: "Print JSON for programs instead of text for people.")
    var json = false

    @Option(
        help: ArgumentHelp(
            "The instance of the edge to work on (default: $\(Instance.environmentVariable), else the one of the host).",
            valueName: "name"))
    var instance: String?

    func chosenInstance(environment: (String) -> String?) throws(Failure) -> Instance {
        guard let name = instance ?? environment(Instance.environmentVariable), !name.isEmpty else { return .default }
        return try Instance(named: name)
    }
}

/// Runs one command line from parsing to exit code.
struct CommandRunner {
    var output: Output
    var environment: (String) -> String? = environmentVariable

    /// `arguments` are those behind the command's name.
    func run(_ arguments: [String]) -> Outcome {
        let status = runUnfinished(arguments)
        output.flush()
        // Nobody reads any more: that is how `| head` ends a command, and no error.
        if output.writeError == EPIPE { return .failed }
        guard output.writeError == 0 else {
            output.failure(
                Failure(
                    .system(errno: output.writeError), tried: "write the result", on: "standard output",
                    because: String(cString: strerror(output.writeError)), next: "Make room there, then try again."))
            return .failed
        }
        return status
    }

    private func runUnfinished(_ arguments: [String]) -> Outcome {
        // A plain question for help needs no parser, which takes longer than everything else together.
        let (chosen, rest) = Self.chosenCommand(arguments)
        if rest == ["--help"] || rest == ["-h"] {
            output.line(VosFastpath.helpMessage(for: chosen.type, includeHidden: false))
            return .done
        }
        do {
            let words = chosen.type is any AddressCommand.Type ? AddressArguments.packed(rest) : rest
            let command = try VosFastpath.parseAsRoot(chosen.names.dropFirst() + words)
            guard let command = command as? any EdgeCommand else {
                // A group of commands, or the parser's own help command.
                var command = command
                try command.run()
                return .done
            }
            output.isJSON = command.common.json
            let instance = try command.common.chosenInstance(environment: environment)
            let lockTimeout = try FileLock.timeout(environment: environment)
            return try command.run(
                Context(output: output, instance: instance, lockTimeout: lockTimeout, arguments: arguments))
        } catch let failure as Failure {
            return fail(failure)
        } catch {
            // The parser's errors; a request for help or the version is one of them. Asked for its exit code, the
            // parser would make the whole text a second time, which takes half a millisecond.
            let text = VosFastpath.fullMessage(for: error)
            guard text.hasPrefix(VosFastpath._errorPrefix) else {
                output.line(text)
                return .done
            }
            return fail(Self.usageFailure(error, arguments))
        }
    }

    private func fail(_ failure: Failure) -> Outcome {
        output.flush()
        // What nobody reads any more was cut off for that reason: no error either.
        if output.writeError == EPIPE { return .failed }
        output.failure(failure)
        return failure.kind == .usage ? .usage : .failed
    }

    /// What the parser found wrong, in the shape of all our errors.
    private static func usageFailure(_ error: any Error, _ arguments: [String]) -> Failure {
        // A Failure that a `validate()` or `init?(argument:)` threw arrives wrapped; its text is the message.
        let command = chosenCommand(arguments).command.names
        let message = VosFastpath.message(for: error)
        return Failure(
            .usage, tried: "read the command line", on: (["vos-fastpath"] + arguments).joined(separator: " "),
            because: message.isEmpty ? "arguments are missing" : message,
            next: "See '\((command + ["--help"]).joined(separator: " "))'.")
    }

    /// The command that the first words of `arguments` name, and what follows them.
    private static func chosenCommand(
        _ arguments: [String]
    ) -> (command: (names: [String], type: any ParsableCommand.Type), rest: [String]) {
        var type: any ParsableCommand.Type = VosFastpath.self
        var names = [type._commandName]
        for argument in arguments {
            guard let next = type.configuration.subcommands.first(where: { $0._commandName == argument }) else { break }
            type = next
            names.append(argument)
        }
        return ((names, type), Array(arguments.dropFirst(names.count - 1)))
    }
}

/// The whole process: what `main` calls. `arguments` are those behind the command's name. Returns the exit code:
/// that of ``Outcome``, or 128 and the signal's number where a lab was interrupted and removed.
public func runVosFastpath(_ arguments: [String]) -> Int32 {
    // A closed pipe ends the process as it ends every tool, also when the parent ignores SIGPIPE. Commands that
    // must tidy up first take the signal themselves (LabSignals).
    InheritedSignals.takePipe()
    let outcome = CommandRunner(output: .standard()).run(arguments)
    return Interruption.exitCode ?? outcome.rawValue
}
