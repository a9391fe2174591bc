// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore
import Glibc

/// The policy table: what the packet program reads of block, allow and trust entries, for all interfaces
/// (docs/decisions/0020-policy-table.md).
///
/// One process writes at a time: whoever changes something holds the instance's lock. Programs read meanwhile, and see
/// each entry whole or not at all. A writer that dies leaves a table that answers right for every entry but the one it
/// was at, which is there or not. Seconds are those of the boot-time clock, ``now()``.
public final class PolicyTable {
    /// The five maps, by their names in the object: for `LoadedObject.Options.maps`.
    public let maps: [String: BPFMap]
    /// Bytes that the maps may take; more is refused.
    public let memoryLimit: Int
    var stores = PolicyStores()
    let control: MappedArray
    let root4: MappedArray
    let root6: MappedArray
    var tables: [IPPrefix.Family: MappedArray] = [:]

    /// The names of the maps.
    public static let mapNames = [
        FASTPATH_POLICY_CONTROL_MAP, FASTPATH_POLICY_ROOT4_MAP, FASTPATH_POLICY_ROOT6_MAP, FASTPATH_POLICY_IPV4_MAP,
        FASTPATH_POLICY_IPV6_MAP,
    ]

    /// Enough for eight million entries.
    public static let defaultMemoryLimit = 1 << 30

    /// The second of the boot-time clock.
    public static func now() -> UInt32 {
        var time = timespec()
        clock_gettime(CLOCK_BOOTTIME, &time)
        return UInt32(clamping: time.tv_sec)
    }

    /// A new table without entries, in maps of its own that vanish with it unless they are pinned or used.
    public static func make(memoryLimit: Int = defaultMemoryLimit) throws(Failure) -> PolicyTable {
        let fixed: [(String, Int, Int32)] = [
            (FASTPATH_POLICY_CONTROL_MAP, MemoryLayout<fastpath_policy_control>.size, 1),
            (FASTPATH_POLICY_ROOT4_MAP, MemoryLayout<fastpath_policy_root4>.size, FASTPATH_POLICY_ROOT4_LINES),
            (FASTPATH_POLICY_ROOT6_MAP, MemoryLayout<fastpath_policy_root6>.size, FASTPATH_POLICY_ROOT6_LINES),
        ]
        var maps: [String: BPFMap] = [:]
        for (name, size, count) in fixed {
            maps[name] = try MappedArray.make(name, valueSize: size, capacity: Int(count), isInner: false)
        }
        maps[FASTPATH_POLICY_IPV4_MAP] = try makeOuter(.ipv4)
        maps[FASTPATH_POLICY_IPV6_MAP] = try makeOuter(.ipv6)
        return try PolicyTable(maps: maps, memoryLimit: memoryLimit)
    }

    /// The table in maps that are there: pinned ones, or those of a program.
    public init(maps: [String: BPFMap], memoryLimit: Int = defaultMemoryLimit) throws(Failure) {
        func map(_ name: String) throws(Failure) -> BPFMap {
            guard let map = maps[name] else {
                throw Failure(
                    .unsupported, tried: "open the policy table", on: name, because: "there is no such map",
                    next: "Run `up` to make the maps anew.")
            }
            return map
        }
        let controlMap = try map(FASTPATH_POLICY_CONTROL_MAP)
        guard controlMap.valueSize == MemoryLayout<fastpath_policy_control>.size,
            try map(FASTPATH_POLICY_ROOT4_MAP).capacity == FASTPATH_POLICY_ROOT4_LINES,
            try map(FASTPATH_POLICY_ROOT6_MAP).capacity == FASTPATH_POLICY_ROOT6_LINES
        else {
            throw Failure(
                .unsupported, tried: "open the policy table", on: "map \(controlMap.id)",
                because: "its maps have other sizes than this version's", next: "Run `up` to make the maps anew.")
        }
        control = try MappedArray(controlMap)
        root4 = try MappedArray(map(FASTPATH_POLICY_ROOT4_MAP))
        root6 = try MappedArray(map(FASTPATH_POLICY_ROOT6_MAP))
        self.maps = [
            FASTPATH_POLICY_CONTROL_MAP: controlMap, FASTPATH_POLICY_ROOT4_MAP: root4.map,
            FASTPATH_POLICY_ROOT6_MAP: root6.map, FASTPATH_POLICY_IPV4_MAP: try map(FASTPATH_POLICY_IPV4_MAP),
            FASTPATH_POLICY_IPV6_MAP: try map(FASTPATH_POLICY_IPV6_MAP),
        ]
        self.memoryLimit = memoryLimit
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let state = state(family)
            guard state.hasTable else { continue }
            let key = withUnsafeBytes(of: UInt32(state.slot)) { Array($0) }
            guard let id = try outer(family).lookup(key: key) else { continue }
            let number = id.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }
            tables[family] = try MappedArray(BPFMap.withID(number))
        }
    }

    // MARK: What is where

    private static func index(_ family: IPPrefix.Family) -> Int {
        Int(family == .ipv4 ? FASTPATH_POLICY_IPV4 : FASTPATH_POLICY_IPV6)
    }

    func outer(_ family: IPPrefix.Family) throws(Failure) -> BPFMap {
        let name = family == .ipv4 ? FASTPATH_POLICY_IPV4_MAP : FASTPATH_POLICY_IPV6_MAP
        guard let map = maps[name] else {
            throw Failure(tried: "open the policy table", on: name, because: "there is no such map", next: "Run `up`.")
        }
        return map
    }

    private static func makeOuter(_ family: IPPrefix.Family) throws(Failure) -> BPFMap {
        let template = try makeTable(family, elements: 1)
        var options = bpf_map_create_opts()
        options.sz = optionsSize(upTo: \bpf_map_create_opts.map_ifindex)
        options.inner_map_fd = UInt32(template.fd)
        let name = family == .ipv4 ? FASTPATH_POLICY_IPV4_MAP : FASTPATH_POLICY_IPV6_MAP
        let fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, name, 4, 4, UInt32(FASTPATH_POLICY_SLOTS), &options)
        return try BPFMap(owning: check(fd, "make a policy map", on: name, next: "Run it as root."))
    }

    static func makeTable(_ family: IPPrefix.Family, elements: Int) throws(Failure) -> BPFMap {
        try MappedArray.make(
            family == .ipv4 ? "policy_table4" : "policy_table6", valueSize: PolicyBuckets.size(family),
            capacity: elements, isInner: true)
    }

    func field<Value>(_ path: KeyPath<fastpath_policy_control, Value>, as type: Value.Type)
        -> UnsafeMutablePointer<Value>
    {
        (control.memory + (MemoryLayout<fastpath_policy_control>.offset(of: path) ?? 0))
            .assumingMemoryBound(to: Value.self)
    }

    func stateWord(_ family: IPPrefix.Family) -> UnsafeMutablePointer<UInt64> {
        (control.memory + Self.index(family) * MemoryLayout<fastpath_policy_family>.stride)
            .assumingMemoryBound(to: UInt64.self)
    }

    func state(_ family: IPPrefix.Family) -> PolicyState {
        PolicyState(rawValue: fastpath_policy_load(stateWord(family)))
    }

    func shape(_ family: IPPrefix.Family, slot: Int) -> UnsafeMutablePointer<fastpath_policy_shape> {
        let offset = MemoryLayout<fastpath_policy_family>.offset(of: \.shapes) ?? 16
        return (UnsafeMutableRawPointer(stateWord(family)) + offset)
            .assumingMemoryBound(to: fastpath_policy_shape.self) + slot
    }

    var roots: LivePolicyRoots {
        LivePolicyRoots(
            root4: root4.memory.assumingMemoryBound(to: UInt32.self),
            root6: root6.memory.assumingMemoryBound(to: UInt64.self),
            short6: field(\.short_lengths6, as: UInt64.self))
    }

    /// The table of a family that is in use, or nil.
    func buckets(_ family: IPPrefix.Family) -> PolicyBuckets? {
        let state = state(family)
        guard state.hasTable, let table = tables[family] else { return nil }
        return PolicyBuckets(
            family: family, state: state, shape: shape(family, slot: state.slot), memory: table.memory)
    }

    /// The second that programs take it to be, in place of the clock; 0: the clock. For tests.
    public func setSecond(_ second: UInt32) { field(\.given_second, as: UInt32.self).pointee = second }

    // MARK: Single changes

    /// Adds an entry for each of the kinds, or gives one that is there the new expiry and leaves its hits. An expired one
    /// counts as not there. Throws `.mapFull` where the table would have to grow beyond the limit.
    public func set(_ entry: PolicyTableEntry, now: UInt32) throws(Failure) {
        for kind in entry.kinds.each {
            let (first, second) = PolicyKey.keys(of: entry.prefix)
            for key in [first, second].compactMap({ $0 }) {
                try set(key, kind, expiry: entry.expiry ?? FASTPATH_POLICY_NEVER, now: now)
            }
        }
    }

    func set(_ key: PolicyKey, _ kind: PolicyKinds, expiry: UInt32, now: UInt32) throws(Failure) {
        if let buckets = buckets(key.family) {
            if let slot = buckets.find(key, kind) {
                if now < buckets.cell(slot).pointee.expiry {
                    return try buckets.setExpiry(slot, expiry, &stores)
                }
                try buckets.retire(slot, now: now, &stores)
            }
            // The bits first: the entry counts with its own store.
            try roots.insert(key, &stores)
            let shape = buckets.shape.pointee
            if shape.entries < Self.entryLimit(buckets: Int(shape.buckets)),
                try buckets.insert(key, kind, expiry: expiry, now: now, &stores)
            {
                return
            }
        }
        var all: [Item] = []
        if let current = buckets(key.family) {
            try current.forEach { (key, kind, slot) in
                let expiry = current.cell(slot).pointee.expiry
                if now < expiry { all.append(Item(key: key, kind: kind, expiry: expiry)) }
            }
        }
        all.append(Item(key: key, kind: kind, expiry: expiry))
        try replace(key.family, with: all)
    }

    /// Removes the entries of a prefix with these kinds; the kinds that were there.
    @discardableResult
    public func remove(_ prefix: IPPrefix, _ kinds: PolicyKinds, now: UInt32) throws(Failure) -> PolicyKinds {
        var removed: PolicyKinds = []
        guard let buckets = buckets(prefix.family) else { return removed }
        let (first, second) = PolicyKey.keys(of: prefix)
        for key in [first, second].compactMap({ $0 }) {
            for kind in kinds.each {
                guard let slot = buckets.find(key, kind) else { continue }
                if now < buckets.cell(slot).pointee.expiry { removed.insert(kind) }
                try buckets.retire(slot, now: now, &stores)
            }
            if isGone(key, in: buckets) { try roots.remove(key, &stores) }
        }
        return removed
    }

    /// Is no entry of that prefix left, of any kind, whole or half?
    func isGone(_ key: PolicyKey, in buckets: PolicyBuckets) -> Bool {
        let whole = PolicyKey.keys(of: IPPrefix(family: key.family, bits: key.bits, length: key.length)).0
        let halves = PolicyKey.keys(of: IPPrefix(family: key.family, bits: 0, length: 0))
        let same = [whole, halves.0, halves.1].compactMap { $0 }.filter {
            $0.length == key.length && $0.bits == key.bits
        }
        return same.allSatisfy { key in PolicyKinds.all.each.allSatisfy { buckets.find(key, $0) == nil } }
    }

    /// Removes what has expired; those entries.
    @discardableResult
    public func removeExpired(now: UInt32) throws(Failure) -> [PolicyTableEntry] {
        let expired = try records().map(\.entry).filter { !$0.isLive(at: now) }
        for entry in expired { try remove(entry.prefix, entry.kinds, now: now) }
        return expired
    }

    // MARK: Reading

    /// Every entry with its hits, one for each kind, unsorted; expired ones too.
    public func records() throws(Failure) -> [PolicyTableRecord] {
        var records: [PolicyTableRecord] = []
        // Of a prefix of length 0 both halves are there; they are shown as what they are: one.
        var halves: [PolicyTableEntry: Int] = [:]
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            guard let buckets = buckets(family) else { continue }
            try buckets.forEach { (key, kind, slot) in
                let record = Self.record(key, kind, buckets.cell(slot).pointee)
                guard key.flags & UInt64(FASTPATH_POLICY_HALF) != 0 else { return records.append(record) }
                guard let first = halves[record.entry] else {
                    halves[record.entry] = records.count
                    return records.append(record)
                }
                records[first].hits += record.hits
                records[first].lastHit = max(records[first].lastHit ?? 0, record.lastHit ?? 0)
                if records[first].lastHit == 0 { records[first].lastHit = nil }
            }
        }
        return records
    }

    private static func record(_ key: PolicyKey, _ kind: PolicyKinds, _ cell: fastpath_policy_cell)
        -> PolicyTableRecord
    {
        let expiry = cell.expiry == FASTPATH_POLICY_NEVER ? nil : cell.expiry
        return PolicyTableRecord(
            entry: PolicyTableEntry(key.prefix, kind, expiry: expiry), hits: cell.hits,
            lastHit: cell.last_hit == 0 ? nil : cell.last_hit)
    }

    /// The kinds of all live entries that cover an address: what the program would find.
    public func kinds(of address: IPPrefix, now: UInt32) -> PolicyKinds {
        guard let buckets = buckets(address.family) else { return [] }
        var kinds: PolicyKinds = []
        for length in 0...Int(address.length) {
            let prefix = IPPrefix(family: address.family, bits: address.bits, length: length)
            let (first, second) = PolicyKey.keys(of: prefix)
            for key in [first, second].compactMap({ $0 }) {
                for kind in PolicyKinds.all.each {
                    guard let slot = buckets.find(key, kind), now < buckets.cell(slot).pointee.expiry else { continue }
                    kinds.insert(kind)
                }
            }
        }
        return kinds
    }

    /// What it holds and takes.
    public struct Statistics: Hashable, Sendable {
        /// With a kind each; a prefix of length 0 counts twice.
        public var entries = 0
        /// Buckets that entries hash to, and those linked to them.
        public var buckets = 0
        public var overflowBuckets = 0
        /// Buckets that a look-up of one prefix reads at most.
        public var longestChain = 0
        /// All maps, in bytes.
        public var bytes = 0
    }

    /// Of one family, or of both.
    public func statistics(_ family: IPPrefix.Family? = nil) -> Statistics {
        var result = Statistics()
        for each in [IPPrefix.Family.ipv4, .ipv6] where family == nil || family == each {
            result.bytes += (tables[each]?.byteCount ?? 0) + (each == .ipv4 ? root4.byteCount : root6.byteCount)
            guard let buckets = buckets(each) else { continue }
            result.entries += Int(buckets.shape.pointee.entries)
            result.buckets += Int(buckets.shape.pointee.buckets)
            result.overflowBuckets += Int(buckets.shape.pointee.overflow_used)
            result.longestChain = max(result.longestChain, buckets.longestChain)
        }
        if family == nil { result.bytes += control.byteCount }
        return result
    }
}
