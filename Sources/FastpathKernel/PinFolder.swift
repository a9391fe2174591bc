// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// The pins of an instance: the shared lists at its root, and a folder for each interface.
///
///     /sys/fs/bpf/vos-fastpath/blocked_ips
///     /sys/fs/bpf/vos-fastpath/allowed_ips
///     /sys/fs/bpf/vos-fastpath/interfaces/IFINDEX-COOKIE/{program,xdp_counters,xsks_map}
struct PinFolder {
    let root: String

    private var interfacesPath: String { root + "/interfaces" }

    func sharedMapPath(_ map: PublicMap) -> String { "\(root)/\(map.name)" }

    func path(_ interface: InterfaceID) -> String { "\(interfacesPath)/\(interface.pinName)" }

    func programPath(_ interface: InterfaceID) -> String { path(interface) + "/program" }

    func mapPath(_ map: PublicMap, _ interface: InterfaceID) -> String { "\(path(interface))/\(map.name)" }

    func interfaces() -> [InterfaceID] {
        namesInFolder(interfacesPath).compactMap(InterfaceID.init(pinName:)).sorted {
            ($0.namespace, $0.index) < ($1.namespace, $1.index)
        }
    }

    func make(_ path: String) throws(Failure) {
        guard mkdir(path, 0o700) != 0, errno != EEXIST else { return }
        _ = try check(
            -1, "make a folder for pins", on: path, next: "Mount the BPF file system: `mount -t bpf bpf /sys/fs/bpf`.")
    }

    func makeRoot() throws(Failure) { try make(root) }

    func makeFolder(of interface: InterfaceID) throws(Failure) {
        try make(root)
        try make(interfacesPath)
        try make(path(interface))
    }

    /// Removes an interface's folder and all that is in it, leftovers of a crash included.
    func remove(_ interface: InterfaceID) throws(Failure) { try removeFolder(path(interface)) }

    /// Removes the shared pins and the root, which must hold no interface any more.
    func removeRoot() throws(Failure) {
        try removeFolder(interfacesPath)
        try removeFolder(root)
    }

    /// One level deep, as deep as our folders are.
    private func removeFolder(_ folder: String) throws(Failure) {
        for name in namesInFolder(folder) { unlink("\(folder)/\(name)") }
        guard rmdir(folder) != 0, errno != ENOENT else { return }
        _ = try check(-1, "remove a folder of pins", on: folder, next: "Look what is left in it.")
    }
}
