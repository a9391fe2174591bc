// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListRemove<List: ListTag>: AddressCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "remove",
            abstract: "Remove addresses from the \(List.kind.listName).",
            discussion: """
                All of them, or none and an error. Those that are not there are named, and no error.

                Examples:
                  vos-fastpath \(List.kind.rawValue) remove 192.0.2.1
                  vos-fastpath \(List.kind.rawValue) remove --from \(List.participle).txt
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var arguments: AddressArguments

    func run(_ context: Context) throws(Failure) -> Outcome {
        let prefixes = try arguments.prefixes(context.output)
        let report = try context.policyControl().remove(
            prefixes, from: List.kind, requireLoaded: arguments.requireLoaded)
        let output = context.output
        if output.isJSON { output.json(report.json) } else { show(report, output) }
        output.note(report.mending)
        if !(report.removed + report.byHand).isEmpty { output.noteUnlessInForce(report.isInForce) }
        return .done
    }

    private func show(_ report: RemoveReport, _ output: Output) {
        if !report.removed.isEmpty { output.line("\(output.name(report.removed)): \(List.undone)") }
        if !report.byHand.isEmpty {
            output.line("\(output.name(report.byHand)): \(List.undone), written by hand before")
        }
        if !report.notThere.isEmpty { output.line("\(output.name(report.notThere)): not on the list") }
    }
}

extension RemoveReport {
    var json: JSONValue {
        [
            "list": .string(kind.rawValue), "removed": .prefixes(removed), "by_hand": .prefixes(byHand),
            "not_there": .prefixes(notThere), "in_force": .bool(isInForce),
        ]
    }
}
