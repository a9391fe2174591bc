// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// A rule beyond profile `classic`: a row of `FASTPATH_SWITCHES` in `fastpath_abi.h`.
public struct FilterSwitch: Hashable, Sendable, CaseIterable {
    /// One bit, as the program tests it.
    public let bit: UInt64
    /// The name in the configuration and on the command line.
    public let name: String
    /// What it does, for a person.
    public let sentence: String

    /// All of them, in order of the ABI.
    public static let allCases: [FilterSwitch] = (0...).lazy.map { fastpath_switch_row($0) }.prefix { $0 != nil }
        .compactMap { $0?.pointee }.map(FilterSwitch.init(row:))

    public static let ipv6 = row(FASTPATH_SWITCH_IPV6)
    public static let vlan = row(FASTPATH_SWITCH_VLAN)
    public static let ports = row(FASTPATH_SWITCH_PORTS)
    public static let firstLine = row(FASTPATH_SWITCH_FIRST_LINE)
    public static let keepalives = row(FASTPATH_SWITCH_KEEPALIVES)
    public static let evasion = row(FASTPATH_SWITCH_EVASION)
    public static let fragments = row(FASTPATH_SWITCH_FRAGMENTS)
    public static let versions = row(FASTPATH_SWITCH_VERSIONS)
    public static let policy = row(FASTPATH_SWITCH_POLICY)
    public static let events = row(FASTPATH_SWITCH_EVENTS)
    public static let consumers = row(FASTPATH_SWITCH_CONSUMERS)

    /// Those whose absence the program notices: it counts the SIP that passes unfiltered for it.
    public static let observed: [FilterSwitch] = [.ipv6, .vlan, .ports]

    private init(row: fastpath_switch_info) {
        bit = row.bit
        name = String(cString: row.name)
        sentence = String(cString: row.sentence)
    }

    private static func row(_ value: fastpath_switch) -> FilterSwitch {
        for found in allCases where found.bit == UInt64(value.rawValue) { return found }
        preconditionFailure("fastpath_abi.h has no row for switch \(value.rawValue)")
    }
}

/// What the program is loaded with: `struct fastpath_settings` in `fastpath_abi.h`.
public struct FilterSettings: Hashable, Sendable {
    public var switches: Set<FilterSwitch>
    /// UDP destination ports, where ``FilterSwitch/ports`` is on.
    public var ports: Set<UInt16>
    /// Bytes of a first line in which SIP/2.0 must stand, where ``FilterSwitch/firstLine`` is on: in ``firstLineLimits``.
    public var firstLineLimit: Int
    /// What each stranger may send, by class of requests; a class that is missing has no limit.
    public var limits: [RequestClass: RateLimit]
    /// What all strangers together may send.
    public var budget: RateLimit?
    /// Reasons whose rules count what they would drop, and let it pass.
    public var dryRun: Set<Reason>
    /// Are `blocked_ips` and `allowed_ips` read, so that an edit by hand counts? Without ``FilterSwitch/policy`` they are.
    public var hasLiveMaps: Bool

    public static let firstLineLimits = Int(FASTPATH_WINDOW_LENGTH)...Int(FASTPATH_FIRST_LINE_LIMIT)

    public init(
        switches: Set<FilterSwitch> = [], ports: Set<UInt16> = [UInt16(FASTPATH_SIP_PORT)],
        firstLineLimit: Int = Int(FASTPATH_FIRST_LINE_LIMIT), limits: [RequestClass: RateLimit] = [:],
        budget: RateLimit? = nil, dryRun: Set<Reason> = [], hasLiveMaps: Bool = true
    ) {
        self.switches = switches
        self.ports = ports
        self.firstLineLimit = firstLineLimit
        self.limits = limits
        self.budget = budget
        self.dryRun = dryRun
        self.hasLiveMaps = hasLiveMaps
    }

    /// The table of specs/SPEC-BPF.md, to the letter.
    public static let classic = FilterSettings()
    /// All switches on.
    public static let carrier = FilterSettings(switches: Set(FilterSwitch.allCases))

    public func isOn(_ filterSwitch: FilterSwitch) -> Bool { switches.contains(filterSwitch) }

    /// Does the program do what profile `classic` says, and nothing else?
    public var isClassic: Bool { switches.isEmpty && hasLiveMaps && !hasLimits && dryRun.isEmpty }

    /// Is there a limit or a budget?
    public var hasLimits: Bool { !limits.isEmpty || budget != nil }

    /// As the program reads it. `secret`: of the hash by which sources are told apart; whoever does not know it cannot
    /// choose sources that meet.
    public func abi(secret: UInt64) -> fastpath_settings {
        var settings = fastpath_settings()
        settings.switches = switches.reduce(0) { $0 | $1.bit }
        if !hasLiveMaps { settings.switches |= UInt64(FASTPATH_SWITCH_FROZEN_MAPS.rawValue) }
        if hasLimits { settings.switches |= UInt64(FASTPATH_SWITCH_LIMITS.rawValue) }
        if !dryRun.isEmpty { settings.switches |= UInt64(FASTPATH_SWITCH_DRY_RUN.rawValue) }
        settings.first_line_limit = UInt32(firstLineLimit)
        settings.dry_run = dryRun.reduce(0) { $0 | 1 << $1.id }
        settings.secret = hasLimits ? secret : 0
        withUnsafeMutableBytes(of: &settings.limits) { bytes in
            let limits = bytes.bindMemory(to: fastpath_limit.self)
            for (requests, limit) in self.limits { limits[requests.index] = limit.abi(.source) }
        }
        if let budget { settings.budget = budget.abi(.budget) }
        withUnsafeMutableBytes(of: &settings.ports) { bytes in
            let words = bytes.bindMemory(to: UInt64.self)
            for port in ports { words[Int(port >> 6)] |= 1 << UInt64(port & 63) }
        }
        return settings
    }
}
