// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore

/// Counts the steps that change something, and makes one of them fail, or kills the process there: then no step after
/// it does anything either.
final class Faults {
    private(set) var steps: [String] = []
    private(set) var isDead = false
    /// Counted from 1.
    var failAt: Int?
    var kills = false
    /// Every step after it fails as well, those that take something back included.
    var goesOn = false

    func step(_ what: String) throws(Failure) {
        if isDead { throw Failure(tried: what, on: "nothing", because: "the process is dead", next: "None.") }
        steps.append(what)
        guard let failAt, steps.count == failAt || goesOn && steps.count > failAt else { return }
        isDead = kills
        throw Failure(
            .system(errno: 5), tried: what, on: "step \(steps.count)", because: "it was to fail", next: "None.")
    }

    /// A new process, without faults.
    func reset() {
        steps = []
        failAt = nil
        kills = false
        goesOn = false
        isDead = false
    }
}

final class FakeMap: PolicyMapPort {
    let id: UInt32
    let capacity: Int
    private(set) var entries: Set<IPPrefix> = []
    private(set) var isFrozenNow = false
    /// What happens on the host meanwhile.
    var beforeFreeze: (FakeMap) -> Void = { _ in }
    private let faults: Faults

    init(id: UInt32, capacity: Int, faults: Faults) {
        self.id = id
        self.capacity = capacity
        self.faults = faults
    }

    func prefixes() -> [IPPrefix] { entries.shuffled() }
    func contained(_ prefixes: [IPPrefix]) -> Set<IPPrefix> { entries.intersection(prefixes) }
    func isFrozen() -> Bool { isFrozenNow }

    func insert(_ prefixes: [IPPrefix], progress: (Int) -> Void) throws(Failure) {
        if prefixes.isEmpty { return }
        try faults.step("insert \(prefixes.count) into map \(id)")
        try refuseIfFrozen()
        for (number, prefix) in prefixes.enumerated() {
            if number == prefixes.count / 2, number > 0 { try faults.step("insert the other half into map \(id)") }
            guard entries.count < capacity || entries.contains(prefix) else {
                throw Failure(
                    .mapFull(capacity: capacity), tried: "insert", on: "map \(id)", because: "it is full", next: "None."
                )
            }
            entries.insert(prefix)
        }
        progress(prefixes.count)
    }

    func remove(_ prefixes: [IPPrefix]) throws(Failure) {
        if prefixes.isEmpty { return }
        try faults.step("remove \(prefixes.count) from map \(id)")
        try refuseIfFrozen()
        for (number, prefix) in prefixes.enumerated() {
            if number == prefixes.count / 2, number > 0 { try faults.step("remove the other half from map \(id)") }
            entries.remove(prefix)
        }
    }

    func freeze() throws(Failure) {
        beforeFreeze(self)
        try faults.step("freeze map \(id)")
        // EBUSY
        if isFrozenNow {
            throw Failure(.system(errno: 16), tried: "freeze", on: "map \(id)", because: "it is frozen", next: "None.")
        }
        isFrozenNow = true
    }

    private func refuseIfFrozen() throws(Failure) {
        guard isFrozenNow else { return }
        throw Failure(.system(errno: 1), tried: "write", on: "map \(id)", because: "it is frozen", next: "None.")
    }

    /// What an operator does with bpftool. False: EPERM.
    @discardableResult
    func writeByHand(_ prefixes: IPPrefix...) -> Bool {
        if isFrozenNow { return false }
        entries.formUnion(prefixes)
        return true
    }
    func deleteByHand(_ prefixes: IPPrefix...) { entries.subtract(prefixes) }
}

/// A policy table that holds what it is told, all or nothing.
final class FakeTable: PolicyTablePort {
    struct Key: Hashable {
        var prefix: IPPrefix
        var kind: PolicyKinds
    }

    let id: UInt32
    let capacity: Int
    private(set) var entries: [Key: PolicyExpiry] = [:]
    var hits: [Key: (count: UInt64, last: UInt32)] = [:]
    /// A writer died in it.
    var isDamaged = false
    private let faults: Faults

    init(id: UInt32, capacity: Int, faults: Faults) {
        self.id = id
        self.capacity = capacity
        self.faults = faults
    }

    var prefixCount: Int { Set(entries.keys.map(\.prefix)).count }
    var bytes: Int { capacity * 64 }

    func prefixes(_ kind: PolicyKind) -> Set<IPPrefix> {
        Set(entries.keys.filter { $0.kind == kind.tableKind }.map(\.prefix))
    }

    func expiry(_ prefix: IPPrefix, _ kind: PolicyKind = .block) -> PolicyExpiry? {
        entries[Key(prefix: prefix, kind: kind.tableKind)]
    }

    func apply(_ changes: [PolicyTableChange], now: UInt32, progress: (Int) -> Void) throws(Failure) {
        try faults.step("apply \(changes.count) to table \(id)")
        if isDamaged {
            throw Failure(tried: "apply", on: "table \(id)", because: "it is damaged", next: "None.")
        }
        var after = entries
        // What is removed keeps its place for a while.
        var places = Set(entries.keys.map(\.prefix))
        for change in changes {
            after[Key(prefix: change.prefix, kind: change.kind)] = change.expiry
            if change.expiry != nil { places.insert(change.prefix) }
        }
        guard places.count <= capacity else {
            throw Failure(
                .mapFull(capacity: capacity), tried: "apply", on: "table \(id)", because: "it is full", next: "None.")
        }
        entries = after
        hits = hits.filter { after[$0.key] != nil }
        progress(changes.count)
    }

    func takeHits(from other: FakeTable, now: UInt32) throws(Failure) {
        try faults.step("take the hits of table \(other.id)")
        for (number, key) in other.hits.keys.sorted(by: { $0.prefix < $1.prefix }).enumerated()
        where entries[key] != nil {
            if number == other.hits.count / 2, number > 0 { try faults.step("take the other half of the hits") }
            guard let moved = other.hits.removeValue(forKey: key) else { continue }
            let here = hits[key] ?? (0, 0)
            hits[key] = (here.count + moved.count, max(here.last, moved.last))
        }
    }

    func records() -> [PolicyTableRecord] {
        entries.map { key, expiry in
            PolicyTableRecord(
                key.prefix, key.kind, expiry: expiry, hits: hits[key]?.count ?? 0, lastHit: hits[key]?.last)
        }
    }

    func sweep(now: UInt32) throws(Failure) -> Int {
        try faults.step("sweep table \(id)")
        let expired = entries.filter { !$0.value.isLive(at: now) }
        for key in expired.keys { entries[key] = nil }
        return expired.count
    }

    func repairIfNeeded(now: UInt32) -> Bool {
        defer { isDamaged = false }
        return isDamaged
    }
}

/// A program on an interface.
struct FakeProgram {
    var id: UInt32
    var mode: XDPMode
    var isEdge = true
    var maps: [PolicyKind: FakeMap] = [:]
    var table: FakeTable?
    var object: String?
    /// Nil: what this version does not know.
    var settings: FilterSettings? = .classic
    var counters = Counters()
    var countersID: UInt32 = 0
    var notes = EdgeNotes()
}

final class FakeKernel: EdgeKernelPort {
    let faults: Faults
    /// The interfaces of the caller's namespace.
    var interfaces: [String: InterfaceID] = [:]
    /// Interfaces of other namespaces: their name and their namespace's.
    var elsewhere: [InterfaceID: (name: String, namespace: String)] = [:]
    var programs: [InterfaceID: FakeProgram] = [:]
    var pinned: Set<InterfaceID> = []
    var shared: [PolicyKind: FakeMap] = [:]
    var table: FakeTable?
    var addresses: [IPPrefix] = []
    var otherInstances: [InterfaceID: String] = [:]
    /// Interfaces whose driver cannot do native mode.
    var genericOnly: Set<InterfaceID> = []
    var isReady = true
    /// Runs after each attach: what happens on the host meanwhile.
    var afterAttach: () -> Void = {}
    private var nextID: UInt32 = 100

    init(_ faults: Faults) { self.faults = faults }

    func newID() -> UInt32 {
        nextID += 1
        return nextID
    }

    func requireReady() throws(Failure) {
        if !isReady { throw Failure(.notRoot, tried: "run", on: "host", because: "not root", next: "Run it as root.") }
    }

    func interface(named name: String) throws(Failure) -> InterfaceID {
        guard let interface = interfaces[name] else {
            throw Failure(.noInterface, tried: "find", on: name, because: "there is none", next: "None.")
        }
        return interface
    }

    func edges() -> [EdgeState] {
        let here = interfaces.filter { programs[$0.value] != nil }.map(\.value)
        return Set(here).union(pinned).map(state).sorted { $0.interface.index < $1.interface.index }
    }

    func state(_ interface: InterfaceID) -> EdgeState {
        let here = interfaces.first { $0.value == interface }?.key
        let there = elsewhere[interface]
        let program = here == nil && there == nil ? nil : programs[interface]
        return EdgeState(
            interface: interface, name: here ?? there?.name, driver: "fake", namespaceName: there?.namespace,
            attachment: program.map {
                Attachment(
                    mode: $0.mode, programID: $0.id, programName: $0.isEdge ? "sip_xdp_prog" : "other",
                    tag: $0.object ?? "built-in", loaded: 1, isEdge: $0.isEdge)
            }, isPinned: pinned.contains(interface), otherInstance: otherInstances[interface])
    }

    func sharedPolicyMap(_ kind: PolicyKind) -> FakeMap? { shared[kind] }

    func policyMap(_ kind: PolicyKind, of edge: EdgeState) throws(Failure) -> FakeMap {
        guard let map = programs[edge.interface]?.maps[kind] else {
            throw Failure(.notLoaded, tried: "find the map", on: edge.label, because: "no program", next: "None.")
        }
        return map
    }

    func ownAddresses() -> [IPPrefix] { addresses }

    /// As the programs of these tests do: with any switch on.
    func readsPolicyTable(_ settings: FilterSettings) -> Bool { !settings.switches.isEmpty }

    func sharedPolicyTable() -> FakeTable? { table }

    func policyTable(of edge: EdgeState) -> FakeTable? { programs[edge.interface]?.table }

    func makePolicyTable(capacity: Int) throws(Failure) -> FakeTable {
        try faults.step("make a table for \(capacity)")
        return FakeTable(id: newID(), capacity: capacity, faults: faults)
    }

    func policyTableBytes(capacity: Int) -> Int { capacity * 64 }

    func share(_ table: FakeTable) throws(Failure) {
        try faults.step("share table \(table.id)")
        self.table = table
    }

    func makePolicyMap(_ kind: PolicyKind, capacity: Int) throws(Failure) -> FakeMap {
        try faults.step("make a map for \(capacity)")
        return FakeMap(id: newID(), capacity: capacity, faults: faults)
    }

    func share(_ map: FakeMap, as kind: PolicyKind) throws(Failure) {
        try faults.step("share map \(map.id) as \(kind)")
        shared[kind] = map
    }

    func attach(
        _ interface: InterfaceID, object: String?, policy: [PolicyKind: FakeMap], table: FakeTable?,
        settings: FilterSettings, mode: ModeRequest, force: Bool
    ) throws(Failure) -> (EdgeState, notes: [String]) {
        let old = programs[interface]
        if let old, !old.isEdge, !force {
            throw Failure(.foreignProgram(id: old.id), tried: "attach", on: "it", because: "foreign", next: "None.")
        }
        let canDoNative = !genericOnly.contains(interface)
        let wanted: XDPMode =
            switch mode {
            case .auto: old?.mode ?? (canDoNative ? .native : .generic)
            case .native: .native
            case .generic: .generic
            }
        if let old, old.mode != wanted, !force {
            throw Failure(.modeConflict, tried: "attach", on: "it", because: "mode", next: "None.")
        }
        if wanted == .native, !canDoNative {
            throw Failure(.system(errno: 95), tried: "attach", on: "it", because: "no native mode", next: "None.")
        }
        try faults.step("attach to \(interface.index)")
        let isReplacement = old?.isEdge ?? false
        programs[interface] = FakeProgram(
            id: newID(), mode: wanted, maps: policy, table: table, object: object, settings: settings,
            counters: isReplacement ? old?.counters ?? Counters() : Counters(),
            countersID: isReplacement ? old?.countersID ?? newID() : newID())
        do throws(Failure) {
            try faults.step("pin \(interface.index)")
        } catch {
            if !faults.isDead { programs[interface] = old }
            throw error
        }
        pinned.insert(interface)
        afterAttach()
        return (state(interface), mode == .auto && wanted == .generic ? ["native mode was refused"] : [])
    }

    func settings(of edge: EdgeState) throws(Failure) -> FilterSettings? {
        guard let program = programs[edge.interface], program.isEdge else {
            throw Failure(.notLoaded, tried: "read", on: edge.label, because: "no program", next: "None.")
        }
        return program.settings
    }

    func detach(_ edge: EdgeState) throws(Failure) {
        try faults.step("detach \(edge.interface.index)")
        if programs[edge.interface]?.isEdge == true { programs[edge.interface] = nil }
        if pinned.contains(edge.interface) { try faults.step("unpin \(edge.interface.index)") }
        pinned.remove(edge.interface)
    }

    var hasSharedPins: Bool { !shared.isEmpty || table != nil }

    func removeSharedPins() throws(Failure) {
        try faults.step("remove the shared pins")
        guard pinned.isEmpty else {
            throw Failure(
                .system(errno: 39), tried: "remove the folder", on: "pins", because: "not empty", next: "None.")
        }
        shared = [:]
        table = nil
    }

    func counters(of edge: EdgeState) -> Counters { programs[edge.interface]?.counters ?? Counters() }
    func notes(of edge: EdgeState) -> EdgeNotes { programs[edge.interface]?.notes ?? EdgeNotes() }
    func countersMapID(of edge: EdgeState) -> UInt32 { programs[edge.interface]?.countersID ?? 0 }
    func consumers(of edge: EdgeState) -> InterfaceConsumers { InterfaceConsumers(queues: [], time: 0, isAsked: true) }
}
