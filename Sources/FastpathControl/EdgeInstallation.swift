// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// One run of `up`, from the look at what is there to the report.
///
/// The order of its steps is what makes it safe to cut off anywhere: entries are recorded before a list has them;
/// a list is full before a program reads it; the shared pins move last, when every program reads the new lists; and public
/// maps are frozen behind all that, when no program reads them.
struct EdgeInstallation<Kernel: EdgeKernelPort, Record: PolicyRecord> {
    let kernel: Kernel
    let record: Record
    let keeper: TableKeeper<Kernel, Record>
    let request: UpRequest
    let now: Moment
    let interface: InterfaceID
    /// The interface before, or nil where nothing of XDP or of ours was there.
    let before: EdgeState?
    /// What the program there was loaded with; nil where none of ours is, or it holds what this version does not know.
    let settingsBefore: FilterSettings?
    let mending: Mending?
    let others: OtherEdges<Kernel>
    var plans: [ListPlan<Kernel.PolicyMap>]
    var table: TablePlan<Kernel>
    var undo = UndoList()

    /// Looks and decides; changes nothing but what an operation left behind that was cut off, and what has expired.
    init(
        _ policy: PolicyControl<Kernel, Record, some ControlLock>, _ request: UpRequest, now: Moment,
        interrupted: String?
    ) throws(Failure) {
        kernel = policy.kernel
        record = policy.record
        keeper = policy.keeper(now)
        self.request = request
        self.now = now
        interface = try kernel.interface(named: request.interface)
        var lists = try KernelLists(kernel)
        let interface = interface
        try Self.refuseForeignProgram(lists.edges.first { $0.interface == interface }, request)
        // What is frozen and what is not is settled at the end.
        var mending = try policy.prepare(&lists, interrupted, now, freezes: false)
        before = lists.edges.first { $0.interface == interface }
        settingsBefore = try Self.settings(of: before, kernel)
        mending?.strays = []  // They get the shared lists here.
        self.mending = mending
        others = try OtherEdges(lists, but: interface)

        let isReader = kernel.readsPolicyTable(request.settings)
        table = TablePlan(lists, isReader: isReader, others, wanted: request.policyCapacity)
        let takesRecord = !isReader || lists.classic.contains { $0.interface != interface }
        let isUnread = !request.settings.hasLiveMaps && lists.mapReaders.allSatisfy { $0.interface == interface }
        // What a program does not read is not in force by it.
        let adopted = (others.strays + [before].compactMap { $0 }).filter(lists.mapReaders.contains)
        plans = []
        for kind in PolicyKind.inPublicMaps {
            plans.append(
                try ListPlan(
                    kind, kernel, record, adopting: adopted, wanted: request.capacities[kind],
                    takesRecord: takesRecord, isUnread: isUnread, now: now))
        }
    }

    private static func refuseForeignProgram(_ before: EdgeState?, _ request: UpRequest) throws(Failure) {
        guard !request.force, let before, let program = before.attachment else { return }
        let tried = "attach the program"
        if !program.isEdge {
            throw Failure(
                .foreignProgram(id: program.programID), tried: tried, on: request.interface,
                because: "another XDP program is attached: \(program.programName), id \(program.programID)",
                next: "Detach it, or replace it with --force.")
        }
        if let instance = before.otherInstance {
            throw Failure(
                .foreignProgram(id: program.programID), tried: tried, on: request.interface,
                because: "it belongs to the instance \"\(instance)\"",
                next: "Use that instance (\(Instance.environmentVariable)), or replace it with --force.")
        }
    }

    private static func settings(of edge: EdgeState?, _ kernel: Kernel) throws(Failure) -> FilterSettings? {
        guard let edge, edge.isFiltering else { return nil }
        return try kernel.settings(of: edge)
    }

    mutating func run(progress: (ChangeProgress) -> Void) throws(Failure) -> UpReport {
        var report: UpReport
        do throws(Failure) {
            try adopt()
            try fill(progress)
            let adopted = plans.flatMap { plan in plan.adopted.map { PolicyTableChange($0, plan.kind.tableKind) } }
            try table.fill(keeper, adopted: adopted, &undo, progress)
            try shareFirstLists()
            table.undoHits(&undo, now)
            let (edge, notes) = try attach()
            try adoptLatecomers()
            report = UpReport(
                edge: edge, settings: request.settings, replaced: before?.attachment, settingsBefore: settingsBefore,
                notes: notes, lists: plans.map(\.outcome), table: table.outcome, recorded: [:], moved: [], warnings: [],
                mending: mending)
            for other in try others.toMove(plans, table) { try move(other, &report) }
            try dropFromPublicMaps()
            try shareNewTable()
            try recordCapacities()
            try freezeOldLists()
        } catch {
            throw undo.takeBack(after: error)
        }
        try shareNewLists()
        report.publicMaps = try freezeUnreadMaps()
        for kind in PolicyKind.allCases { report.recorded[kind] = try record.count(kind) }
        report.warnings += try warnings(for: report)
        return report
    }

    // MARK: Steps

    /// Records what a program has in lists of its own.
    private mutating func adopt() throws(Failure) {
        for plan in plans where !plan.adopted.isEmpty {
            try recordAdopted(plan.adopted, plan.kind)
        }
    }

    private mutating func recordAdopted(_ prefixes: [IPPrefix], _ kind: PolicyKind) throws(Failure) {
        let (record, now) = (record, now)
        let entries = prefixes.map { PolicyEntry(kind: kind, prefix: $0, origin: .adopted, added: now.wall) }
        try record.insert(entries)
        undo.add("recorded as adopted: \(prefixes.count)") { () throws(Failure) in try record.remove(entries) }
    }

    /// Makes the lists that are missing or too small, and brings all of them up to the record.
    private mutating func fill(_ progress: (ChangeProgress) -> Void) throws(Failure) {
        for index in plans.indices {
            let plan = plans[index]
            let map =
                if plan.needsNewMap { try kernel.makePolicyMap(plan.kind, capacity: plan.capacity) } else {
                    plan.shared
                }
            guard let map else { continue }
            plans[index].map = map
            let entries = plan.entriesToFill
            if !plan.needsNewMap, !entries.isEmpty {
                undo.add("in the shared \(plan.kind.listName): up to \(entries.count)") { () throws(Failure) in
                    try map.remove(entries)
                }
            }
            try map.insert(entries) {
                progress(ChangeProgress(step: .applying, kind: plan.kind, done: $0, total: entries.count))
            }
        }
    }

    /// The first `up` of the instance shares its lists before a program reads them: cut off in between, the next
    /// one finds them.
    private mutating func shareFirstLists() throws(Failure) {
        let kernel = kernel
        if plans.allSatisfy({ $0.shared == nil }) {
            undo.add("the shared lists") { () throws(Failure) in try kernel.removeSharedPins() }
        }
        for plan in plans where plan.shared == nil {
            if let map = plan.map { try kernel.share(map, as: plan.kind) }
        }
        if table.shared == nil, let map = table.table { try kernel.share(map) }
    }

    private var policy: [PolicyKind: Kernel.PolicyMap] {
        Dictionary(uniqueKeysWithValues: plans.compactMap { plan in plan.map.map { (plan.kind, $0) } })
    }

    private mutating func attach() throws(Failure) -> (EdgeState, notes: [String]) {
        let restore = try restoration(of: before)
        let result = try kernel.attach(
            interface, object: request.object, policy: policy, table: table.table(for: request.settings, kernel),
            settings: request.settings, mode: request.mode, force: request.force)
        let kernel = kernel
        undo.add("the program on \(request.interface)") { () throws(Failure) in
            if let restore { try restore() } else { try kernel.detach(result.0) }
        }
        return result
    }

    /// Moves another interface to the new lists, in the mode that it has and with its own switches.
    private mutating func move(_ other: EdgeState, _ report: inout UpReport) throws(Failure) {
        let restore = try restoration(of: other)
        let mode: ModeRequest = other.attachment?.mode == .generic ? .generic : .native
        let settings = try Self.settings(of: other, kernel) ?? request.settings
        let (edge, _) = try kernel.attach(
            other.interface, object: nil, policy: policy, table: table.table(for: settings, kernel), settings: settings,
            mode: mode, force: false)
        undo.add("the program on \(other.label)") { () throws(Failure) in try restore?() }
        report.moved.append(edge)
        if edge.attachment?.tag != other.attachment?.tag {
            report.warnings.append(.otherObject(interface: other.label))
        }
    }

    /// How to put a program of ours back with the lists and switches that it has now; nil where there is none.
    private func restoration(of edge: EdgeState?) throws(Failure) -> (() throws(Failure) -> Void)? {
        guard let edge, edge.isFiltering, let program = edge.attachment else { return nil }
        var policy: [PolicyKind: Kernel.PolicyMap] = [:]
        for kind in PolicyKind.inPublicMaps { policy[kind] = try kernel.policyMap(kind, of: edge) }
        let mode: ModeRequest = program.mode == .generic ? .generic : .native
        let (kernel, request) = (kernel, request)
        let settings = try Self.settings(of: edge, kernel) ?? request.settings
        let table = kernel.readsPolicyTable(settings) ? try kernel.policyTable(of: edge) : nil
        let object = edge.interface == interface ? request.object : nil
        return { [policy] () throws(Failure) in
            _ = try kernel.attach(
                edge.interface, object: object, policy: policy, table: table, settings: settings, mode: mode,
                force: request.force)
        }
    }

    /// What was written by hand to a list that is about to vanish, after it was read and before its program was
    /// replaced.
    private mutating func adoptLatecomers() throws(Failure) {
        for index in plans.indices {
            guard let map = plans[index].map else { continue }
            let late = try plans[index].latecomers()
            if late.isEmpty { continue }
            let kind = plans[index].kind
            try recordAdopted(late, kind)
            if plans[index].takesRecord { try map.insert(late) { _ in } }
            if let table = table.table {
                let changes = late.map { PolicyTableChange($0, kind.tableKind) }
                try table.apply(changes, now: now.boot) { _ in }
                undo.addRemoval(of: changes, from: table, now)
            }
            plans[index].adopted += late
        }
    }

    /// The last program that read the public maps alone is gone: they hold what somebody wrote by hand, and no more.
    private mutating func dropFromPublicMaps() throws(Failure) {
        for plan in plans {
            let (entries, kind) = (plan.entriesToDrop, plan.kind)
            guard !entries.isEmpty, let map = plan.map else { continue }
            undo.add("removed from the shared \(kind.listName): \(entries.count)") { () throws(Failure) in
                try map.insert(entries) { _ in }
            }
            try map.remove(entries)
        }
    }

    /// Every program that reads a table reads the new one.
    private mutating func shareNewTable() throws(Failure) {
        guard let old = table.shared, let new = table.table, old.id != new.id else { return }
        let kernel = kernel
        try new.takeHits(from: old, now: now.boot)
        try kernel.share(new)
        undo.add("the shared policy table") { () throws(Failure) in try kernel.share(old) }
    }

    private mutating func recordCapacities() throws(Failure) {
        let record = record
        for plan in plans {
            let kind = plan.kind
            let recorded = try record.capacity(kind) ?? kind.defaultCapacity
            if recorded == plan.capacity { continue }
            try record.setCapacity(plan.capacity, of: kind)
            undo.add("recorded capacity: \(plan.capacity)") { () throws(Failure) in
                try record.setCapacity(recorded, of: kind)
            }
        }
        let before = try record.capacity(nil)
        guard let wanted = request.policyCapacity, before != wanted else { return }
        try record.setCapacity(wanted, of: nil)
        guard let earlier = before ?? table.shared?.capacity else { return }
        undo.add("recorded capacity of the policy table: \(wanted)") { () throws(Failure) in
            try record.setCapacity(earlier, of: nil)
        }
    }

    /// Every program reads the new lists. From the first frozen list on there is no way back, and none is needed: all
    /// that is left is to share the new ones, which the next command does where this one cannot.
    private func freezeOldLists() throws(Failure) {
        var isPastReturn = false
        for plan in plans where plan.needsNewMap && !plan.wasFrozen {
            guard let old = plan.shared else { continue }
            do throws(Failure) {
                try old.freeze()
                isPastReturn = true
            } catch {
                // The freeze only keeps writers out for a moment. Behind the first one, going on is the better way.
                if !isPastReturn { throw error }
            }
        }
    }

    /// Copies what was written by hand meanwhile and moves the shared pins.
    private func shareNewLists() throws(Failure) {
        var firstFailure: Failure?
        for plan in plans where plan.needsNewMap {
            guard let old = plan.shared, let new = plan.map else { continue }
            do throws(Failure) {
                let now = try Set(old.prefixes())
                _ = try new.insertWhatFits(now.subtracting(plan.held).sorted())
                try new.remove(plan.byHand.filter { !now.contains($0) })
                try kernel.share(new, as: plan.kind)
            } catch {
                firstFailure = firstFailure ?? error
            }
        }
        guard var failure = firstFailure else { return }
        failure.next = "The interfaces filter with the new lists. Run the command again: it shares them."
        throw failure
    }

    /// Where no program reads the public maps any more: they must not take what nobody would see.
    private func freezeUnreadMaps() throws(Failure) -> PublicMapsState {
        do throws(Failure) {
            let lists = try KernelLists(kernel)
            return try lists.freezeUnreadMaps(keeper) ? KernelLists(kernel).publicMapsState() : lists.publicMapsState()
        } catch {
            var failure = error
            failure.next = "The interfaces filter as they should. Run the command again: it freezes the public maps."
            throw failure
        }
    }

    private func warnings(for report: UpReport) throws(Failure) -> [UpWarning] {
        var warnings: [UpWarning] = []
        let isReader = kernel.readsPolicyTable(request.settings)
        let byHand = plans.first { $0.kind == .allow }?.byHand.count ?? 0
        let allowed = (report.recorded[.allow] ?? 0) + byHand + (isReader ? report.recorded[.trust] ?? 0 : 0)
        if allowed == 0 { warnings.append(.allowListEmpty) }
        let lists = try KernelLists(kernel)
        for kind in PolicyKind.allCases where !lists.classic.isEmpty {
            let count = try kind.map == nil ? record.count(kind) : record.countOfNoAddresses(kind)
            if let gap = EnforcementGap(kind, lists, count: count, late: 0) { warnings.append(.notEnforced(gap)) }
        }
        if !request.settings.dryRun.isEmpty {
            warnings.append(.dryRun(interface: report.edge.label, request.settings))
        }
        if case .keptWritable = report.publicMaps { warnings.append(.mapsNotFrozen(report.publicMaps)) }
        if report.edge.attachment?.mode == .generic { warnings.append(.genericMode) }
        if report.edge.attachment?.mode == .native, report.replaced == nil { warnings.append(.firstNativeAttach) }
        return warnings
    }
}

/// The other interfaces that a change of lists concerns.
struct OtherEdges<Kernel: EdgeKernelPort> {
    private let kernel: Kernel
    private let edges: [EdgeState]
    private let readers: [EdgeState]
    private let mapReaders: [EdgeState]
    /// Those that read other lists than the shared ones, and should not.
    let strays: [EdgeState]

    init(_ lists: KernelLists<Kernel>, but interface: InterfaceID) throws(Failure) {
        kernel = lists.kernel
        edges = lists.edges.filter { $0.interface != interface && $0.isFilteringForUs }
        readers = lists.readers.filter { $0.interface != interface }
        mapReaders = lists.mapReaders
        strays = try lists.strays().filter { $0.interface != interface }
    }

    /// Those that must get other lists: strays, and readers of a shared list that is replaced.
    func toMove(_ plans: [ListPlan<Kernel.PolicyMap>], _ table: TablePlan<Kernel>) throws(Failure) -> [EdgeState] {
        var moving = strays
        for edge in readers where !moving.contains(edge) && edge.isPinned {
            if try kernel.policyTable(of: edge)?.id != table.table?.id { moving.append(edge) }
        }
        for edge in edges where mapReaders.contains(edge) {
            for plan in plans where plan.needsNewMap && !moving.contains(edge) {
                if try kernel.policyMap(plan.kind, of: edge).id == plan.shared?.id { moving.append(edge) }
            }
        }
        return moving
    }
}
