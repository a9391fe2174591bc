// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore
import Glibc

/// A second instance of the packet program, to be asked what would become of a frame: it shares what it is told to
/// share and counts for itself, so that nothing live moves.
public final class ProgramInstance {
    public let program: Program
    /// Its own `xdp_counters`.
    private let counterMap: BPFMap
    private var last = Counters()
    /// Its own, where it has one; its clock as well.
    private let table: PolicyTable?
    private let notes: EdgeNotesReader
    private var lastNotes = EdgeNotes()

    /// What became of a frame.
    public struct Judgement: Hashable, Sendable {
        public var verdict: Verdict
        public var reason: Reason
        /// The first rule in dry run that would have dropped it.
        public var wouldBe: Reason?
        /// It is SIP and passed unfiltered, as this switch is off.
        public var unfiltered: FilterSwitch?

        public init(_ reason: Reason, verdict: Verdict? = nil, wouldBe: Reason? = nil, unfiltered: FilterSwitch? = nil)
        {
            self.verdict = verdict ?? reason.verdict
            self.reason = reason
            self.wouldBe = wouldBe
            self.unfiltered = unfiltered
        }
    }

    /// With lists of its own.
    public init(
        blocked: [IPPrefix] = [], allowed: [IPPrefix] = [], table: PolicyTable? = nil,
        settings: FilterSettings = .classic, object path: String? = nil
    ) throws(Failure) {
        let lists = [PolicyKind.block: blocked, .allow: allowed]
        var options = LoadedObject.Options()
        options.settings = settings
        if let table { options.maps = table.maps }
        for (kind, prefixes) in lists {
            let map = try kind.publicMap()
            let list = try AddressMap.make(kind, capacity: max(prefixes.count, map.defaultCapacity))
            try list.insert(prefixes) { _ in }
            options.maps[map.name] = list.map
        }
        self.table = table
        (program, counterMap) = try Self.load(path, options)
        notes = try EdgeNotesReader(program)
    }

    /// With given lists and sockets in place of its own.
    public init(
        maps: [PublicMap: BPFMap], table: [String: BPFMap] = [:], settings: FilterSettings = .classic,
        object path: String? = nil
    ) throws(Failure) {
        var options = LoadedObject.Options()
        options.settings = settings
        options.maps = table
        for (map, shared) in maps where map != .counters { options.maps[map.name] = shared }
        self.table = nil
        (program, counterMap) = try Self.load(path, options)
        notes = try EdgeNotesReader(program)
    }

    private static func load(_ path: String?, _ options: LoadedObject.Options) throws(Failure) -> (Program, BPFMap) {
        let object = try LoadedObject.edge(path: path, options: options)
        return (try object.program(edgeProgramName), try object.map(PublicMap.counters.name))
    }

    /// What it has counted so far.
    public func counters() throws(Failure) -> Counters { try readCounters(counterMap) }

    /// The same, with what the program notes beside: rules in dry run, switches that are off. `time`: microseconds that the
    /// program takes it to be, where it has a table of its own; else the kernel's clock counts.
    public func explain(frame: UnsafeRawBufferPointer, at time: UInt64) throws(Failure) -> Judgement {
        // 0 would be the clock.
        table?.setMicros(max(1, time))
        let (verdict, reason) = try judge(frame: frame)
        let now = try notes.read()
        defer { lastNotes = now }
        return Judgement(
            reason, verdict: verdict, wouldBe: Reason.droppable.first { now.dryRun[$0] != lastNotes.dryRun[$0] },
            unfiltered: FilterSwitch.observed.first { now.unfiltered[$0] != lastNotes.unfiltered[$0] })
    }

    /// What would become of a frame, and why: the one counter that moved tells. `linear` and `queue` as in ``TestRun``.
    /// Throws where the kernel refuses the frame, and where the program counts other than once.
    public func judge(
        frame: UnsafeRawBufferPointer, linear: Int? = nil, interface: UInt32 = 0, queue: UInt32 = 0
    ) throws(Failure) -> (verdict: Verdict, reason: Reason) {
        let result = try TestRun.run(program, frame: frame, linear: linear, interface: interface, queue: queue)
        let now = try counters()
        let moved = now - last
        last = now
        let reasons = Reason.counted.filter { moved[$0] != 0 }
        guard let verdict = Verdict(rawValue: result.action), moved.total <= 1 else {
            throw Failure(
                tried: "judge a frame", on: "\(frame.count) bytes",
                because: "the program answered \(result.action) and counted \(moved.total) packets",
                next: "Report it with the frame.")
        }
        return (verdict, reasons.first ?? .ignored)
    }
}

extension KernelEdges {
    /// A second instance of the program, with the lists, the sockets and the switches of an edge.
    public func twin(of edge: EdgeState, object path: String? = nil) throws(Failure) -> ProgramInstance {
        var shared: [PublicMap: BPFMap] = [:]
        for map in [PublicMap.blockedIPs, .allowedIPs, .xsks] { shared[map] = try self.map(map, of: edge) }
        guard let settings = try settings(of: edge) else { throw Self.unknownSettings(edge) }
        let table = settings.isOn(.policy) ? try tableMaps(PolicyTable.mapNames, of: edge) : nil
        return try ProgramInstance(maps: shared, table: table ?? [:], settings: settings, object: path)
    }

    private static func unknownSettings(_ edge: EdgeState) -> Failure {
        Failure(
            .unsupported, tried: "ask what the program does", on: edge.name ?? "ifindex \(edge.interface.index)",
            because: "it was loaded with switches that this version does not know",
            next: "Use the version that loaded it, or replace it with `vos-fastpath up IFACE`.")
    }
}
