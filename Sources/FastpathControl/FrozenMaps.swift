// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Who reads the shared public maps, and whether they can be written to.
public enum PublicMapsState: Hashable, Sendable {
    /// Programs read them, all that filter.
    case read
    /// Frozen for good (BPF_MAP_FREEZE): no program of the instance reads them. `unreadBy`: those that filter.
    case frozen(unreadBy: [String])
    /// Some programs do not read them; they are writable all the same, as others do.
    case keptWritable(readBy: [String], unreadBy: [String])
    /// Writable, though no program reads them: who did has gone.
    case notFrozenYet(unreadBy: [String])

    /// For programs; people get the sentence.
    public var name: String {
        switch self {
        case .read: "read"
        case .frozen: "frozen"
        case .keptWritable: "kept_writable"
        case .notFrozenYet: "not_frozen_yet"
        }
    }

    /// Interfaces whose programs do not read them, as a person calls them.
    public var unreadBy: [String] {
        switch self {
        case .read: []
        case .frozen(let edges), .keptWritable(_, let edges), .notFrozenYet(let edges): edges
        }
    }

    private static let names = PolicyKind.inPublicMaps.compactMap { $0.map?.name }.joined(separator: " and ")

    /// What an operator should know of them; nil where all is as usual.
    public var sentence: String? {
        let key = "\(ConfigurationKey.liveMaps.rawValue) is false"
        let places = unreadBy.joined(separator: ", ")
        let first = unreadBy.first ?? "IFACE"
        switch self {
        case .read: return nil
        case .frozen:
            return
                "\(Self.names) are empty and frozen: \(key)\(places.isEmpty ? "" : " on \(places)"), so no program reads "
                + "them, and an edit by hand fails with EPERM. Lists change with block, allow and trust. To get them "
                + "back: vos-fastpath up \(first) --live-maps on"
        case .keptWritable(let readers, _):
            return
                "\(Self.names) are not frozen, as \(readers.joined(separator: ", ")) reads them: an edit by hand counts "
                + "there, and not on \(places), where \(key)."
        case .notFrozenYet:
            return "\(Self.names) are not frozen yet, though no program reads them: \(key) on \(places). "
                + "An edit by hand counts from the next change of a list on, which records it and freezes them."
        }
    }
}

/// The public maps where programs do not read them (`live_maps = false`). Frozen is what they are exactly while no program
/// of the instance reads them; empty then, but for what came in the moment before, which is adopted as soon as it is seen.
extension KernelLists {
    /// Programs filter for this instance, and none of them reads the public maps.
    var arePublicMapsUnread: Bool { isFiltering && mapReaders.isEmpty }

    /// Those that filter for this instance and do not read the public maps.
    private var nonReaders: [EdgeState] { edges.filter { $0.isFilteringForUs && !mapReaders.contains($0) } }

    func publicMapsState() throws(Failure) -> PublicMapsState {
        let unreadBy = nonReaders.map(\.label)
        var areFrozen = false, areThere = false
        for kind in PolicyKind.inPublicMaps {
            guard let shared = try kernel.sharedPolicyMap(kind) else { continue }
            areThere = true
            if try shared.isFrozen() {
                areFrozen = true
            } else if arePublicMapsUnread {
                return .notFrozenYet(unreadBy: unreadBy)
            }
        }
        if areFrozen, try !isChangeOfMapCutOff() { return .frozen(unreadBy: unreadBy) }
        if unreadBy.isEmpty || !areThere { return .read }
        return .keptWritable(readBy: mapReaders.map(\.label), unreadBy: unreadBy)
    }

    /// Is any of the shared maps in the middle of a change that was cut off?
    func isChangeOfMapCutOff() throws(Failure) -> Bool {
        for kind in PolicyKind.inPublicMaps where try isChangeOfMapCutOff(kind) { return true }
        return false
    }

    /// The shared map is frozen, and not as it should be: a program of the instance reads the map that is to take its
    /// place, or it holds something still.
    func isChangeOfMapCutOff(_ kind: PolicyKind) throws(Failure) -> Bool {
        guard let shared = try kernel.sharedPolicyMap(kind), try shared.isFrozen() else { return false }
        if mapReaders.contains(where: \.isPinned) { return true }
        return try !shared.prefixes().isEmpty
    }

    /// A change of a shared map freezes the old one when every program reads the new one already, and then shares the new
    /// one. Found frozen, it was cut off in between; what was left to do is done here: entries that came in meanwhile go
    /// into the new map, or into the record and the policy table, where no program reads a public map any more.
    /// Returns the number of entries that have no room in the new map.
    func finishChangeOfMap(
        _ kind: PolicyKind, _ keeper: TableKeeper<Kernel, some PolicyRecord>
    ) throws(Failure) -> Int {
        guard try isChangeOfMapCutOff(kind), let old = try kernel.sharedPolicyMap(kind) else { return 0 }
        if arePublicMapsUnread {
            try adoptWhatIsLeft(in: old, kind, keeper)
            return 0
        }
        var successor: Kernel.PolicyMap?
        for edge in mapReaders where successor == nil && edge.isPinned {
            let map = try kernel.policyMap(kind, of: edge)
            if map.id != old.id { successor = map }
        }
        let new = if let successor { successor } else { try kernel.makePolicyMap(kind, capacity: old.capacity) }
        let left = try new.insertWhatFits(new.missing(from: old.prefixes()))
        try kernel.share(new, as: kind)
        return left
    }

    /// Freezes the shared maps where no program reads them. What was written there by hand is recorded first, and in force
    /// by the policy table; then they are emptied, and frozen. From the freeze on there is no way back. True if something
    /// was to do.
    func freezeUnreadMaps(_ keeper: TableKeeper<Kernel, some PolicyRecord>) throws(Failure) -> Bool {
        guard arePublicMapsUnread else { return false }
        var isChanged = false
        for kind in PolicyKind.inPublicMaps {
            guard let shared = try kernel.sharedPolicyMap(kind), try !shared.isFrozen() else { continue }
            isChanged = true
            let held = try shared.prefixes()
            try adopt(held, kind, keeper)
            try shared.remove(held)
            try shared.freeze()
            try adoptWhatIsLeft(in: shared, kind, keeper)
        }
        return isChanged
    }

    /// A frozen map cannot be emptied: an empty one takes its place, so that one that holds something always is one whose
    /// entries are to be adopted still, and none is adopted twice.
    private func adoptWhatIsLeft(
        in frozen: Kernel.PolicyMap, _ kind: PolicyKind, _ keeper: TableKeeper<Kernel, some PolicyRecord>
    ) throws(Failure) {
        let late = try frozen.prefixes()
        if late.isEmpty { return }
        try adopt(late, kind, keeper)
        let empty = try kernel.makePolicyMap(kind, capacity: frozen.capacity)
        try empty.freeze()
        try kernel.share(empty, as: kind)
    }

    /// Records those of `prefixes` that the record does not have, and puts them into the table.
    private func adopt(
        _ prefixes: [IPPrefix], _ kind: PolicyKind, _ keeper: TableKeeper<Kernel, some PolicyRecord>
    ) throws(Failure) {
        if prefixes.isEmpty { return }
        let now = keeper.now
        let recorded = try keeper.record.entries(kind, of: prefixes).filter { $0.isLive(at: now.wall) }.map(\.prefix)
        let byHand = Set(prefixes).subtracting(recorded).sorted()
        if !byHand.isEmpty {
            try keeper.record.insert(
                byHand.map { PolicyEntry(kind: kind, prefix: $0, origin: .adopted, added: now.wall) })
        }
        // All of them: what is recorded already may be so by an adoption that was cut off before it came to the table.
        let live = try keeper.record.entries(kind, of: prefixes).filter { $0.isLive(at: now.wall) }
        _ = try keeper.apply(keeper.changes(live: live, removed: []), self) { _ in }
    }
}
