// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListExport<List: ListTag>: EdgeCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "export",
            abstract: "Print the addresses of the \(List.kind.listName), as 'import' reads them.",
            discussion: """
                One address or prefix a line, in order; those written by hand too, unless a set is named. Comments and \
                times are not exported.

                Example:
                  vos-fastpath \(List.kind.rawValue) export > \(List.participle).txt
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var set: SetArgument

    func run(_ context: Context) throws(Failure) -> Outcome {
        let listing = try context.policyControl().list(List.kind, set: set.set, now: moment())
        context.output.noteChange(listing)
        let prefixes = listing.prefixes
        guard !context.output.isJSON else {
            context.output.json(.prefixes(prefixes))
            return .done
        }
        for prefix in prefixes { context.output.line(prefix.description) }
        return .done
    }
}
