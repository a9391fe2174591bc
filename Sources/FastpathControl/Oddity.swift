// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Something that an operator would not expect, with what to do about it.
public enum Oddity: Hashable, Sendable {
    /// A program that is not ours is on an interface; `hadOurs`: where ours was before.
    case foreignProgram(EdgeState, id: UInt32, hadOurs: Bool)
    /// A program of another instance of the edge.
    case otherInstance(EdgeState, name: String)
    /// Pins without a program: somebody took it off behind our back.
    case programGone(EdgeState)
    /// Pins without an interface.
    case interfaceGone(EdgeState)
    /// The program reads lists of its own: somebody else loaded it, or an `up` was cut off.
    case ownLists(EdgeState)
    /// The program reads another policy table than the shared one: a change was cut off.
    case ownTable(EdgeState)
    /// Entries that interfaces do not enforce.
    case notEnforced(EnforcementGap)
    /// The shared lists are there, and no interface of ours.
    case listsWithoutInterface
    /// A change of the shared map (its capacity, or from frozen to live and back) was cut off near its end.
    case capacityChangeCutOff(PolicyKind)
    /// Entries in the kernel that are not recorded.
    case writtenByHand(PolicyKind, count: Int)
    /// Recorded entries that a shared list or the policy table lacks.
    case notInKernel(PolicyKind, count: Int)

    /// What is odd.
    public var sentence: String {
        switch self {
        case .foreignProgram(let edge, let id, true):
            "\(edge.label): a program that is not ours (id \(id)) took the place of ours. SIP is not filtered there."
        case .foreignProgram(let edge, let id, false):
            "\(edge.label): an XDP program that is not ours (id \(id)) is attached."
        case .otherInstance(let edge, let name): "\(edge.label): belongs to the instance \"\(name)\"."
        case .programGone(let edge):
            "\(edge.label): the program was taken off, its pins are still there. SIP is not filtered there."
        case .interfaceGone(let edge):
            "\(edge.label): the interface is gone or out of reach, its pins are still there."
        case .ownLists(let edge):
            "\(edge.label): the program reads lists of its own: `up` did not load it, or was cut off."
        case .ownTable(let edge): "\(edge.label): the program reads another policy table than the shared one."
        case .notEnforced(let gap):
            "\(gap.kind.listName.capitalizedFirst): \(gap.count) not in force on \(gap.interfaces.joined(separator: ", ")), "
                + "where the program reads the public maps alone."
        case .listsWithoutInterface: "The lists are in the kernel, but no interface uses them."
        case .capacityChangeCutOff(let kind):
            "A change of the \(kind.listName)'s map or capacity was cut off near its end."
        case .writtenByHand(let kind, let count):
            "\(kind.listName.capitalizedFirst): \(count) in the kernel, written by hand and not recorded."
        case .notInKernel(let kind, let count):
            "\(kind.listName.capitalizedFirst): \(count) recorded, but not in the kernel."
        }
    }

    /// What to do about it, as an order.
    public var next: String {
        switch self {
        case .foreignProgram(let edge, _, true):
            "Put ours back: vos-fastpath up \(edge.label) --force. Or remove the pins: vos-fastpath down \(edge.label)"
        case .foreignProgram: "Leave it, or replace it with `vos-fastpath up IFACE --force`."
        case .otherInstance(_, let name):
            "Look at it with \(Instance.environmentVariable)=\(name == "default" ? "" : name)."
        case .programGone(let edge):
            "Put it back: vos-fastpath up \(edge.label). Or remove the pins: vos-fastpath down \(edge.label)"
        case .interfaceGone(let edge): "Remove the pins: vos-fastpath down \(edge.interface.pinName)"
        case .ownLists(let edge): "Give it the shared lists, its own are adopted: vos-fastpath up \(edge.label)"
        case .ownTable(let edge): "Give it the shared one: vos-fastpath up \(edge.label)"
        case .notEnforced(let gap):
            "Give it the policy table: vos-fastpath up \(gap.interfaces.first ?? "IFACE") --profile carrier"
        case .listsWithoutInterface: "Use them: vos-fastpath up IFACE. Or remove them: vos-fastpath down --all"
        case .capacityChangeCutOff: "The next `up` or change of a list finishes it."
        case .writtenByHand(let kind, _):
            "Keep them: vos-fastpath \(kind.rawValue) add ADDRESS. `down` records them too."
        case .notInKernel: "Put them in force: vos-fastpath up IFACE"
        }
    }

    static func of(_ status: EdgeStatus) -> [Oddity] {
        let edge = status.edge
        if edge.name == nil { return [.interfaceGone(edge)] }
        guard let program = edge.attachment else { return edge.isPinned ? [.programGone(edge)] : [] }
        if !program.isEdge { return [.foreignProgram(edge, id: program.programID, hadOurs: edge.isPinned)] }
        if let instance = edge.otherInstance { return [.otherInstance(edge, name: instance)] }
        return status.ownLists.isEmpty ? [] : [.ownLists(edge)]
    }

    /// `isShared`: does any interface have pins of the instance?
    static func of(_ lists: [ListStatus], _ kinds: [KindStatus], isShared: Bool) -> [Oddity] {
        var oddities: [Oddity] = []
        if !isShared, lists.contains(where: { $0.inKernel != nil }) { oddities.append(.listsWithoutInterface) }
        for list in lists {
            if list.byHand > 0 { oddities.append(.writtenByHand(list.kind, count: list.byHand)) }
        }
        for kind in PolicyKind.allCases {
            let missing =
                lists.filter { $0.kind == kind }.map(\.missing) + kinds.filter { $0.kind == kind }.map(\.missing)
            if let most = missing.max(), most > 0 { oddities.append(.notInKernel(kind, count: most)) }
        }
        return oddities
    }
}

extension String {
    fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
