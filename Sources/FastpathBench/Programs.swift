// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CFastpathLab
import CFastpathProgram
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// The lists of a busy edge, the same in every program that has lists.
struct BenchLists {
    static let blockedCount = 1_000
    static let allowedCount = 200

    /// IPv4, host byte order.
    let blocked: [UInt32]
    let allowed: [UInt32]
    private let all: Set<UInt32>

    init(_ random: inout SeededGenerator) {
        var seen: Set<UInt32> = []
        func fresh(_ random: inout SeededGenerator) -> UInt32 {
            while true {
                let address = UInt32.random(in: 0x0100_0000...0xdfff_ffff, using: &random)
                if seen.insert(address).inserted { return address }
            }
        }
        blocked = (0..<Self.blockedCount).map { _ in fresh(&random) }
        allowed = (0..<Self.allowedCount).map { _ in fresh(&random) }
        all = seen
    }

    func source(_ source: PacketKind.Source, _ random: inout SeededGenerator) -> UInt32 {
        switch source {
        case .blocked: return blocked[Int.random(in: blocked.indices, using: &random)]
        case .allowed: return allowed[Int.random(in: allowed.indices, using: &random)]
        case .stranger:
            while true {
                let address = UInt32.random(in: 0x0100_0000...0xdfff_ffff, using: &random)
                if !all.contains(address) { return address }
            }
        }
    }
}

/// The programs that are compared. Floor and edge read one and the same map of blocked sources: no luck with buckets.
struct BenchPrograms {
    let edge: Program
    /// Profile `carrier` with a policy table of the same entries; the public maps are not read. It counts as `edge` does.
    let carrier: Program
    let floor: Program
    let empty: Program
    private let counterMap: BPFMap

    init(blocked: [UInt32], allowed: [UInt32]) throws(Failure) {
        let blockedMap = try Self.map(.block, blocked)
        let allowedMap = try Self.map(.allow, allowed)
        let edge = try LoadedObject.edge(
            path: nil,
            options: .init(maps: [
                PublicMap.blockedIPs.name: blockedMap.map, PublicMap.allowedIPs.name: allowedMap.map,
            ]))
        let floor = try LoadedObject(
            embedded: fastpath_lab_floor(), name: "the floor",
            options: .init(maps: [FASTPATH_FLOOR_MAP: blockedMap.map]))
        let empty = try LoadedObject(embedded: fastpath_lab_empty_drop(), name: "the empty program")
        let table = try PolicyTable.make(capacity: 2 * (blocked.count + allowed.count))
        try table.apply(
            blocked.map { PolicyTableChange(IPPrefix(ipv4: $0), .block) }
                + allowed.map { PolicyTableChange(IPPrefix(ipv4: $0), .allow) }, now: PolicyTable.now())
        var options = LoadedObject.Options(maps: table.maps)
        options.maps[PublicMap.counters.name] = try edge.map(PublicMap.counters.name)
        options.settings = .carrier
        options.settings.hasLiveMaps = false
        carrier = try LoadedObject.edge(path: nil, options: options).program(edgeProgramName)
        self.edge = try edge.program(edgeProgramName)
        self.floor = try floor.program(FASTPATH_FLOOR_PROGRAM)
        self.empty = try empty.program(FASTPATH_EMPTY_PROGRAM)
        counterMap = try edge.map(PublicMap.counters.name)
    }

    /// A test run enters its program into the kernel's XDP dispatcher and takes it out again, and waits for all CPUs
    /// both times: tens of milliseconds a call. A program that is attached somewhere is in it already; here on the
    /// loopback of a host of its own, for as long as the laboratory lives.
    static func keepReady(_ programs: [Program], in laboratory: Laboratory) throws(Failure) {
        for program in programs {
            try laboratory.addHost("ready-\(program.id)").perform { () throws(Failure) in
                try XDP.attach(program, to: if_nametoindex("lo"), mode: .generic, replacing: nil)
            }
        }
    }

    private static func map(_ kind: PolicyKind, _ addresses: [UInt32]) throws(Failure) -> AddressMap {
        let map = try AddressMap.make(kind, capacity: max(kind.publicMap().defaultCapacity, addresses.count))
        try map.insert(addresses.map { IPPrefix(ipv4: $0) }) { _ in }
        return map
    }

    /// What the edge has counted so far.
    func counters() throws(Failure) -> Counters { try readBenchCounters(counterMap) }

    /// The name of the program that drops whatever comes.
    static let emptyName = FASTPATH_EMPTY_PROGRAM

    /// One program on one frame, `repetitions` times: nanoseconds a run, the kernel's loop included.
    static func run(
        _ program: Program, _ frame: [UInt8], linear: Int? = nil, repetitions: Int
    ) throws(Failure) -> TestRun.Result {
        try frame.span.withUnsafeBytes { (bytes) throws(Failure) in
            try TestRun.run(program, frame: bytes, linear: linear, repetitions: repetitions)
        }
    }
}

/// What an `xdp_counters` holds, over all CPUs.
func readBenchCounters(_ map: BPFMap) throws(Failure) -> Counters {
    var counters = Counters()
    for reason in Reason.counted {
        let key = withUnsafeBytes(of: reason.id) { Array($0) }
        let cells = try map.lookup(key: key) ?? []
        counters[reason] = stride(from: 0, to: cells.count, by: 8).reduce(0) { sum, place in
            sum + cells.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: place, as: UInt64.self) }
        }
    }
    return counters
}

/// A round of several programs: each runs in short bursts, in turn with the others, and its quietest burst counts. A
/// neighbour on the same core doubles all times for a while; what it hits is not the program's cost.
struct Bursts {
    static let count = 4
    private(set) var best: [Double]

    /// `run`: one burst of the program of that index; nanoseconds.
    init(of programs: Int, _ run: (Int) throws(Failure) -> Double) throws(Failure) {
        best = Array(repeating: .infinity, count: programs)
        for _ in 0..<Self.count {
            for index in 0..<programs { best[index] = min(best[index], try run(index)) }
        }
    }
}

/// What was measured is not what was meant: no figure is better than a wrong one.
func unexpected(_ tried: String, on subject: String, because reason: String) -> Failure {
    Failure(tried: tried, on: subject, because: reason, next: "Run it again; report it if it stays.")
}
