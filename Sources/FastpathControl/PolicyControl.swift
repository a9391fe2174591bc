// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// The one door for changes of policy.
///
/// Everything of ours that is in a public map is in the record: additions are recorded first and then applied, removals
/// leave the maps first and then the record. The policy table follows the record
/// (docs/decisions/0002-record-covers-the-kernel.md).
public struct PolicyControl<Kernel: EdgeKernelPort, Record: PolicyRecord, Lock: ControlLock> {
    let kernel: Kernel
    let record: Record
    let lock: Lock
    let limits: PolicyLimits

    public init(kernel: Kernel, record: Record, lock: Lock, limits: PolicyLimits = PolicyLimits()) {
        self.kernel = kernel
        self.record = record
        self.lock = lock
        self.limits = limits
    }

    func keeper(_ now: Moment) -> TableKeeper<Kernel, Record> {
        TableKeeper(kernel: kernel, record: record, limits: limits, now: now)
    }

    /// Adds all of `prefixes` to a list, effective with the next packet on all interfaces, or changes nothing and
    /// throws. Those that are there are no error: they get the expiry that is asked for, and the comment if there is one.
    ///
    /// - Parameter requireLoaded: throw `.notLoaded` where no interface filters, instead of recording for the next `up`.
    /// - Throws: `.usage` for what is refused; `.mapFull`; what the ports throw.
    public func add(
        _ prefixes: [IPPrefix], to kind: PolicyKind, _ options: EntryOptions = EntryOptions(),
        requireLoaded: Bool = false, now: Moment, progress: (ChangeProgress) -> Void = { _ in }
    ) throws(Failure) -> AddReport {
        try options.check()
        try kernel.requireReady()
        return try lock.withLock(for: "\(kind.rawValue) add") { (interrupted) throws(Failure) in
            var lists = try KernelLists(kernel)
            let tried = "add to the \(kind.listName)"
            if requireLoaded { try requireFiltering(lists, to: tried) }
            let mending = try prepare(&lists, interrupted, now)

            var prefixes = prefixes.uniqued()
            let all = prefixes.count
            let gate = try gate(kind, options, now)
            prefixes.removeAll(where: gate.leavesOut)
            for prefix in prefixes {
                if let refusal = gate.refusal(of: prefix) { throw refusal.failure(prefix, tried: tried) }
            }
            var addition = try Addition(
                kind: kind, options, lists, recorded: record.entries(kind, of: prefixes), now: now)
            let held = try addition.lists.map { (list) throws(Failure) in try list.map.present(among: prefixes) }
            for prefix in prefixes { addition.take(prefix, isHeld: held.map { $0.contains(prefix) }) }
            let growth: TableGrowth?
            do throws(Failure) {
                growth = try apply(addition.change, lists, now, progress)
            } catch {
                guard case .mapFull(let capacity) = error.kind, !addition.change.inserting.isEmpty else { throw error }
                throw full(addition, at: capacity, lists, details: error.details)
            }
            return AddReport(
                kind: kind, added: addition.added, byHand: addition.byHand, changed: addition.changed,
                alreadyThere: addition.alreadyThere, leftOut: all - prefixes.count, isInForce: lists.isFiltering,
                gap: EnforcementGap(prefixes, kind, options, lists), growth: growth, mending: mending)
        }
    }

    /// Removes `prefixes` from a list, effective with the next packet on all interfaces, or changes nothing and
    /// throws. Those that are not there are reported, and no error.
    ///
    /// - Parameters:
    ///   - prefixes: nil for all of `set`.
    ///   - set: from this set alone: what another set has stays in force. Nil: wherever they are, by hand included.
    public func remove(
        _ prefixes: [IPPrefix]?, from kind: PolicyKind, set: String? = nil, requireLoaded: Bool = false, now: Moment
    ) throws(Failure) -> RemoveReport {
        try kernel.requireReady()
        return try lock.withLock(for: "\(kind.rawValue) remove") { (interrupted) throws(Failure) in
            var lists = try KernelLists(kernel)
            if requireLoaded { try requireFiltering(lists, to: "remove from the \(kind.listName)") }
            let mending = try prepare(&lists, interrupted, now)

            let wanted: [IPPrefix]
            if let prefixes {
                wanted = prefixes.uniqued()
            } else {
                wanted = try record.entries(kind, in: set ?? "").map(\.prefix)
            }
            let rows = try record.entries(kind, of: wanted)
            let leaving = rows.filter { set == nil || $0.set == set }
            let staying = rows.filter { set != nil && $0.set != set }
            var change = PolicyChange<Kernel>(kind: kind)
            change.removing = leaving
            change.live = staying
            let recorded = Set(leaving.map(\.prefix))
            let kept = Set(staying.map(\.prefix))
            var held: Set<IPPrefix> = []
            for list in try lists.all(kind) {
                var present = try list.map.present(among: wanted)
                present = present.filter { !kept.contains($0) && (set == nil || recorded.contains($0)) }
                held.formUnion(present)
                if !present.isEmpty { change.leaving.append((list, Array(present))) }
            }
            let growth = try apply(change, lists, now) { _ in }
            return RemoveReport(
                kind: kind, removed: wanted.filter(recorded.contains),
                byHand: wanted.filter { held.contains($0) && !recorded.contains($0) },
                notThere: wanted.filter { !held.contains($0) && !recorded.contains($0) },
                stillThere: wanted.filter { recorded.contains($0) && kept.contains($0) },
                isInForce: lists.isFiltering, growth: growth, mending: mending)
        }
    }

    // MARK: Before a change

    /// Puts right what was cut off, and drops what has expired. Looks at the kernel anew where that changed something.
    /// `freezes`: public maps that no program reads any more, too.
    func prepare(
        _ lists: inout KernelLists<Kernel>, _ interrupted: String?, _ now: Moment, freezes: Bool = true
    ) throws(Failure) -> Mending? {
        let isCutOff = try lists.isChangeOfMapCutOff()
        let mending = try lists.mend(interrupted, with: keeper(now))
        if mending != nil || isCutOff { lists = try KernelLists(kernel) }
        if freezes, try lists.freezeUnreadMaps(keeper(now)) { lists = try KernelLists(kernel) }
        let dropped = try dropExpired(lists, now)
        if dropped > 0 { lists = try KernelLists(kernel) }
        return mending
    }

    /// Drops what has expired from the public maps and from the record, and gives back its room in the table, where it
    /// does not count any more by itself. Returns the number of entries.
    func dropExpired(_ lists: KernelLists<Kernel>, _ now: Moment) throws(Failure) -> Int {
        let expired = try record.expired(at: now.wall)
        if expired.isEmpty { return 0 }
        for kind in PolicyKind.allCases {
            var change = PolicyChange<Kernel>(kind: kind)
            change.removing = expired.filter { $0.kind == kind }
            if change.removing.isEmpty { continue }
            let prefixes = change.removing.map(\.prefix).uniqued()
            change.live = try record.entries(kind, of: prefixes).filter { $0.isLive(at: now.wall) }
            let kept = Set(change.live.map(\.prefix))
            for list in try lists.all(kind) {
                let present = try list.map.present(among: prefixes).subtracting(kept)
                if !present.isEmpty { change.leaving.append((list, Array(present))) }
            }
            _ = try apply(change, lists, now) { _ in }
        }
        try lists.table?.sweep(now: now.boot)
        return expired.count
    }

    func gate(_ kind: PolicyKind, _ options: EntryOptions, _ now: Moment) throws(Failure) -> PolicyGate {
        guard kind == .block, !options.force else { return PolicyGate(leavesOutPrivate: options.excludePrivate) }
        return PolicyGate(
            trusted: try record.entries(.trust).filter { $0.isLive(at: now.wall) }.map(\.prefix),
            own: try kernel.ownAddresses(), maxShare: limits.maxBlockShare, leavesOutPrivate: options.excludePrivate)
    }

    func requireFiltering(_ lists: KernelLists<Kernel>, to tried: String) throws(Failure) {
        guard !lists.isFiltering else { return }
        throw Failure(
            .notLoaded, tried: tried, on: "any interface", because: "the program is not loaded on any",
            next: "Load it: vos-fastpath up IFACE")
    }

    private func full(
        _ addition: Addition<Kernel>, at capacity: Int, _ lists: KernelLists<Kernel>, details: String?
    ) -> Failure {
        let shortage = Shortage(
            kind: addition.kind, capacity: capacity,
            interface: (lists.classic.first ?? lists.edges.first(where: \.isFilteringForUs))?.name,
            suggestedCapacity: roomyCapacity(for: capacity + max(1, addition.unrecordedCount)))
        let prefixes = addition.added + addition.byHand + addition.changed + addition.alreadyThere
        return Failure(
            .mapFull(capacity: capacity), tried: "add to the \(addition.kind.listName)",
            on: prefixes.count == 1 ? prefixes[0].description : "\(prefixes.count) addresses",
            because: "it has room for \(capacity) entries, and no more fit; nothing was changed",
            next: shortage.advice, details: details)
    }
}

/// How entries are to be added.
public struct EntryOptions: Hashable, Sendable {
    /// The set that they are in; empty for none.
    public var set: String
    /// From this second on they no longer count; seconds since 1970-01-01 UTC. Nil: they stay.
    public var expiry: Int64?
    /// Nil: what is there keeps its own.
    public var comment: String?
    public var origin: Origin
    /// Leave out what is within ``IPPrefix/privateRanges``.
    public var excludePrivate: Bool
    /// Refuse nothing.
    public var force: Bool

    public init(
        set: String = "", expiry: Int64? = nil, comment: String? = nil, origin: Origin = .operatorCommand,
        excludePrivate: Bool = false, force: Bool = false
    ) {
        self.set = set
        self.expiry = expiry
        self.comment = comment
        self.origin = origin
        self.excludePrivate = excludePrivate
        self.force = force
    }

    /// Bytes of a comment at most.
    public static let longestComment = 256

    func check() throws(Failure) {
        if !set.isEmpty { try PolicySetName.check(set) }
        guard let comment else { return }
        guard comment.utf8.count <= Self.longestComment, !comment.utf8.contains(where: { $0 < 0x20 || $0 == 0x7f })
        else {
            throw Failure(
                .usage, tried: "take the comment", on: "\(comment.utf8.count) bytes",
                because: "it has more than \(Self.longestComment) bytes, or control characters",
                next: "Write one short line.")
        }
    }
}

extension Sequence where Element: Hashable {
    /// Each element once, in their order.
    func uniqued() -> [Element] {
        var seen: Set<Element> = []
        return filter { seen.insert($0).inserted }
    }
}
