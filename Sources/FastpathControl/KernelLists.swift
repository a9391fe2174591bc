// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// One public map in the kernel.
struct KernelList<Map: PolicyMapPort> {
    let map: Map
    /// The interface whose program reads it; nil for the list that all interfaces of the instance share.
    let edge: EdgeState?
    /// Shall it hold what is recorded? Else it holds what somebody wrote by hand, and perhaps what it was left with.
    let takesRecord: Bool

    /// For sentences: "the shared block list".
    func name(_ kind: PolicyKind) -> String {
        guard let edge else { return "the shared \(kind.listName)" }
        return "the \(kind.listName) of \(edge.label)"
    }
}

/// The lists in the kernel that hold the instance's policy: the policy table, the shared public maps, and those of
/// interfaces whose program somebody else loaded (`ip link`), which has maps of its own.
struct KernelLists<Kernel: EdgeKernelPort> {
    let kernel: Kernel
    /// What the kernel had when this value was made.
    let edges: [EdgeState]
    /// Those that filter for this instance and read the policy table.
    let readers: [EdgeState]
    /// Those that filter for this instance and read the public maps alone.
    let classic: [EdgeState]
    /// Those that filter for this instance and read public maps, shared ones or their own.
    let mapReaders: [EdgeState]
    /// The shared table.
    let table: Kernel.Table?

    init(_ kernel: Kernel) throws(Failure) {
        self.kernel = kernel
        edges = try kernel.edges()
        var (readers, classic, mapReaders): ([EdgeState], [EdgeState], [EdgeState]) = ([], [], [])
        for edge in edges where edge.isFilteringForUs {
            // What this version does not know: the public maps are the safe side.
            let settings = try kernel.settings(of: edge)
            if settings.map(kernel.readsPolicyTable) ?? false { readers.append(edge) } else { classic.append(edge) }
            if settings?.hasLiveMaps ?? true { mapReaders.append(edge) }
        }
        (self.readers, self.classic, self.mapReaders) = (readers, classic, mapReaders)
        table = try kernel.sharedPolicyTable()
    }

    /// Does any interface filter with this instance's policy?
    var isFiltering: Bool { edges.contains(where: \.isFilteringForUs) }

    /// Shall the shared public maps hold what is recorded? While some program reads nothing else, or there is nothing else.
    var publicMapsTakeRecord: Bool { !classic.isEmpty || table == nil }

    /// The public maps of a kind, the shared one first. Each map once. Those that no program reads are none: a shared one
    /// that is frozen, and those of programs that have them and do not look.
    func all(_ kind: PolicyKind) throws(Failure) -> [KernelList<Kernel.PolicyMap>] {
        guard kind.map != nil else { return [] }
        var lists: [KernelList<Kernel.PolicyMap>] = []
        if let shared = try kernel.sharedPolicyMap(kind), try !shared.isFrozen() {
            lists.append(KernelList(map: shared, edge: nil, takesRecord: publicMapsTakeRecord))
        }
        for edge in classic + readers where mapReaders.contains(edge) {
            let map = try kernel.policyMap(kind, of: edge)
            if lists.contains(where: { $0.map.id == map.id }) { continue }
            lists.append(KernelList(map: map, edge: edge, takesRecord: classic.contains(edge) || table == nil))
        }
        return lists
    }

    /// Interfaces of the instance whose program reads other lists than the shared ones, whoever brought that about: an
    /// `up` that was cut off, or a change of capacity that failed and could not be taken back. The kernel's state tells;
    /// no memory of an operation is needed, which the next one might wipe out.
    func strays() throws(Failure) -> [EdgeState] {
        var strays: [EdgeState] = []
        for edge in edges where edge.isPinned && edge.isFilteringForUs {
            for kind in PolicyKind.inPublicMaps where strays.last != edge && mapReaders.contains(edge) {
                if try kernel.policyMap(kind, of: edge).id != kernel.sharedPolicyMap(kind)?.id { strays.append(edge) }
            }
            if strays.last != edge, try hasOtherTable(edge) { strays.append(edge) }
        }
        return strays
    }

    /// Does its program read another table than the shared one?
    func hasOtherTable(_ edge: EdgeState) throws(Failure) -> Bool {
        guard readers.contains(edge) else { return false }
        return try kernel.policyTable(of: edge)?.id != table?.id
    }

    /// Puts right what an operation left behind in the shared lists that did not come to its end. Only under the lock.
    func mend(
        _ interrupted: String?, with keeper: TableKeeper<Kernel, some PolicyRecord>
    ) throws(Failure) -> Mending? {
        var notFitted = 0
        for kind in PolicyKind.inPublicMaps { notFitted += try finishChangeOfMap(kind, keeper) }
        guard let interrupted else {
            try table?.repairIfNeeded(now: keeper.now.boot)
            return nil
        }
        var mending = Mending(interrupted: interrupted, restored: 0, notFitted: notFitted, strays: [])
        for kind in PolicyKind.inPublicMaps where publicMapsTakeRecord {
            guard let shared = try kernel.sharedPolicyMap(kind), try !shared.isFrozen() else { continue }
            let missing = try shared.missing(from: keeper.record.addresses(kind, at: keeper.now))
            let left = try shared.insertWhatFits(missing)
            mending.restored += missing.count - left
            mending.notFitted += left
        }
        mending.restored = max(mending.restored, try keeper.mend(self))
        mending.strays = try KernelLists(kernel).strays()
        return mending
    }
}

extension PolicyMapPort {
    /// Those of `prefixes` that the map does not hold, in their order.
    func missing(from prefixes: [IPPrefix]) throws(Failure) -> [IPPrefix] {
        if prefixes.isEmpty { return [] }
        let held = try Set(self.prefixes())
        return prefixes.filter { !held.contains($0) }
    }

    /// Those of `prefixes` that the map holds. Above some hundreds, reading all of it is cheaper than asking for each.
    func present(among prefixes: [IPPrefix]) throws(Failure) -> Set<IPPrefix> {
        // It holds nothing else.
        let addresses = prefixes.filter { $0.ipv4Address != nil }
        if addresses.count < 500 { return try contained(addresses) }
        return Set(try self.prefixes()).intersection(addresses)
    }

    /// Adds `missing`, which the map does not hold, as far as there is room. Returns how many had none.
    func insertWhatFits(_ missing: [IPPrefix]) throws(Failure) -> Int {
        do throws(Failure) {
            try insert(missing) { _ in }
            return 0
        } catch {
            guard case .mapFull = error.kind else { throw error }
            return try self.missing(from: missing).count
        }
    }
}

extension EdgeState {
    /// What a person calls it: `eth0`, `eth0@blue` in the namespace blue, `ifindex 7` where the interface is gone.
    public var label: String {
        guard let name else { return "ifindex \(interface.index)" }
        return namespaceName.map { "\(name)@\($0)" } ?? name
    }
}

/// The smallest power of two that holds `entries`.
func roomyCapacity(for entries: Int) -> Int {
    var capacity = 1
    while capacity < entries { capacity *= 2 }
    return capacity
}
