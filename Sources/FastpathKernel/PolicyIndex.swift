// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

/// The hash of single IPv4 addresses and of IPv6 prefixes.
extension PolicyWriter {
    private static let spilled = UInt64(FASTPATH_POLICY_SPILLED)
    private static let number = UInt64(FASTPATH_POLICY_NUMBER)

    /// A prefix's first bucket, and its word without the record.
    private func place(_ prefix: IPPrefix) -> (bucket: Int, key: UInt64) {
        let secret = memory.control.pointee.secret, shift = memory.control.pointee.index_shift
        if prefix.family == .ipv4 {
            let address = UInt32(truncatingIfNeeded: prefix.bits)
            return (Int(fastpath_policy_hash4(address, secret) >> shift), fastpath_policy_key4(address))
        }
        let (high, low) = PolicyMemory.words(prefix)
        let hash = fastpath_policy_hash6(high, low, secret)
        return (Int(hash >> shift), fastpath_policy_key6(hash))
    }

    private func word(_ bucket: Int, _ place: Int) -> UnsafeMutablePointer<UInt64> {
        memory.bucket(bucket) + place
    }

    private func hasSpilled(_ bucket: Int) -> Bool { word(bucket, PolicyMemory.ways - 1).pointee & Self.spilled != 0 }

    /// Where the word with a key is, and the record that it has.
    private func find(_ key: UInt64, in bucket: Int) -> (word: UnsafeMutablePointer<UInt64>, record: UInt32)? {
        for place in 0..<PolicyMemory.ways {
            let word = word(bucket, place)
            let rest = (word.pointee & ~Self.spilled) ^ key
            if rest != 0, rest <= Self.number { return (word, UInt32(rest)) }
        }
        return nil
    }

    /// The word of a prefix and its record, in the buckets that the program would look at.
    private func findWord(_ prefix: IPPrefix) -> (word: UnsafeMutablePointer<UInt64>, record: UInt32)? {
        let (first, key) = place(prefix)
        for bucket in first..<first + Int(FASTPATH_POLICY_HOPS) {
            // Another IPv6 prefix may have the same key.
            if let found = find(key, in: bucket), PolicyMemory.prefix(memory.record(found.record)) == prefix {
                return found
            }
            guard hasSpilled(bucket) else { break }
        }
        return nil
    }

    /// The record of an IPv4 address or an IPv6 prefix; 0: there is none.
    func findIndexed(_ prefix: IPPrefix) -> UInt32 {
        Self.isAll6(prefix) ? memory.control.pointee.all6 : findWord(prefix)?.record ?? 0
    }

    /// `::/0` has a word of its own.
    private static func isAll6(_ prefix: IPPrefix) -> Bool { prefix.family == .ipv6 && prefix.length == 0 }

    /// Puts a record in; its prefix is in it.
    mutating func linkIndexed(_ number: UInt32, _ prefix: IPPrefix) throws(Failure) {
        if Self.isAll6(prefix) { return try stores.store(memory.control(\.all6), number) }
        if prefix.family == .ipv4 {
            try markSingle(UInt32(truncatingIfNeeded: prefix.bits))
        } else {
            try markLength(prefix)
        }
        guard findWord(prefix)?.record != number else { return }
        let (first, key) = place(prefix)
        for bucket in first..<first + Int(FASTPATH_POLICY_HOPS) {
            // The program takes the first word with the key: a bucket that has it is full for another one.
            if find(key, in: bucket) == nil {
                for place in 0..<PolicyMemory.ways {
                    let word = word(bucket, place)
                    guard word.pointee & ~Self.spilled == 0 else { continue }
                    return try stores.store(word, word.pointee | key | UInt64(number))
                }
            }
            if !hasSpilled(bucket) {
                let last = word(bucket, PolicyMemory.ways - 1)
                try stores.store(last, last.pointee | Self.spilled)
            }
        }
        throw Self.isFull(memory)
    }

    mutating func unlinkIndexed(_ number: UInt32, _ prefix: IPPrefix) throws(Failure) {
        if Self.isAll6(prefix) { return try stores.store(memory.control(\.all6), 0) }
        memory.control(\.stale).pointee &+= 1
        guard let found = findWord(prefix), found.record == number else { return }
        try stores.store(found.word, found.word.pointee & Self.spilled)
    }

    /// Says that there is an IPv6 prefix of that length, so that it is looked for.
    private mutating func markLength(_ prefix: IPPrefix) throws(Failure) {
        let (word, bit) = lengthBit(prefix)
        guard word.pointee & bit == 0 else { return }
        try stores.store(word, word.pointee | bit)
    }

    /// Where the bit of a prefix's length is; not for length 0.
    func lengthBit(_ prefix: IPPrefix) -> (word: UnsafeMutablePointer<UInt64>, bit: UInt64) {
        let length = Int(prefix.length)
        if length <= FASTPATH_POLICY_ROOT6_SHORT {
            return (memory.control(\.short_lengths6), 1 << UInt64(64 - length))
        }
        let line = Int(fastpath_policy_root6_line(UInt64(truncatingIfNeeded: prefix.bits >> 64)))
        return length > 64
            ? (memory.root6 + 2 * line, 1 << UInt64(128 - length))
            : (memory.root6 + 2 * line + 1, 1 << UInt64(64 - length))
    }
}
