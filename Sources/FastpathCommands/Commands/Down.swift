// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct Down: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "down",
        abstract: "Take the edge off an interface, or off all of them.",
        discussion: """
            Nothing is left in the kernel; traffic flows as before. The lists stay in the record and come back with \
            the next 'up', unless --purge forgets them.

            Examples:
              vos-fastpath down eth0
              vos-fastpath down --all --purge
            """)

    @OptionGroup var common: CommonOptions

    @Flag(help: "Every interface of the instance, those in other network namespaces too.")
    var all = false

    @Flag(help: "Forget the recorded lists and capacities too.")
    var purge = false

    @Argument(help: "The interface, by a name that 'status' shows.", completion: .interfaces)
    var iface: String?

    func validate() throws {
        if all == (iface != nil) { throw ValidationError("give one interface, or --all") }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let target = iface.map(DownTarget.interface) ?? .all
        let report = try context.edgeControl().down(target, purge: purge, now: moment())
        return context.output.show(report)
    }
}

extension Output {
    func show(_ report: DownReport) -> Outcome {
        if isJSON { json(report.json) } else { showText(report) }
        note(report.mending)
        for edge in report.foreign {
            warning("\(edge.label): an XDP program that is not ours is attached; it was left there, our pins are gone")
        }
        for failed in report.failed { failure(failed.failure) }
        return report.failed.isEmpty ? .done : .failed
    }

    private func showText(_ report: DownReport) {
        for edge in report.takenDown { line(Styled(edge.label, .bold), ": the edge is off") }
        if report.takenDown.isEmpty && report.failed.isEmpty {
            line(
                report.areListsRemoved
                    ? "Nothing was on; what was left of the lists in the kernel is removed." : "Nothing was on.")
        }
        for kind in PolicyKind.allCases {
            if let adopted = report.adopted[kind], adopted > 0 {
                line("  \(kind.listName): \(Format.count(adopted)) written by hand, recorded now")
            }
        }
        if report.isPurged {
            line("  The recorded lists are forgotten.")
            return
        }
        let counts = PolicyKind.allCases.map { kind in
            "\(kind.listName) \(Format.count(report.recorded[kind] ?? 0))"
        }
        line("  Recorded for the next 'up': \(counts.joined(separator: ", "))")
    }
}

extension DownReport {
    var json: JSONValue {
        let byKind = { (counts: [PolicyKind: Int]) -> JSONValue in
            .object(PolicyKind.allCases.map { .init(key: $0.rawValue, value: .number(counts[$0] ?? 0)) })
        }
        return [
            "taken_down": .array(takenDown.map { .string($0.label) }),
            "failed": .array(failed.map { .string($0.edge.label) }),
            "remaining": .array(remaining.map { .string($0.label) }),
            "adopted": byKind(adopted), "recorded": byKind(recorded), "purged": .bool(isPurged),
            "lists_removed": .bool(areListsRemoved),
        ]
    }
}
