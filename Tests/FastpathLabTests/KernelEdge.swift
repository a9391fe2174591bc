// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab

/// The edge without record and lock: what the engines of the lab need, straight from the kernel room.
final class KernelEdge: EdgeUnderTest {
    private let instance: Instance
    private let kernel: KernelEdges
    private let lists: [PolicyKind: AddressMap]

    init(instance name: String) throws {
        instance = try Instance(named: name)
        kernel = KernelEdges(instance: instance)
        lists = [.block: try .make(.block, capacity: 16), .allow: try .make(.allow, capacity: 16)]
    }

    func attach(_ interface: String) throws(Failure) {
        for (kind, list) in lists { try kernel.share(list, as: kind) }
        _ = try kernel.attach(
            kernel.interface(named: interface), object: nil, policy: lists, modes: [.native], force: false)
    }

    func detach(_ interface: String) throws(Failure) {
        let id = try kernel.interface(named: interface)
        for edge in try kernel.edges() where edge.interface == id { try kernel.detach(edge) }
    }

    func block(_ sources: [IPPrefix]) throws(Failure) { try lists[.block]?.insert(sources) { _ in } }
    func unblock(_ sources: [IPPrefix]) throws(Failure) { try lists[.block]?.remove(sources) }
    func allow(_ sources: [IPPrefix]) throws(Failure) { try lists[.allow]?.insert(sources) { _ in } }
    func disallow(_ sources: [IPPrefix]) throws(Failure) { try lists[.allow]?.remove(sources) }

    func counters() throws(Failure) -> Counters {
        var sum = Counters()
        for edge in try kernel.edges() where edge.isFiltering { sum = sum + (try kernel.counters(of: edge)) }
        return sum
    }

    func purge() throws(Failure) {
        for list in lists.values { try list.remove(list.prefixes()) }
        try kernel.removeSharedPins()
    }

    func remains() -> [String] {
        namesInFolder(instance.pinRoot).map { "\(instance.pinRoot)/\($0)" }
    }
}
