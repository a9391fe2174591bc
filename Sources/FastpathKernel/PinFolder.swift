// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore
import Glibc

/// The pins of an instance: the shared lists at its root, and a folder for each interface.
///
///     /sys/fs/bpf/vos-fastpath/blocked_ips
///     /sys/fs/bpf/vos-fastpath/allowed_ips
///     /sys/fs/bpf/vos-fastpath/policy -> policy-ID     the policy table; ID is that of one of its maps
///     /sys/fs/bpf/vos-fastpath/policy-ID/MAP
///     /sys/fs/bpf/vos-fastpath/interfaces/IFINDEX-COOKIE/{program,xdp_counters,xsks_map,xsk_consumers}
struct PinFolder {
    let root: String

    private var interfacesPath: String { root + "/interfaces" }

    func sharedMapPath(_ map: PublicMap) -> String { "\(root)/\(map.name)" }

    func path(_ interface: InterfaceID) -> String { "\(interfacesPath)/\(interface.pinName)" }

    func programPath(_ interface: InterfaceID) -> String { path(interface) + "/program" }

    func mapPath(_ map: PublicMap, _ interface: InterfaceID) -> String { "\(path(interface))/\(map.name)" }

    /// Who reads the interface's AF_XDP sockets.
    func consumersPath(_ interface: InterfaceID) -> String { "\(path(interface))/\(FASTPATH_CONSUMERS_MAP)" }

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

    // MARK: The policy table

    private static let table = "policy"

    /// The pin of one of the shared table's maps.
    func tableMapPath(_ name: String) -> String { "\(root)/\(Self.table)/\(name)" }

    /// Pins `maps` as the shared table: first all of them in a folder of their own, then one rename makes it the shared
    /// one. Folders of other tables go, and so does what a crash left of this one.
    func shareTable(_ maps: [String: BPFMap], id: UInt32) throws(Failure) {
        try makeRoot()
        let folder = "\(Self.table)-\(id)"
        try make("\(root)/\(folder)")
        for (name, map) in maps { try map.pin(at: "\(root)/\(folder)/\(name)") }
        // bpffs takes no dots in names.
        let fresh = "\(root)/\(Self.table)-new"
        unlink(fresh)
        guard symlink(folder, fresh) == 0, rename(fresh, "\(root)/\(Self.table)") == 0 else {
            _ = try check(-1, "share the policy table", on: root, next: "Check that /sys/fs/bpf is writable.")
            return
        }
        for name in namesInFolder(root) where name.hasPrefix("\(Self.table)-") && name != folder {
            try removeFolder("\(root)/\(name)")
        }
    }

    /// Removes an interface's folder and all that is in it, leftovers of a crash included.
    func remove(_ interface: InterfaceID) throws(Failure) { try removeFolder(path(interface)) }

    /// Removes the shared pins and the root, which must hold no interface any more.
    func removeRoot() throws(Failure) {
        try removeFolder(interfacesPath)
        try removeFolder(root)
    }

    /// With the folders in it, which hold no others.
    private func removeFolder(_ folder: String) throws(Failure) {
        for name in namesInFolder(folder) where unlink("\(folder)/\(name)") != 0 {
            for pin in namesInFolder("\(folder)/\(name)") { unlink("\(folder)/\(name)/\(pin)") }
            rmdir("\(folder)/\(name)")
        }
        guard rmdir(folder) != 0, errno != ENOENT else { return }
        _ = try check(-1, "remove a folder of pins", on: folder, next: "Look what is left in it.")
    }
}
