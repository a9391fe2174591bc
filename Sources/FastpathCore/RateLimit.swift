// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// A class of requests that has a limit of its own: a row of `FASTPATH_CLASSES` in `fastpath_abi.h`.
public struct RequestClass: Hashable, Sendable, CaseIterable {
    /// Its number in the program.
    public let index: Int
    /// The name in the configuration and on the command line.
    public let name: String
    /// What is in it, for a person.
    public let sentence: String

    /// All of them, in order of the ABI.
    public static let allCases: [RequestClass] = (0...).lazy.map { ($0, fastpath_class_row($0)) }.prefix { $0.1 != nil }
        .compactMap { index, row in
            row.map {
                RequestClass(
                    index: Int(index), name: String(cString: $0.pointee.name),
                    sentence: String(cString: $0.pointee.sentence))
            }
        }

    public static let register = allCases[Int(FASTPATH_CLASS_REGISTER.rawValue)]
    public static let invite = allCases[Int(FASTPATH_CLASS_INVITE.rawValue)]
    public static let other = allCases[Int(FASTPATH_CLASS_OTHER.rawValue)]
}

/// So many packets in a time, and so many at once: `5/s:20`.
public struct RateLimit: Hashable, Sendable {
    /// The times that a rate can be given for.
    public enum Unit: String, Hashable, Sendable, CaseIterable {
        case second = "s"
        case minute = "m"
        case hour = "h"

        public var seconds: Int {
            switch self {
            case .second: 1
            case .minute: 60
            case .hour: 3_600
            }
        }
    }

    public let count: Int
    public let unit: Unit
    /// Packets that may come at once after a time of silence; at least 1.
    public let burst: Int

    /// Which limits there are: a source's and the budget differ in how fine their clock is.
    public enum Scope: Hashable, Sendable {
        case source
        case budget

        /// Units of the program's clock in a second: microseconds, and 1024 to each of them.
        var ticks: Int { self == .source ? 1_000_000 : 1_024_000_000 }

        /// The fastest rate whose interval is off by at most a hundredth.
        var fastest: Int { ticks / 50 / 2 }
    }

    /// Nil where the program cannot keep such a limit: ``allowed(_:)``.
    public init?(_ count: Int, per unit: Unit, burst: Int? = nil, scope: Scope) {
        let burst = burst ?? max(1, count / unit.seconds)
        guard count > 0, burst > 0, burst <= Self.largestBurst, count / unit.seconds <= scope.fastest else {
            return nil
        }
        (self.count, self.unit, self.burst) = (count, unit, burst)
        let tolerance = abi(scope).tolerance / UInt64(scope.ticks / 1_000_000)
        guard tolerance <= UInt64(FASTPATH_LIMIT_TOLERANCE_MAX) else { return nil }
    }

    private static let largestBurst = 1_000_000

    /// Reads `5/s:20`, `30/m` (with a burst of a second's worth, at least one).
    public init?(_ text: some StringProtocol, scope: Scope) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let rate = parts.first?.split(separator: "/", omittingEmptySubsequences: false) ?? []
        guard parts.count <= 2, rate.count == 2, let count = Int(rate[0]), let unit = Unit(rawValue: String(rate[1])),
            rate[0].allSatisfy(\.isNumber)
        else { return nil }
        guard parts.count == 2 else {
            self.init(count, per: unit, scope: scope)
            return
        }
        guard let burst = Int(parts[1]), parts[1].allSatisfy(\.isNumber) else { return nil }
        self.init(count, per: unit, burst: burst, scope: scope)
    }

    /// What can be given, for messages.
    public static func allowed(_ scope: Scope) -> String {
        "a rate and a burst, like \"5/s:20\" or \"30/m:10\": at most \(scope.fastest)/s, a burst of 1 to "
            + "\(largestBurst), made up for in at most \(FASTPATH_LIMIT_TOLERANCE_MAX / 3_600_000_000) hours"
    }

    /// As the program reads it.
    public func abi(_ scope: Scope) -> fastpath_limit {
        let interval = UInt64(max(1, (unit.seconds * scope.ticks + count / 2) / count))
        return fastpath_limit(interval: interval, tolerance: UInt64(burst - 1) * interval)
    }

    /// What a program holds, or nil where it holds none. The rate is told in the largest unit that fits it.
    public init?(abi: fastpath_limit, scope: Scope) {
        guard abi.interval > 0 else { return nil }
        let burst = Int(abi.tolerance / abi.interval) + 1
        for unit in Unit.allCases {
            let count = (unit.seconds * scope.ticks + Int(abi.interval) / 2) / Int(abi.interval)
            guard count > 0, let limit = RateLimit(count, per: unit, burst: burst, scope: scope),
                limit.abi(scope).interval == abi.interval
            else { continue }
            self = limit
            return
        }
        return nil
    }
}

extension RateLimit: CustomStringConvertible {
    /// `5/s:20`
    public var description: String { "\(count)/\(unit.rawValue):\(burst)" }
}
