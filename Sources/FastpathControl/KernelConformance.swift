// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

extension AddressMap: PolicyMapPort {}

extension KernelEdges: EdgeKernelPort {
    public func attach(
        _ interface: InterfaceID, object: String?, policy: [PolicyKind: AddressMap], settings: FilterSettings,
        mode: ModeRequest, force: Bool
    ) throws(Failure) -> (EdgeState, notes: [String]) {
        try attach(interface, object: object, policy: policy, settings: settings, modes: mode.modes, force: force)
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
