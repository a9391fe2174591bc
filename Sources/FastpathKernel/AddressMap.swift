// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import FastpathCore
import Glibc

/// `blocked_ips` or `allowed_ips`: a hash of IPv4 addresses in network byte order.
public final class AddressMap {
    public let map: BPFMap
    public var id: UInt32 { map.id }
    public var capacity: Int { map.capacity }

    /// Entries a system call: large enough to make its cost vanish, small enough for a progress bar.
    private static let batch = 1 << 14

    public init(_ map: BPFMap) throws(Failure) {
        guard map.type == BPF_MAP_TYPE_HASH.rawValue, map.keySize == 4, map.valueSize == 1 else {
            throw Failure(
                .unsupported, tried: "use a map as a list of addresses", on: "\(map.name), map \(map.id)",
                because: "it is not a hash from 4 to 1 bytes", next: "Detach the program that it belongs to.")
        }
        self.map = map
    }

    /// A new map, empty and not pinned.
    public static func make(_ kind: PolicyKind, capacity: Int) throws(Failure) -> AddressMap {
        _ = LibBPFLog.installed
        guard let entries = UInt32(exactly: capacity), entries > 0 else {
            throw Failure(
                .usage, tried: "make the \(kind.listName)", on: "capacity \(capacity)",
                because: "a map has 1 to \(UInt32.max) entries", next: "Choose another capacity.")
        }
        let name = try kind.publicMap()
        let fd = bpf_map_create(
            BPF_MAP_TYPE_HASH, name.name, UInt32(name.keySize), UInt32(name.valueSize), entries, nil)
        return try AddressMap(
            BPFMap(
                owning: check(
                    fd, "make the \(kind.listName) in the kernel", on: "\(capacity) entries",
                    next: "Choose a smaller capacity.")))
    }

    /// Every address, unsorted.
    public func prefixes() throws(Failure) -> [IPPrefix] {
        var addresses: [IPPrefix] = []
        var keys = [UInt32](repeating: 0, count: min(max(capacity, 64), Self.batch))
        var values = [UInt8](repeating: 0, count: keys.count)
        var token: UInt32 = 0
        var isFirst = true
        while true {
            var count = UInt32(keys.count)
            var previous = token
            let result = withUnsafeMutablePointer(to: &previous) {
                bpf_map_lookup_batch(map.fd, isFirst ? nil : $0, &token, &keys, &values, &count, nil)
            }
            let code: Int32 = result < 0 ? errno : 0
            if code != 0, code != ENOENT {
                _ = try check(-code, "read a list", on: "\(map.name), map \(id)")
            }
            addresses.append(contentsOf: keys[..<Int(count)].lazy.map { IPPrefix(ipv4: UInt32(bigEndian: $0)) })
            if code == ENOENT { return addresses }
            isFirst = false
        }
    }

    /// Adds addresses; those that are there stay. `progress` gets the number done. On `.mapFull` what fitted is in.
    public func insert(_ prefixes: [IPPrefix], progress: (Int) -> Void) throws(Failure) {
        var done = 0
        let ones = [UInt8](repeating: 1, count: min(prefixes.count, Self.batch))
        while done < prefixes.count {
            let keys = try prefixes[done..<min(done + Self.batch, prefixes.count)].map { (prefix) throws(Failure) in
                try Self.key(prefix)
            }
            var count = UInt32(keys.count)
            if bpf_map_update_batch(map.fd, keys, ones, &count, nil) < 0 {
                let code = errno
                guard code == E2BIG || code == ENOSPC else {
                    _ = try check(-code, "add to a list", on: "\(map.name), map \(id)")
                    return
                }
                throw Failure(
                    .mapFull(capacity: capacity), tried: "add to a list", on: "\(map.name), map \(id)",
                    because: "it holds \(capacity) entries and is full", next: "Raise its capacity with `up`.")
            }
            done += keys.count
            progress(done)
        }
    }

    /// Removes addresses; those that are not there are passed over.
    public func remove(_ prefixes: [IPPrefix]) throws(Failure) {
        for prefix in prefixes {
            var key = try Self.key(prefix)
            if bpf_map_delete_elem(map.fd, &key) < 0, errno != ENOENT {
                _ = try check(-1, "remove from a list", on: "\(prefix) in \(map.name), map \(id)")
            }
        }
    }

    public func freeze() throws(Failure) { try map.freeze() }

    private static func key(_ prefix: IPPrefix) throws(Failure) -> UInt32 {
        guard let address = prefix.ipv4Address else {
            throw Failure(
                .usage, tried: "put an address into a list", on: "\(prefix)",
                because: "a public map holds single IPv4 addresses", next: "Leave it out.")
        }
        return address.bigEndian
    }
}

extension PolicyKind {
    /// Its public map; throws where it has none.
    public func publicMap() throws(Failure) -> PublicMap {
        if let map { return map }
        throw Failure(
            .unsupported, tried: "use a public map", on: listName, because: "no public map holds entries of this kind",
            next: "Use the policy table.")
    }
}
