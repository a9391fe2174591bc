// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab

/// The bench: what the packet program, the kernel's other ways to drop, and the command cost, in one run on one machine.
///
/// Everything happens in a laboratory and an instance of its own; neither is there afterwards. What is compared is
/// measured in turn, round by round, so that a disturbance hits all alike: compare ratios within a run, not figures of
/// two runs.
public struct Bench {
    /// A part that can be run alone.
    public enum Section: String, CaseIterable, Hashable, Sendable {
        /// Nanoseconds a packet, kind by kind.
        case packets
        /// The same for mixed traffic.
        case mix
        /// Nanoseconds a packet in profile `carrier`.
        case carrier
        /// Nanoseconds a look-up in the policy table.
        case policy
        /// Packets dropped a second, by several means.
        case drop
        /// CPU time to receive a packet, by AF_XDP and by sockets.
        case afxdp
        /// A SIP server by the kernel's socket and by the preloaded library.
        case servers
        /// Good calls while the SIP server is flooded.
        case calls
        /// Time to change lists with the command.
        case lists
        /// Start-up of the command.
        case start
    }

    public struct Settings: Sendable {
        public var sections = Set(Section.allCases)
        /// Fewer rounds: a look, not a measurement.
        public var isQuick = false
        /// Measurements of single packets and floods are bound to this CPU.
        public var cpu: Int
        /// Chooses addresses, junk and the order of the mix.
        public var seed: UInt64
        /// The command whose times are taken: the path of `vos-fastpath`.
        public var command: String
        /// The preload library; nil where there is none: then what needs it is left out, or fails by itself.
        public var library: String?

        public init(cpu: Int, seed: UInt64, command: String) {
            self.cpu = cpu
            self.seed = seed
            self.command = command
        }
    }

    /// How far it is.
    public struct Progress: Sendable {
        public var section: Section
        public var done: Int
        public var total: Int
    }

    public struct Report: Sendable {
        public var machine: Machine
        public var seed: UInt64
        public var isQuick: Bool
        public var cpu: Int
        /// Seconds since 1970-01-01 UTC.
        public var started: Int64
        public var duration: Duration = .zero
        public var packets: [PacketCost] = []
        public var mix: MixedCost?
        public var carrier: CarrierCost?
        public var policy: [PolicyCost] = []
        public var drops: [DropCost] = []
        public var receivers: [ReceiveCost] = []
        public var servers: [ServerCost] = []
        public var calls: FloodCalls?
        public var lists: ListTimes?
        public var start: StartTime?
        /// Parts that did not come to their end; the others stand.
        public var failures: [Failure] = []
    }

    /// The name of the laboratory and of the instance.
    public static let name = "bench"

    let settings: Settings
    let progress: (Progress) -> Void

    public init(_ settings: Settings, progress: @escaping (Progress) -> Void) {
        self.settings = settings
        self.progress = progress
    }

    /// Runs it. `now`: seconds since 1970-01-01 UTC. Throws `.system(errno: EINTR)` where a signal asks to end.
    public func run(now: Int64) throws(Failure) -> Report {
        let start = ContinuousClock.now
        var report = Report(
            machine: .current(), seed: settings.seed, isQuick: settings.isQuick, cpu: settings.cpu, started: now)
        do throws(Failure) {
            for section in Section.allCases where settings.sections.contains(section) {
                // Each in a lab of its own, whose hosts may have the names that another's have.
                try Laboratory.with(named: Self.name) { (laboratory) throws(Failure) in
                    do throws(Failure) {
                        try measure(section, in: laboratory, &report)
                    } catch {
                        try Interruption.check()
                        report.failures.append(error)
                    }
                }
            }
        } catch {
            // Whatever a signal cut off, the signal is what to report.
            try Interruption.check()
            throw error
        }
        report.duration = ContinuousClock.now - start
        return report
    }

    private func measure(
        _ section: Section, in laboratory: Laboratory, _ report: inout Report
    ) throws(Failure) {
        switch section {
        case .packets: report.packets = try PacketCost.measure(self, in: laboratory)
        case .mix: report.mix = try MixedCost.measure(self, in: laboratory)
        case .carrier: report.carrier = try CarrierCost.measure(self, in: laboratory)
        case .policy: report.policy = try PolicyCost.measure(self, in: laboratory)
        case .drop: report.drops = try DropCost.measure(self, in: laboratory)
        case .afxdp: report.receivers = try ReceiveCost.measure(self, in: laboratory)
        case .servers: report.servers = try ServerCost.measure(self, in: laboratory)
        case .calls: report.calls = try FloodCalls.measure(self, in: laboratory)
        case .lists: report.lists = try ListTimes.measure(self, in: laboratory)
        case .start: report.start = try StartTime.measure(self)
        }
    }

    /// Runs `body` for each round, with progress, until a signal comes.
    func rounds(_ count: Int, of section: Section, _ body: (Int) throws(Failure) -> Void) throws(Failure) {
        for round in 0..<count {
            progress(Progress(section: section, done: round, total: count))
            try Interruption.check()
            try body(round)
        }
        progress(Progress(section: section, done: count, total: count))
    }
}

extension Bench.Report {
    /// Every figure, in order of display.
    public var figures: [Figure] {
        packets.flatMap(\.figures) + (mix?.figures ?? []) + (carrier?.figures ?? []) + policy.flatMap(\.figures)
            + drops.flatMap(\.figures)
            + dropRatios + [carrierDropRatio].compactMap { $0 }
            + receivers.figures + servers.figures + (calls?.figures ?? []) + (lists?.figures ?? [])
            + (start?.figures ?? [])
    }

    /// CPU time of the other ways over that of the edge in native mode.
    public var dropRatios: [Figure] {
        guard let edge = drops.first(where: { $0.method == .nativeEdge }) else { return [] }
        return drops.filter { $0.method != .nativeEdge }.map {
            $0.cpuTime.over(edge.cpuTime, as: "drop.\($0.method.name).over_native")
        }
    }

    /// CPU time of profile `carrier` for a packet of a blocked source over that of a program that only drops.
    public var carrierDropRatio: Figure? {
        guard let carrier = drops.first(where: { $0.method == .nativeCarrier }),
            let empty = drops.first(where: { $0.method == .nativeEmpty })
        else { return nil }
        return carrier.cpuTime.over(empty.cpuTime, as: "drop.native_carrier.over_empty")
    }

    public var goals: [Goal] {
        var goals = packets.filter { $0.kind.hasGoal }.map {
            Goal(figure: $0.ratio, relation: .atMost, limit: 1.35, label: "\($0.kind.label), over the floor")
        }
        if let mix {
            goals.append(
                Goal(figure: mix.ratio, relation: .atMost, limit: 1.35, label: "mixed traffic, over the floor"))
        }
        goals += carrier?.goals ?? []
        goals += receivers.goals
        goals += servers.goals
        goals += calls?.goals ?? []
        if let ratio = carrierDropRatio {
            goals.append(
                Goal(figure: ratio, relation: .atMost, limit: 1.10, label: "carrier drop, over the empty program"))
        }
        if let ratio = dropRatios.first(where: { $0.name.hasPrefix("drop.\(DropMethod.nftIngress.name).") }) {
            goals.append(
                Goal(figure: ratio, relation: .atLeast, limit: 3.5, label: "native drop, times nft ingress"))
        }
        if let lists { goals += lists.goals }
        if let start { goals += start.goals }
        return goals
    }
}
