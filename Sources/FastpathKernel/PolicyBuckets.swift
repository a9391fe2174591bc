// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

/// Stores that a program may see at once. Tests let a writer die behind any of them.
struct PolicyStores {
    /// How many are still made; nil: all.
    var left: Int?

    private mutating func pass() throws(Failure) {
        guard let left else { return }
        guard left > 0 else {
            throw Failure(tried: "store", on: "the policy table", because: "a test wanted it to end here", next: "-")
        }
        self.left = left - 1
    }

    @inline(__always)
    mutating func publish(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64) throws(Failure) {
        if left != nil { try pass() }
        fastpath_policy_publish(word, value)
    }

    @inline(__always)
    mutating func publish(_ word: UnsafeMutablePointer<UInt32>, _ value: UInt32) throws(Failure) {
        if left != nil { try pass() }
        fastpath_policy_publish32(word, value)
    }
}

/// The buckets of one table, in mapped memory (`fastpath_policy.h`). All that it knows it reads from there.
struct PolicyBuckets {
    let family: IPPrefix.Family
    let state: PolicyState
    /// Of the table: buckets, overflow buckets and how many of these are linked.
    let shape: UnsafeMutablePointer<fastpath_policy_shape>
    let memory: UnsafeMutableRawPointer

    private static let keyMask = ~UInt64(FASTPATH_POLICY_LOW)
    private static let linkMask = UInt64(FASTPATH_POLICY_LINK)
    private static let ways = Int(FASTPATH_POLICY_WAYS)
    private static let identity = UInt64(FASTPATH_POLICY_KINDS | FASTPATH_POLICY_HALF | FASTPATH_POLICY_HOST)

    /// Bytes of a bucket.
    static func size(_ family: IPPrefix.Family) -> Int {
        family == .ipv4
            ? MemoryLayout<fastpath_policy_bucket4>.stride : MemoryLayout<fastpath_policy_bucket6>.stride
    }

    /// A place for an entry.
    struct Slot: Hashable {
        var bucket: Int
        var place: Int
    }

    func word(_ slot: Slot) -> UnsafeMutablePointer<UInt64> {
        (memory + slot.bucket * Self.size(family)).assumingMemoryBound(to: UInt64.self) + slot.place
    }

    func cell(_ slot: Slot) -> UnsafeMutablePointer<fastpath_policy_cell> {
        let offset = family == .ipv4 ? 8 * Self.ways : 24 * Self.ways
        return (memory + slot.bucket * Self.size(family) + offset)
            .assumingMemoryBound(to: fastpath_policy_cell.self) + slot.place
    }

    /// IPv6 only.
    private func prefix(_ slot: Slot) -> UnsafeMutablePointer<fastpath_policy_prefix6> {
        (memory + slot.bucket * Self.size(family) + 8 * Self.ways)
            .assumingMemoryBound(to: fastpath_policy_prefix6.self) + slot.place
    }

    private func lastSlot(_ bucket: Int) -> Slot { Slot(bucket: bucket, place: Self.ways - 1) }

    /// The bucket linked to another, or nil.
    private func next(_ bucket: Int) -> Int? {
        let link = (word(lastSlot(bucket)).pointee & Self.linkMask) >> UInt64(FASTPATH_POLICY_LINK_SHIFT)
        return link == 0 ? nil : Int(shape.pointee.buckets) + Int(link) - 1
    }

    /// Buckets from the key's own one on, in the order in which the program reads them.
    private func chain(from bucket: Int) -> [Int] {
        var buckets = [bucket]
        while let more = next(buckets[buckets.count - 1]), buckets.count < Int(FASTPATH_POLICY_CHAIN) {
            buckets.append(more)
        }
        return buckets
    }

    /// The entry with that key and kind.
    func find(_ key: PolicyKey, _ kind: PolicyKinds) -> Slot? {
        let (_, home, keyWord) = key.place(in: state)
        let wanted = keyWord | key.flags | UInt64(kind.rawValue)
        var bucket: Int? = home
        while let current = bucket {
            for place in 0..<Self.ways {
                let slot = Slot(bucket: current, place: place)
                if word(slot).pointee & (Self.keyMask | Self.identity) == wanted, isHere(key, slot) { return slot }
            }
            bucket = next(current)
        }
        return nil
    }

    private func isHere(_ key: PolicyKey, _ slot: Slot) -> Bool {
        guard family == .ipv6 else { return true }
        let there = prefix(slot).pointee
        return there.high == key.high && there.low == key.low
    }

    /// Puts an entry that is not there into a free place, with no hits. False where there is none: the table must
    /// grow. The entry counts from the last store on.
    func insert(
        _ key: PolicyKey, _ kind: PolicyKinds, expiry: UInt32, now: UInt32, _ stores: inout PolicyStores
    ) throws(Failure) -> Bool {
        let (hash, home, keyWord) = key.place(in: state)
        try setFilter(hash, &stores)
        var bucket = home
        var depth = 1
        while true {
            for place in 0..<Self.ways {
                let slot = Slot(bucket: bucket, place: place)
                guard isFree(slot, now) else { continue }
                prepare(slot, key, expiry)
                let link = word(slot).pointee & Self.linkMask
                try stores.publish(word(slot), entryWord(keyWord, key, kind, place) | link)
                shape.pointee.entries += 1
                return true
            }
            guard let more = next(bucket) else { break }
            bucket = more
            depth += 1
        }
        guard depth < Int(FASTPATH_POLICY_CHAIN), shape.pointee.overflow_used < shape.pointee.overflow else {
            return false
        }
        // A fresh bucket: nobody sees it before it is linked.
        shape.pointee.overflow_used += 1
        let link = UInt64(shape.pointee.overflow_used)
        let slot = Slot(bucket: Int(shape.pointee.buckets) + Int(link) - 1, place: 0)
        prepare(slot, key, expiry)
        try stores.publish(word(slot), entryWord(keyWord, key, kind, 0))
        let last = word(lastSlot(bucket))
        try stores.publish(last, last.pointee & ~Self.linkMask | link << UInt64(FASTPATH_POLICY_LINK_SHIFT))
        shape.pointee.entries += 1
        return true
    }

    /// Words of the filter in one element.
    private static func filterWords(_ family: IPPrefix.Family) -> Int {
        Int(family == .ipv4 ? FASTPATH_POLICY_FILTER_WORDS4 : FASTPATH_POLICY_FILTER_WORDS6)
    }

    /// Elements of a table, all of them: buckets, overflow buckets, the filter.
    static func elements(_ family: IPPrefix.Family, buckets: Int) -> Int {
        buckets + Int(fastpath_policy_overflow(UInt32(buckets)))
            + buckets * Int(FASTPATH_POLICY_FILTER_BITS) / (64 * filterWords(family))
    }

    /// Sets the filter's bit of a prefix. It stays until the table is built anew: in vain, it costs time, no more.
    private func setFilter(_ hash: UInt64, _ stores: inout PolicyStores) throws(Failure) {
        let buckets = shape.pointee.buckets
        let bit = Int(fastpath_policy_filter(hash, buckets))
        let words = Self.filterWords(family)
        let element = Int(buckets + fastpath_policy_overflow(buckets)) + bit / (64 * words)
        let word = word(Slot(bucket: element, place: 0)) + bit / 64 % words
        let wanted = word.pointee | 1 << UInt64(bit % 64)
        if word.pointee != wanted { try stores.publish(word, wanted) }
    }

    /// May an entry be put there? Not where one was a moment ago: a program may still count a hit of it.
    private func isFree(_ slot: Slot, _ now: UInt32) -> Bool {
        let word = word(slot).pointee & ~Self.linkMask
        if word == 0 { return true }
        guard word & Self.keyMask == 0 else { return false }
        let retired = cell(slot).pointee.expiry
        return now >= retired && now - retired >= UInt32(FASTPATH_POLICY_REST)
    }

    private func prepare(_ slot: Slot, _ key: PolicyKey, _ expiry: UInt32) {
        cell(slot).pointee = fastpath_policy_cell(hits: 0, last_hit: 0, expiry: expiry)
        if family == .ipv6 { prefix(slot).pointee = fastpath_policy_prefix6(high: key.high, low: key.low) }
    }

    private func entryWord(_ keyWord: UInt64, _ key: PolicyKey, _ kind: PolicyKinds, _ place: Int) -> UInt64 {
        let isBlock = kind == .block
        return keyWord | key.flags | UInt64(kind.rawValue)
            | (isBlock ? 1 << UInt64(Int(FASTPATH_POLICY_PLACE_SHIFT) + place) : 0)
    }

    /// Takes an entry out; it stops to count with the first store.
    func retire(_ slot: Slot, now: UInt32, _ stores: inout PolicyStores) throws(Failure) {
        try stores.publish(expiryWord(slot), now)
        let word = word(slot)
        try stores.publish(word, UInt64(FASTPATH_POLICY_RETIRED) | word.pointee & Self.linkMask)
        // Where a writer died between two stores the number is wrong by one until the table is built anew.
        if shape.pointee.entries > 0 { shape.pointee.entries -= 1 }
    }

    func setExpiry(_ slot: Slot, _ expiry: UInt32, _ stores: inout PolicyStores) throws(Failure) {
        try stores.publish(expiryWord(slot), expiry)
    }

    private func expiryWord(_ slot: Slot) -> UnsafeMutablePointer<UInt32> {
        let offset = MemoryLayout<fastpath_policy_cell>.offset(of: \.expiry) ?? 12
        return (UnsafeMutableRawPointer(cell(slot)) + offset).assumingMemoryBound(to: UInt32.self)
    }

    /// Every entry, expired ones too.
    func forEach(_ body: (PolicyKey, PolicyKinds, Slot) throws(Failure) -> Void) throws(Failure) {
        let count = Int(shape.pointee.buckets) + Int(shape.pointee.overflow_used)
        for bucket in 0..<count {
            for place in 0..<Self.ways {
                let slot = Slot(bucket: bucket, place: place)
                let word = fastpath_policy_load(word(slot))
                guard word & Self.keyMask != 0 else { continue }
                let there = family == .ipv6 ? prefix(slot).pointee : fastpath_policy_prefix6()
                let key = PolicyKey(family: family, word: word, high: there.high, low: there.low)
                try body(key, PolicyKinds(rawValue: UInt8(word & UInt64(FASTPATH_POLICY_KINDS))), slot)
            }
        }
    }

    /// Buckets of the longest chain.
    var longestChain: Int {
        (0..<Int(shape.pointee.buckets)).reduce(0) { longest, bucket in
            next(bucket) == nil ? max(longest, 1) : max(longest, chain(from: bucket).count)
        }
    }
}
