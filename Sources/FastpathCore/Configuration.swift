// SPDX-License-Identifier: Apache-2.0

/// A key of the configuration outside of its tables: in the file, in JSON and in messages.
public enum ConfigurationKey: String, Hashable, Sendable, CaseIterable {
    case profile
    case ports
    case firstLineLimit = "first_line_limit"
}

/// A table of the configuration file.
public enum ConfigurationTable: String, Hashable, Sendable, CaseIterable {
    /// A key for each ``FilterSwitch``, by its name.
    case switches
}

/// What somebody said about how the edge shall be: a file, or a command line. What they did not say is nil or missing.
public struct Configuration: Hashable, Sendable {
    /// Where the rules begin.
    public var profile: Profile?
    /// Switches that are set by themselves.
    public var switches: [FilterSwitch: Bool]
    /// UDP destination ports.
    public var ports: Set<UInt16>?
    /// Bytes, of ``FilterSettings/firstLineLimits``.
    public var firstLineLimit: Int?

    public init(
        profile: Profile? = nil, switches: [FilterSwitch: Bool] = [:], ports: Set<UInt16>? = nil,
        firstLineLimit: Int? = nil
    ) {
        self.profile = profile
        self.switches = switches
        self.ports = ports
        self.firstLineLimit = firstLineLimit
    }

    /// Exactly these rules.
    public init(_ settings: FilterSettings) {
        self.init(profile: settings.nearestProfile)
        for filterSwitch in FilterSwitch.allCases { switches[filterSwitch] = settings.isOn(filterSwitch) }
        if settings.isOn(.ports) { ports = settings.ports }
        if settings.isOn(.firstLine) { firstLineLimit = settings.firstLineLimit }
    }

    /// This, and below it what `lower` says. Rules that are set by themselves go with the profile beside them: a profile
    /// that is chosen here is taken as it is, without the changes that `lower` makes to another.
    public func over(_ lower: Configuration) -> Configuration {
        var lower = lower
        if profile != nil { lower = lower.withoutRules }
        return Configuration(
            profile: profile ?? lower.profile, switches: lower.switches.merging(switches) { $1 },
            ports: ports ?? lower.ports, firstLineLimit: firstLineLimit ?? lower.firstLineLimit)
    }

    /// Without profile, switches, ports and limit.
    private var withoutRules: Configuration {
        var rest = self
        rest.profile = nil
        rest.switches = [:]
        rest.ports = nil
        rest.firstLineLimit = nil
        return rest
    }

    /// What the program is loaded with.
    public var settings: FilterSettings {
        var settings = (profile ?? .default).settings
        for (filterSwitch, isOn) in switches {
            if isOn { settings.switches.insert(filterSwitch) } else { settings.switches.remove(filterSwitch) }
        }
        if let ports { settings.ports = ports }
        if let firstLineLimit { settings.firstLineLimit = firstLineLimit }
        return settings.normalized
    }

    /// A value that is said here and has no effect: its switch is off in `settings`, which this is a part of.
    public func idleValue(in settings: FilterSettings) -> (key: ConfigurationKey, needs: FilterSwitch)? {
        if ports != nil, !settings.isOn(.ports) { return (.ports, .ports) }
        if firstLineLimit != nil, !settings.isOn(.firstLine) { return (.firstLineLimit, .firstLine) }
        return nil
    }
}

extension FilterSwitch {
    /// The switch with a name, or nil.
    public init?(named name: String) {
        guard let found = FilterSwitch.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }
}
