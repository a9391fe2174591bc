// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import FastpathCore
import FastpathKernel
import Glibc

/// A UDP socket on the SIP port.
struct Listener: Hashable {
    static let sipPort = UInt16(FASTPATH_SIP_PORT)

    /// A single address; all zeros for every address of its family.
    var address: IPPrefix
    var inode: UInt64
    /// Who holds it: name and process id. Nil where /proc does not let us see.
    var process: String?

    var isLoopback: Bool {
        address.family == .ipv4 ? address.bits >> 24 == 127 : address.bits == 1
    }

    var text: String {
        let place = address.bits == 0 ? "any \(address.family == .ipv4 ? "IPv4" : "IPv6") address" : "\(address)"
        return place + (process.map { " (\($0))" } ?? "")
    }

    /// Those of the caller's network namespace. Sockets of one process on one address are shown once.
    static func onSIPPort() -> [Listener] {
        let tables = [("/proc/net/udp", IPPrefix.Family.ipv4), ("/proc/net/udp6", .ipv6)]
        var found = tables.flatMap { path, family in
            parse((try? readFile(path)) ?? [], family: family, port: sipPort)
        }
        let owners = processes(holding: Set(found.map(\.inode)))
        for index in found.indices { found[index].process = owners[found[index].inode] }
        var seen: Set<String> = []
        return found.filter { seen.insert($0.text).inserted }
    }

    /// Rows of /proc/net/udp or udp6 (proc(5)) with `port` as the local port: the second column is
    /// `ADDRESS:PORT` in hexadecimal, the address in 32-bit words of host byte order; the tenth is the inode.
    static func parse(_ table: [UInt8], family: IPPrefix.Family, port: UInt16) -> [Listener] {
        table.split(separator: UInt8(ascii: "\n")).dropFirst().compactMap { line in
            let columns = line.split(separator: UInt8(ascii: " "))
            guard columns.count >= 10 else { return nil }
            let local = columns[1].split(separator: UInt8(ascii: ":")).map { String(decoding: $0, as: UTF8.self) }
            guard local.count == 2, UInt16(local[1], radix: 16) == port,
                local[0].utf8.count * 4 == family.width,
                let inode = UInt64(String(decoding: columns[9], as: UTF8.self))
            else { return nil }
            let digits = Array(local[0])
            var bits: UInt128 = 0
            for start in stride(from: 0, to: digits.count, by: 8) {
                guard let word = UInt32(String(digits[start..<start + 8]), radix: 16) else { return nil }
                // The word's bytes in memory are the address's, in network byte order.
                bits = bits << 32 | UInt128(UInt32(bigEndian: word))
            }
            return Listener(address: IPPrefix(family: family, bits: bits, length: family.width), inode: inode)
        }
    }

    /// "kamailio, pid 812" for each socket, by the links in /proc/PID/fd (proc(5)). Workers share a socket; the
    /// lowest pid is shown.
    private static func processes(holding inodes: Set<UInt64>) -> [UInt64: String] {
        guard !inodes.isEmpty else { return [:] }
        let wanted = Dictionary(uniqueKeysWithValues: inodes.map { ("socket:[\($0)]", $0) })
        var owners: [UInt64: String] = [:]
        var target = [CChar](repeating: 0, count: 64)
        for process in namesInFolder("/proc").compactMap({ UInt32($0) }).sorted() {
            for descriptor in namesInFolder("/proc/\(process)/fd") {
                let length = readlink("/proc/\(process)/fd/\(descriptor)", &target, target.count)
                guard length > 0 else { continue }
                let text = String(decoding: target[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
                guard let inode = wanted[text], owners[inode] == nil else { continue }
                let name = printable((firstLine(of: "/proc/\(process)/comm") ?? "process").utf8)
                owners[inode] = "\(name), pid \(process)"
            }
        }
        return owners
    }
}
