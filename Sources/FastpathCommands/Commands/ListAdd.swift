// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListAdd<List: ListTag>: AddressCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "add",
            abstract: "Add addresses and prefixes to the \(List.kind.listName).",
            discussion: """
                All of them, or none and an error. Those that are there already are no error: they get the time and the \
                comment that are given; without --for they stay for good. To take what can be taken of a file, use \
                'import'.

                Examples:
                  vos-fastpath \(List.kind.rawValue) add 192.0.2.1 192.0.2.7
                  vos-fastpath \(List.kind.rawValue) add --for 2h --comment 'ticket 4711' 198.51.100.0/24 2001:db8::/48
                  vos-fastpath \(List.kind.rawValue) add --from \(List.participle).txt
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var entries: EntryArguments
    @OptionGroup var set: SetArgument
    @OptionGroup var arguments: AddressArguments

    func validate() throws { try arguments.requireSome() }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let prefixes = try arguments.prefixes(context.output)
        let now = moment()
        let report = try context.policyControl().add(
            prefixes, to: List.kind, entries.options(set: set.set ?? "", origin: .operatorCommand, now: now),
            requireLoaded: arguments.requireLoaded, now: now)
        let output = context.output
        if output.isJSON { output.json(report.json) } else { show(report, output) }
        output.note(report.mending)
        output.note(report.growth)
        output.warn(of: report.gap)
        output.noteUnlessInForce(report.isInForce)
        return .done
    }

    private func show(_ report: AddReport, _ output: Output) {
        if !report.added.isEmpty { output.line("\(output.name(report.added)): \(List.participle)") }
        if !report.byHand.isEmpty {
            output.line("\(output.name(report.byHand)): \(List.participle) by hand before, recorded now")
        }
        if !report.changed.isEmpty {
            output.line("\(output.name(report.changed)): \(List.participle) already, time or comment changed")
        }
        if report.leftOut > 0 {
            output.line("\(Format.plural(report.leftOut, "private entry", "private entries")) left out")
        }
        if !report.alreadyThere.isEmpty {
            output.line("\(output.name(report.alreadyThere)): \(List.participle) already")
        }
    }
}

extension AddReport {
    var json: JSONValue {
        [
            "list": .string(kind.rawValue), "added": .prefixes(added), "by_hand": .prefixes(byHand),
            "changed": .prefixes(changed), "already_there": .prefixes(alreadyThere), "left_out": .number(leftOut),
            "in_force": .bool(isInForce), "not_enforced": gap?.json ?? .null, "table": growth?.json ?? .null,
        ]
    }
}

extension EnforcementGap {
    var json: JSONValue {
        [
            "interfaces": .array(interfaces.map(JSONValue.string)), "entries": .number(count),
            "expiring_late": .number(late),
        ]
    }
}

extension TableGrowth {
    var json: JSONValue {
        [
            "capacity": .number(capacity), "capacity_before": capacityBefore.map { .number($0) } ?? .null,
            "moved": .array(moved.map { .string($0.label) }),
        ]
    }
}
