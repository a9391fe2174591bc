// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

extension AddressMap: PolicyMapPort {}

extension PolicyTable: PolicyTablePort {
    public var id: UInt32 { maps[Self.mapNames[0]]?.id ?? 0 }
    public var prefixCount: Int { statistics.prefixes }
    public var bytes: Int { statistics.bytes }
    public func repairIfNeeded() throws(Failure) -> Bool { try repairIfNeeded(now: Self.now()) }
}

extension KernelEdges: EdgeKernelPort {
    public func attach(
        _ interface: InterfaceID, object: String?, policy: [PolicyKind: AddressMap], table: PolicyTable?,
        settings: FilterSettings, mode: ModeRequest, force: Bool
    ) throws(Failure) -> (EdgeState, notes: [String]) {
        try attach(
            interface, object: object, policy: policy, table: table?.maps ?? [:], settings: settings, modes: mode.modes,
            force: force)
    }

    public func readsPolicyTable(_ settings: FilterSettings) -> Bool { settings.isOn(.policy) }

    public func sharedPolicyTable() throws(Failure) -> PolicyTable? {
        try sharedTableMaps(PolicyTable.mapNames).map { (maps) throws(Failure) in try PolicyTable(maps: maps) }
    }

    public func policyTable(of edge: EdgeState) throws(Failure) -> PolicyTable? {
        guard let maps = try tableMaps(PolicyTable.mapNames, of: edge) else { return nil }
        // Of one element each: the object's own, where nobody gave the program a table.
        if maps.values.allSatisfy({ $0.capacity == 1 }) { return nil }
        return try PolicyTable(maps: maps)
    }

    public func makePolicyTable(capacity: Int) throws(Failure) -> PolicyTable { try .make(capacity: capacity) }

    public func policyTableBytes(capacity: Int) -> Int { PolicyTable.bytes(capacity: capacity) }

    public func share(_ table: PolicyTable) throws(Failure) { try shareTable(table.maps, id: table.id) }
}

extension ModeRequest {
    /// The modes to try, in order.
    var modes: [XDPMode] {
        switch self {
        case .auto: [.native, .generic]
        case .native: [.native]
        case .generic: [.generic]
        }
    }
}
