// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// A policy map in the kernel. Keys are single IPv4 addresses (profile `classic`).
public protocol PolicyMapPort {
    /// The kernel's map id.
    var id: UInt32 { get }
    /// `max_entries`.
    var capacity: Int { get }
    /// Every entry, unsorted, whoever wrote it.
    func prefixes() throws(Failure) -> [IPPrefix]
    /// Those of `prefixes` that it holds: a look-up each, for few.
    func contained(_ prefixes: [IPPrefix]) throws(Failure) -> Set<IPPrefix>
    /// Adds those that are not there; entries that are there stay. Throws `.mapFull` when it overflows,
    /// with what fitted left in place.
    /// `progress` gets the number done so far.
    func insert(_ prefixes: [IPPrefix], progress: (Int) -> Void) throws(Failure)
    /// Removes those that are there.
    func remove(_ prefixes: [IPPrefix]) throws(Failure)
    /// No more writes from user space, for good (BPF_MAP_FREEZE); programs go on reading.
    func freeze() throws(Failure)
    /// Was it frozen? The kernel tells in /proc/self/fdinfo.
    func isFrozen() throws(Failure) -> Bool
}

/// The policy table in the kernel: all kinds, all prefixes, for the programs whose settings make them read it.
public protocol PolicyTablePort {
    /// The kernel's id of one of its maps: tells tables apart.
    var id: UInt32 { get }
    /// Prefixes that it has room for.
    var capacity: Int { get }
    /// Prefixes that are there; one of several kinds counts once.
    var prefixCount: Int { get }
    /// All its maps, in bytes, whatever they hold.
    var bytes: Int { get }
    /// Makes the changes, all at one moment, or throws and has changed nothing: `.mapFull` where there is no room for what
    /// is there and what is added together. Entries that are there keep their hits. `now`: second of the boot-time clock.
    func apply(_ changes: [PolicyTableChange], now: UInt32, progress: (Int) -> Void) throws(Failure)
    /// Every entry with its hits, unsorted; expired ones too.
    func records() throws(Failure) -> [PolicyTableRecord]
    /// Gives back the room of what has expired; how many entries.
    @discardableResult
    func sweep(now: UInt32) throws(Failure) -> Int
    /// Moves the hits of `other`, which no program reads any more, to the entries that both have: they are there no more, so
    /// that none is counted twice, whatever is cut off. Programs may count here meanwhile.
    func takeHits(from other: Self, now: UInt32) throws(Failure)
    /// Puts right what a writer left that died. True if there was one. `now`: second of the boot-time clock.
    @discardableResult
    func repairIfNeeded(now: UInt32) throws(Failure) -> Bool
}

/// The mode that `up` asks for.
public enum ModeRequest: String, CaseIterable, Sendable {
    /// Native where the driver can, else generic.
    case auto
    case native
    case generic
}

/// What the use cases ask of the kernel. One instance speaks for one ``Instance`` of the edge.
public protocol EdgeKernelPort {
    associatedtype PolicyMap: PolicyMapPort
    associatedtype Table: PolicyTablePort

    /// Throws unless this process and this host can run the edge: root, bpffs, kernel features.
    func requireReady() throws(Failure)

    /// The id of an interface in the caller's namespace.
    func interface(named name: String) throws(Failure) -> InterfaceID

    /// Every interface of the caller's namespace that carries an XDP program, ours or not, and every
    /// interface, of any namespace, for which this instance holds pins.
    func edges() throws(Failure) -> [EdgeState]

    /// The addresses of all interfaces of the caller's namespace.
    func ownAddresses() throws(Failure) -> [IPPrefix]

    /// The pinned map that all interfaces of this instance share, or nil before the first `up`. `kind` is one of
    /// ``PolicyKind/inPublicMaps``, here and below.
    func sharedPolicyMap(_ kind: PolicyKind) throws(Failure) -> PolicyMap?

    /// The map that the program on `edge` reads. It is the shared one unless somebody else loaded the program.
    func policyMap(_ kind: PolicyKind, of edge: EdgeState) throws(Failure) -> PolicyMap

    /// A new map, empty and not pinned.
    func makePolicyMap(_ kind: PolicyKind, capacity: Int) throws(Failure) -> PolicyMap

    /// Does a program with these settings read the policy table? One that does not reads the public maps alone.
    func readsPolicyTable(_ settings: FilterSettings) -> Bool

    /// The pinned policy table that all interfaces share, or nil before the first `up` that needs one.
    func sharedPolicyTable() throws(Failure) -> Table?

    /// The table that the program on `edge` reads; to be asked where its settings make it read one. Nil where it has none.
    func policyTable(of edge: EdgeState) throws(Failure) -> Table?

    /// A new table, empty and not pinned.
    func makePolicyTable(capacity: Int) throws(Failure) -> Table

    /// Bytes that a table takes.
    func policyTableBytes(capacity: Int) -> Int

    /// Makes `table` the shared one: its pins take the place of the old in one rename.
    func share(_ table: Table) throws(Failure)

    /// Makes `map` the shared one: its pin takes the place of the old in one rename.
    func share(_ map: PolicyMap, as kind: PolicyKind) throws(Failure)

    /// Loads the program with `settings`, and with `policy` and `table` as its lists, and puts it on the interface: in
    /// place of the program of ours that is there, in one atomic step that keeps its counters and sockets, or as the first.
    /// `object` is a path, or nil for the built-in object. With `force`, a foreign program is replaced and a
    /// change of mode makes a short gap. Pins what it attached. Returns the new state and notes for the
    /// operator (why native was refused, say).
    func attach(
        _ interface: InterfaceID, object: String?, policy: [PolicyKind: PolicyMap], table: Table?,
        settings: FilterSettings, mode: ModeRequest, force: Bool
    ) throws(Failure) -> (EdgeState, notes: [String])

    /// What the program of ours on `edge` was loaded with, as the kernel has it; nil where it holds what this version
    /// does not know. Throws `.notLoaded` where none of ours is attached.
    func settings(of edge: EdgeState) throws(Failure) -> FilterSettings?

    /// Detaches our program, if it is attached, and removes the interface's pins. A foreign program stays.
    func detach(_ edge: EdgeState) throws(Failure)

    /// Is there anything for ``removeSharedPins()`` to remove, an empty folder included?
    var hasSharedPins: Bool { get }

    /// Removes the pins of the shared maps and the instance's pin folder; to be called when no interface is left.
    func removeSharedPins() throws(Failure)

    func counters(of edge: EdgeState) throws(Failure) -> Counters

    /// What the program on `edge` has written down beside its counters since it was loaded.
    func notes(of edge: EdgeState) throws(Failure) -> EdgeNotes

    /// The kernel's id of the `xdp_counters` that the program on `edge` counts in.
    func countersMapID(of edge: EdgeState) throws(Failure) -> UInt32

    /// Who reads the AF_XDP sockets of an edge, for each receive queue in use.
    func consumers(of edge: EdgeState) throws(Failure) -> InterfaceConsumers
}

/// The record: the truth of the policy, of which the kernel's maps are a projection.
public protocol PolicyRecord {
    /// Every entry of a kind, in order of address; with `set`, those of one set only.
    func entries(_ kind: PolicyKind, in set: String?) throws(Failure) -> [PolicyEntry]
    /// The entries of `prefixes`, of all sets, unsorted.
    func entries(_ kind: PolicyKind, of prefixes: [IPPrefix]) throws(Failure) -> [PolicyEntry]
    /// What has expired at a second since 1970-01-01 UTC, of all kinds and sets.
    func expired(at now: Int64) throws(Failure) -> [PolicyEntry]
    /// How many entries there are. What is in several sets counts in each.
    func count(_ kind: PolicyKind) throws(Failure) -> Int
    /// How many of them are prefixes or IPv6.
    func countOfNoAddresses(_ kind: PolicyKind) throws(Failure) -> Int
    /// The sets of a kind that have entries, in order of name; the one without a name first.
    func sets(_ kind: PolicyKind) throws(Failure) -> [(name: String, entries: Int)]
    /// Removes the entries of `removing` and adds those of `putting`, in one transaction: durable when this returns. What
    /// is put where its set has the prefix already takes its place, but keeps its origin and the time of its addition.
    /// `progress` gets the number of `putting` that is done.
    func change(removing: [PolicyEntry], putting: [PolicyEntry], progress: (Int) -> Void) throws(Failure)
    /// The capacity that an operator asked for: of a kind's public map, or without a kind of the policy table. Or nil.
    func capacity(_ kind: PolicyKind?) throws(Failure) -> Int?
    func setCapacity(_ capacity: Int, of kind: PolicyKind?) throws(Failure)
    /// Forgets everything.
    func purge() throws(Failure)
}

extension PolicyRecord {
    /// Every entry of a kind, in order of address.
    func entries(_ kind: PolicyKind) throws(Failure) -> [PolicyEntry] { try entries(kind, in: nil) }

    /// The single IPv4 addresses that count, each once, in order: what a public map can hold.
    func addresses(_ kind: PolicyKind, at now: Moment) throws(Failure) -> [IPPrefix] {
        var addresses: [IPPrefix] = []
        for entry in try entries(kind) where entry.prefix.ipv4Address != nil && entry.isLive(at: now.wall) {
            if addresses.last != entry.prefix { addresses.append(entry.prefix) }
        }
        return addresses
    }

    /// Adds entries; for what is not there.
    func insert(_ entries: [PolicyEntry], progress: (Int) -> Void = { _ in }) throws(Failure) {
        try change(removing: [], putting: entries, progress: progress)
    }

    func remove(_ entries: [PolicyEntry]) throws(Failure) {
        try change(removing: entries, putting: []) { _ in }
    }
}

/// Held while a command changes something, so that two at a time do not interleave.
public protocol ControlLock {
    /// Runs `body` under the lock. `operation` names it to others who wait, and to the one who comes after a crash:
    /// `interrupted` is the name of an operation that did not come to its end, as its process died or as it threw a
    /// failure that ``Failure/isHalfDone``, else nil.
    func withLock<Result>(
        for operation: String, _ body: (_ interrupted: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result

    /// Runs `body` while no operation changes anything. Where one goes on for longer than a reader waits, `body` runs
    /// all the same; `changing` names who it is then, and what is read may be half of a change.
    func whileReading<Result>(
        _ body: (_ changing: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result
}
