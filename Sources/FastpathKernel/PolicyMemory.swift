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
    mutating func store(_ word: UnsafeMutablePointer<UInt64>, _ value: UInt64) throws(Failure) {
        if left != nil { try pass() }
        fastpath_policy_store64(word, value)
    }

    @inline(__always)
    mutating func store(_ word: UnsafeMutablePointer<UInt32>, _ value: UInt32) throws(Failure) {
        if left != nil { try pass() }
        fastpath_policy_store32(word, value)
    }
}

/// The maps of a table in memory (`fastpath_policy.h`), and where things are in them.
struct PolicyMemory {
    let control: UnsafeMutablePointer<fastpath_policy_control>
    let root4: UnsafeMutablePointer<UInt64>
    let blocks: MappedWindows
    let root6: UnsafeMutablePointer<UInt64>
    let index: MappedWindows
    let records: MappedWindows
    /// Elements of the maps; number 0 of records and blocks is none.
    let recordCount: UInt32
    let blockCount: UInt32

    typealias Record = UnsafeMutablePointer<fastpath_policy_record>

    static let number = UInt32(FASTPATH_POLICY_NUMBER)
    static let singles = UInt32(FASTPATH_POLICY_SINGLES)
    static let deeper = UInt32(FASTPATH_POLICY_DEEPER)
    static let kindCount = Int(FASTPATH_POLICY_KIND_COUNT)
    static let blockWords = Int(FASTPATH_POLICY_BLOCK_WORDS)
    static let ways = Int(FASTPATH_POLICY_WAYS)
    private static let identity = UInt64(FASTPATH_POLICY_IDENTITY)

    @inline(__always) func record(_ number: UInt32) -> Record {
        records.bytes(at: Int(number) * MemoryLayout<fastpath_policy_record>.stride)
            .assumingMemoryBound(to: fastpath_policy_record.self)
    }

    /// All its words.
    func block(_ number: UInt32) -> UnsafeMutablePointer<UInt32> {
        blocks.bytes(at: Int(number) * MemoryLayout<fastpath_policy_block>.stride)
            .assumingMemoryBound(to: UInt32.self)
    }

    /// All its words.
    @inline(__always) func bucket(_ number: Int) -> UnsafeMutablePointer<UInt64> {
        index.bytes(at: number * MemoryLayout<fastpath_policy_bucket>.stride).assumingMemoryBound(to: UInt64.self)
    }

    /// A field of the control, to be stored to.
    func control<Value>(_ path: KeyPath<fastpath_policy_control, Value>) -> UnsafeMutablePointer<Value> {
        (UnsafeMutableRawPointer(control) + (MemoryLayout<fastpath_policy_control>.offset(of: path) ?? 0))
            .assumingMemoryBound(to: Value.self)
    }

    /// Blocks that are free.
    var blocksLeft: Int { Int(blockCount) - 1 - Int(control.pointee.blocks_used) }

    // MARK: Records

    private static let stateOffset = MemoryLayout<fastpath_policy_record>.offset(of: \.state) ?? 0
    private static let parentOffset = MemoryLayout<fastpath_policy_record>.offset(of: \.parent) ?? 0
    private static let nowOffset = MemoryLayout<fastpath_policy_record>.offset(of: \.now) ?? 0
    private static let nextOffset = MemoryLayout<fastpath_policy_record>.offset(of: \.next) ?? 0

    static func state(_ record: Record) -> UnsafeMutablePointer<UInt64> {
        (UnsafeMutableRawPointer(record) + stateOffset).assumingMemoryBound(to: UInt64.self)
    }

    static func parent(_ record: Record) -> UnsafeMutablePointer<UInt32> {
        (UnsafeMutableRawPointer(record) + parentOffset).assumingMemoryBound(to: UInt32.self)
    }

    /// When the entries end, by the kind's number, as it is.
    static func now(_ record: Record) -> UnsafeMutablePointer<UInt32> {
        (UnsafeMutableRawPointer(record) + nowOffset).assumingMemoryBound(to: UInt32.self)
    }

    /// The same from the generation of the record's stamp on.
    static func next(_ record: Record) -> UnsafeMutablePointer<UInt32> {
        (UnsafeMutableRawPointer(record) + nextOffset).assumingMemoryBound(to: UInt32.self)
    }

    /// What counts at the generation that is in force.
    func ends(_ record: Record) -> UnsafeMutablePointer<UInt32> {
        record.pointee.state <= control.pointee.generation ? Self.next(record) : Self.now(record)
    }

    private static let hitsOffset = MemoryLayout<fastpath_policy_record>.offset(of: \.hits) ?? 0
    private static let lastHitOffset = MemoryLayout<fastpath_policy_record>.offset(of: \.last_hit) ?? 0

    /// Beside programs that count in either.
    static func move(hitsOf old: Record, to new: Record) {
        func hits(_ record: Record) -> UnsafeMutablePointer<UInt64> {
            (UnsafeMutableRawPointer(record) + hitsOffset).assumingMemoryBound(to: UInt64.self)
        }
        let last = (UnsafeMutableRawPointer(new) + lastHitOffset).assumingMemoryBound(to: UInt32.self)
        fastpath_policy_raise32(last, old.pointee.last_hit)
        fastpath_policy_add64(hits(new), fastpath_policy_take64(hits(old)))
    }

    static func isFree(_ record: Record) -> Bool { record.pointee.state & identity == 0 }

    @inline(__always) static func length(_ record: Record) -> Int {
        Int(record.pointee.state & UInt64(FASTPATH_POLICY_LENGTH_MASK))
    }

    static func isIPv4(_ record: Record) -> Bool {
        (record.pointee.state & identity) >> UInt64(FASTPATH_POLICY_FAMILY_SHIFT) == UInt64(FASTPATH_POLICY_FAMILY4)
    }

    /// A state with the prefix of `other`.
    static func state(stamp: UInt64, like other: UInt64) -> UInt64 {
        stamp << UInt64(FASTPATH_POLICY_STAMP_SHIFT) | other & identity
    }

    static func state(stamp: UInt64, _ prefix: IPPrefix) -> UInt64 {
        let family = UInt64(prefix.family == .ipv4 ? FASTPATH_POLICY_FAMILY4 : FASTPATH_POLICY_FAMILY6)
        return stamp << UInt64(FASTPATH_POLICY_STAMP_SHIFT) | family << UInt64(FASTPATH_POLICY_FAMILY_SHIFT)
            | UInt64(prefix.length)
    }

    static func prefix(_ record: Record) -> IPPrefix {
        let bits = UInt128(record.pointee.high) << 64 | UInt128(record.pointee.low)
        return IPPrefix(family: isIPv4(record) ? .ipv4 : .ipv6, bits: bits, length: length(record))
    }

    /// The two words of a prefix in its record.
    static func words(_ prefix: IPPrefix) -> (high: UInt64, low: UInt64) {
        var bits = prefix.bits
        if prefix.family == .ipv6, prefix.length < 128 { bits |= 1 << UInt128(127 - prefix.length) }
        return (UInt64(truncatingIfNeeded: bits >> 64), UInt64(truncatingIfNeeded: bits))
    }

    // MARK: The generation

    /// The number of the generation that is in force.
    var generation: UInt64 { control.pointee.generation >> UInt64(FASTPATH_POLICY_STAMP_SHIFT) }

    /// The control's word of a generation.
    static func word(generation: UInt64) -> UInt64 {
        generation << UInt64(FASTPATH_POLICY_STAMP_SHIFT) | (1 << UInt64(FASTPATH_POLICY_STAMP_SHIFT) - 1)
    }
}
