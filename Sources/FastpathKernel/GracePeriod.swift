// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore

/// Waits until all programs have ended that run now: a program that runs holds up RCU, and the kernel lets RCU pass
/// before a change of a map of maps returns (maybe_wait_bpf_programs(), since Linux 5.0). Some tens of milliseconds.
final class GracePeriod {
    private let outer: BPFMap
    private let inner: BPFMap

    init() throws(Failure) {
        inner = try MappedArray.make("policy_grace", valueSize: 8, capacity: 1)
        var options = bpf_map_create_opts()
        options.sz = optionsSize(upTo: \bpf_map_create_opts.map_ifindex)
        options.inner_map_fd = UInt32(inner.fd)
        let fd = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "policy_graces", 4, 4, 1, &options)
        outer = try BPFMap(owning: check(fd, "make a map of maps", on: "policy_graces", next: "Run it as root."))
    }

    func wait() throws(Failure) {
        try outer.update(key: [0, 0, 0, 0], value: withUnsafeBytes(of: inner.fd) { Array($0) })
    }
}
