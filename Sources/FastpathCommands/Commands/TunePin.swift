// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct TunePin: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "pin",
        abstract: "Keep the SIP server on CPUs that share a cache.",
        discussion: """
            All threads of the processes given, else of those that are called \
            \(Tuning.servers.joined(separator: ", ")). Without --cpus it takes one cache domain (CPUs that share their \
            last-level cache): with --interface the one that takes most of that NIC's interrupts, else the first of the \
            largest.

            Exit code 0 when at least one process was pinned.

            Examples:
              vos-fastpath tune pin --interface eth0
              vos-fastpath tune pin --cpus 2,4-7 1234
              vos-fastpath tune pin --undo
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("These CPUs: 2,4-7.", valueName: "list"))
    var cpus: CPUSet?

    @Option(help: ArgumentHelp("These CPUs where all of them run, else as without.", valueName: "list"))
    var prefer: CPUSet?

    @Option(help: ArgumentHelp("The NIC that the server's traffic comes from.", valueName: "iface"))
    var interface: String?

    @Option(help: ArgumentHelp("A name of processes to pin; may be repeated.", valueName: "name"))
    var name: [String] = []

    @Flag(help: "Put back what was set before: for the processes given, else for all.")
    var undo = false

    @Flag(help: "Say what would be done, and change nothing.")
    var dryRun = false

    @Argument(help: ArgumentHelp("Process ids.", valueName: "pid"))
    var processes: [Int] = []

    func validate() throws {
        for process in processes where !(1...Int(Int32.max)).contains(process) {
            throw ValidationError("'\(process)' is no process id")
        }
        if !name.isEmpty && !processes.isEmpty { throw ValidationError("give process ids or --name") }
        if cpus != nil && (prefer != nil || interface != nil) {
            throw ValidationError("--cpus does not go with --prefer and --interface")
        }
        if undo && (cpus != nil || prefer != nil || interface != nil || !name.isEmpty) {
            throw ValidationError("--undo takes process ids alone")
        }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let tuning = context.tuning()
        if undo {
            let report = try tuning.unpin(processes, dryRun: dryRun)
            context.output.show(report, cpus: nil, dryRun: dryRun)
            if report.pinned.isEmpty && report.failed.isEmpty {
                context.output.note("no process is pinned that runs still: there is nothing to put back")
            }
            return report.failed.isEmpty ? .done : .failed
        }
        let (cpus, reason) = try tuning.cpus(
            for: PinWish(cpus: cpus, preferred: prefer, interface: interface))
        try tuning.requireProcesses(processes)
        let chosen = processes.isEmpty ? try tuning.processes(named: name.isEmpty ? Tuning.servers : name) : processes
        let report = try tuning.pin(chosen, to: cpus, dryRun: dryRun)
        context.output.show(report, cpus: cpus, dryRun: dryRun)
        if let sentence = reason.sentence(cpus) { context.output.note(sentence) }
        if let failure = report.unremembered {
            context.output.warning("--undo will not know the CPUs of before: \(failure.subject): \(failure.reason)")
        }
        return report.pinned.isEmpty ? .failed : .done
    }
}

extension PinReason {
    /// Nil where the operator said which.
    fileprivate func sentence(_ cpus: CPUSet) -> String? {
        switch self {
        case .asked, .preferred: nil
        case .interrupts(let number, let interface):
            "CPUs \(cpus) share a cache, and take \(Format.plural(number, "interrupt")) of \(interface)"
        case .domain(nil): "CPUs \(cpus) share a cache; --interface chooses the one that takes a NIC's interrupts"
        case .domain(let interface?): "CPUs \(cpus) share a cache; \(interface) shows no interrupts to choose by"
        }
    }
}

extension Output {
    /// `cpus`: what was asked for.
    fileprivate func show(_ report: PinReport, cpus: CPUSet?, dryRun: Bool) {
        if isJSON {
            json([
                "dry_run": .bool(dryRun), "cpus": .optional(cpus?.description),
                "processes": .array(report.pinned.map(\.json)),
                "failed": .array(report.failed.map { .string($0.subject) }),
                "remembered": .bool(report.unremembered == nil),
            ])
        } else {
            for process in report.pinned {
                line(
                    dryRun
                        ? "process \(process.process) would run on CPUs \(process.now); it runs on \(process.before)"
                        : "process \(process.process) runs on CPUs \(process.now)")
            }
        }
        for failure in report.failed { self.failure(failure) }
    }
}

extension PinnedProcess {
    fileprivate var json: JSONValue {
        [
            "process": .number(process), "threads": .number(threads), "before": .string(before.description),
            "cpus": .string(now.description),
        ]
    }
}
