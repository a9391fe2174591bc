// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathKernel

/// Array maps in memory, mapped a window at a time. Needs root.
@Suite struct MappedArrayTests {
    /// Elements of a map whose last window is not whole.
    private static let count = (3 << 20) / 8 + 1_000

    @Test("what is stored anywhere in a map of several windows is in the map, and the other way round")
    func windows() throws {
        let map = try MappedArray.make("windows", valueSize: 8, capacity: Self.count)
        let array = try MappedArray(map)
        #expect(array.byteCount == 8 * Self.count)
        // Both sides of each window's edge, the last element first.
        for index in [Self.count - 1, 0, 131_071, 131_072, 262_143, 262_144, 393_215, 393_216] {
            let word = UInt64(index) * 0x0101_0101_0101 + 1
            array.windows.bytes(at: 8 * index).storeBytes(of: word, as: UInt64.self)
            let bytes = try #require(try map.lookup(key: key(index)))
            #expect(bytes.withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) } == word, "\(index)")
        }
        try map.update(key: key(200_000), value: [7, 0, 0, 0, 0, 0, 0, 0])
        #expect(array.windows.bytes(at: 8 * 200_000).load(as: UInt64.self) == 7)
    }

    @Test("all of it is there where all is asked for")
    func all() throws {
        let array = try MappedArray(try MappedArray.make("all", valueSize: 8, capacity: Self.count))
        array.windows.bytes(at: 8 * 140_000).storeBytes(of: 3, as: UInt64.self)
        let words = array.memory.assumingMemoryBound(to: UInt64.self)
        #expect((0..<Self.count).reduce(0) { $0 + words[$1] } == 3)
        #expect(array.windows.mappedCount == 4)
    }

    @Test("a change in a table for a million prefixes maps a few windows of some two hundred")
    func few() throws {
        let table = try PolicyTable.make(capacity: 1 << 20)
        let memory = table.memory
        try table.apply([PolicyTableChange(IPPrefix(ipv4: 0xcb00_7109), .block)], now: PolicyTable.now())
        #expect(table.find([IPPrefix(ipv4: 0xcb00_7109)]).count == 1)
        let mapped = [memory.blocks, memory.index, memory.records].map(\.mappedCount)
        #expect(mapped.reduce(0, +) <= 6 && table.statistics.bytes > 200 << 20, "\(mapped)")
    }

    @Test("a map that was not made for it is refused, with the reason")
    func refused() throws {
        let plain = try KernelEdges(instance: try Instance(named: "mapped-tests")).makePolicyMap(.block, capacity: 8)
        let failure = #expect(throws: Failure.self) { _ = try MappedArray(plain.map) }
        #expect(failure?.description.contains("map a policy map into memory") == true)
    }

    private func key(_ index: Int) -> [UInt8] { withUnsafeBytes(of: UInt32(index)) { Array($0) } }
}
