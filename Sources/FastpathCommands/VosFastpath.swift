// SPDX-License-Identifier: Apache-2.0
import ArgumentParser

/// The command line of the project; each subcommand has a file of its own under Commands/.
struct VosFastpath: ParsableCommand {
    static let version = "0.1.0"

    /// Marks the parser's messages about errors, so that they are told from the help that was asked for.
    static let _errorPrefix = "\u{1}"

    static let configuration = CommandConfiguration(
        commandName: "vos-fastpath",
        abstract: "A SIP edge in the kernel: drops scanners and floods before they cost anything.",
        discussion: """
            Put the edge on an interface, watch it, and take it off again:

              vos-fastpath up eth0
              vos-fastpath trust add 198.51.100.7
              vos-fastpath stats --watch
              vos-fastpath down eth0

            Exit codes: 0 done, 1 failed, 64 wrong usage.
            """,
        version: version,
        subcommands: [GenerateManual.self, GenerateProof.self, BenchReceiver.self],
        groupedSubcommands: [
            CommandGroup(name: "Edge", subcommands: [Up.self, Down.self, Status.self, Doctor.self, Config.self]),
            CommandGroup(name: "Policy", subcommands: [Block.self, Allow.self, Trust.self]),
            CommandGroup(name: "AF_XDP", subcommands: [Exec.self, Sockets.self, Receive.self]),
            CommandGroup(name: "Host", subcommands: [Tune.self]),
            CommandGroup(
                name: "Insight", subcommands: [Stats.self, Watch.self, Report.self, Capture.self, Explain.self]),
            CommandGroup(
                name: "Lab",
                subcommands: [Lab.self, DemoCommand.self, StressCommand.self, Compare.self, BenchCommand.self]),
        ])
}
