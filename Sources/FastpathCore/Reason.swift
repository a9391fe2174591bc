// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// What becomes of a packet; the raw value is the kernel's `enum xdp_action`.
public enum Verdict: UInt32, Hashable, Sendable, CaseIterable {
    case drop = 1
    case pass = 2
    case redirect = 4

    /// `DROP`, `PASS` or `REDIRECT`.
    public var name: String {
        switch self {
        case .drop: "DROP"
        case .pass: "PASS"
        case .redirect: "REDIRECT"
        }
    }
}

/// Why a packet got its verdict: a row of `FASTPATH_REASONS` in `fastpath_abi.h`.
public struct Reason: Hashable, Sendable {
    /// The id in the program; for a counted reason its key in `xdp_counters`.
    public let id: UInt32
    /// The name in JSON, metrics and options.
    public let name: String
    /// The name in tables and in `read_xdp_stats.sh`.
    public let label: String
    /// The rule, for a person who asks why.
    public let sentence: String
    public let verdict: Verdict

    /// Packets that the program leaves alone are not counted.
    public var isCounted: Bool { id != Reason.ignored.id }

    /// All of them, in order of display.
    public static let all: [Reason] = (0...).lazy.map { fastpath_reason_row($0) }.prefix { $0 != nil }.compactMap(
        Reason.init(row:))

    /// Those with a counter, in order of display.
    public static let counted = all.filter(\.isCounted)

    /// Those whose packets are dropped: rules, each of which can be put into dry run.
    public static let droppable = all.filter { $0.verdict == .drop }

    public static let ignored = row(FASTPATH_REASON_IGNORED)
    public static let optionsDropped = row(FASTPATH_REASON_OPTIONS_DROPPED)
    public static let blocked = row(FASTPATH_REASON_BLOCKED)
    public static let malformed = row(FASTPATH_REASON_MALFORMED)
    public static let rateLimited = row(FASTPATH_REASON_RATE_LIMITED)
    public static let redirected = row(FASTPATH_REASON_REDIRECTED)
    public static let passed = row(FASTPATH_REASON_PASSED)

    private init?(row: UnsafePointer<fastpath_reason_info>?) {
        guard let row = row?.pointee, let verdict = Verdict(rawValue: row.verdict.rawValue) else { return nil }
        id = row.id
        name = String(cString: row.name)
        label = String(cString: row.label)
        sentence = String(cString: row.sentence)
        self.verdict = verdict
    }

    private static func row(_ reason: fastpath_reason) -> Reason {
        for index in UInt32(0)... {
            guard let row = fastpath_reason_row(index) else { break }
            if row.pointee.id == reason.rawValue, let found = Reason(row: row) { return found }
        }
        preconditionFailure("fastpath_abi.h has no row for reason \(reason.rawValue)")
    }
}

extension Reason: CustomStringConvertible {
    public var description: String { name }
}

/// Packets by reason; every counted reason is present, in order of display.
public struct Counters: Hashable, Sendable {
    private var packets: [UInt32: UInt64] = [:]

    public init() {}

    public subscript(_ reason: Reason) -> UInt64 {
        get { packets[reason.id, default: 0] }
        set { packets[reason.id] = newValue == 0 ? nil : newValue }
    }

    /// Every UDP packet to the SIP port: the sum over all reasons.
    public var total: UInt64 { packets.values.reduce(0, +) }

    public static func + (left: Counters, right: Counters) -> Counters {
        var sum = left
        for reason in Reason.counted { sum[reason] += right[reason] }
        return sum
    }

    /// What came since `earlier`. A counter that went back (maps made anew) counts from zero.
    public static func - (later: Counters, earlier: Counters) -> Counters {
        var difference = Counters()
        for reason in Reason.counted {
            difference[reason] = later[reason] >= earlier[reason] ? later[reason] - earlier[reason] : later[reason]
        }
        return difference
    }
}
