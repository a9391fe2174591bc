// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore

/// What removed entries leave behind: flags that make programs look for what is not there, and blocks that say nothing.
extension PolicyWriter {
    /// Clears such flags, and makes such blocks free. Reads the whole table: some 0.1 s for a million prefixes.
    mutating func tidy() throws(Failure) {
        try stores.store(memory.control(\.dirty), 1)
        try tidyLengths()
        let folded = try tidyBlocks()
        if !folded.isEmpty {
            // Programs may be in one.
            try wait()
            for block in folded { giveBack(block: block) }
        }
        memory.control(\.stale).pointee = 0
        try stores.store(memory.control(\.dirty), 0)
    }

    private var linked: Range<UInt32> { 1..<max(1, memory.control.pointee.records_fresh) }

    private mutating func tidyLengths() throws(Failure) {
        let words = 2 * Int(FASTPATH_POLICY_ROOT6_LINES)
        var lengths = [UInt64](repeating: 0, count: words)
        var short: UInt64 = 0
        for number in linked {
            let record = memory.record(number)
            guard !PolicyMemory.isFree(record), !PolicyMemory.isIPv4(record), PolicyMemory.length(record) > 0
            else { continue }
            let (word, bit) = lengthBit(PolicyMemory.prefix(record))
            let index = word - memory.root6
            if index >= 0, index < words { lengths[index] |= bit } else { short |= bit }
        }
        for index in 0..<words where memory.root6[index] != lengths[index] {
            try stores.store(memory.root6 + index, lengths[index])
        }
        try stores.store(memory.control(\.short_lengths6), short)
    }

    /// The blocks that no word leads to any more.
    private mutating func tidyBlocks() throws(Failure) -> [UInt32] {
        // Of all networks of length 24: is a single address in it?
        var hasSingles = [Bool](repeating: false, count: 1 << 24)
        for number in linked {
            let record = memory.record(number)
            guard !PolicyMemory.isFree(record), PolicyMemory.isIPv4(record), PolicyMemory.length(record) == 32
            else { continue }
            hasSingles[Int(record.pointee.low >> 8)] = true
        }
        var folded: [UInt32] = []
        for index in 0..<Int(FASTPATH_POLICY_ROOT4_WORDS) {
            let root = memory.root4 + index
            guard root.pointee != 0 else { continue }
            let low = UInt32(truncatingIfNeeded: root.pointee)
            var fresh = low
            if let third = deeper(low) {
                for place in 0..<PolicyMemory.blockWords {
                    try tidy(third + place, hasSingles[index << 8 | place], &folded)
                }
                if third[0] & ~PolicyMemory.singles == 0, isUniform(third, PolicyMemory.number | PolicyMemory.deeper) {
                    folded.append(low & PolicyMemory.number)
                    fresh = 0
                }
            }
            fresh &= ~PolicyMemory.singles
            if hasSingles[index << 8..<(index + 1) << 8].contains(true) { fresh |= PolicyMemory.singles }
            if fresh != low { try stores.store(root, root.pointee & ~0xffff_ffff | UInt64(fresh)) }
        }
        return folded
    }

    /// A word of a block of the third byte.
    private mutating func tidy(
        _ word: UnsafeMutablePointer<UInt32>, _ hasSingles: Bool, _ folded: inout [UInt32]
    ) throws(Failure) {
        var fresh = word.pointee & ~PolicyMemory.singles
        if let fourth = deeper(fresh), isUniform(fourth, .max) {
            folded.append(fresh & PolicyMemory.number)
            fresh = fourth[0]
        }
        if hasSingles { fresh |= PolicyMemory.singles }
        if fresh != word.pointee { try stores.store(word, fresh) }
    }

    /// Do all words of a block say the same, in these bits?
    private func isUniform(_ block: UnsafeMutablePointer<UInt32>, _ bits: UInt32) -> Bool {
        (1..<PolicyMemory.blockWords).allSatisfy { (block[$0] ^ block[0]) & bits == 0 }
    }

    private mutating func giveBack(block: UInt32) {
        memory.block(block).pointee = memory.control.pointee.blocks_free
        memory.control.pointee.blocks_free = block
        memory.control.pointee.blocks_used -= 1
    }

    /// Makes free all blocks that no word leads to. Nobody may be in one of them.
    mutating func recountBlocks() throws(Failure) {
        let control = memory.control
        var isUsed = [Bool](repeating: false, count: Int(control.pointee.blocks_fresh) + 1)
        for index in 0..<Int(FASTPATH_POLICY_ROOT4_WORDS) {
            let low = UInt32(truncatingIfNeeded: memory.root4[index])
            guard let third = deeper(low) else { continue }
            isUsed[Int(low & PolicyMemory.number)] = true
            for place in 0..<PolicyMemory.blockWords where third[place] & PolicyMemory.deeper != 0 {
                isUsed[Int(third[place] & PolicyMemory.number)] = true
            }
        }
        control.pointee.blocks_free = 0
        control.pointee.blocks_used = control.pointee.blocks_fresh - 1
        for number in 1..<max(1, control.pointee.blocks_fresh) where !isUsed[Int(number)] { giveBack(block: number) }
    }
}
