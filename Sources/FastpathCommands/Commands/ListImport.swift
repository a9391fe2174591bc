// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct ListImport<List: ListTag>: EdgeCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "import",
            abstract: "Add the addresses of a file to the \(List.kind.listName).",
            discussion: """
                One address or prefix a line; '#' starts a comment, blank lines are skipped. Every line that is no \
                address is named with its number and skipped. Lines that would block what must not be blocked are \
                named and left out, and the exit code is 1. Where a public map is full, what fits is kept, and the exit \
                code is 1.

                With --set, the file takes the place of what the set held: all of it at one moment.

                Examples:
                  vos-fastpath \(List.kind.rawValue) import \(List.participle).txt
                  vos-fastpath \(List.kind.rawValue) import --set feed feed.txt
                  curl -fsS https://example.org/feed.txt | vos-fastpath \(List.kind.rawValue) import -
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var file: FileArguments

    @Option(help: ArgumentHelp("Replace this set with the file.", valueName: "name"))
    var set: String?

    func validate() throws { try SetArgument.parseName(set) }

    func run(_ context: Context) throws(Failure) -> Outcome {
        try file.run(context, List.self, replacing: set)
    }
}

struct ListReplace<List: ListTag>: EdgeCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "replace",
            abstract: "Make the \(List.kind.listName) what a file says; named sets stay.",
            discussion: """
                As 'import', but what is on the list, in no set, and not in the file leaves it: all at one moment.

                Example:
                  vos-fastpath \(List.kind.rawValue) replace \(List.participle).txt
                """)
    }

    @OptionGroup var common: CommonOptions
    @OptionGroup var file: FileArguments

    func run(_ context: Context) throws(Failure) -> Outcome {
        try file.run(context, List.self, replacing: "")
    }
}

/// What `import` and `replace` have in common.
struct FileArguments: ParsableArguments {
    @OptionGroup var entries: EntryArguments

    @Flag(help: "Change nothing and fail where no interface filters.")
    var requireLoaded = false

    @Flag(help: "Take single IPv4 addresses only: what every profile enforces.")
    var addressesOnly = false

    @Argument(help: "The file; - for standard input.", completion: .file())
    var file: String

    /// `set`: nil where the file is added to the entries without one.
    func run<List: ListTag>(_ context: Context, _: List.Type, replacing set: String?) throws(Failure) -> Outcome {
        let file = ListFile(path: file)
        let list = try file.read(addressesOnly: addressesOnly)
        let progress = ListProgress(context.output)
        let now = moment()
        let options = entries.options(set: set ?? "", origin: .importFile, now: now)
        let control = try context.policyControl()
        let report: ImportReport
        do throws(Failure) {
            report =
                set == nil
                ? try control.importList(
                    list, into: List.kind, options, requireLoaded: requireLoaded, now: now, progress: progress.update)
                : try control.replace(
                    list, of: List.kind, options, requireLoaded: requireLoaded, now: now, progress: progress.update)
        } catch {
            progress.finish()
            throw error
        }
        progress.finish()
        return context.output.show(report, file: file.name, List.self)
    }
}

extension Output {
    /// `.failed` where an address found no room or was refused.
    func show<List: ListTag>(_ report: ImportReport, file: String, _: List.Type) -> Outcome {
        warnings(of: report.badLines, in: file)
        warnings(of: report.refused, in: file)
        if isJSON {
            json(report.json)
        } else {
            showDetails(report)
            // The line that block_ips_from_file.sh promises, to the letter.
            line(
                "Done: \(report.fitted) \(List.participle), \(report.badLines.count) skipped (invalid), "
                    + "\(report.notFitted.count) failed (map full)")
        }
        note(report.mending)
        note(report.growth)
        warn(of: report.gap)
        noteUnlessInForce(report.isInForce)
        if !report.refused.isEmpty {
            failure(
                Failure(
                    .usage, tried: "add every address of the file to the \(report.kind.listName)", on: file,
                    because: "\(Format.plural(report.refused.count, "line")) would block what must not be blocked; the "
                        + "warnings say which, and the rest was taken",
                    next: "Remove them from the file, or insist with --force."))
        }
        guard let shortage = report.shortage else { return report.refused.isEmpty ? .done : .failed }
        let addresses = report.fitted + report.notFitted.count
        failure(
            Failure(
                .mapFull(capacity: shortage.capacity),
                tried: "add every address of the file to the \(report.kind.listName)",
                on: file,
                because: "the list has room for \(Format.count(shortage.capacity)) entries, and "
                    + "\(Format.count(report.notFitted.count)) of \(Format.count(addresses)) addresses found none",
                next: "\(shortage.advice)\nThen import the file again."))
        return .failed
    }

    private func showDetails(_ report: ImportReport) {
        var parts: [String] = []
        if report.added > 0 { parts.append("\(Format.count(report.added)) new") }
        if report.byHand > 0 { parts.append("\(Format.count(report.byHand)) written by hand before") }
        if report.changed > 0 { parts.append("\(Format.count(report.changed)) with another time or comment") }
        if report.alreadyThere > 0 { parts.append("\(Format.count(report.alreadyThere)) there already") }
        if report.removed > 0 { parts.append("\(Format.count(report.removed)) removed") }
        if report.leftOut > 0 { parts.append("\(Format.count(report.leftOut)) private left out") }
        if !report.refused.isEmpty { parts.append("\(Format.count(report.refused.count)) refused") }
        if report.duplicates > 0 { parts.append(Format.plural(report.duplicates, "repeated line")) }
        if !parts.isEmpty { line("Addresses: \(parts.joined(separator: ", "))") }
    }
}

extension ImportReport {
    var json: JSONValue {
        [
            "list": .string(kind.rawValue), "added": .number(added), "by_hand": .number(byHand),
            "changed": .number(changed), "already_there": .number(alreadyThere), "removed": .number(removed),
            "left_out": .number(leftOut), "duplicates": .number(duplicates),
            "invalid": .array(
                badLines.map { ["line": .number($0.number), "text": .string($0.text), "reason": .string($0.reason)] }),
            "refused": .array(
                refused.map {
                    [
                        "line": .number($0.number), "address": .string($0.prefix.description),
                        "reason": .string($0.refusal.reason(for: $0.prefix)),
                    ]
                }),
            "not_fitted": .prefixes(notFitted), "capacity": shortage.map { .number($0.capacity) } ?? .null,
            "in_force": .bool(isInForce), "not_enforced": gap?.json ?? .null, "table": growth?.json ?? .null,
        ]
    }
}
