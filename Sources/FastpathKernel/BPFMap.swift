// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore
import Glibc

/// A map in the kernel, held open.
public final class BPFMap {
    public let id: UInt32
    public let name: String
    /// `max_entries`.
    public let capacity: Int
    /// Bytes.
    public let keySize: Int
    /// Bytes, of one CPU's cell in a per-CPU map.
    public let valueSize: Int
    /// enum bpf_map_type.
    public let type: UInt32
    private let file: FileDescriptor

    public var fd: Int32 { file.rawValue }

    /// Takes over `fd`.
    init(owning fd: Int32) throws(Failure) {
        let file = FileDescriptor(fd)
        var info = bpf_map_info()
        var length = UInt32(MemoryLayout<bpf_map_info>.size)
        _ = try check(bpf_obj_get_info_by_fd(fd, &info, &length), "ask the kernel about a map", on: "fd \(fd)")
        self.file = file
        id = info.id
        name = fixedString(info.name)
        capacity = Int(info.max_entries)
        keySize = Int(info.key_size)
        valueSize = Int(info.value_size)
        type = info.type
    }

    /// The map with an id. Needs CAP_SYS_ADMIN.
    public static func withID(_ id: UInt32) throws(Failure) -> BPFMap {
        try BPFMap(
            owning: check(bpf_map_get_fd_by_id(id), "open a map by its id", on: "map \(id)", next: "Run it as root."))
    }

    /// The map pinned at `path`, or nil where there is no pin.
    public static func pinned(at path: String) throws(Failure) -> BPFMap? {
        let fd = bpf_obj_get(path)
        if fd < 0, errno == ENOENT { return nil }
        return try BPFMap(owning: check(fd, "open a pinned map", on: path, next: "Run it as root."))
    }

    /// Pins the map at `path`; a pin that is there is replaced in one rename.
    public func pin(at path: String) throws(Failure) {
        try pinObject(fd, at: path)
    }

    /// Bytes of what is read and written for a key: for a per-CPU map the cells of all possible CPUs, each padded to 8 bytes.
    private var cellsSize: Int {
        let isPerCPU = type == BPF_MAP_TYPE_PERCPU_ARRAY.rawValue || type == BPF_MAP_TYPE_PERCPU_HASH.rawValue
        return isPerCPU ? (valueSize + 7) / 8 * 8 * Int(libbpf_num_possible_cpus()) : valueSize
    }

    /// `key` and `value` must have the map's sizes; for a per-CPU map the value of all CPUs, as ``lookup(key:)`` gives it.
    public func update(key: [UInt8], value: [UInt8]) throws(Failure) {
        precondition(key.count == keySize && value.count == cellsSize, "wrong size for map \(name)")
        _ = try check(bpf_map_update_elem(fd, key, value, 0), "write to a map", on: "\(name), map \(id)")
    }

    /// Removes a key; false where it was not there.
    @discardableResult
    public func delete(key: [UInt8]) throws(Failure) -> Bool {
        precondition(key.count == keySize, "wrong size for map \(name)")
        let result = bpf_map_delete_elem(fd, key)
        if result < 0, errno == ENOENT { return false }
        _ = try check(result, "remove from a map", on: "\(name), map \(id)")
        return true
    }

    /// The value of a key, or nil. For a per-CPU map the cells of all possible CPUs, each padded to 8 bytes.
    public func lookup(key: [UInt8]) throws(Failure) -> [UInt8]? {
        precondition(key.count == keySize, "wrong size for map \(name)")
        var value = [UInt8](repeating: 0, count: cellsSize)
        let result = bpf_map_lookup_elem(fd, key, &value)
        if result < 0, errno == ENOENT { return nil }
        _ = try check(result, "read from a map", on: "\(name), map \(id)")
        return value
    }

    /// Every key. One that is added or removed meanwhile may be missing or double; it ends all the same.
    public func keys() throws(Failure) -> [[UInt8]] {
        var keys: [[UInt8]] = []
        var next = [UInt8](repeating: 0, count: keySize)
        while keys.count < 2 * capacity {
            let result = bpf_map_get_next_key(fd, keys.last, &next)
            if result < 0, errno == ENOENT { break }
            _ = try check(result, "list a map", on: "\(name), map \(id)")
            keys.append(next)
        }
        return keys
    }

    /// No more writes by system calls, for good; programs are not bound by it.
    public func freeze() throws(Failure) {
        _ = try check(bpf_map_freeze(fd), "freeze a map", on: "\(name), map \(id)")
    }
}

/// A C array of characters as a string, up to its first NUL.
func fixedString<Tuple>(_ characters: Tuple) -> String {
    withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
}

/// Pins a map or program; what was pinned at `path` is replaced in one rename.
func pinObject(_ fd: Int32, at path: String) throws(Failure) {
    let fresh = path + "-new"
    unlink(fresh)
    _ = try check(bpf_obj_pin(fd, fresh), "pin", on: path, next: "Check that /sys/fs/bpf is writable.")
    guard rename(fresh, path) == 0 else {
        let code = errno
        unlink(fresh)
        throw Failure(
            .system(errno: code), tried: "pin", on: path, because: errorText(code),
            next: "Check that /sys/fs/bpf is writable.")
    }
}
