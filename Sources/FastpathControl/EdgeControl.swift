// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Puts the edge on interfaces and takes it off again, and tells how it is.
public struct EdgeControl<Kernel: EdgeKernelPort, Record: PolicyRecord, Lock: ControlLock> {
    let kernel: Kernel
    let record: Record
    let lock: Lock
    let limits: PolicyLimits

    public init(kernel: Kernel, record: Record, lock: Lock, limits: PolicyLimits = PolicyLimits()) {
        self.kernel = kernel
        self.record = record
        self.lock = lock
        self.limits = limits
    }

    /// The policy's door, on the same ports.
    var policy: PolicyControl<Kernel, Record, Lock> {
        PolicyControl(kernel: kernel, record: record, lock: lock, limits: limits)
    }

    /// Puts the program on an interface, or replaces the one of ours that is there in one atomic step that keeps
    /// policy and counters. The lists come from the record. Lists of a program that `ip link` loaded are taken into
    /// the record. A changed capacity keeps the entries, on every interface. What fails half-way is taken back. Other
    /// interfaces of the instance that were left with lists of their own get the shared ones.
    ///
    /// - Throws: `.noInterface`; `.foreignProgram` and `.modeConflict` unless forced; `.mapFull` for a capacity that
    ///   is too small for the entries; what the ports throw.
    public func up(
        _ request: UpRequest, now: Moment, progress: (ChangeProgress) -> Void = { _ in }
    ) throws(Failure) -> UpReport {
        try kernel.requireReady()
        return try lock.withLock(for: "up \(request.interface)") { (interrupted) throws(Failure) in
            var installation = try EdgeInstallation(policy, request, now: now, interrupted: interrupted)
            return try installation.run(progress: progress)
        }
    }
}

/// What `up` is asked to do.
public struct UpRequest: Hashable, Sendable {
    /// A name in the caller's network namespace.
    public var interface: String
    public var mode: ModeRequest
    /// The path of an object file, or nil for the built-in object.
    public var object: String?
    /// What the program is loaded with.
    public var settings: FilterSettings
    /// Entries that the public maps shall hold; without one the capacity stays as it is.
    public var capacities: [PolicyKind: Int]
    /// Prefixes that the policy table shall hold; without it the capacity stays, and grows where it must.
    public var policyCapacity: Int?
    /// Replace a foreign program, and change the mode with a short gap.
    public var force: Bool

    public init(
        interface: String, mode: ModeRequest = .auto, object: String? = nil,
        settings: FilterSettings = Profile.default.settings, capacities: [PolicyKind: Int] = [:],
        policyCapacity: Int? = nil, force: Bool = false
    ) {
        self.interface = interface
        self.mode = mode
        self.object = object
        self.settings = settings
        self.capacities = capacities
        self.policyCapacity = policyCapacity
        self.force = force
    }
}

/// What `up` did.
public struct UpReport: Hashable, Sendable {
    public var edge: EdgeState
    /// What the program was loaded with.
    public var settings: FilterSettings
    /// The program that was there before.
    public var replaced: Attachment?
    /// What it was loaded with; nil where none of ours was there, or it held what this version does not know.
    public var settingsBefore: FilterSettings?
    /// What the kernel side has to say: why native mode was refused, for one.
    public var notes: [String]
    /// The public maps.
    public var lists: [UpList]
    /// Who reads them, and whether they can be written to.
    public var publicMaps = PublicMapsState.read
    /// The policy table; nil where no interface reads one.
    public var table: UpTable?
    /// Entries that are recorded, by kind.
    public var recorded: [PolicyKind: Int]
    /// Other interfaces that were moved to the lists that are shared now.
    public var moved: [EdgeState]
    /// What the operator should know before relying on it.
    public var warnings: [UpWarning]
    /// An operation that had not come to its end, and is put right now.
    public var mending: Mending?
}

/// A list after `up`.
public struct UpList: Hashable, Sendable {
    public var kind: PolicyKind
    /// In force.
    public var entries: Int
    public var capacity: Int
    /// The shared list's capacity before; nil where there was no shared list.
    public var capacityBefore: Int?
    /// Taken into the record: from a program that `ip link` had loaded, or written by hand to a map that is frozen now.
    public var adopted: Int
    /// In the shared list, written by hand: in force, not recorded.
    public var byHand: Int
    /// No program reads it: it is empty, and frozen.
    public var isFrozen = false
    /// Does it hold what is recorded? Else only what was written by hand.
    public var takesRecord = true
}

/// The policy table after `up`.
public struct UpTable: Hashable, Sendable {
    /// Prefixes that it holds; one of several kinds counts once.
    public var prefixes: Int
    public var capacity: Int
    /// All its maps.
    public var bytes: Int
    /// Nil where there was none.
    public var capacityBefore: Int?
}

/// What the operator should know after `up`.
public enum UpWarning: Hashable, Sendable {
    /// OPTIONS are dropped whoever sends them.
    case allowListEmpty
    /// Entries that interfaces do not enforce.
    case notEnforced(EnforcementGap)
    /// The program sees merged packets as one.
    case genericMode
    /// The driver may have made its rings anew.
    case firstNativeAttach
    /// The interface ran another object than the one that was put there with the new lists.
    case otherObject(interface: String)
    /// Programs do not read the public maps, which are not frozen all the same.
    case mapsNotFrozen(PublicMapsState)
    /// Rules that drop nothing on an interface.
    case dryRun(interface: String, FilterSettings)

    public var sentence: String {
        switch self {
        case .allowListEmpty:
            "No source is allowed or trusted: OPTIONS are dropped whoever sends them, your trunks' keepalives included. "
                + "Trust your trunks: vos-fastpath trust add ADDRESS (profile classic: vos-fastpath allow add ADDRESS)"
        case .notEnforced(let gap): gap.sentences.joined(separator: " ")
        case .genericMode:
            "In generic mode packets that the kernel merged (GRO, UDP_SEGMENT) count as one and are judged by their "
                + "first part: a sender can hide packets behind a good one. Use a driver with native XDP where you can."
        case .firstNativeAttach:
            "The first attach in native mode makes some drivers set up their rings anew: the link may have been "
                + "silent for a moment."
        case .otherObject(let interface):
            "\(interface) ran another object; it runs the built-in one now. "
                + "Run `vos-fastpath up \(interface) --object FILE` to put the other one back."
        case .mapsNotFrozen(let state): state.sentence ?? ""
        case .dryRun(let interface, let settings): settings.dryRunSentence(on: interface) ?? ""
        }
    }
}

extension FilterSettings {
    /// What an operator must not miss: rules that drop nothing. Nil where no rule is in dry run.
    public func dryRunSentence(on interface: String) -> String? {
        if dryRun.isEmpty { return nil }
        if isDryRunOfAll {
            return "\(interface) drops nothing: all rules are in dry run; see 'vos-fastpath report'"
        }
        return "\(interface) does not drop what is \(dryRunNames.joined(separator: ", ")): "
            + "\(dryRun.count == 1 ? "that rule is" : "those rules are") in dry run; see 'vos-fastpath report'"
    }
}
