// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

final class FakeRecord: PolicyRecord {
    private(set) var stored: [PolicyKind: [IPPrefix: PolicyEntry]] = [:]
    private(set) var capacities: [PolicyKind: Int] = [:]
    private let faults: Faults

    init(_ faults: Faults) { self.faults = faults }

    func entries(_ kind: PolicyKind) -> [PolicyEntry] {
        (stored[kind] ?? [:]).values.sorted { $0.prefix < $1.prefix }
    }
    func count(_ kind: PolicyKind) -> Int { stored[kind]?.count ?? 0 }
    func contained(_ prefixes: [IPPrefix], in kind: PolicyKind) -> Set<IPPrefix> {
        Set(prefixes.filter { stored[kind]?[$0] != nil })
    }

    func insert(_ entries: [PolicyEntry], progress: (Int) -> Void) throws(Failure) {
        if entries.isEmpty { return }
        try faults.step("record \(entries.count)")
        for entry in entries { stored[entry.kind, default: [:]][entry.prefix, default: entry] = entry.orOlder(stored) }
        progress(entries.count)
    }

    func remove(_ prefixes: [IPPrefix], from kind: PolicyKind) throws(Failure) {
        if prefixes.isEmpty { return }
        try faults.step("remove \(prefixes.count) from the record")
        for prefix in prefixes { stored[kind]?[prefix] = nil }
    }

    func capacity(_ kind: PolicyKind) -> Int? { capacities[kind] }

    func setCapacity(_ capacity: Int, of kind: PolicyKind) throws(Failure) {
        try faults.step("record the capacity \(capacity)")
        capacities[kind] = capacity
    }

    func purge() throws(Failure) {
        try faults.step("purge the record")
        stored = [:]
        capacities = [:]
    }
}

extension PolicyEntry {
    /// Entries that are there stay as they are.
    fileprivate func orOlder(_ stored: [PolicyKind: [IPPrefix: PolicyEntry]]) -> PolicyEntry {
        stored[kind]?[prefix] ?? self
    }
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
        settings: FilterSettings = Profile.default.settings, force: Bool = false
    ) throws -> UpReport {
        try edges.up(
            UpRequest(
                interface: name, mode: mode, object: object, settings: settings, capacities: capacities, force: force),
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
        for kind in PolicyKind.allCases {
            let map = FakeMap(id: kernel.newID(), capacity: kind.map.defaultCapacity, faults: Faults())
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
        var mode: XDPMode; var isEdge: Bool; var lists: [PolicyKind: UInt32]; var settings: FilterSettings?
    }

    var entries: [PolicyKind: [PolicyEntry]] = [:]
    var capacities: [PolicyKind: Int]
    var shared: [PolicyKind: List]
    var ownLists: [InterfaceID: [PolicyKind: Set<IPPrefix>]]
    var programs: [InterfaceID: Program]
    var pinned: Set<InterfaceID>
    var mark: String?

    init(_ world: FakeWorld) {
        for kind in PolicyKind.allCases { entries[kind] = world.record.entries(kind) }
        // What is not recorded is the default.
        capacities = Dictionary(
            uniqueKeysWithValues: PolicyKind.allCases.map { ($0, world.record.capacity($0) ?? $0.map.defaultCapacity) })
        shared = world.kernel.shared.mapValues { List(id: $0.id, entries: $0.entries, isFrozen: $0.isFrozenNow) }
        ownLists = world.kernel.programs.mapValues { $0.maps.mapValues(\.entries) }
        programs = world.kernel.programs.mapValues {
            Program(mode: $0.mode, isEdge: $0.isEdge, lists: $0.maps.mapValues(\.id), settings: $0.settings)
        }
        pinned = world.kernel.pinned
        mark = world.lock.mark
    }

    var description: String {
        """
        record \(entries.mapValues { $0.map { "\($0.prefix) \($0.origin)" } }) capacities \(capacities)
        shared \(shared.mapValues { "\($0.id) \($0.entries.map(\.description).sorted()) frozen \($0.isFrozen)" })
        programs \(programs) pinned \(pinned) mark \(mark ?? "none")
        """
    }
}

/// 192.0.2.NUMBER
func address(_ number: UInt8) -> IPPrefix { IPPrefix(ipv4: 0xc000_0200 | UInt32(number)) }

/// 10.0.0.0 and those that follow.
func many(_ count: Int) -> [IPPrefix] { (0..<UInt32(count)).map { IPPrefix(ipv4: 0x0a00_0000 + $0) } }
