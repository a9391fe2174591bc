// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

extension PolicyTable {
    /// An entry on its way into a table.
    struct Item {
        var key: PolicyKey
        var kind: PolicyKinds
        var expiry: UInt32
    }

    /// Buckets of the smallest table.
    private static let leastBuckets = 1024

    /// Entries at which a table grows: 2.25 a bucket, when about 8 of 100 buckets have another linked.
    static func entryLimit(buckets: Int) -> Int { buckets * 9 / 4 }

    /// Buckets for so many entries: at most two a bucket, so that there is room to grow into.
    private static func bucketCount(entries: Int) -> Int {
        var buckets = leastBuckets
        while entries > 2 * buckets { buckets *= 2 }
        return buckets
    }

    /// Puts these entries in place of all that are there: for programs in one step a family, with no moment in between.
    /// Entries that were there keep their hits. Where one is given twice, the later expiry counts. `progress` gets the
    /// number of entries placed. Throws, and leaves all as it was, where there is no memory (`.mapFull` or
    /// `.system`) or IPv6 prefixes have too many lengths (`.usage`).
    public func replace(
        with entries: [PolicyTableEntry], progress: (Int) -> Void = { _ in }
    ) throws(Failure) {
        var items: [IPPrefix.Family: [Item]] = [.ipv4: [], .ipv6: []]
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            items[family] = Self.items(entries, family)
        }
        let needed = items.reduce(0) { sum, pair in
            sum + Self.size(pair.key, buckets: Self.bucketCount(entries: pair.value.count))
        }
        try requireMemory(needed, entries: entries.count)
        // Both are built before either is used.
        var done = 0
        var fresh: [Fresh] = []
        for family in [IPPrefix.Family.ipv4, .ipv6] {
            let list = items[family] ?? []
            if list.isEmpty, !state(family).hasTable { continue }
            fresh.append(try build(family, list) { progress(done + $0) })
            done += list.count
        }
        for table in fresh { try swap(to: table) }
    }

    private static func items(_ entries: [PolicyTableEntry], _ family: IPPrefix.Family) -> [Item] {
        var items: [Item] = []
        items.reserveCapacity(entries.count)
        for entry in entries where entry.prefix.family == family {
            let expiry = entry.expiry ?? FASTPATH_POLICY_NEVER
            let (first, second) = PolicyKey.keys(of: entry.prefix)
            for bit in [UInt8(FASTPATH_POLICY_BLOCK), UInt8(FASTPATH_POLICY_ALLOW), UInt8(FASTPATH_POLICY_TRUST)]
            where entry.kinds.rawValue & bit != 0 {
                let kind = PolicyKinds(rawValue: bit)
                items.append(Item(key: first, kind: kind, expiry: expiry))
                if let second { items.append(Item(key: second, kind: kind, expiry: expiry)) }
            }
        }
        return items
    }

    private static func size(_ family: IPPrefix.Family, buckets: Int) -> Int {
        PolicyBuckets.elements(family, buckets: buckets) * PolicyBuckets.size(family)
    }

    /// `bytes`: of tables; the roots come on top.
    private func requireMemory(_ bytes: Int, entries: Int) throws(Failure) {
        let fixed = root4.byteCount + root6.byteCount + control.byteCount
        guard bytes + fixed > memoryLimit else { return }
        throw Failure(
            .mapFull(capacity: memoryLimit), tried: "put \(entries) entries into the policy table",
            on: "\(bytes + fixed) bytes", because: "it may take \(memoryLimit) bytes",
            next: "Raise the limit in the configuration, or give fewer entries.")
    }

    /// A table that is built and not in use yet.
    private struct Fresh {
        var family: IPPrefix.Family
        var table: MappedArray
        var state: PolicyState
        var shape: fastpath_policy_shape
        var roots: PolicyRoots
    }

    /// Puts these entries in place of all of a family, as ``replace(with:progress:)``.
    func replace(_ family: IPPrefix.Family, with items: [Item]) throws(Failure) {
        let other = family == .ipv4 ? IPPrefix.Family.ipv6 : .ipv4
        let size = Self.size(family, buckets: Self.bucketCount(entries: items.count))
        try requireMemory(size + (tables[other]?.byteCount ?? 0), entries: items.count)
        try swap(to: build(family, items) { _ in })
    }

    /// Builds a table beside the one in use. Nothing has changed where it throws.
    private func build(
        _ family: IPPrefix.Family, _ items: [Item], _ progress: (Int) -> Void
    ) throws(Failure) -> Fresh {
        let count = Self.bucketCount(entries: items.count)
        let slot = buckets(family).map { 1 - $0.state.slot } ?? 0
        // Chains that are too long are as good as impossible: 21 entries for one bucket, where two are the average.
        for _ in 0..<4 {
            let elements = PolicyBuckets.elements(family, buckets: count)
            let table = try MappedArray(Self.makeTable(family, elements: elements))
            let state = PolicyState(slot: slot, buckets: count, seed: UInt64.random(in: 0...UInt64.max))
            var shape = fastpath_policy_shape(
                buckets: UInt32(count), overflow: fastpath_policy_overflow(UInt32(count)), overflow_used: 0, entries: 0)
            var roots = PolicyRoots(family)
            let isPlaced = try withUnsafeMutablePointer(to: &shape) { (shape) throws(Failure) in
                let buckets = PolicyBuckets(family: family, state: state, shape: shape, memory: table.memory)
                return try Self.fill(buckets, items, &roots, progress)
            }
            guard isPlaced else { continue }
            try roots.requireFewLengths()
            return Fresh(family: family, table: table, state: state, shape: shape, roots: roots)
        }
        throw Failure(
            tried: "build a policy table", on: "\(items.count) entries", because: "they do not spread over its buckets",
            next: "Report it.")
    }

    private static func fill(
        _ buckets: PolicyBuckets, _ items: [Item], _ roots: inout PolicyRoots, _ progress: (Int) -> Void
    ) throws(Failure) -> Bool {
        // Nobody reads it yet, so a test has nothing to cut off here.
        var stores = PolicyStores()
        for (number, item) in items.enumerated() {
            if let slot = buckets.find(item.key, item.kind) {
                let expiry = max(buckets.cell(slot).pointee.expiry, item.expiry)
                try buckets.setExpiry(slot, expiry, &stores)
            } else if try !buckets.insert(item.key, item.kind, expiry: item.expiry, now: 0, &stores) {
                return false
            } else {
                roots.insert(item.key)
            }
            if number & 0xffff == 0xffff { progress(number + 1) }
        }
        progress(items.count)
        return true
    }

    /// The step itself is one store. The kernel lets all running programs end before it returns from a change of a map
    /// of maps (since Linux 5.0), which is what the second one is for.
    private func swap(to new: Fresh) throws(Failure) {
        let family = new.family
        let outer = try outer(family)
        // Its memory stays mapped until its hits are carried over.
        let old = buckets(family), last = tables[family]
        let key = withUnsafeBytes(of: UInt32(new.state.slot)) { Array($0) }
        let value = withUnsafeBytes(of: new.table.map.fd) { Array($0) }
        try outer.update(key: key, value: value)
        shape(family, slot: new.state.slot).pointee = new.shape
        try roots.add(new.roots, &stores)
        try stores.publish(stateWord(family), new.state.rawValue)
        tables[family] = new.table
        defer { withExtendedLifetime(last) {} }
        try outer.update(key: key, value: value)
        try roots.set(new.roots, &stores)
        guard let old, let fresh = buckets(family) else { return }
        try old.forEach { (key, kind, slot) in
            let cell = old.cell(slot).pointee
            guard cell.hits > 0, let place = fresh.find(key, kind) else { return }
            let hits = UnsafeMutableRawPointer(fresh.cell(place)).assumingMemoryBound(to: UInt64.self)
            fastpath_policy_add(hits, cell.hits)
            if fresh.cell(place).pointee.last_hit == 0 { fresh.cell(place).pointee.last_hit = cell.last_hit }
        }
        try outer.delete(key: withUnsafeBytes(of: UInt32(old.state.slot)) { Array($0) })
    }
}
