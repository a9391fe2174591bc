// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore
import Glibc

/// The policy table: what the packet program reads of block, allow and trust entries, for all interfaces
/// (docs/decisions/0020-policy-table.md).
///
/// One process writes at a time: whoever changes something holds the instance's lock. Programs read meanwhile. A set of
/// changes takes effect with one store, for both families and on all interfaces. Its size is fixed: whoever needs more
/// makes a larger one, fills it, and replaces the programs. Seconds are those of the boot-time clock, ``now()``.
public final class PolicyTable {
    /// All maps, by their names in the object: for `LoadedObject.Options.maps`, and to be pinned.
    public let maps: [String: BPFMap]
    let memory: PolicyMemory
    /// Keeps them mapped.
    private let arrays: [MappedArray]
    private var gracePeriod: GracePeriod?
    /// For tests.
    var stores = PolicyStores()

    /// The names of the maps.
    public static let mapNames = [
        FASTPATH_POLICY_CONTROL_MAP, FASTPATH_POLICY_ROOT4_MAP, FASTPATH_POLICY_BLOCKS_MAP,
        FASTPATH_POLICY_ROOT6_MAP, FASTPATH_POLICY_INDEX_MAP, FASTPATH_POLICY_RECORDS_MAP,
    ]

    /// Bytes of an element of each map, in the order of the names.
    private static let sizes = [
        MemoryLayout<fastpath_policy_control>.size, 8, MemoryLayout<fastpath_policy_block>.size,
        MemoryLayout<fastpath_policy_lengths6>.size, MemoryLayout<fastpath_policy_bucket>.size,
        MemoryLayout<fastpath_policy_record>.size,
    ]

    /// The second of the boot-time clock.
    public static func now() -> UInt32 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt32(clamping: time.tv_sec)
    }

    // MARK: Making and opening

    /// The largest capacity.
    public static let capacityLimit = 1 << 28

    /// Elements of each map, in the order of the names. Blocks are enough for networks anywhere, as long as no more than
    /// one entry in two is in a part of the address space (of length 16) of its own, and one in sixteen longer than 24.
    private static func counts(capacity: Int) -> [Int] {
        let buckets = bucketCount(capacity: capacity)
        let blocks = min(Int(FASTPATH_POLICY_ROOT4_WORDS), capacity / 2 + 32) + capacity / 16 + 32
        return [
            1, Int(FASTPATH_POLICY_ROOT4_WORDS), 1 + blocks, Int(FASTPATH_POLICY_ROOT6_LINES),
            buckets + Int(FASTPATH_POLICY_HOPS) - 1, 1 + capacity,
        ]
    }

    /// A power of two. On average at most one word of a bucket is in use: a prefix must find its place within a few hops.
    private static func bucketCount(capacity: Int) -> Int {
        var buckets = 16
        while buckets < capacity { buckets *= 2 }
        return buckets
    }

    /// Bytes that a table of that capacity takes, whatever it holds.
    public static func bytes(capacity: Int) -> Int {
        zip(counts(capacity: capacity), sizes).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// A new table without entries, in maps of its own that vanish with it unless they are pinned or used. `capacity`:
    /// prefixes, of both families together.
    public static func make(capacity: Int) throws(Failure) -> PolicyTable {
        guard (1...capacityLimit).contains(capacity) else {
            throw Failure(
                .usage, tried: "make a policy table", on: "\(capacity) prefixes",
                because: "a table has room for 1 to \(capacityLimit)", next: "Give another capacity.")
        }
        var maps: [String: BPFMap] = [:]
        for (name, (size, count)) in zip(mapNames, zip(sizes, counts(capacity: capacity))) {
            maps[name] = try MappedArray.make(name, valueSize: size, capacity: count)
        }
        let table = try PolicyTable(maps: maps, isNew: true)
        var random = SystemRandomNumberGenerator()
        let control = table.memory.control
        control.pointee.generation = PolicyMemory.word(generation: 1)
        control.pointee.secret = random.next()
        control.pointee.index_shift = UInt64(64 - bucketCount(capacity: capacity).trailingZeroBitCount)
        control.pointee.records_fresh = 1
        control.pointee.blocks_fresh = 1
        fastpath_policy_store32(table.memory.control(\.version), UInt32(FASTPATH_POLICY_VERSION))
        return table
    }

    /// The table in maps that are there: pinned ones, or those of a program. Changes nothing. Throws `.unsupported` where
    /// they are not those of a table of this version.
    public convenience init(maps: [String: BPFMap]) throws(Failure) { try self.init(maps: maps, isNew: false) }

    private init(maps: [String: BPFMap], isNew: Bool) throws(Failure) {
        func refuse(_ name: String, _ reason: String) -> Failure {
            Failure(
                .unsupported, tried: "open the policy table", on: name, because: reason,
                next: "Run `up` to make the maps anew.")
        }
        var arrays: [MappedArray] = [], ours: [String: BPFMap] = [:]
        for (name, size) in zip(Self.mapNames, Self.sizes) {
            guard let map = maps[name] else { throw refuse(name, "there is no such map") }
            guard map.valueSize == size else { throw refuse(name, "its elements have another size") }
            arrays.append(try MappedArray(map))
            ours[name] = map
        }
        let capacity = arrays[5].map.capacity - 1
        guard capacity > 0, arrays.map(\.map.capacity) == Self.counts(capacity: capacity) else {
            throw refuse(arrays[5].map.name, "the maps do not have the sizes of a table")
        }
        memory = PolicyMemory(
            control: arrays[0].memory.assumingMemoryBound(to: fastpath_policy_control.self),
            root4: arrays[1].memory.assumingMemoryBound(to: UInt64.self),
            blocks: arrays[2].windows,
            root6: arrays[3].memory.assumingMemoryBound(to: UInt64.self),
            index: arrays[4].windows, records: arrays[5].windows,
            recordCount: UInt32(arrays[5].map.capacity), blockCount: UInt32(arrays[2].map.capacity))
        guard isNew || memory.control.pointee.version == FASTPATH_POLICY_VERSION else {
            throw refuse(arrays[0].map.name, "another version made it")
        }
        self.arrays = arrays
        self.maps = ours
    }

    // MARK: Changes

    private func wait() throws(Failure) {
        if gracePeriod == nil { gracePeriod = try GracePeriod() }
        try gracePeriod?.wait()
    }

    private func write<Value>(_ body: (inout PolicyWriter) throws(Failure) -> Value) throws(Failure) -> Value {
        var writer = PolicyWriter(memory, stores) { [unowned self] () throws(Failure) in try wait() }
        defer { stores = writer.stores }
        return try body(&writer)
    }

    /// Makes the changes, all with one store; of those of the same prefix and kind the last one counts. An entry that is
    /// there keeps its hits; one that has expired at `now` counts as not there. Throws `.mapFull` where there is no room
    /// for what is there and what is added together: then nothing has changed. Repairs first, if it must. One change
    /// takes microseconds; several wait for running programs, some tens of milliseconds. `progress`: changes so far.
    public func apply(
        _ changes: [PolicyTableChange], now: UInt32, progress: (Int) -> Void = { _ in }
    ) throws(Failure) {
        precondition(changes.allSatisfy { $0.kind.rawValue.nonzeroBitCount == 1 }, "one kind each")
        guard !changes.isEmpty else { return }
        try repairIfNeeded(now: now)
        try write { (writer) throws(Failure) in
            if memory.control.pointee.stale > 0, memory.blocksLeft < 2 * changes.count { try writer.tidy() }
            try writer.apply(changes, now: now, progress: progress)
            // Flags of removed entries cost strangers time. It pays when many are gone.
            if memory.control.pointee.stale > max(4096, memory.control.pointee.records_used / 4) { try writer.tidy() }
        }
    }

    /// Removes what has expired at `now`, and what old entries left behind that only costs time and room; how many
    /// entries.
    @discardableResult
    public func sweep(now: UInt32) throws(Failure) -> Int {
        try repairIfNeeded(now: now)
        let expired = records().filter { !$0.expiry.isLive(at: now) }
        try apply(expired.map { PolicyTableChange($0.prefix, $0.kind, expiry: nil) }, now: now)
        if memory.control.pointee.stale > 0 { try write { (writer) throws(Failure) in try writer.tidy() } }
        return expired.count
    }

    /// Moves the hits of `other`, whose programs have all been replaced, to the block entries that both have: waits for the
    /// programs that run still, takes each count away there, and adds it here, where programs may count meanwhile. So each
    /// hit is in one of the two at every moment, and never in both; cut off in between, those of one entry are lost at
    /// most. An entry that had expired at `now` in `other` is another one here, and begins from nothing.
    public func takeHits(from other: PolicyTable, now: UInt32) throws(Failure) {
        guard other.memory.control.pointee.records_used > 0 else { return }
        try other.wait()
        let reader = PolicyWriter(memory, stores) {}
        let block = PolicyKinds.block.rawValue.trailingZeroBitCount
        for number in 1..<max(1, other.memory.control.pointee.records_fresh) {
            let old = other.memory.record(number)
            guard old.pointee.hits != 0, !PolicyMemory.isFree(old), other.memory.ends(old)[block] > now else {
                continue
            }
            let place = reader.find(PolicyMemory.prefix(old))
            guard place != 0 else { continue }
            let new = memory.record(place)
            guard memory.ends(new)[block] > now else { continue }
            PolicyMemory.move(hitsOf: old, to: new)
        }
    }

    /// Did a writer die in the middle of a change?
    public var needsRepair: Bool { fastpath_policy_load32(memory.control(\.dirty)) != 0 }

    /// Puts right what a writer left that died: its changes have taken effect all or not at all. True if there was one.
    @discardableResult
    public func repairIfNeeded(now: UInt32 = now()) throws(Failure) -> Bool {
        guard needsRepair else { return false }
        try write { (writer) throws(Failure) in try writer.repair(now: now) }
        return true
    }

    /// The time that programs take it to be, in place of the clock, in seconds; 0: the clock. For tests.
    public func setSecond(_ second: UInt32) { setMicros(UInt64(second) * 1_000_000) }

    /// The same in microseconds.
    public func setMicros(_ micros: UInt64) { fastpath_policy_store64(memory.control(\.given_micros), micros) }

    // MARK: Reading

    /// Prefixes that it has room for, of both families together.
    public var capacity: Int { Int(memory.recordCount) - 1 }

    /// Every entry with its hits, unsorted; expired ones too.
    public func records() -> [PolicyTableRecord] {
        var records: [PolicyTableRecord] = []
        for number in 1..<max(1, memory.control.pointee.records_fresh) { append(number, to: &records) }
        return records
    }

    /// The entries of these prefixes, in their order; expired ones too. Reads no others.
    public func find(_ prefixes: [IPPrefix]) -> [PolicyTableRecord] {
        var records: [PolicyTableRecord] = []
        let reader = PolicyWriter(memory, stores) {}
        for prefix in prefixes {
            let number = reader.find(prefix)
            if number != 0 { append(number, to: &records) }
        }
        return records
    }

    private func append(_ number: UInt32, to records: inout [PolicyTableRecord]) {
        let record = memory.record(number)
        guard !PolicyMemory.isFree(record) else { return }
        let ends = memory.ends(record), prefix = PolicyMemory.prefix(record)
        for (index, kind) in PolicyKinds.all.each.enumerated() where ends[index] != 0 {
            let isBlock = kind == .block
            let last = isBlock ? record.pointee.last_hit : 0
            records.append(
                PolicyTableRecord(
                    prefix, kind, expiry: ends[index] == FASTPATH_POLICY_NEVER ? .never : .second(ends[index]),
                    hits: isBlock ? record.pointee.hits : 0, lastHit: last == 0 ? nil : last))
        }
    }

    /// What it holds and takes.
    public struct Statistics: Hashable, Sendable {
        /// Prefixes; one of several kinds counts once.
        public var prefixes = 0
        public var capacity = 0
        /// All maps, in bytes, whatever they hold.
        public var bytes = 0
        /// IPv4 networks are in blocks of 256 words: how many are in use, and how many there are.
        public var blocks = 0
        public var blockCapacity = 0
    }

    /// Cheap: it is kept, not counted.
    public var statistics: Statistics {
        Statistics(
            prefixes: Int(memory.control.pointee.records_used), capacity: capacity,
            bytes: arrays.reduce(0) { $0 + $1.byteCount }, blocks: Int(memory.control.pointee.blocks_used),
            blockCapacity: Int(memory.blockCount) - 1)
    }
}
