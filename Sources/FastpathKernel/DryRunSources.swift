// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CLibBPF
import FastpathCore

/// A source whose packets rules in dry run would have dropped.
public struct DryRunSource: Hashable, Sendable {
    public var address: IPPrefix
    public var reason: Reason
    public var packets: UInt64
    /// Microseconds of the boot-time clock: the last one.
    public var last: UInt64
    /// What its payload began with, up to 64 bytes.
    public var line: [UInt8]
}

extension DryRunSource {
    /// So many are remembered.
    public static let limit = Int(FASTPATH_DRY_RUN_SOURCES_ENTRIES)

    /// Those that a program remembers: the most recent ones, unsorted.
    public static func all(of program: Program) throws(Failure) -> [DryRunSource] {
        guard let map = try program.ownMap(FASTPATH_DRY_RUN_SOURCES_MAP),
            map.keySize == MemoryLayout<fastpath_dry_run_key>.size
        else { return [] }
        var sources: [DryRunSource] = []
        for key in try map.keys() {
            guard let value = try map.lookup(key: key), let source = DryRunSource(key, value) else { continue }
            sources.append(source)
        }
        return sources
    }

    private init?(_ key: [UInt8], _ value: [UInt8]) {
        let key = key.withUnsafeBytes { $0.loadUnaligned(as: fastpath_dry_run_key.self) }
        let value = value.withUnsafeBytes { $0.loadUnaligned(as: fastpath_dry_run_source.self) }
        guard let reason = Reason.droppable.first(where: { $0.id == key.reason }) else { return nil }
        self.reason = reason
        address =
            key.is_ipv6 == 0
            ? IPPrefix(ipv4: UInt32(truncatingIfNeeded: key.address.1))
            : IPPrefix(ipv6: UInt128(key.address.0) << 64 | UInt128(key.address.1))
        packets = value.packets
        last = value.last
        line = withUnsafeBytes(of: value.line) { Array($0) }
        while line.last == 0 { line.removeLast() }
    }
}
