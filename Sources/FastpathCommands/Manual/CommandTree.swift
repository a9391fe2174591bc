// SPDX-License-Identifier: Apache-2.0

/// A command as the parser knows it: what help, completion and manual are made from.
struct CommandDescription {
    struct Argument {
        enum Kind {
            case positional
            case option
            case flag
        }

        var kind: Kind
        /// With their dashes: `-h`, `--help`. None for a positional argument.
        var names: [String]
        var valueName: String
        var abstract: String
        var isOptional: Bool
        var isRepeating: Bool
        /// Does it stand behind `--`, which cannot be left out?
        var isBehindMark: Bool
        var defaultValue: String?
        var allValues: [String]
    }

    var name: String
    var abstract: String
    var discussion: String
    var arguments: [Argument]
    var subcommands: [CommandDescription]

    /// From the parser's own description of the tree; nil where it is not what the parser of this build writes.
    init?(toolInfo text: String) {
        guard let document = try? JSONValue(parsing: text), let command = document["command"] else { return nil }
        self.init(command)
    }

    private init?(_ command: JSONValue) {
        guard let name = command["commandName"]?.text, command["shouldDisplay"] != .bool(false) else { return nil }
        self.name = name
        abstract = command["abstract"]?.text ?? ""
        discussion = command["discussion"]?.text ?? ""
        arguments = (command["arguments"]?.elements ?? []).compactMap(Argument.init)
        // The parser's own `help` command says nothing that a manual does not say.
        subcommands = (command["subcommands"]?.elements ?? []).compactMap(Self.init).filter { $0.name != "help" }
    }
}

extension CommandDescription.Argument {
    fileprivate init?(_ argument: JSONValue) {
        guard argument["shouldDisplay"] != .bool(false), let valueName = argument["valueName"]?.text else { return nil }
        switch argument["kind"]?.text {
        case "positional": kind = .positional
        case "option": kind = .option
        case "flag": kind = .flag
        default: return nil
        }
        names = (argument["names"]?.elements ?? []).compactMap { name in
            name["name"]?.text.map { (name["kind"]?.text == "long" ? "--" : "-") + $0 }
        }
        self.valueName = valueName
        abstract = argument["abstract"]?.text ?? ""
        isBehindMark = argument["parsingStrategy"] == "postTerminator"
        isOptional = argument["isOptional"] == .bool(true) && !isBehindMark
        isRepeating = argument["isRepeating"] == .bool(true)
        defaultValue = argument["defaultValue"]?.text
        allValues = (argument["allValues"]?.elements ?? []).compactMap(\.text)
    }
}
