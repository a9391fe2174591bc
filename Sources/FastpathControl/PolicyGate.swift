// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Why a prefix is not taken into the block list.
public enum Refusal: Hashable, Sendable {
    /// It would block a trusted prefix, or it is within one and would be without effect.
    case trusted(IPPrefix)
    /// It would block an address of this host.
    case own(IPPrefix)
    /// It covers more of the address space than `allowed`.
    case share(Double, allowed: Double)
    /// What is private shall be left out, and this is more than that.
    case coversPrivate(IPPrefix)

    /// The reason, for a prefix, as a clause.
    public func reason(for prefix: IPPrefix) -> String {
        switch self {
        case .trusted(let trusted) where prefix.covers(trusted): "it would block \(trusted), which is trusted"
        case .trusted(let trusted): "\(trusted) is trusted, and trust beats block"
        case .own(let own): "it would block \(own), an address of this host"
        case .share(let share, let allowed):
            "it covers \(Self.text(share)) of the address space, and max_block_share allows \(Self.text(allowed))"
        case .coversPrivate(let range): "it covers \(range), which is private"
        }
    }

    /// "1/256", or "3 times all".
    private static func text(_ share: Double) -> String {
        if share > 1 { return "\(Int(share)) times all" }
        if share == 1 { return "all" }
        return share > 0 ? "1/\(Int((1 / share).rounded()))" : "nothing"
    }

    func failure(_ prefix: IPPrefix, tried: String) -> Failure {
        Failure(
            .usage, tried: tried, on: prefix.description, because: reason(for: prefix) + "; nothing was changed",
            next: "Leave it out, or insist with --force.")
    }
}

/// A line of a file that was refused.
public struct RefusedLine: Hashable, Sendable {
    /// Counted from 1.
    public var number: Int
    public var prefix: IPPrefix
    public var refusal: Refusal
}

/// Decides what comes into the block list.
struct PolicyGate {
    private let trusted: PrefixOverlap
    private let own: PrefixOverlap
    private let maxShare: Double
    private let privateRanges: [IPPrefix]
    private let isOpen: Bool

    /// Lets everything in but what is private.
    init(leavesOutPrivate: Bool) {
        self.init(trusted: [], own: [], maxShare: .infinity, leavesOutPrivate: leavesOutPrivate, isOpen: true)
    }

    init(
        trusted: [IPPrefix], own: [IPPrefix], maxShare: Double, leavesOutPrivate: Bool, isOpen: Bool = false
    ) {
        self.trusted = PrefixOverlap(trusted)
        self.own = PrefixOverlap(own)
        self.maxShare = maxShare
        privateRanges = leavesOutPrivate ? IPPrefix.privateRanges : []
        self.isOpen = isOpen
    }

    /// Is it to be left out, without a word but the count?
    func leavesOut(_ prefix: IPPrefix) -> Bool {
        privateRanges.contains { $0.covers(prefix) }
    }

    func refusal(of prefix: IPPrefix) -> Refusal? {
        if isOpen { return nil }
        if prefix.addressShare > maxShare { return .share(prefix.addressShare, allowed: maxShare) }
        if let own = own.first(touching: prefix) { return .own(own) }
        if let trusted = trusted.first(touching: prefix) { return .trusted(trusted) }
        if let range = privateRanges.first(where: prefix.covers) { return .coversPrivate(range) }
        return nil
    }
}

/// What some interfaces do not enforce: their programs read the public maps alone, which hold single IPv4 addresses to
/// block and to allow, for good.
public struct EnforcementGap: Hashable, Sendable {
    public var kind: PolicyKind
    /// The interfaces, as a person calls them.
    public var interfaces: [String]
    /// Entries that are not in force there.
    public var count: Int
    /// In force there, and beyond their expiry up to the next change of a list.
    public var late: Int

    init?<Kernel: EdgeKernelPort>(
        _ prefixes: [IPPrefix], _ kind: PolicyKind, _ options: EntryOptions, _ lists: KernelLists<Kernel>
    ) {
        let beyond = kind.map == nil ? prefixes.count : prefixes.count { $0.ipv4Address == nil }
        self.init(
            kind, lists, count: beyond, late: options.expiry == nil ? 0 : prefixes.count - beyond)
    }

    init?<Kernel: EdgeKernelPort>(_ kind: PolicyKind, _ lists: KernelLists<Kernel>, count: Int, late: Int) {
        guard !lists.classic.isEmpty, count + late > 0 else { return nil }
        self.init(kind: kind, interfaces: lists.classic.map(\.label), count: count, late: late)
    }

    init(kind: PolicyKind, interfaces: [String], count: Int, late: Int) {
        self.kind = kind
        self.interfaces = interfaces
        self.count = count
        self.late = late
    }

    /// What an operator should know, a sentence each.
    public var sentences: [String] {
        let place = interfaces.joined(separator: ", ")
        var sentences: [String] = []
        if count > 0 {
            sentences.append(
                "\(count) of the \(kind.listName) not in force on \(place): the program there reads the public maps "
                    + "alone, which hold single IPv4 addresses to block or allow. Give it the policy table: "
                    + "vos-fastpath up \(interfaces.first ?? "IFACE") --profile carrier")
        }
        if late > 0 {
            sentences.append(
                "On \(place) an expiry takes effect with the next change of a list: the public maps know none.")
        }
        return sentences
    }
}
