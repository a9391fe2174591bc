// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel

struct Report: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "report",
        abstract: "Say what a dry run would have dropped: by rule, by source, with what the packets began with.",
        discussion: """
            Counted since the program was loaded with these settings; what is dropped, since the edge was first put on. \
            The sources are the most recent ones, at most \(DryRunSource.limit) an interface. SIP that passed unfiltered, as a switch is off, is told as well.

            Examples:
              vos-fastpath up eth0 --dry-run      and a day later
              vos-fastpath report eth0
            """)

    @OptionGroup var common: CommonOptions

    @Option(help: ArgumentHelp("Show so many sources.", valueName: "n"))
    var top = 20

    @Argument(help: "The interface (default: all that filter).", completion: .interfaces)
    var iface: String?

    func validate() throws {
        if top < 1 { throw ValidationError("--top must be 1 or more") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let rows = try context.edgeControl().statistics(of: iface).rows
        let kernel = KernelEdges(instance: context.instance)
        let reports = try rows.map { (row) throws(Failure) in
            let program = try kernel.program(of: row.edge)
            let notes = try EdgeNotesReader(program).read()
            return try DryRunReport(
                label: row.edge.label, since: notes.since ?? program.loaded, settings: kernel.settings(of: row.edge),
                counters: row.counters, notes: notes, sources: DryRunSource.all(of: program))
        }
        if context.output.isJSON {
            context.output.json(["interfaces": .array(reports.map { $0.json(top: top) })])
        } else {
            for (number, report) in reports.enumerated() {
                if number > 0 { context.output.line() }
                report.show(top: top, context.output)
            }
        }
        return .done
    }
}

/// What rules in dry run found on an interface.
struct DryRunReport {
    var label: String
    /// Seconds since 1970-01-01 UTC.
    var since: Int64
    /// Nil where this version does not know what the program was loaded with.
    var settings: FilterSettings?
    var counters: Counters
    var notes: EdgeNotes
    var sources: [DryRunSource]

    private var isDryRun: Bool { settings.map { !$0.dryRun.isEmpty } ?? false }

    /// The busiest first.
    private var ranked: [DryRunSource] {
        sources.sorted { ($1.packets, $0.address) < ($0.packets, $1.address) }
    }

    func show(top: Int, _ output: Output) {
        let dryRun = settings.map {
            $0.dryRun.isEmpty ? "no rule is in dry run" : "in dry run: \($0.dryRunNames.joined(separator: ", "))"
        }
        output.line(
            Styled(label, .bold),
            Styled(": \(settings?.description ?? "unknown switches"), since \(Timestamp.local(since))"))
        output.line("  \(dryRun ?? "")")
        var rules = Table(
            [.left("RULE"), .right("WOULD HAVE DROPPED"), .right("DROPPED"), .right("OF ALL PACKETS")], indent: 2)
        for rule in Reason.droppable {
            let would = notes.dryRun[rule, default: 0]
            let share = counters.total > 0 ? Double(would + counters[rule]) * 100 / Double(counters.total) : 0
            rules.add([
                Styled(rule.name), Styled(isDryRun ? Format.count(would) : "-", would > 0 ? .yellow : nil),
                Styled(Format.count(counters[rule])), Styled(Format.decimal(share, places: 2) + " %"),
            ])
        }
        output.table(rules)
        output.line("  \(Format.plural(Int(clamping: counters.total), "packet")) in all")
        for sentence in settings.map(notes.unfilteredSentences) ?? [] {
            output.line(Styled("  \(sentence)", settings?.isClassic == true ? nil : .yellow))
        }
        if isDryRun { showSources(top: top, output) }
    }

    private func showSources(top: Int, _ output: Output) {
        guard !sources.isEmpty else { return output.line("  No source yet.") }
        output.line()
        var table = Table(
            [.left("SOURCE"), .left("RULE"), .right("PACKETS"), .left("LAST"), .left("BEGAN WITH")], indent: 2)
        for source in ranked.prefix(top) {
            table.add([
                Styled(source.address.description), Styled(source.reason.name), Styled(Format.count(source.packets)),
                Styled(Timestamp.local(wallTime(ofBootMicroseconds: source.last) / 1_000_000_000)),
                Styled(source.text, .cyan),
            ])
        }
        output.table(table)
        if sources.count > top {
            output.line("  and \(Format.plural(sources.count - top, "source")) more: --top \(sources.count)")
        }
    }

    func json(top: Int) -> JSONValue {
        [
            "name": .string(label), "since": .string(Timestamp.utc(since)), "profile": .optional(settings?.description),
            "dry_run": .array(settings?.dryRunNames.map { .string($0) } ?? []), "counters": counters.json,
            "would_have_dropped": .object(
                Reason.droppable.map { .init(key: $0.name, value: .number(notes.dryRun[$0, default: 0])) }),
            "unfiltered": notes.unfilteredJSON,
            "sources": .array(
                ranked.prefix(top).map {
                    [
                        "source": .string($0.address.description), "reason": .string($0.reason.name),
                        "packets": .number($0.packets),
                        "last": .string(Timestamp.utc(wallTime(ofBootMicroseconds: $0.last) / 1_000_000_000)),
                        "began_with": .string($0.text),
                    ]
                }),
        ]
    }
}

extension DryRunSource {
    /// The first line of what its payload began with, with nothing in it that a terminal would act on.
    var text: String { printable(line.prefix { $0 != 0x0d && $0 != 0x0a }) }
}

extension EdgeNotes {
    /// SIP that passed as a switch is off, in order of the switches.
    var unfilteredRows: [(filterSwitch: FilterSwitch, packets: UInt64, sentence: String)] {
        FilterSwitch.allCases.compactMap { filterSwitch in
            guard let packets = unfiltered[filterSwitch], packets > 0 else { return nil }
            return (filterSwitch, packets, Self.remedy(filterSwitch))
        }
    }

    /// Why SIP passes unfiltered, and how to filter it.
    static func remedy(_ off: FilterSwitch) -> String {
        switch off {
        case .ports: "it goes to other ports; filter them with --port, or ports in the configuration"
        default: "the switch \(off.name) is off; turn it on with --switch \(off.name)=on"
        }
    }

    /// The same for people: what passed unfiltered, and how to filter it. In profile classic nobody looks, which is said.
    func unfilteredSentences(_ settings: FilterSettings) -> [String] {
        if settings.isClassic { return [Self.nobodyLooks] }
        return unfilteredRows.map {
            "\(Format.plural(Int(clamping: $0.packets), "packet")) of SIP passed unfiltered: \($0.sentence)"
        }
    }

    static let nobodyLooks =
        "profile \(Profile.classic.rawValue) does not look for SIP that passes unfiltered: "
        + FilterSwitch.observed.map(\.name).joined(separator: ", ")

    var unfilteredJSON: JSONValue {
        .object(unfilteredRows.map { .init(key: $0.filterSwitch.name, value: .number($0.packets)) })
    }
}
