// SPDX-License-Identifier: Apache-2.0

/// What a list file holds: one address or prefix a line; `#` starts a comment; blank lines are skipped.
///
/// Lines end with LF or CR LF, blanks around an address and a UTF-8 byte order mark do no harm. Whatever else
/// the bytes are, reading them takes linear time and ends with a list of bad lines.
public struct AddressList: Hashable, Sendable {
    /// A line that is no address.
    public struct BadLine: Hashable, Sendable {
        /// Counted from 1.
        public let number: Int
        /// What stood there, without its comment, shortened and safe to print.
        public let text: String
        /// "octet 999 is above 255"
        public let reason: String
    }

    /// Every address or prefix once, in the file's order.
    public private(set) var prefixes: [IPPrefix] = []
    /// Where each of `prefixes` stands, counted from 1.
    public private(set) var lines: [UInt32] = []
    /// Lines that repeat an address.
    public private(set) var duplicates = 0
    /// In the file's order.
    public private(set) var badLines: [BadLine] = []

    /// No address, no bad line.
    public init() {}

    /// Reads a whole file. With `addressesOnly`, whatever is not a single IPv4 address makes a bad line.
    public init(parsing file: UnsafeRawBufferPointer, addressesOnly: Bool = false) {
        var seen = SeenPrefixes()
        var rest = file[...]
        if rest.starts(with: Self.byteOrderMark) { rest = rest.dropFirst(Self.byteOrderMark.count) }
        var number = 0
        while !rest.isEmpty {
            number += 1
            let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.endIndex
            let line = Self.withoutComment(rest[rest.startIndex..<end])
            rest = end < rest.endIndex ? rest[(end + 1)...] : rest[end...]
            if line.isEmpty { continue }
            do {
                let prefix = try Self.address(in: line, addressesOnly)
                guard seen.insert(prefix) else {
                    duplicates += 1
                    continue
                }
                prefixes.append(prefix)
                lines.append(UInt32(clamping: number))
            } catch {
                badLines.append(BadLine(number: number, text: printable(line), reason: error.description))
            }
        }
    }

    /// As ``init(parsing:addressesOnly:)-(UnsafeRawBufferPointer,_)``.
    public init(parsing file: [UInt8], addressesOnly: Bool = false) {
        self = file.withUnsafeBytes { AddressList(parsing: $0, addressesOnly: addressesOnly) }
    }

    /// Without what `isLeftOut` says; returns how many those were.
    public mutating func remove(where isLeftOut: (IPPrefix) -> Bool) -> Int {
        var (kept, keptLines): ([IPPrefix], [UInt32]) = ([], [])
        for (prefix, line) in zip(prefixes, lines) where !isLeftOut(prefix) {
            kept.append(prefix)
            keptLines.append(line)
        }
        defer { (prefixes, lines) = (kept, keptLines) }
        return prefixes.count - kept.count
    }

    private static let byteOrderMark: [UInt8] = [0xef, 0xbb, 0xbf]

    /// Longer than any address: `ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128`.
    private static let longestAddress = 49

    private static func address(
        in line: Slice<UnsafeRawBufferPointer>, _ addressesOnly: Bool
    ) throws(IPPrefix.SyntaxError) -> IPPrefix {
        if line.contains(0) { throw IPPrefix.SyntaxError("a NUL byte: this is no text, or not in UTF-8") }
        if line.count > longestAddress { throw IPPrefix.SyntaxError("\(line.count) bytes are too long for an address") }
        let prefix = try IPPrefix(parsing: UnsafeRawBufferPointer(rebasing: line))
        if addressesOnly, prefix.ipv4Address == nil { throw IPPrefix.SyntaxError(IPPrefix.noAddressReason) }
        return prefix
    }

    /// What stands before `#`, without blanks around it.
    private static func withoutComment(_ line: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
        let isBlank = { (byte: UInt8) in byte == 0x20 || byte == 0x09 || byte == 0x0d }
        var content = line.prefix { $0 != UInt8(ascii: "#") }.drop(while: isBlank)
        while let last = content.last, isBlank(last) { content.removeLast() }
        return content
    }
}

/// A set of prefixes that is small and quick where most are single IPv4 addresses.
private struct SeenPrefixes {
    private var ipv4Addresses: Set<UInt32> = []
    private var others: Set<IPPrefix> = []

    /// False where it is there already.
    mutating func insert(_ prefix: IPPrefix) -> Bool {
        guard let address = prefix.ipv4Address else { return others.insert(prefix).inserted }
        return ipv4Addresses.insert(address).inserted
    }
}
