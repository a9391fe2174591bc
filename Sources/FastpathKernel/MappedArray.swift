// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore
import Glibc

/// An array map in memory (BPF_F_MMAPABLE, Linux 5.5): what is stored here a program sees, and the other way round.
public final class MappedArray {
    public let map: BPFMap
    /// Zeros at first; as long as the map has entries times the size of one, rounded up to 8 bytes.
    let windows: MappedWindows
    /// Bytes.
    public let byteCount: Int

    /// Throws `.system` where the map was not made for it.
    public init(_ map: BPFMap) throws(Failure) {
        byteCount = (map.valueSize + 7) / 8 * 8 * map.capacity
        do {
            windows = try MappedWindows(of: map.fd, byteCount: byteCount)
        } catch {
            throw Failure(
                .system(errno: error.code), tried: "map a policy map into memory", on: "\(map.name), map \(map.id)",
                because: errorText(error.code), next: "Linux 5.5 or newer and root are needed.")
        }
        self.map = map
    }

    deinit { windows.unmap() }

    /// All of it.
    public var memory: UnsafeMutableRawPointer { windows.all }

    /// A new array map.
    static func make(_ name: String, valueSize: Int, capacity: Int) throws(Failure) -> BPFMap {
        _ = LibBPFLog.installed
        guard let entries = UInt32(exactly: capacity) else {
            throw Failure(
                .mapFull(capacity: Int(UInt32.max)), tried: "make a policy map", on: "\(name), \(capacity) elements",
                because: "a map has at most \(UInt32.max) elements", next: "Import fewer entries.")
        }
        var options = bpf_map_create_opts()
        options.sz = optionsSize(upTo: \bpf_map_create_opts.map_ifindex)
        options.map_flags = UInt32(BPF_F_MMAPABLE)
        let fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, 4, UInt32(valueSize), entries, &options)
        return try BPFMap(
            owning: check(
                fd, "make a policy map", on: "\(name), \(capacity) elements",
                next: "Run it as root, with free memory."))
    }
}
