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
                One address a line; '#' starts a comment, blank lines are skipped. Every line that is no address is \
                named with its number and skipped. Where the list is full, what fits is kept, and the exit code is 1.

                Examples:
                  vos-fastpath \(List.kind.rawValue) import \(List.participle).txt
                  curl -fsS https://example.org/feed.txt | vos-fastpath \(List.kind.rawValue) import -
                """)
    }

    @OptionGroup var common: CommonOptions

    @Flag(help: "Change nothing and fail where no interface filters.")
    var requireLoaded = false

    @Argument(help: "The file; - for standard input.", completion: .file())
    var file: String

    func run(_ context: Context) throws(Failure) -> Outcome {
        let file = ListFile(path: file)
        let list = try file.read()
        let progress = ListProgress(context.output)
        let report: ImportReport
        do throws(Failure) {
            report = try context.policyControl().importList(
                list, into: List.kind, requireLoaded: requireLoaded, now: now(), progress: progress.update)
        } catch {
            progress.finish()
            throw error
        }
        progress.finish()
        return Self.show(report, file: file.name, context.output)
    }

    /// `.failed` where an address found no room.
    static func show(_ report: ImportReport, file: String, _ output: Output) -> Outcome {
        output.warnings(of: report.badLines, in: file)
        if output.isJSON {
            output.json(report.json)
        } else {
            showDetails(report, output)
            output.line(lastLine(report))
        }
        output.note(report.mending)
        output.noteUnlessInForce(report.isInForce)
        guard let shortage = report.shortage else { return .done }
        let addresses = report.fitted + report.notFitted.count
        output.failure(
            Failure(
                .mapFull(capacity: shortage.capacity),
                tried: "add every address of the file to the \(List.kind.listName)",
                on: file,
                because: "the list has room for \(Format.count(shortage.capacity)) entries, and "
                    + "\(Format.count(report.notFitted.count)) of \(Format.count(addresses)) addresses found none",
                next: "\(shortage.advice)\nThen import the file again."))
        return .failed
    }

    private static func showDetails(_ report: ImportReport, _ output: Output) {
        var parts: [String] = []
        if report.added > 0 { parts.append("\(Format.count(report.added)) new") }
        if report.byHand > 0 { parts.append("\(Format.count(report.byHand)) written by hand before") }
        if report.alreadyThere > 0 { parts.append("\(Format.count(report.alreadyThere)) there already") }
        if report.duplicates > 0 { parts.append(Format.plural(report.duplicates, "repeated line")) }
        if !parts.isEmpty { output.line("Addresses: \(parts.joined(separator: ", "))") }
    }

    /// The line that block_ips_from_file.sh promises, to the letter.
    static func lastLine(_ report: ImportReport) -> String {
        "Done: \(report.fitted) \(List.participle), \(report.badLines.count) skipped (invalid), "
            + "\(report.notFitted.count) failed (map full)"
    }
}

extension ImportReport {
    var json: JSONValue {
        [
            "list": .string(kind.rawValue), "added": .number(added), "by_hand": .number(byHand),
            "already_there": .number(alreadyThere), "duplicates": .number(duplicates),
            "invalid": .array(
                badLines.map { ["line": .number($0.number), "text": .string($0.text), "reason": .string($0.reason)] }),
            "not_fitted": .prefixes(notFitted), "capacity": shortage.map { .number($0.capacity) } ?? .null,
            "in_force": .bool(isInForce),
        ]
    }
}
