// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

extension AddressMap: PolicyMapPort {}

extension KernelEdges: EdgeKernelPort {
    public func attach(
        _ interface: InterfaceID, object: String?, policy: [PolicyKind: AddressMap], table: NoPolicyTable?,
        settings: FilterSettings, mode: ModeRequest, force: Bool
    ) throws(Failure) -> (EdgeState, notes: [String]) {
        try attach(interface, object: object, policy: policy, settings: settings, modes: mode.modes, force: force)
    }

    // No program of this version reads a policy table.
    public func readsPolicyTable(_ settings: FilterSettings) -> Bool { false }
    public func sharedPolicyTable() -> NoPolicyTable? { nil }
    public func policyTable(of edge: EdgeState) -> NoPolicyTable? { nil }
    public func policyTableBytes(capacity: Int) -> Int { 0 }
    public func share(_ table: NoPolicyTable) {}
    public func makePolicyTable(capacity: Int) throws(Failure) -> NoPolicyTable {
        throw Failure(
            .unsupported, tried: "make the policy table", on: "\(capacity) prefixes",
            because: "no program of this version reads one", next: "Leave --policy-capacity out.")
    }
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

/// There is none.
public enum NoPolicyTable: PolicyTablePort {
    public var id: UInt32 { switch self {} }
    public var capacity: Int { switch self {} }
    public var prefixCount: Int { switch self {} }
    public var bytes: Int { switch self {} }
    public func apply(_ changes: [PolicyTableChange], now: UInt32, progress: (Int) -> Void) {}
    public func records() -> [PolicyTableRecord] { switch self {} }
    public func sweep(now: UInt32) -> Int { switch self {} }
    public func repairIfNeeded() -> Bool { switch self {} }
}
