// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore

/// A manual page of section 8, in the language of mdoc(7).
struct ManualPage {
    /// `vos-fastpath-up`; the file's name is this and `.8`.
    let name: String
    let source: String

    /// One page for the tool, one for each of its commands; commands within a command are on its page.
    /// `date` as mdoc wants it: `November 20, 2026`.
    static func pages(of tool: CommandDescription, version: String, date: String) -> [ManualPage] {
        let names = tool.subcommands.map { "\(tool.name)-\($0.name)" }
        let head = ManualPage(
            name: tool.name,
            writer: MdocWriter.page(tool, [], name: tool.name, version: version, date: date, others: names))
        return [head]
            + tool.subcommands.map { command in
                let name = "\(tool.name)-\(command.name)"
                return ManualPage(
                    name: name,
                    writer: MdocWriter.page(
                        command, [tool.name], name: name, version: version, date: date, others: [tool.name]))
            }
    }

    private init(name: String, writer: MdocWriter) {
        self.name = name
        source = writer.text
    }
}

private struct MdocWriter {
    private(set) var text = ""

    static func page(
        _ command: CommandDescription, _ parents: [String], name: String, version: String, date: String,
        others: [String]
    ) -> MdocWriter {
        var writer = MdocWriter()
        writer.line(".\\\" SPDX-License-Identifier: Apache-2.0")
        writer.line(".\\\" Made from the command's own description; do not edit.")
        writer.line(".Dd \(date)")
        writer.line(".Dt \(name.uppercased()) 8")
        writer.line(".Os vos-fastpath \(version)")
        writer.line(".Sh NAME")
        writer.line(".Nm \(name)")
        writer.line(".Nd \(plain(command.abstract))")
        let path = parents + [command.name]
        writer.line(".Sh SYNOPSIS")
        if command.subcommands.isEmpty || parents.isEmpty {
            writer.synopsis(command, path)
        }
        for subcommand in command.subcommands where !parents.isEmpty {
            writer.synopsis(subcommand, path + [subcommand.name])
        }
        writer.line(".Sh DESCRIPTION")
        writer.prose(command.abstract)
        writer.discussion(command.discussion)
        writer.arguments(command.arguments)
        writer.commands(command, isTool: parents.isEmpty)
        writer.commonSections(others)
        return writer
    }

    private mutating func line(_ text: String) { self.text += text + "\n" }

    private mutating func synopsis(_ command: CommandDescription, _ path: [String]) {
        line(".Nm \(path.joined(separator: " "))")
        if !command.subcommands.isEmpty {
            line(".Ar command")
            line(".Op Ar arguments ...")
            return
        }
        let helpers: Set<String> = ["--help", "--version"]
        for argument in command.arguments where helpers.isDisjoint(with: argument.names) {
            let more = argument.isRepeating ? " ..." : ""
            let word =
                switch argument.kind {
                // `Fl -` brings two dashes.
                case .positional: "\(argument.isBehindMark ? "Fl - " : "")Ar \(argument.valueName)\(more)"
                case .option: "\(flag(argument.names.last ?? "")) Ar \(argument.valueName)\(more)"
                case .flag: flag(argument.names.last ?? "")
                }
            line(argument.isOptional ? ".Op \(word)" : ".\(word)")
        }
    }

    /// `--json` is written `Fl -json`: the macro brings one dash.
    private func flag(_ name: String) -> String { "Fl \(name.dropFirst())" }

    /// Paragraphs; lines that begin with two blanks are shown as they are.
    private mutating func discussion(_ text: String) {
        var isLiteral = false
        var isNewParagraph = true
        for part in text.split(separator: "\n", omittingEmptySubsequences: false) {
            let wantsLiteral = part.hasPrefix("  ") || (isLiteral && part.isEmpty)
            if wantsLiteral != isLiteral {
                line(wantsLiteral ? ".Bd -literal -offset indent" : ".Ed")
                isLiteral = wantsLiteral
                isNewParagraph = !wantsLiteral
            }
            if isLiteral {
                line(escaped(part.dropFirst(2)))
            } else if part.isEmpty {
                isNewParagraph = true
            } else {
                if isNewParagraph { line(".Pp") }
                isNewParagraph = false
                prose(String(part))
            }
        }
        if isLiteral { line(".Ed") }
    }

    private mutating func arguments(_ arguments: [CommandDescription.Argument]) {
        guard !arguments.isEmpty else { return }
        line(".Bl -tag -width Ds")
        for argument in arguments {
            let value = " Ar \(argument.valueName)"
            switch argument.kind {
            case .positional: line(".It Ar \(argument.valueName)")
            case .option: line(".It " + argument.names.map { flag($0) + value }.joined(separator: " , "))
            case .flag: line(".It " + argument.names.map { flag($0) }.joined(separator: " , "))
            }
            prose(argument.abstract)
            if !argument.allValues.isEmpty { prose("One of \(argument.allValues.joined(separator: ", ")).") }
            if let value = argument.defaultValue { prose("Default: \(value).") }
        }
        line(".El")
    }

    private mutating func commands(_ command: CommandDescription, isTool: Bool) {
        guard !command.subcommands.isEmpty else { return }
        line(".Sh COMMANDS")
        if isTool {
            line(".Bl -tag -width Ds")
            for subcommand in command.subcommands {
                line(".It Xr \(command.name)-\(subcommand.name) 8")
                prose(subcommand.abstract)
            }
            line(".El")
            return
        }
        for subcommand in command.subcommands {
            line(".Ss \(command.name) \(subcommand.name)")
            prose(subcommand.abstract)
            discussion(subcommand.discussion)
            arguments(subcommand.arguments.filter { !$0.names.contains("--help") && !$0.names.contains("--version") })
        }
    }

    /// The same on every page.
    private mutating func commonSections(_ others: [String]) {
        let instance = Instance.default
        line(".Sh EXIT STATUS")
        line(".Bl -tag -width Ds")
        for (code, meaning) in [
            ("0", "Done."), ("1", "Failed; standard error says what, why, and what to do."), ("64", "Wrong usage."),
            ("128 + N", "A command on a lab was interrupted by signal N, and has removed what it built."),
        ] {
            line(".It \(code)")
            prose(meaning)
        }
        line(".El")
        line(".Sh ENVIRONMENT")
        line(".Bl -tag -width Ds")
        line(".It Ev \(Instance.environmentVariable)")
        prose("The instance to work on, where --instance does not say.")
        line(".It Ev \(FileLock.timeoutVariable)")
        prose(
            "Seconds to wait while another command changes something; without it \(FileLock.defaultTimeout / 1_000).")
        line(".It Ev NO_COLOR")
        prose("Where it is set and not empty, no colours.")
        line(".El")
        line(".Sh FILES")
        line(".Bl -tag -width Ds")
        for (path, meaning) in [
            (instance.databasePath, "The record of the lists."), (instance.pinRoot, "Pins of programs and maps."),
            (instance.lockPath, "Held while a command changes something."),
        ] {
            line(".It Pa \(path)")
            prose(meaning)
        }
        line(".El")
        line(".Sh SEE ALSO")
        for (index, other) in others.enumerated() {
            line(".Xr \(other) 8" + (index + 1 < others.count ? " ," : ""))
        }
    }

    /// One sentence a line, as mdoc(7) asks; that of an abbreviation does not occur in our texts.
    private mutating func prose(_ text: String) {
        var sentence = ""
        for word in text.split(separator: " ") {
            sentence += (sentence.isEmpty ? "" : " ") + word
            if word.hasSuffix(".") || word.hasSuffix(":") {
                line(Self.escaped(sentence))
                sentence = ""
            }
        }
        if !sentence.isEmpty { line(Self.escaped(sentence)) }
    }

    private func escaped(_ text: some StringProtocol) -> String { Self.escaped(text) }

    /// Backslashes and dashes speak to the formatter; so do a dot and an apostrophe that begin a line. What is not
    /// ASCII is named by its number, as every formatter understands.
    private static func escaped(_ text: some StringProtocol) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\e"
            case "-": result += "\\-"
            case _ where scalar.isASCII: result.unicodeScalars.append(scalar)
            default:
                let digits = String(scalar.value, radix: 16, uppercase: true)
                result += "\\[u" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits + "]"
            }
        }
        return result.hasPrefix(".") || result.hasPrefix("'") ? "\\&" + result : result
    }

    /// An abstract without its full stop.
    private static func plain(_ text: String) -> String {
        escaped(text.hasSuffix(".") ? text.dropLast() : text[...])
    }
}
