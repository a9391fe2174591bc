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

    /// Throws unless this process and this host can run the edge: root, bpffs, kernel features.
    func requireReady() throws(Failure)

    /// The id of an interface in the caller's namespace.
    func interface(named name: String) throws(Failure) -> InterfaceID

    /// Every interface of the caller's namespace that carries an XDP program, ours or not, and every
    /// interface, of any namespace, for which this instance holds pins.
    func edges() throws(Failure) -> [EdgeState]

    /// The pinned map that all interfaces of this instance share, or nil before the first `up`.
    func sharedPolicyMap(_ kind: PolicyKind) throws(Failure) -> PolicyMap?

    /// The map that the program on `edge` reads. It is the shared one unless somebody else loaded the program.
    func policyMap(_ kind: PolicyKind, of edge: EdgeState) throws(Failure) -> PolicyMap

    /// A new map, empty and not pinned.
    func makePolicyMap(_ kind: PolicyKind, capacity: Int) throws(Failure) -> PolicyMap

    /// Makes `map` the shared one: its pin takes the place of the old in one rename.
    func share(_ map: PolicyMap, as kind: PolicyKind) throws(Failure)

    /// Loads the program with `settings`, and with `policy` as its lists, and puts it on the interface: in place of the
    /// program of ours that is there, in one atomic step that keeps its counters and sockets, or as the first.
    /// `object` is a path, or nil for the built-in object. With `force`, a foreign program is replaced and a
    /// change of mode makes a short gap. Pins what it attached. Returns the new state and notes for the
    /// operator (why native was refused, say).
    func attach(
        _ interface: InterfaceID, object: String?, policy: [PolicyKind: PolicyMap], settings: FilterSettings,
        mode: ModeRequest, force: Bool
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

    /// The kernel's id of the `xdp_counters` that the program on `edge` counts in.
    func countersMapID(of edge: EdgeState) throws(Failure) -> UInt32

    /// How many slots of `xsks_map` hold a socket. Nil where the kernel does not tell.
    func socketCount(of edge: EdgeState) throws(Failure) -> Int?
}

/// The record: the truth of the policy, of which the kernel's maps are a projection.
public protocol PolicyRecord {
    func entries(_ kind: PolicyKind) throws(Failure) -> [PolicyEntry]
    func count(_ kind: PolicyKind) throws(Failure) -> Int
    /// Those of `prefixes` that are recorded.
    func contained(_ prefixes: [IPPrefix], in kind: PolicyKind) throws(Failure) -> Set<IPPrefix>
    /// In one transaction, durable when it returns. Entries that are there stay as they are. `progress` gets the
    /// number done so far.
    func insert(_ entries: [PolicyEntry], progress: (Int) -> Void) throws(Failure)
    /// In one transaction, durable when it returns.
    func remove(_ prefixes: [IPPrefix], from kind: PolicyKind) throws(Failure)
    /// The capacity that an operator asked for, or nil.
    func capacity(_ kind: PolicyKind) throws(Failure) -> Int?
    func setCapacity(_ capacity: Int, of kind: PolicyKind) throws(Failure)
    /// Forgets everything.
    func purge() throws(Failure)
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
