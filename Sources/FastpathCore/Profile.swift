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
        return settings
    }

    /// What a loaded program holds, or nil where it holds what this version does not know: switches or a limit of
    /// another version.
    public init?(abi: fastpath_settings) {
        let known = FilterSwitch.allCases.reduce(0) { $0 | $1.bit }
        guard abi.switches & ~known == 0 else { return nil }
        self.init(switches: Set(FilterSwitch.allCases.filter { abi.switches & $0.bit != 0 }))
        if isOn(.firstLine) {
            firstLineLimit = Int(abi.first_line_limit)
            guard Self.firstLineLimits.contains(firstLineLimit) else { return nil }
        }
        if isOn(.ports) {
            ports = withUnsafeBytes(of: abi.ports) { bytes in
                let words = bytes.bindMemory(to: UInt64.self)
                return Set((0...UInt16.max).filter { words[Int($0 >> 6)] >> UInt64($0 & 63) & 1 == 1 })
            }
        }
    }

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
        return words.joined(separator: ", ")
    }

    /// "5060 5061": the first eight, and how many follow.
    private var portsText: String {
        let shown = ports.sorted().prefix(8).map { "\($0)" }.joined(separator: " ")
        if ports.isEmpty { return "none" }
        return ports.count > 8 ? "\(shown) and \(ports.count - 8) more" : shown
    }
}
