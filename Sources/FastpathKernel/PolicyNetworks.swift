// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

/// IPv4 networks: the root and its blocks. A word has the most specific record that covers all of its addresses, and a
/// record has the next less specific one as its parent; so whoever reads a word and follows parents has met all. Words
/// of the root have records of lengths 0 to 16, those of blocks 17 to 31: neither is a parent of the other.
///
/// A record is put in from above: first its own parent, then word by word. At each store a reader that comes through
/// the word, or through a record below, meets all records that it met before. All of it can be done again.
extension PolicyWriter {
    /// A word that has a record: all of one of the root, or one of a block.
    private enum Word {
        case root(UnsafeMutablePointer<UInt64>)
        case block(UnsafeMutablePointer<UInt32>)

        var record: UInt32 {
            switch self {
            case .root(let word): UInt32(truncatingIfNeeded: word.pointee >> UInt64(FASTPATH_POLICY_RECORD_SHIFT))
            case .block(let word): word.pointee & PolicyMemory.number
            }
        }
    }

    private mutating func set(_ word: Word, _ record: UInt32) throws(Failure) {
        switch word {
        case .root(let word):
            let value = UInt64(record) << UInt64(FASTPATH_POLICY_RECORD_SHIFT) | word.pointee & 0xffff_ffff
            try stores.store(word, value)
        case .block(let word): try stores.store(word, word.pointee & ~PolicyMemory.number | record)
        }
    }

    /// Goes over the words of a network; those of blocks below instead of the word that leads to them.
    private mutating func forEachWord(
        _ prefix: IPPrefix, _ body: (inout PolicyWriter, Word) throws(Failure) -> Void
    ) throws(Failure) {
        let address = UInt32(truncatingIfNeeded: prefix.bits), length = Int(prefix.length)
        let root = memory.root4 + Int(address >> 16)
        if length <= 16 {
            for index in 0..<(1 << (16 - length)) { try body(&self, .root(root + index)) }
            return
        }
        guard let third = deeper(UInt32(truncatingIfNeeded: root.pointee)) else { return }
        let first = third + Int(address >> 8 & 255)
        if length > 24 {
            guard let fourth = deeper(first.pointee) else { return }
            let start = fourth + Int(address & 255)
            for index in 0..<(1 << (32 - length)) { try body(&self, .block(start + index)) }
            return
        }
        for index in 0..<(1 << (24 - length)) {
            guard let fourth = deeper(first[index]) else {
                try body(&self, .block(first + index))
                continue
            }
            for place in 0..<PolicyMemory.blockWords { try body(&self, .block(fourth + place)) }
        }
    }

    /// The block that a word leads to, or nil.
    func deeper(_ word: UInt32) -> UnsafeMutablePointer<UInt32>? {
        word & PolicyMemory.deeper == 0 ? nil : memory.block(word & PolicyMemory.number)
    }

    /// The records that cover the first address of a network, of its part of the lengths: the most specific one.
    private func firstRecord(_ prefix: IPPrefix) -> UInt32 {
        let address = UInt32(truncatingIfNeeded: prefix.bits)
        let root = memory.root4[Int(address >> 16)]
        if prefix.length <= 16 { return UInt32(truncatingIfNeeded: root >> UInt64(FASTPATH_POLICY_RECORD_SHIFT)) }
        guard let third = deeper(UInt32(truncatingIfNeeded: root)) else { return 0 }
        let word = third[Int(address >> 8 & 255)]
        guard let fourth = deeper(word) else { return word & PolicyMemory.number }
        return fourth[Int(address & 255)] & PolicyMemory.number
    }

    /// From a record on to less specific ones: the first that is no longer than `length`; 0: none.
    private func climb(_ start: UInt32, to length: Int) -> UInt32 {
        var record = start
        while record != 0, PolicyMemory.length(memory.record(record)) > length {
            record = memory.record(record).pointee.parent
        }
        return record
    }

    /// The record of a network; 0: there is none.
    func findNetwork(_ prefix: IPPrefix) -> UInt32 {
        let record = climb(firstRecord(prefix), to: Int(prefix.length))
        return record != 0 && PolicyMemory.length(memory.record(record)) == Int(prefix.length) ? record : 0
    }

    /// Puts a record in; its prefix is in it.
    mutating func linkNetwork(_ number: UInt32, _ prefix: IPPrefix) throws(Failure) {
        let length = Int(prefix.length)
        if length > 16 { try makeBlocks(prefix) }
        let above = climb(firstRecord(prefix), to: length - 1)
        try stores.store(PolicyMemory.parent(memory.record(number)), above)
        try forEachWord(prefix) { (writer, word) throws(Failure) in
            let there = word.record
            if there == number { return }
            guard there != 0, PolicyMemory.length(writer.memory.record(there)) > length else {
                return try writer.set(word, number)
            }
            // More specific ones are there: the last of them gets the new parent.
            var last = writer.memory.record(there)
            while true {
                let parent = last.pointee.parent
                if parent == number { return }
                guard parent != 0, PolicyMemory.length(writer.memory.record(parent)) > length else { break }
                last = writer.memory.record(parent)
            }
            try writer.stores.store(PolicyMemory.parent(last), number)
        }
    }

    /// Takes a record out. It keeps its parent, for readers that are at it.
    mutating func unlinkNetwork(_ number: UInt32, _ prefix: IPPrefix) throws(Failure) {
        let length = Int(prefix.length)
        let above = memory.record(number).pointee.parent
        try forEachWord(prefix) { (writer, word) throws(Failure) in
            var there = word.record
            if there == number { return try writer.set(word, above) }
            while there != 0, PolicyMemory.length(writer.memory.record(there)) > length {
                let record = writer.memory.record(there)
                if record.pointee.parent == number {
                    return try writer.stores.store(PolicyMemory.parent(record), above)
                }
                there = record.pointee.parent
            }
        }
        memory.control(\.stale).pointee &+= 1
    }

    /// Makes the blocks that a network of length 17 to 31 needs. A block is full of what its word said before.
    private mutating func makeBlocks(_ prefix: IPPrefix) throws(Failure) {
        let address = UInt32(truncatingIfNeeded: prefix.bits)
        let root = memory.root4 + Int(address >> 16)
        let low = UInt32(truncatingIfNeeded: root.pointee)
        if deeper(low) == nil {
            let block = try takeBlock(filledWith: low & PolicyMemory.singles)
            try stores.store(root, root.pointee | UInt64(PolicyMemory.deeper | block))
        }
        guard prefix.length > 24, let third = deeper(UInt32(truncatingIfNeeded: root.pointee)) else { return }
        let word = third + Int(address >> 8 & 255)
        guard deeper(word.pointee) == nil else { return }
        let block = try takeBlock(filledWith: word.pointee & PolicyMemory.number)
        try stores.store(word, word.pointee & PolicyMemory.singles | PolicyMemory.deeper | block)
    }

    private mutating func takeBlock(filledWith word: UInt32) throws(Failure) -> UInt32 {
        let control = memory.control
        var number = control.pointee.blocks_free
        if number != 0 {
            control.pointee.blocks_free = memory.block(number).pointee
        } else {
            number = control.pointee.blocks_fresh
            guard number < memory.blockCount else { throw Self.isFull(memory) }
            control.pointee.blocks_fresh += 1
        }
        control.pointee.blocks_used += 1
        memory.block(number).update(repeating: word, count: PolicyMemory.blockWords)
        return number
    }

    /// Says that there is a single address, so that it is looked for.
    mutating func markSingle(_ address: UInt32) throws(Failure) {
        let root = memory.root4 + Int(address >> 16)
        guard let third = deeper(UInt32(truncatingIfNeeded: root.pointee)) else {
            let value = root.pointee | UInt64(PolicyMemory.singles)
            return value == root.pointee ? () : try stores.store(root, value)
        }
        let word = third + Int(address >> 8 & 255)
        guard word.pointee & PolicyMemory.singles == 0 else { return }
        try stores.store(word, word.pointee | PolicyMemory.singles)
    }
}
