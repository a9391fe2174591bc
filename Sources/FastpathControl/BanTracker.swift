// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Who stays over its limit for how long is blocked for how long; both in seconds.
public struct BanRule: Hashable, Sendable {
    public var after: Int64
    public var length: Int64

    public init(after: Int64, length: Int64) {
        self.after = after
        self.length = length
    }
}

/// Finds the sources that stay over their limit, from the decisions that are seen of them. An IPv6 source is its /64, as
/// for the limits.
public struct BanTracker: Sendable {
    /// Since when, and when it was last seen over its limit; microseconds.
    private struct Spell {
        var first: UInt64
        var last: UInt64
    }

    private let after: UInt64
    private var spells: [IPPrefix: Spell] = [:]

    /// A source that was not seen over its limit for so long begins anew; microseconds.
    public static let pause: UInt64 = 2_000_000
    /// So many sources are kept in mind. With more, those that are quiet are forgotten; forged ones do not stay.
    public static let room = 65_536

    public init(_ rule: BanRule) { after = UInt64(max(0, rule.after)) * 1_000_000 }

    /// A packet of `source` was over the limit at `time` (microseconds, never going back). What is to be blocked now, or
    /// nil; it is told once, and counted anew from then on.
    public mutating func note(_ source: IPPrefix, at time: UInt64) -> IPPrefix? {
        let key = source.family == .ipv6 ? IPPrefix(family: .ipv6, bits: source.bits, length: 64) : source
        var spell = spells[key] ?? Spell(first: time, last: time)
        if time > spell.last + Self.pause { spell.first = time }
        spell.last = max(spell.last, time)
        guard spell.last - spell.first >= after else {
            spells[key] = spell
            if spells.count > Self.room { forget(before: time) }
            return nil
        }
        spells[key] = nil
        return key
    }

    private mutating func forget(before time: UInt64) {
        spells = spells.filter { $0.value.last + Self.pause >= time }
        // All of them within the pause: a flood of forged sources. Nobody is banned for one packet.
        if spells.count > Self.room { spells = spells.filter { $0.value.first < $0.value.last } }
        if spells.count > Self.room { spells = [:] }
    }
}
