// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListRemove<List: ListTag>: AddressCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "remove",
            abstract: "Remove addresses and prefixes from the \(List.kind.listName).",
            discussion: """
                All of them, or none and an error. Those that are not there are named, and no error. They leave every \
                set; with --set that one alone, and without addresses all of it. A prefix is removed as it was added: \
                an address that it covers cannot be taken out of it.

                Examples:
                  vos-fastpath \(List.kind.rawValue) remove 192.0.2.1
                  vos-fastpath \(List.kind.rawValue) remove --set voipbl
                  vos-fastpath \(List.kind.rawValue) remove --from \(List.participle).txt
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var set: SetArgument
    @OptionGroup var arguments: AddressArguments

    func validate() throws {
        if set.set == nil { try arguments.requireSome() }
    }

    func run(_ context: Context) throws(Failure) -> Outcome {
        let prefixes = try arguments.prefixes(context.output)
        let isWholeSet = arguments.addresses.isEmpty && arguments.from == nil
        let report = try context.policyControl().remove(
            isWholeSet ? nil : prefixes, from: List.kind, set: set.set, requireLoaded: arguments.requireLoaded,
            now: moment())
        let output = context.output
        if output.isJSON { output.json(report.json) } else { show(report, output) }
        output.note(report.mending)
        output.note(report.growth)
        if !(report.removed + report.byHand).isEmpty { output.noteUnlessInForce(report.isInForce) }
        return .done
    }

    private func show(_ report: RemoveReport, _ output: Output) {
        if !report.removed.isEmpty { output.line("\(output.name(report.removed)): \(List.undone)") }
        if !report.byHand.isEmpty {
            output.line("\(output.name(report.byHand)): \(List.undone), written by hand before")
        }
        if !report.stillThere.isEmpty {
            output.note("\(output.name(report.stillThere)): still in force, in another set")
        }
        if !report.notThere.isEmpty { output.line("\(output.name(report.notThere)): not on the list") }
    }
}

extension RemoveReport {
    var json: JSONValue {
        [
            "list": .string(kind.rawValue), "removed": .prefixes(removed), "by_hand": .prefixes(byHand),
            "not_there": .prefixes(notThere), "still_there": .prefixes(stillThere),
            "in_force": .bool(isInForce),
        ]
    }
}
