// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListAdd<List: ListTag>: AddressCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "add",
            abstract: "Add addresses to the \(List.kind.listName).",
            discussion: """
                All of them, or none and an error. Those that are there already are no error. To take what can be taken \
                of a file, use 'import'.

                Examples:
                  vos-fastpath \(List.kind.rawValue) add 192.0.2.1 192.0.2.7
                  vos-fastpath \(List.kind.rawValue) add --from \(List.participle).txt
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var arguments: AddressArguments

    func run(_ context: Context) throws(Failure) -> Outcome {
        let prefixes = try arguments.prefixes(context.output)
        let report = try context.policyControl().add(
            prefixes, to: List.kind, requireLoaded: arguments.requireLoaded, now: now())
        let output = context.output
        if output.isJSON { output.json(report.json) } else { show(report, output) }
        output.note(report.mending)
        output.noteUnlessInForce(report.isInForce)
        return .done
    }

    private func show(_ report: AddReport, _ output: Output) {
        if !report.added.isEmpty { output.line("\(output.name(report.added)): \(List.participle)") }
        if !report.byHand.isEmpty {
            output.line("\(output.name(report.byHand)): \(List.participle) by hand before, recorded now")
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
            "already_there": .prefixes(alreadyThere), "in_force": .bool(isInForce),
        ]
    }
}
