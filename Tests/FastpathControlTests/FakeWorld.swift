// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

final class FakeRecord: PolicyRecord {
    struct Key: Hashable {
        var kind: PolicyKind
        var prefix: IPPrefix
        var set: String
    }

    private(set) var stored: [Key: PolicyEntry] = [:]
    private(set) var capacities: [PolicyKind?: Int] = [:]
    private let faults: Faults

    init(_ faults: Faults) { self.faults = faults }

    func entries(_ kind: PolicyKind, in set: String?) -> [PolicyEntry] {
        stored.values.filter { $0.kind == kind && (set == nil || $0.set == set) }
            .sorted { ($0.prefix, $0.set) < ($1.prefix, $1.set) }
    }
    func entries(_ kind: PolicyKind, of prefixes: [IPPrefix]) -> [PolicyEntry] {
        let wanted = Set(prefixes)
        return stored.values.filter { $0.kind == kind && wanted.contains($0.prefix) }
    }
    func expired(at now: Int64) -> [PolicyEntry] { stored.values.filter { !$0.isLive(at: now) } }
    func count(_ kind: PolicyKind) -> Int { entries(kind, in: nil).count }
    func countOfNoAddresses(_ kind: PolicyKind) -> Int {
        entries(kind, in: nil).count { $0.prefix.ipv4Address == nil }
    }
    func sets(_ kind: PolicyKind) -> [(name: String, entries: Int)] {
        Dictionary(grouping: entries(kind, in: nil), by: \.set).map { ($0, $1.count) }.sorted { $0.0 < $1.0 }
    }

    func change(removing: [PolicyEntry], putting: [PolicyEntry], progress: (Int) -> Void) throws(Failure) {
        if removing.isEmpty && putting.isEmpty { return }
        let removal = "remove \(removing.count) from the record"
        let addition = "record \(putting.count)"
        try faults.step(
            putting.isEmpty ? removal : removing.isEmpty ? addition : "\(addition) and \(removal)")
        for entry in removing { stored[Key(kind: entry.kind, prefix: entry.prefix, set: entry.set)] = nil }
        for entry in putting {
            let key = Key(kind: entry.kind, prefix: entry.prefix, set: entry.set)
            var after = entry
            if let before = stored[key] { (after.origin, after.added) = (before.origin, before.added) }
            stored[key] = after
        }
        progress(putting.count)
    }

    func capacity(_ kind: PolicyKind?) -> Int? { capacities[kind] }

    func setCapacity(_ capacity: Int, of kind: PolicyKind?) throws(Failure) {
        try faults.step("record the capacity \(capacity)")
        capacities[kind] = capacity
    }

    func purge() throws(Failure) {
        try faults.step("purge the record")
        stored = [:]
        capacities = [:]
    }
}

extension FakeRecord {
    func entries(_ kind: PolicyKind) -> [PolicyEntry] { entries(kind, in: nil) }
}

/// The same second on both clocks.
extension Moment: ExpressibleByIntegerLiteral {
    public init(integerLiteral second: UInt32) { self.init(wall: Int64(second), boot: second) }
}

final class FakeLock: ControlLock {
    var mark: String?
    private(set) var isHeld = false
    private let faults: Faults

    init(_ faults: Faults) { self.faults = faults }

    func withLock<Result>(
        for operation: String, _ body: (_ interrupted: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        precondition(!isHeld, "the lock was taken twice")
        isHeld = true
        defer { isHeld = false }
        let interrupted = mark
        mark = operation
        do throws(Failure) {
            let result = try body(interrupted)
            if !faults.isDead { mark = nil }
            return result
        } catch {
            if !faults.isDead, !error.isHalfDone { mark = interrupted }
            throw error
        }
    }

    /// Who holds it, for longer than a reader waits.
    var changing: String?
    /// How often it was read under.
    private(set) var readings = 0

    func whileReading<Result>(
        _ body: (_ changing: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        readings += 1
        return try body(changing)
    }
}

/// A host with two interfaces, and the use cases on it.
final class FakeWorld {
    let faults = Faults()
    let kernel: FakeKernel
    let record: FakeRecord
    let lock: FakeLock

    typealias Policy = PolicyControl<FakeKernel, FakeRecord, FakeLock>
    typealias Edges = EdgeControl<FakeKernel, FakeRecord, FakeLock>

    let policy: Policy
    let edges: Edges

    static let eth0 = InterfaceID(index: 2, namespace: 1)
    static let eth1 = InterfaceID(index: 3, namespace: 1)
    /// In another namespace.
    static let blue0 = InterfaceID(index: 2, namespace: 9)

    init() {
        kernel = FakeKernel(faults)
        record = FakeRecord(faults)
        lock = FakeLock(faults)
        policy = Policy(kernel: kernel, record: record, lock: lock)
        edges = Edges(kernel: kernel, record: record, lock: lock)
        kernel.interfaces = ["eth0": Self.eth0, "eth1": Self.eth1]
    }

    @discardableResult
    func up(
        _ name: String, capacities: [PolicyKind: Int] = [:], mode: ModeRequest = .auto, object: String? = nil,
        settings: FilterSettings = .classic, table: Int? = nil, force: Bool = false
    ) throws -> UpReport {
        try edges.up(
            UpRequest(
                interface: name, mode: mode, object: object, settings: settings, capacities: capacities,
                policyCapacity: table, force: force),
            now: 500)
    }

    @discardableResult
    func block(_ prefixes: IPPrefix...) throws -> AddReport { try policy.add(prefixes, to: .block, now: 100) }

    @discardableResult
    func importBlocked(_ prefixes: [IPPrefix]) throws -> ImportReport {
        let text = prefixes.map { "\($0)\n" }.joined()
        return try policy.importList(AddressList(parsing: Array(text.utf8)), into: .block, now: 200) { _ in }
    }

    /// `ip link set dev NAME xdp obj …`: a program with maps of its own.
    @discardableResult
    func loadByIPLink(_ interface: InterfaceID, _ kindsToEntries: [PolicyKind: [IPPrefix]] = [:]) -> FakeProgram {
        var program = FakeProgram(id: kernel.newID(), mode: .native, countersID: kernel.newID())
        for kind in PolicyKind.inPublicMaps {
            let map = FakeMap(id: kernel.newID(), capacity: kind.capacity, faults: Faults())
            for prefix in kindsToEntries[kind] ?? [] { map.writeByHand(prefix) }
            program.maps[kind] = FakeMap.joined(map, faults)
        }
        kernel.programs[interface] = program
        return program
    }

    var blocked: Set<IPPrefix> { kernel.shared[.block]?.entries ?? [] }
    var recordedBlocked: Set<IPPrefix> { Set(record.entries(.block).map(\.prefix)) }

    /// What the program on an interface blocks.
    func blocked(on interface: InterfaceID) -> Set<IPPrefix>? { kernel.programs[interface]?.maps[.block]?.entries }

    /// Everything that must be as before when an operation failed in good order.
    var snapshot: Snapshot { Snapshot(self) }
}

extension FakeMap {
    /// The same entries in a map that takes part in the faults.
    static func joined(_ map: FakeMap, _ faults: Faults) -> FakeMap {
        let joined = FakeMap(id: map.id, capacity: map.capacity, faults: faults)
        for entry in map.entries { joined.writeByHand(entry) }
        return joined
    }
}

struct Snapshot: Equatable, CustomStringConvertible {
    struct List: Equatable { var id: UInt32; var entries: Set<IPPrefix>; var isFrozen: Bool }
    struct Program: Equatable {
        var mode: XDPMode; var isEdge: Bool; var lists: [PolicyKind: UInt32]; var table: UInt32?
        var settings: FilterSettings?
    }
    struct Table: Equatable { var id: UInt32; var entries: [FakeTable.Key: PolicyExpiry] }

    var entries: [PolicyKind: [PolicyEntry]] = [:]
    var capacities: [PolicyKind: Int]
    var shared: [PolicyKind: List]
    var ownLists: [InterfaceID: [PolicyKind: Set<IPPrefix>]]
    var programs: [InterfaceID: Program]
    var table: Table?
    var pinned: Set<InterfaceID>
    var mark: String?

    init(_ world: FakeWorld) {
        for kind in PolicyKind.allCases { entries[kind] = world.record.entries(kind) }
        // What is not recorded is the default.
        capacities = Dictionary(
            uniqueKeysWithValues: PolicyKind.inPublicMaps.map { ($0, world.record.capacity($0) ?? $0.capacity) })
        shared = world.kernel.shared.mapValues { List(id: $0.id, entries: $0.entries, isFrozen: $0.isFrozenNow) }
        ownLists = world.kernel.programs.mapValues { $0.maps.mapValues(\.entries) }
        programs = world.kernel.programs.mapValues {
            Program(
                mode: $0.mode, isEdge: $0.isEdge, lists: $0.maps.mapValues(\.id), table: $0.table?.id,
                settings: $0.settings)
        }
        table = world.kernel.table.map { Table(id: $0.id, entries: $0.entries) }
        pinned = world.kernel.pinned
        mark = world.lock.mark
    }

    var description: String {
        """
        record \(entries.mapValues { $0.map { "\($0.prefix) \($0.origin)" } }) capacities \(capacities)
        shared \(shared.mapValues { "\($0.id) \($0.entries.map(\.description).sorted()) frozen \($0.isFrozen)" })
        table \(table.map { "\($0.id) \($0.entries.keys.map { "\($0.prefix) \($0.kind.rawValue)" }.sorted())" } ?? "none")
        programs \(programs) pinned \(pinned) mark \(mark ?? "none")
        """
    }
}

extension PolicyKind {
    /// Of its public map where nobody says.
    var capacity: Int { map?.defaultCapacity ?? 0 }
}

/// 192.0.2.NUMBER
func address(_ number: UInt8) -> IPPrefix { IPPrefix(ipv4: 0xc000_0200 | UInt32(number)) }

/// 10.0.0.0 and those that follow.
func many(_ count: Int) -> [IPPrefix] { (0..<UInt32(count)).map { IPPrefix(ipv4: 0x0a00_0000 + $0) } }
