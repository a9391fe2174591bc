// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore

/// What can be said about entries that are added.
struct EntryArguments: ParsableArguments {
    @Option(help: ArgumentHelp("A note that 'list' shows.", valueName: "text"))
    var comment: String?

    @Option(
        name: .customLong("for"),
        help: ArgumentHelp(
            "For how long they count: a number and s, m, h, d or w, like 90m. They end by themselves, without any process.",
            valueName: "time"))
    var lifetime: Lifetime?

    @Flag(help: "Leave out what is private: RFC 1918, RFC 6598, RFC 4193, loopback, link-local, multicast.")
    var excludePrivate = false

    @Flag(
        help: ArgumentHelp(
            "Block what is refused else: trusted prefixes, addresses of this host, more than a share of all addresses; "
                + "and empty a list by a file without addresses."))
    var force = false

    /// `set`: empty for none.
    func options(set: String, origin: Origin, now: Moment) -> EntryOptions {
        EntryOptions(
            set: set, expiry: lifetime.map { now.wall + $0.seconds }, comment: comment, origin: origin,
            excludePrivate: excludePrivate, force: force)
    }
}

/// A length of time, as `90m` says it.
struct Lifetime: ExpressibleByArgument, Hashable {
    var seconds: Int64

    private static let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800]
    /// Ten years.
    private static let longest: Int64 = 3_653 * 86_400

    init?(argument: String) {
        guard let last = argument.last, let unit = Self.units[last] else { return nil }
        let digits = argument.dropLast()
        guard digits.allSatisfy(\.isASCII), digits.allSatisfy(\.isNumber), let number = Int64(digits), number > 0,
            number <= Self.longest / unit
        else { return nil }
        seconds = number * unit
    }
}

/// Chooses a named set.
struct SetArgument: ParsableArguments {
    @Option(help: ArgumentHelp("A named set of entries.", valueName: "name"))
    var set: String?

    func validate() throws { try Self.parseName(set) }

    static func parseName(_ set: String?) throws {
        guard let set else { return }
        do { try PolicySetName.check(set) } catch { throw ValidationError("--set: \(error.reason)") }
    }
}
