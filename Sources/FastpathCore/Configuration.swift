// SPDX-License-Identifier: Apache-2.0

/// A key of the configuration outside of its tables: in the file, in JSON and in messages.
public enum ConfigurationKey: String, Hashable, Sendable, CaseIterable {
    case profile
    case ports
    case firstLineLimit = "first_line_limit"
    case liveMaps = "live_maps"
    case dryRun = "dry_run"
    case policyMemory = "policy_memory"
    case maxBlockShare = "max_block_share"
}

/// Words of the configuration that are no names of something else.
public enum LimitKey {
    /// In the table of limits: what all strangers together may send.
    public static let budget = "budget"
    /// In a list of rules: all of them.
    public static let all = "all"
}

/// A table of the configuration file.
public enum ConfigurationTable: String, Hashable, Sendable, CaseIterable {
    /// A key for each ``FilterSwitch``, by its name.
    case switches
    /// A key for each ``RequestClass``, by its name, and ``LimitKey/budget``.
    case limits
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
    public var limits: [RequestClass: RateLimit]
    public var budget: RateLimit?
    /// Reasons whose rules drop nothing.
    public var dryRun: Set<Reason>?
    /// Do edits of the public maps by hand count?
    public var hasLiveMaps: Bool?
    /// Bytes that the policy table may take.
    public var policyMemory: Int?
    /// The largest part of the address space that a block list may cover without being told to: 0 to 1.
    public var maxBlockShare: Double?

    /// MiB; of ``policyMemory``.
    public static let policyMemories = 16...65_536
    /// 512 MiB.
    public static let defaultPolicyMemory = 512 << 20
    /// An IPv4 /8, or as much of IPv6.
    public static let defaultMaxBlockShare = 1.0 / 256

    public init(
        profile: Profile? = nil, switches: [FilterSwitch: Bool] = [:], ports: Set<UInt16>? = nil,
        firstLineLimit: Int? = nil, limits: [RequestClass: RateLimit] = [:], budget: RateLimit? = nil,
        dryRun: Set<Reason>? = nil, hasLiveMaps: Bool? = nil, policyMemory: Int? = nil, maxBlockShare: Double? = nil
    ) {
        self.profile = profile
        self.switches = switches
        self.ports = ports
        self.firstLineLimit = firstLineLimit
        self.limits = limits
        self.budget = budget
        self.dryRun = dryRun
        self.hasLiveMaps = hasLiveMaps
        self.policyMemory = policyMemory
        self.maxBlockShare = maxBlockShare
    }

    /// Exactly these rules.
    public init(_ settings: FilterSettings) {
        self.init(profile: settings.nearestProfile)
        for filterSwitch in FilterSwitch.allCases { switches[filterSwitch] = settings.isOn(filterSwitch) }
        if settings.isOn(.ports) { ports = settings.ports }
        if settings.isOn(.firstLine) { firstLineLimit = settings.firstLineLimit }
        limits = settings.limits
        budget = settings.budget
        dryRun = settings.dryRun
        hasLiveMaps = settings.hasLiveMaps
    }

    /// This, and below it what `lower` says. Rules that are set by themselves go with the profile beside them: a profile
    /// that is chosen here is taken as it is, without the changes that `lower` makes to another.
    public func over(_ lower: Configuration) -> Configuration {
        var lower = lower
        if profile != nil { lower = lower.withoutRules }
        return Configuration(
            profile: profile ?? lower.profile, switches: lower.switches.merging(switches) { $1 },
            ports: ports ?? lower.ports, firstLineLimit: firstLineLimit ?? lower.firstLineLimit,
            limits: lower.limits.merging(limits) { $1 }, budget: budget ?? lower.budget, dryRun: dryRun ?? lower.dryRun,
            hasLiveMaps: hasLiveMaps ?? lower.hasLiveMaps, policyMemory: policyMemory ?? lower.policyMemory,
            maxBlockShare: maxBlockShare ?? lower.maxBlockShare)
    }

    /// Without what a program is loaded with.
    private var withoutRules: Configuration {
        Configuration(policyMemory: policyMemory, maxBlockShare: maxBlockShare)
    }

    /// What the program is loaded with.
    public var settings: FilterSettings {
        var settings = (profile ?? .default).settings
        for (filterSwitch, isOn) in switches {
            if isOn { settings.switches.insert(filterSwitch) } else { settings.switches.remove(filterSwitch) }
        }
        if let ports { settings.ports = ports }
        if let firstLineLimit { settings.firstLineLimit = firstLineLimit }
        settings.limits = limits
        settings.budget = budget
        settings.dryRun = dryRun ?? []
        settings.hasLiveMaps = hasLiveMaps ?? true
        return settings.normalized
    }

    /// A value that is said here and has no effect: its switch is off in `settings`, which this is a part of.
    public func idleValue(in settings: FilterSettings) -> (key: ConfigurationKey, needs: FilterSwitch)? {
        if ports != nil, !settings.isOn(.ports) { return (.ports, .ports) }
        if firstLineLimit != nil, !settings.isOn(.firstLine) { return (.firstLineLimit, .firstLine) }
        if hasLiveMaps == false, !settings.isOn(.policy) { return (.liveMaps, .policy) }
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
