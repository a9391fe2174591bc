// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

extension AddressMap {
    /// Those of `prefixes` that it holds: a system call each.
    public func contained(_ prefixes: [IPPrefix]) throws(Failure) -> Set<IPPrefix> {
        var found: Set<IPPrefix> = []
        for prefix in prefixes {
            guard let address = prefix.ipv4Address else { continue }
            let key = withUnsafeBytes(of: address.bigEndian) { Array($0) }
            if try map.lookup(key: key) != nil { found.insert(prefix) }
        }
        return found
    }

    /// Was it frozen? bpf_map_info does not tell; the file descriptor's entry in /proc does.
    public func isFrozen() throws(Failure) -> Bool {
        let text = String(decoding: try readFile("/proc/self/fdinfo/\(map.fd)"), as: UTF8.self)
        return text.split(separator: "\n").contains { $0.split(separator: "\t") == ["frozen:", "1"] }
    }
}

extension KernelEdges {
    /// The id of the `xdp_counters` that the program on `edge` counts in.
    public func countersMapID(of edge: EdgeState) throws(Failure) -> UInt32 {
        try map(.counters, of: edge).id
    }
}

extension PinFolder {
    /// The name of another instance that holds pins for an interface ("default" for the one without a name), or nil.
    func otherInstance(holding interface: InterfaceID) -> String? {
        let ours = root.split(separator: "/").last ?? ""
        let shared = Instance.default.pinRoot
        guard let slash = shared.lastIndex(of: "/") else { return nil }
        let folder = shared[..<slash]
        let name = shared[slash...].dropFirst()
        for candidate in namesInFolder(String(folder)) where candidate != ours && candidate.hasPrefix(name) {
            guard access(PinFolder(root: "\(folder)/\(candidate)").path(interface), F_OK) == 0 else { continue }
            return candidate == name ? "default" : String(candidate.dropFirst(name.count + 1))
        }
        return nil
    }
}
