// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CFastpathProgram
import FastpathCore
import FastpathKernel

/// Asks the policy table by a program (bpf/lab/policy_probe.bpf.c), for tests and for the bench.
public final class PolicyProbe {
    /// A source of the sweeps, and what the answer must have and may have.
    public struct Source: Hashable, Sendable {
        /// One address.
        public var address: IPPrefix
        public var must: PolicyKinds
        public var may: PolicyKinds

        public init(_ address: IPPrefix, must: PolicyKinds, may: PolicyKinds) {
            self.address = address
            self.must = must
            self.may = may
        }
    }

    /// Programs that take one of the sources at random each time.
    public enum Sweep: String, CaseIterable, Sendable {
        /// All but the look-up.
        case none
        case ipv4
        case ipv6
        /// The kernel's hash of IPv4 addresses.
        case hash
        /// The kernel's trie of IPv4 prefixes.
        case trie

        var program: String {
            switch self {
            case .none: FASTPATH_SWEEP_NONE
            case .ipv4: FASTPATH_SWEEP_IPV4
            case .ipv6: FASTPATH_SWEEP_IPV6
            case .hash: FASTPATH_SWEEP_HASH
            case .trie: FASTPATH_SWEEP_TRIE
            }
        }
    }

    /// Answers that were wrong, and one of them.
    public struct Wrong: Hashable, Sendable {
        public var count: UInt64
        public var address: UInt128
        public var kinds: PolicyKinds
    }

    /// Sources of a sweep.
    public static let sourceCount = Int(FASTPATH_PROBE_COUNT)

    /// Answers for a frame's source.
    public let frameProgram: Program
    private let programs: [Sweep: Program]
    private let object: LoadedObject
    private let sources: MappedArray
    private let result: MappedArray

    /// `capacities`: entries of the kernel's hash and trie.
    public init(_ table: PolicyTable, hash: Int = 1, trie: Int = 1) throws(Failure) {
        object = try LoadedObject(
            embedded: fastpath_lab_policy_probe(), name: "the policy probe",
            options: .init(
                maps: table.maps, capacities: [FASTPATH_PROBE_HASH_MAP: hash, FASTPATH_PROBE_TRIE_MAP: trie]))
        frameProgram = try object.program(FASTPATH_PROBE_PROGRAM)
        sources = try MappedArray(object.map(FASTPATH_PROBE_SOURCES_MAP))
        result = try MappedArray(object.map(FASTPATH_PROBE_RESULT_MAP))
        var programs: [Sweep: Program] = [:]
        for sweep in Sweep.allCases { programs[sweep] = try object.program(sweep.program) }
        self.programs = programs
    }

    public func program(_ sweep: Sweep) -> Program { programs[sweep] ?? frameProgram }

    /// Fills the sources, in turn until there are enough. One alone is taken again and again from the same place.
    public func setSources(_ sources: [Source]) {
        guard !sources.isEmpty else { return }
        let mask = UInt64(sources.count == 1 ? 0 : Self.sourceCount - 1)
        result.memory.assumingMemoryBound(to: fastpath_probe_result.self).pointee.mask = mask
        let cells = self.sources.memory.assumingMemoryBound(to: fastpath_probe_source.self)
        for index in 0..<Self.sourceCount {
            let source = sources[index % sources.count]
            cells[index] = fastpath_probe_source(
                high: UInt64(truncatingIfNeeded: source.address.bits >> 64),
                low: UInt64(truncatingIfNeeded: source.address.bits), must: UInt32(source.must.rawValue),
                may: UInt32(source.may.rawValue))
        }
    }

    /// Fills the kernel's hash and trie with prefixes; the hash takes single addresses only.
    public func setYardsticks(_ prefixes: [IPPrefix]) throws(Failure) {
        let hash = try object.map(FASTPATH_PROBE_HASH_MAP), trie = try object.map(FASTPATH_PROBE_TRIE_MAP)
        for prefix in prefixes where prefix.family == .ipv4 {
            let address = withUnsafeBytes(of: UInt32(truncatingIfNeeded: prefix.bits).bigEndian) { Array($0) }
            let length = withUnsafeBytes(of: UInt32(prefix.length)) { Array($0) }
            try trie.update(key: length + address, value: [1])
            if prefix.isSingleAddress { try hash.update(key: address, value: [1]) }
        }
    }

    /// Runs a sweep; nanoseconds a run, the kernel's loop and all but the look-up included.
    @discardableResult
    public func run(_ sweep: Sweep, count: Int) throws(Failure) -> Int {
        try Self.frame.span.withUnsafeBytes { (frame) throws(Failure) in
            Int(try TestRun.run(program(sweep), frame: frame, repetitions: count).duration)
        }
    }

    /// What was wrong in all sweeps so far.
    public func wrong() -> Wrong {
        let result = result.memory.assumingMemoryBound(to: fastpath_probe_result.self).pointee
        return Wrong(
            count: result.wrong, address: UInt128(result.high) << 64 | UInt128(result.low),
            kinds: PolicyKinds(rawValue: UInt8(truncatingIfNeeded: result.kinds)))
    }

    /// The kinds for one address; counts a hit as the edge would.
    public func kinds(of address: IPPrefix) throws(Failure) -> PolicyKinds {
        let frame = Self.frame(from: address)
        let answer = try frame.span.withUnsafeBytes { (frame) throws(Failure) in
            try TestRun.run(frameProgram, frame: frame).action
        }
        return PolicyKinds(rawValue: UInt8(truncatingIfNeeded: answer))
    }

    private static let frame = [UInt8](repeating: 0, count: 64)

    /// The headers that the probe reads, with this source.
    private static func frame(from address: IPPrefix) -> [UInt8] {
        let isIPv4 = address.family == .ipv4
        let bytes = stride(from: address.family.width - 8, through: 0, by: -8).map {
            UInt8(truncatingIfNeeded: address.bits >> UInt128($0))
        }
        let type: [UInt8] = isIPv4 ? [0x08, 0x00, 0x45] : [0x86, 0xdd, 0x60]
        let start = [UInt8](repeating: 0, count: 12) + type
        let before = [UInt8](repeating: 0, count: isIPv4 ? 11 : 7)
        return start + before + bytes + [UInt8](repeating: 0, count: 40)
    }
}
