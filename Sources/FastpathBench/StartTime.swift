// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// How long the command takes to start, and to say what it can do.
public struct StartTime: Hashable, Sendable {
    /// `vos-fastpath --help`
    public var help = Figure("start.help", .milliseconds)
    /// The machine's own part: a program that does nothing.
    public var nothing = Figure("start.true", .milliseconds)

    var figures: [Figure] { [help, nothing] }

    var goals: [Goal] {
        [Goal(figure: help, relation: .atMost, limit: 5, label: "start-up (--help)")]
    }

    static func measure(_ bench: Bench) throws(Failure) -> StartTime {
        var time = StartTime()
        try bench.rounds(bench.settings.isQuick ? 31 : 101, of: .start) { (_) throws(Failure) in
            if let run = try TimedCommand.run([bench.settings.command, "--help"]) {
                time.help.samples.append(run.milliseconds)
            }
            if let run = try TimedCommand.run(["/bin/true"]) { time.nothing.samples.append(run.milliseconds) }
        }
        return time
    }
}
