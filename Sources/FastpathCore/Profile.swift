// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// A set of rules that the program can be loaded with: the defaults that a ``Configuration`` starts from.
public enum Profile: String, Hashable, Sendable, CaseIterable {
    /// The table of specs/SPEC-BPF.md, to the letter: what a raw load gets.
    case classic
    /// For an operator with real trunks: every switch is on.
    case carrier

    /// What `up` takes where nobody says.
    public static let `default` = Profile.carrier

    /// What the program is loaded with where nothing is set by itself.
    public var settings: FilterSettings { self == .classic ? .classic : .carrier }
}

extension FilterSettings {
    /// The same rules, written in one way: what a switch that is off makes irrelevant has its default.
    public var normalized: FilterSettings {
        var settings = self
        if !isOn(.ports) { settings.ports = FilterSettings.classic.ports }
        if !isOn(.firstLine) { settings.firstLineLimit = FilterSettings.classic.firstLineLimit }
        if !isOn(.policy) { settings.hasLiveMaps = true }
        return settings
    }

    /// What a loaded program holds, or nil where it holds what this version does not know: switches or a limit of
    /// another version.
    public init?(abi: fastpath_settings) {
        let known = FilterSwitch.allCases.reduce(UInt64(Self.derivedBits)) { $0 | $1.bit }
        guard abi.switches & ~known == 0 else { return nil }
        self.init(switches: Set(FilterSwitch.allCases.filter { abi.switches & $0.bit != 0 }))
        if isOn(.firstLine) {
            firstLineLimit = Int(abi.first_line_limit)
            guard Self.firstLineLimits.contains(firstLineLimit) else { return nil }
        }
        hasLiveMaps = abi.switches & UInt64(FASTPATH_SWITCH_FROZEN_MAPS.rawValue) == 0
        dryRun = Set(Reason.droppable.filter { abi.dry_run >> $0.id & 1 == 1 })
        withUnsafeBytes(of: abi.limits) { bytes in
            let all = bytes.bindMemory(to: fastpath_limit.self)
            for requests in RequestClass.allCases {
                limits[requests] = RateLimit(abi: all[requests.index], scope: .source)
            }
        }
        budget = RateLimit(abi: abi.budget, scope: .budget)
        if isOn(.ports) {
            ports = withUnsafeBytes(of: abi.ports) { bytes in
                let words = bytes.bindMemory(to: UInt64.self)
                return Set((0...UInt16.max).filter { words[Int($0 >> 6)] >> UInt64($0 & 63) & 1 == 1 })
            }
        }
    }

    /// Bits beside the switches, which follow from other settings.
    private static let derivedBits =
        FASTPATH_SWITCH_FROZEN_MAPS.rawValue | FASTPATH_SWITCH_LIMITS.rawValue | FASTPATH_SWITCH_DRY_RUN.rawValue

    /// Bytes of `fastpath_settings`, as a map holds them.
    public init?(abi bytes: [UInt8]) {
        guard bytes.count == MemoryLayout<fastpath_settings>.size else { return nil }
        self.init(abi: bytes.withUnsafeBytes { $0.loadUnaligned(as: fastpath_settings.self) })
    }

    /// The profile that these rules differ from in the fewest switches.
    public var nearestProfile: Profile {
        let on = switches.count
        return on * 2 < FilterSwitch.allCases.count ? .classic : .carrier
    }
}

extension FilterSettings: CustomStringConvertible {
    /// "classic", or "carrier, vlan off, ports 5060 5061": a profile, and what is otherwise.
    public var description: String {
        let base = nearestProfile.settings
        var words = [nearestProfile.rawValue]
        let hasPorts = isOn(.ports) && ports != base.ports
        let hasLimit = isOn(.firstLine) && firstLineLimit != base.firstLineLimit
        for filterSwitch in FilterSwitch.allCases where isOn(filterSwitch) != base.isOn(filterSwitch) {
            // What is said below says it.
            if filterSwitch == .ports && hasPorts || filterSwitch == .firstLine && hasLimit { continue }
            words.append("\(filterSwitch.name) \(isOn(filterSwitch) ? "on" : "off")")
        }
        if hasPorts { words.append("\(ConfigurationKey.ports.rawValue) \(portsText)") }
        if hasLimit { words.append("\(ConfigurationKey.firstLineLimit.rawValue) \(firstLineLimit)") }
        for requests in RequestClass.allCases {
            if let limit = limits[requests] { words.append("\(requests.name) \(limit)") }
        }
        if let budget { words.append("\(LimitKey.budget) \(budget)") }
        if !hasLiveMaps { words.append("\(ConfigurationKey.liveMaps.rawValue) false") }
        if !dryRun.isEmpty {
            words.append("dry run" + (isDryRunOfAll ? "" : " of \(dryRunNames.joined(separator: " "))"))
        }
        return words.joined(separator: ", ")
    }

    /// Does no rule drop anything?
    public var isDryRunOfAll: Bool { dryRun == Set(Reason.droppable) }

    /// In order of display.
    public var dryRunNames: [String] { Reason.droppable.filter(dryRun.contains).map(\.name) }

    /// "5060 5061": the first eight, and how many follow.
    private var portsText: String {
        let shown = ports.sorted().prefix(8).map { "\($0)" }.joined(separator: " ")
        if ports.isEmpty { return "none" }
        return ports.count > 8 ? "\(shown) and \(ports.count - 8) more" : shown
    }
}
