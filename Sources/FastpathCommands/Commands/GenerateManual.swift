// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathCore
import FastpathKernel
import Glibc

/// For the build: `make install` puts the pages where man(1) finds them.
struct GenerateManual: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate-manual",
        abstract: "Write the manual pages to a folder.",
        discussion: """
            Made from the same description as --help. The date is that of SOURCE_DATE_EPOCH where it is set.

            Example:
              vos-fastpath generate-manual build/man
            """,
        shouldDisplay: false)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The folder; it must exist.", completion: .directory)
    var folder: String

    func run(_ context: Context) throws(Failure) -> Outcome {
        let pages = try Self.pages(time: environmentVariable("SOURCE_DATE_EPOCH").flatMap { Int64($0) } ?? now())
        for page in pages { try write(page.source, to: "\(folder)/\(page.name).8") }
        if context.output.isJSON {
            context.output.json(.array(pages.map { .string("\(folder)/\($0.name).8") }))
        } else {
            context.output.line("\(Format.plural(pages.count, "page")) in \(folder)")
        }
        return .done
    }

    /// `time`: seconds since 1970-01-01 UTC.
    static func pages(time: Int64) throws(Failure) -> [ManualPage] {
        guard let tool = CommandDescription(toolInfo: VosFastpath._dumpHelp()) else {
            throw Failure(
                tried: "write the manual", on: "vos-fastpath",
                because: "the parser describes the commands in a new way",
                next: "Adapt CommandDescription to the parser's version.")
        }
        return ManualPage.pages(of: tool, version: VosFastpath.version, date: Timestamp.manual(time))
    }

    private func write(_ text: String, to path: String) throws(Failure) {
        let tried = "write a manual page"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw failure(tried, path) }
        let file = FileDescriptor(descriptor)
        let bytes = Array(text.utf8)
        guard Glibc.write(file.rawValue, bytes, bytes.count) == bytes.count else { throw failure(tried, path) }
    }

    private func failure(_ tried: String, _ path: String) -> Failure {
        let code = errno
        return Failure(
            .system(errno: code), tried: tried, on: path, because: errorText(code), next: "Make the folder first.")
    }
}
