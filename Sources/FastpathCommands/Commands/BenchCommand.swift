// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathBench
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

struct BenchCommand: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure what a packet, a flood and a change of lists cost on this machine.",
        discussion: """
            Everything happens in network namespaces and an instance of its own, and is removed at the end. What is \
            compared is measured in turn; the load of the machine disturbs single figures more than their ratios. \
            About a quarter of an hour, with --quick five minutes. A goal that is missed does not make the command fail.

            Examples:
              vos-fastpath bench --quick
              vos-fastpath bench --only packets --only drop
              vos-fastpath bench --output bench.json
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("Write the figures as JSON to this file too.", valueName: "file"), completion: .file())
    var output: String?

    @Flag(help: "Fewer rounds.")
    var quick = false

    @Option(help: "Only this part; may be repeated.")
    var only: [Bench.Section] = []

    @Option(help: ArgumentHelp("Measure on this CPU (default: the last one).", valueName: "number"))
    var cpu: Int?

    @Option(help: ArgumentHelp("Chooses addresses, junk and order.", valueName: "number"))
    var seed: UInt64 = 1

    func validate() throws {
        try common.refuseInstance()
        if let cpu, cpu < 0 { throw ValidationError("--cpu must be 0 or more") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        try Host.requireReady()
        LabSignals.install()
        var settings = Bench.Settings(
            cpu: cpu ?? sysconf(Int32(_SC_NPROCESSORS_ONLN)) - 1, seed: seed, command: try ownPath())
        settings.isQuick = quick
        settings.library = try library()
        if !only.isEmpty { settings.sections = Set(only) }

        let progress = BenchProgress(context.output)
        let report: Bench.Report
        do throws(Failure) {
            report = try Bench(settings, progress: progress.update).run(now: now())
        } catch {
            progress.finish()
            throw error
        }
        progress.finish()
        if let output { try writeFile(report.json.encoded + "\n", to: output, "the figures") }
        if context.output.isJSON { context.output.json(report.json) } else { context.output.show(report) }
        // Each says what and why.
        for failure in report.failures { context.output.failure(failure) }
        return report.failures.isEmpty ? .done : .failed
    }
}

extension BenchCommand {
    /// Nil where there is none. One that is named is to be there.
    private func library() throws(Failure) -> String? {
        let named = environmentVariable(PreloadLibrary.variable)
        do throws(Failure) {
            return try PreloadLibrary.find(named: named, command: ownPath())
        } catch {
            if named?.isEmpty == false { throw error }
            return nil
        }
    }
}

extension Bench.Section: ExpressibleByArgument {}

/// A bar for each part on a terminal, a line for each elsewhere.
private final class BenchProgress {
    private let output: Output
    private var current: (section: Bench.Section, bar: ProgressBar)?

    init(_ output: Output) { self.output = output }

    func update(_ progress: Bench.Progress) {
        if current?.section != progress.section {
            finish()
            let title = progress.section.title
            if !output.errorTerminal.isInteractive { output.note(title) }
            current = (progress.section, ProgressBar(output, title, total: progress.total))
        }
        current?.bar.update(progress.done)
    }

    func finish() {
        current?.bar.finish()
        current = nil
    }
}

extension Bench.Section {
    fileprivate var title: String {
        switch self {
        case .packets: "Measuring packets, kind by kind"
        case .mix: "Measuring mixed traffic"
        case .carrier: "Measuring profile carrier"
        case .policy: "Measuring the policy table"
        case .drop: "Measuring floods"
        case .afxdp: "Measuring receivers"
        case .servers: "Measuring the SIP server"
        case .calls: "Measuring calls under flood"
        case .lists: "Measuring changes of lists"
        case .start: "Measuring start-up"
        }
    }
}
