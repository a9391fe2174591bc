// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathBench
import FastpathControl
import FastpathCore
import FastpathKernel
import FastpathLab

struct Compare: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare a host's figures without the edge, with it, and after it was taken off.",
        discussion: """
            Without an interface on a simulated network, with a SIP server and the same traffic in each phase; where \
            \(PreloadLibrary.name) is found, once more with AF_XDP under the server. With an interface, the traffic that \
            really comes in there: the edge is attached for a phase, with the rules that 'up' would load, and filters; --yes \
            says that it may. Where an edge is attached already it stays, and that phase alone is measured.

            Examples:
              vos-fastpath compare
              vos-fastpath compare eth0 --yes --seconds 60
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("How long each phase lasts.", valueName: "n"))
    var seconds = 10

    @Flag(help: "With an interface: attach the edge there and take it off again.")
    var yes = false

    @Option(help: ArgumentHelp("Write the result as a document to this file.", valueName: "file"), completion: .file())
    var markdown: String?

    @Argument(help: "An interface of this host (default: a simulated network).", completion: .interfaces)
    var iface: String?

    func validate() throws {
        if !(1...3_600).contains(seconds) { throw ValidationError("--seconds must be from 1 to 3600") }
        if iface == nil {
            if yes { throw ValidationError("--yes goes with an interface") }
            try common.refuseInstance()
        }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        try Host.requireReady()
        LabSignals.install()
        let progress = PhaseProgress(context.output, seconds: seconds)
        let report: ComparisonReport
        do throws(Failure) {
            if let iface {
                report = try real(iface, context, progress)
            } else {
                report = try simulated(context, progress)
            }
        } catch {
            progress.finish()
            throw error
        }
        progress.finish()
        if let markdown { try write(report, to: markdown) }
        if context.output.isJSON {
            context.output.json(report.json)
        } else {
            context.output.table(report.table)
            context.output.line()
            context.output.line(
                "\(report.interface ?? "A simulated network"): profile \(report.profile); "
                    + "\(Format.plural(seconds, "second")) a phase.")
        }
        return .done
    }

    private func write(_ report: ComparisonReport, to path: String) throws(Failure) {
        let machine = Machine.current()
        let page = ComparisonPage(
            report: report, kernel: machine.kernel, processor: machine.processor, cores: machine.cores, time: now())
        try writeFile(page.markdown, to: path, "the result")
    }

    // MARK: Simulated

    private func simulated(_ context: Context, _ progress: PhaseProgress) throws(Failure) -> ComparisonReport {
        var comparison = SimulatedComparison()
        comparison.duration = .seconds(seconds)
        let instance = try Instance(named: comparison.name)
        do throws(Failure) {
            comparison.launcher = try launcher(instance)
        } catch {
            context.output.note("without AF_XDP: \(error.subject): \(error.reason)")
        }
        let settings = SimulatedComparison.settings
        let edge = try LabEdge(instance: instance, settings: settings)
        let phases = try comparison.run(
            edge: edge,
            mode: { () throws(Failure) in
                try instance.edgeControl().statistics(of: SimulatedComparison.interface).rows.first?.edge.attachment?
                    .mode
            },
            events: { event in
                switch event {
                case .began(let phase): progress.begin(phase)
                case .passed(let time): progress.update(time)
                }
            })
        return ComparisonReport(interface: nil, profile: "\(settings)", phases: phases)
    }

    /// Ourselves: the server under `exec`.
    private func launcher(
        _ instance: Instance
    ) throws(Failure) -> (words: [String], environment: [String: String]) {
        let command = try ownPath()
        let library = try PreloadLibrary.find(named: environmentVariable(PreloadLibrary.variable), command: command)
        return (
            [command, "exec", "--instance", instance.name, "--"], [PreloadLibrary.variable: library]
        )
    }

    // MARK: Real

    private func real(
        _ name: String, _ context: Context, _ progress: PhaseProgress
    ) throws(Failure) -> ComparisonReport {
        let control = try context.edgeControl()
        let kernel = KernelEdges(instance: context.instance)
        let interface = try kernel.interface(named: name)
        let counters = { () throws(Failure) in try control.statistics(of: name).total }
        if let edge = try kernel.edges().first(where: { $0.interface == interface }) {
            guard edge.isFilteringForUs else { throw Self.occupied(edge) }
            context.output.note("\(name) has an edge, which stays: only the phase with it is measured")
            let profile = try kernel.settings(of: edge)?.description ?? "unknown"
            let phase = try measure(.edge, name, edge.attachment?.mode, counters, progress)
            return ComparisonReport(interface: name, profile: profile, phases: [phase])
        }
        let settings = try ConfigurationOptions.defaults(context.instance)
        guard yes else {
            throw Failure(
                .usage, tried: "compare the figures of an interface", on: name,
                because:
                    "the edge would be attached for \(Format.plural(seconds, "second")), profile \(settings), and drop what "
                    + "its rules drop",
                next: "Say --yes if it may. Or compare on a simulated network: vos-fastpath compare")
        }
        var phases = [try measure(.baseline, name, nil, nil, progress)]
        let up = try control.up(UpRequest(interface: name, settings: settings), now: moment())
        do throws(Failure) {
            phases.append(try measure(.edge, name, up.edge.attachment?.mode, counters, progress))
        } catch {
            _ = try? control.down(.interface(name), now: moment())
            throw error
        }
        _ = try control.down(.interface(name), now: moment())
        phases.append(try measure(.after, name, nil, nil, progress))
        for text in up.notes { context.output.note(text) }
        return ComparisonReport(interface: name, profile: "\(settings)", phases: phases)
    }

    private func measure(
        _ phase: Comparison.Phase, _ name: String, _ mode: XDPMode?, _ counters: (() throws(Failure) -> Counters)?,
        _ progress: PhaseProgress
    ) throws(Failure) -> Comparison.Measurement {
        progress.begin(phase)
        return try Comparison.measure(phase, on: name, mode: mode, counters: counters) { () throws(Failure) in
            try Comparison.wait(.seconds(seconds), progress: progress.update)
        }
    }

    /// Something else is there, or what is left of an edge.
    private static func occupied(_ edge: EdgeState) -> Failure {
        let tried = "compare the figures of an interface"
        guard let program = edge.attachment else {
            return Failure(
                .notLoaded, tried: tried, on: edge.label,
                because: "the program was taken off behind our back; its pins are still there",
                next: "Remove them: vos-fastpath down \(edge.label)")
        }
        return Failure(
            .foreignProgram(id: program.programID), tried: tried, on: edge.label,
            because: edge.otherInstance.map { "it has an edge of the instance \"\($0)\"" }
                ?? "another XDP program is attached: \(program.programName), id \(program.programID)",
            next: "Compare on another interface, or on a simulated network: vos-fastpath compare")
    }
}

/// A bar a phase on a terminal, a line a phase elsewhere.
final class PhaseProgress {
    private let output: Output
    private let seconds: Int
    private var bar: ProgressBar?

    init(_ output: Output, seconds: Int) {
        self.output = output
        self.seconds = seconds
    }

    func begin(_ phase: Comparison.Phase) {
        finish()
        if !output.errorTerminal.isInteractive { output.note(phase.title) }
        bar = ProgressBar(output, phase.title, total: seconds)
    }

    func update(_ passed: Duration) { bar?.update(Int(passed / .seconds(1))) }

    func finish() {
        bar?.finish()
        bar = nil
    }
}
