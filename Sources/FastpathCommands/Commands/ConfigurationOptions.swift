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

    @Option(
        help: ArgumentHelp(
            "What a stranger may send: \(RequestClass.allCases.map(\.name).joined(separator: ", ")) or "
                + "\(LimitKey.budget) (all strangers together), =COUNT/s, /m or /h, then :BURST. May be repeated.",
            valueName: "name=rate"),
        transform: LimitChoice.init)
    var limit: [LimitChoice] = []

    @Flag(help: "Drop nothing: count what would be dropped, and let it pass. See 'report'.")
    var dryRun = false

    @Option(
        help: ArgumentHelp(
            "Put one rule into dry run: \(Reason.droppable.map(\.name).joined(separator: ", ")). May be repeated.",
            valueName: "rule"),
        transform: DryRunChoice.init)
    var dryRunRule: [DryRunChoice] = []

    @Option(
        help: ArgumentHelp(
            "Read blocked_ips and allowed_ips as well, so that edits with bpftool count (default: on). Off saves two "
                + "look-ups a packet; the maps are frozen.", valueName: "on|off"))
    var liveMaps: OnOff?

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
        var said = Configuration(
            profile: profile, switches: Dictionary(`switch`.map { ($0.filterSwitch, $0.isOn) }) { $1 },
            ports: port.isEmpty ? nil : Set(port.compactMap { UInt16(exactly: $0) }), firstLineLimit: firstLineLimit,
            hasLiveMaps: liveMaps.map { $0 == .on })
        for choice in limit {
            if let requests = choice.requests {
                said.limits[requests] = choice.limit
            } else {
                said.budget = choice.limit
            }
        }
        if dryRun {
            said.dryRun = Set(Reason.droppable)
        } else if !dryRunRule.isEmpty {
            said.dryRun = dryRunRule.reduce(into: []) { $0.formUnion($1.rules) }
        }
        return said
    }

    /// The file to read: the one that is named, else the default one where it is there.
    func file(_ instance: Instance) -> ConfigurationFile {
        ConfigurationFile(path: config ?? instance.configurationPath, isNamed: config != nil)
    }

    /// What `up` loads without a word on the command line. Throws for a bad file.
    static func defaults(_ instance: Instance) throws(Failure) -> FilterSettings {
        try ConfigurationFile(path: instance.configurationPath, isNamed: false).read().settings
    }

    /// All that was said, on the command line and in the file. Throws for a bad file.
    func all(_ instance: Instance) throws(Failure) -> Configuration { try fromCommandLine.over(file(instance).read()) }

    /// What the program is to be loaded with. Throws for a bad file, whatever the command line says.
    func settings(_ instance: Instance) throws(Failure) -> FilterSettings { try checked(instance).settings }

    /// All that was said. Throws too for what has no effect.
    func checked(_ instance: Instance) throws(Failure) -> Configuration {
        let all = try all(instance)
        if let idle = fromCommandLine.idleValue(in: all.settings) {
            throw Failure(
                .usage, tried: "read the command line", on: idle.key.rawValue,
                because: "it has no effect while the switch \(idle.needs.name) is off",
                next: "Turn it on: --switch \(idle.needs.name)=on. Or leave it out.")
        }
        return all
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

enum OnOff: String, ExpressibleByArgument, CaseIterable { case on, off }

/// The value of `--limit`: `register=5/s:20`.
struct LimitChoice: Sendable {
    /// Nil for the budget.
    var requests: RequestClass?
    var limit: RateLimit

    init(_ text: String) throws {
        let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(parts[0])
        requests = RequestClass.allCases.first { $0.name == name }
        let names = (RequestClass.allCases.map(\.name) + [LimitKey.budget]).joined(separator: ", ")
        guard parts.count == 2, requests != nil || name == LimitKey.budget else {
            throw ValidationError("--limit takes NAME=RATE with a name of \(names); not '\(text)'")
        }
        let scope: RateLimit.Scope = requests == nil ? .budget : .source
        guard let limit = RateLimit(parts[1], scope: scope) else {
            throw ValidationError("--limit \(name) takes \(RateLimit.allowed(scope)); not '\(parts[1])'")
        }
        self.limit = limit
    }
}

/// The value of `--dry-run-rule`.
struct DryRunChoice: Sendable {
    var rules: Set<Reason>

    init(_ text: String) throws {
        guard let rules = Set(dryRun: text) else {
            let names = Reason.droppable.map(\.name).joined(separator: ", ")
            throw ValidationError("--dry-run-rule: there is no rule '\(text)'; there are \(names)")
        }
        self.rules = rules
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
            ConfigurationTable.limits.rawValue: limitsJSON, ConfigurationKey.liveMaps.rawValue: .bool(hasLiveMaps),
            ConfigurationKey.dryRun.rawValue: .array(dryRunNames.map { .string($0) }),
        ]
    }

    private var limitsJSON: JSONValue {
        let rows = RequestClass.allCases.map { ($0.name, limits[$0]) } + [(LimitKey.budget, budget)]
        return .object(rows.map { .init(key: $0, value: $1.map { .string("\($0)") } ?? .null) })
    }

    private var portsJSON: JSONValue { .array(ports.sorted().map { .number($0) }) }

    private var limitJSON: JSONValue { isOn(.firstLine) ? .number(firstLineLimit) : .null }
}
