// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel
import Glibc

/// Options of the commands that need to know which rules apply. The command line wins over the file, the file over
/// the profile.
struct ConfigurationOptions: ParsableArguments {
    @Option(
        help: ArgumentHelp(
            "The configuration file (default: \(Instance.default.configurationPath), where there is one).",
            valueName: "file"),
        completion: .file(extensions: ["toml"]))
    var config: String?

    @Option(
        help: ArgumentHelp(
            "Where the rules begin (default: \(Profile.default.rawValue)). A profile that is given here is taken as it "
                + "is: the file's profile, switches, ports and limit are left aside."))
    var profile: Profile?

    @Option(
        help: ArgumentHelp(
            "Turn a switch on or off: \(FilterSwitch.allCases.map(\.name).joined(separator: ", ")). May be repeated.",
            valueName: "name=on|off"),
        transform: SwitchChoice.init)
    var `switch`: [SwitchChoice] = []

    @Option(
        help: ArgumentHelp("A UDP destination port to filter, in place of the others. May be repeated.", valueName: "n")
    )
    var port: [Int] = []

    @Option(
        help: ArgumentHelp(
            "Bytes of a first line, \(FilterSettings.firstLineLimits.lowerBound) to "
                + "\(FilterSettings.firstLineLimits.upperBound), in which SIP/2.0 must stand.", valueName: "n"))
    var firstLineLimit: Int?

    func validate() throws {
        if port.contains(where: { UInt16(exactly: $0) ?? 0 == 0 }) {
            throw ValidationError("--port must be from 1 to \(UInt16.max)")
        }
        let limits = FilterSettings.firstLineLimits
        if let firstLineLimit, !limits.contains(firstLineLimit) {
            throw ValidationError("--first-line-limit must be from \(limits.lowerBound) to \(limits.upperBound)")
        }
    }

    /// Is any of them on the command line?
    var isGiven: Bool { config != nil || fromCommandLine != Configuration() }

    private var fromCommandLine: Configuration {
        Configuration(
            profile: profile, switches: Dictionary(`switch`.map { ($0.filterSwitch, $0.isOn) }) { $1 },
            ports: port.isEmpty ? nil : Set(port.compactMap { UInt16(exactly: $0) }), firstLineLimit: firstLineLimit)
    }

    /// The file to read: the one that is named, else the default one where it is there.
    func file(_ instance: Instance) -> ConfigurationFile {
        ConfigurationFile(path: config ?? instance.configurationPath, isNamed: config != nil)
    }

    /// What `up` loads without a word on the command line. Throws for a bad file.
    static func defaults(_ instance: Instance) throws(Failure) -> FilterSettings {
        try ConfigurationFile(path: instance.configurationPath, isNamed: false).read().settings
    }

    /// What the program is to be loaded with. Throws for a bad file, whatever the command line says.
    func settings(_ instance: Instance) throws(Failure) -> FilterSettings {
        let settings = try fromCommandLine.over(file(instance).read()).settings
        if let idle = fromCommandLine.idleValue(in: settings) {
            throw Failure(
                .usage, tried: "read the command line", on: idle.key.rawValue,
                because: "it has no effect while the switch \(idle.needs.name) is off",
                next: "Turn it on: --switch \(idle.needs.name)=on. Or leave it out.")
        }
        return settings
    }
}

/// A configuration file, which need not be there unless somebody named it.
struct ConfigurationFile {
    var path: String
    var isNamed: Bool

    /// Is there something to read?
    var isThere: Bool { access(path, F_OK) == 0 }

    /// What it says; nothing where it is not there and nobody named it.
    func read() throws(Failure) -> Configuration {
        if !isNamed, !isThere, errno == ENOENT || errno == ENOTDIR { return Configuration() }
        return try Configuration(parsing: readFile(path), name: path)
    }
}

/// The value of `--switch`: `vlan=off`.
struct SwitchChoice: Sendable {
    var filterSwitch: FilterSwitch
    var isOn: Bool

    init(_ text: String) throws {
        let parts = text.split(separator: "=", omittingEmptySubsequences: false)
        guard parts.count == 2, let isOn = ["on": true, "off": false][String(parts[1])] else {
            throw ValidationError("--switch takes NAME=on or NAME=off, not '\(text)'")
        }
        guard let filterSwitch = FilterSwitch(named: String(parts[0])) else {
            let names = FilterSwitch.allCases.map(\.name).joined(separator: ", ")
            throw ValidationError("--switch: there is no switch '\(parts[0])'; there are \(names)")
        }
        self.filterSwitch = filterSwitch
        self.isOn = isOn
    }
}

extension Profile: ExpressibleByArgument {}

extension FilterSettings {
    /// For programs: every switch, the ports that are filtered, and the limit, which is null where its switch is off.
    var json: JSONValue {
        [
            "switches": .object(
                FilterSwitch.allCases.map { .init(key: $0.name, value: .bool(isOn($0))) }),
            ConfigurationKey.ports.rawValue: portsJSON, ConfigurationKey.firstLineLimit.rawValue: limitJSON,
        ]
    }

    private var portsJSON: JSONValue { .array(ports.sorted().map { .number($0) }) }

    private var limitJSON: JSONValue { isOn(.firstLine) ? .number(firstLineLimit) : .null }
}
