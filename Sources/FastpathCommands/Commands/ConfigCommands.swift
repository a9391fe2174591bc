// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

struct Config: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "The configuration file: check it, show what it comes to, compare it with what runs.",
        discussion: """
            The file is \(Instance.default.configurationPath). 'up' reads it; a change takes effect with the next 'up', \
            which replaces the program in one step.

            Example:
              vos-fastpath config show > new.toml
              vos-fastpath config check new.toml
            """,
        subcommands: [ConfigCheck.self, ConfigShow.self, ConfigDiff.self])
}

struct ConfigCheck: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check a configuration file.",
        discussion: """
            Says what the file comes to, or what is wrong, in which line, and what is allowed there. Exit code 1 where \
            it is wrong. A file that is not there is wrong only where it is named.

            Example:
              vos-fastpath config check new.toml
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "The file (default: the one that 'up' reads).", completion: .file(extensions: ["toml"]))
    var file: String?

    func run(_ context: Context) throws(Failure) -> Outcome {
        let file = ConfigurationFile(path: file ?? context.instance.configurationPath, isNamed: file != nil)
        let isThere = file.isThere
        let settings = try file.read().settings
        let output = context.output
        if output.isJSON {
            output.json([
                "file": .string(file.path), "exists": .bool(isThere), "profile": .string(settings.description),
                "settings": settings.json,
            ])
        } else if isThere {
            output.line(Styled(file.path, .bold), ": ", Styled("good", .green), ": \(settings)")
        } else {
            output.line(Styled(file.path, .bold), ": there is none: \(settings)")
        }
        return .done
    }
}

struct ConfigShow: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "show",
        abstract: "Print all that 'up' would use, as a configuration file.",
        discussion: """
            Every switch and value, with the defaults filled in.

            Examples:
              vos-fastpath config show --profile classic
              vos-fastpath config show --switch vlan=off > new.toml
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var configuration: ConfigurationOptions

    func run(_ context: Context) throws(Failure) -> Outcome {
        let settings = try configuration.settings(context.instance)
        if context.output.isJSON {
            context.output.json(["profile": .string(settings.description), "settings": settings.json])
        } else {
            context.output.raw(settings.toml)
        }
        return .done
    }
}

struct ConfigDiff: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "diff",
        abstract: "Compare what 'up' would use with what an interface runs with.",
        discussion: """
            What runs is read from the kernel, whoever loaded it. Exit code 0 where both are equal, 1 where they differ.

            Example:
              vos-fastpath config diff eth0
            """)

    @OptionGroup var common: CommonOptions

    @OptionGroup var configuration: ConfigurationOptions

    @Argument(help: "The interface, by a name that 'status' shows.", completion: .interfaces)
    var iface: String

    func run(_ context: Context) throws(Failure) -> Outcome {
        let wanted = try configuration.settings(context.instance)
        guard let running = try context.edgeControl().settings(of: iface) else {
            throw Failure(
                .unsupported, tried: "compare the configuration", on: iface,
                because: "the program there was loaded with switches that this version does not know",
                next: "Replace it: vos-fastpath up \(iface)")
        }
        let differences = SettingsDifference.all(wanted: wanted, running: running)
        context.output.show(differences, iface, wanted: wanted, running: running)
        return differences.isEmpty ? .done : .failed
    }
}

/// A value that is one in the configuration and another in the program.
struct SettingsDifference: Hashable {
    var name: String
    /// "on", "5060 5061", "-" where its switch is off.
    var wanted: String
    var running: String

    static func all(wanted: FilterSettings, running: FilterSettings) -> [SettingsDifference] {
        let rows = zip(rows(wanted), rows(running))
        return rows.compactMap { wanted, running in
            wanted == running
                ? nil : SettingsDifference(name: wanted.name, wanted: wanted.value, running: running.value)
        }
    }

    private static func rows(_ settings: FilterSettings) -> [(name: String, value: String)] {
        let ports = settings.isOn(.ports) ? settings.ports.sorted().map { "\($0)" }.joined(separator: " ") : "-"
        let limit = settings.isOn(.firstLine) ? "\(settings.firstLineLimit)" : "-"
        return FilterSwitch.allCases.map {
            ("\(ConfigurationTable.switches.rawValue).\($0.name)", settings.isOn($0) ? "on" : "off")
        }
            + [(ConfigurationKey.ports.rawValue, ports), (ConfigurationKey.firstLineLimit.rawValue, limit)]
            + RequestClass.allCases.map {
                ("\(ConfigurationTable.limits.rawValue).\($0.name)", settings.limits[$0]?.description ?? "-")
            }
            + [
                ("\(ConfigurationTable.limits.rawValue).\(LimitKey.budget)", settings.budget?.description ?? "-"),
                (
                    ConfigurationKey.dryRun.rawValue,
                    settings.dryRun.isEmpty ? "-" : settings.dryRunNames.joined(separator: " ")
                ),
                (ConfigurationKey.liveMaps.rawValue, "\(settings.hasLiveMaps)"),
            ]
    }
}

extension Output {
    func show(
        _ differences: [SettingsDifference], _ interface: String, wanted: FilterSettings, running: FilterSettings
    ) {
        guard !isJSON else {
            json([
                "interface": .string(interface), "equal": .bool(differences.isEmpty),
                "configuration": wanted.json, "running": running.json,
                "differences": .array(differences.map { .string($0.name) }),
            ])
            return
        }
        guard !differences.isEmpty else {
            line(Styled(interface, .bold), Styled(": runs with the configuration: \(running)"))
            return
        }
        line(Styled(interface, .bold), Styled(": runs with \(running); the configuration says \(wanted)"))
        var table = Table([.left("SETTING"), .left("CONFIGURATION"), .left("RUNNING")], indent: 2)
        for row in differences { table.add([Styled(row.name), Styled(row.wanted), Styled(row.running)]) }
        self.table(table)
        line("  Bring it in: vos-fastpath up \(interface)")
    }
}
