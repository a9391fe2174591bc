// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// Writes frames to a pcapng file (draft-ietf-opsawg-pcapng), each with a comment.
final class PcapngWriter {
    private let path: String
    private let file: Int32
    /// Names of the interfaces that are described already; their index is their number in the file.
    private var interfaces: [String] = []
    /// Bytes of a frame that were asked for.
    private let snapLength: Int

    /// Makes the file, or empties it; only its owner can read it. `-` is standard output.
    init(path: String, snapLength: Int) throws(Failure) {
        self.path = path == "-" ? "standard output" : path
        self.snapLength = snapLength
        file = path == "-" ? STDOUT_FILENO : open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw failure(errno) }
        // Section header block: byte-order magic, version 1.0, length unknown.
        try write(Self.block(0x0a0d_0d0a, Self.number(UInt32(0x1a2b_3c4d)) + [1, 0, 0, 0] + Self.number(UInt64.max)))
    }

    deinit { if file != STDOUT_FILENO { close(file) } }

    /// `time`: nanoseconds since 1970-01-01 UTC. `length`: bytes on the wire.
    func write(frame: [UInt8], length: Int, time: Int64, interface: String, comment: String) throws(Failure) {
        let number = try number(of: interface)
        let time = UInt64(bitPattern: time)
        let head = [
            UInt32(number), UInt32(time >> 32), UInt32(truncatingIfNeeded: time), UInt32(frame.count), UInt32(length),
        ]
        let body =
            head.flatMap { Self.number($0) } + Self.padded(frame) + Self.option(1, Array(comment.utf8)) + Self.end
        try write(Self.block(6, body))
    }

    /// Describes an interface when it is first met: Ethernet, nanoseconds.
    private func number(of interface: String) throws(Failure) -> Int {
        if let known = interfaces.firstIndex(of: interface) { return known }
        let link: [UInt8] = [1, 0, 0, 0]
        let body =
            link + Self.number(UInt32(snapLength)) + Self.option(2, Array(interface.utf8)) + Self.option(9, [9])
            + Self.end
        try write(Self.block(1, body))
        interfaces.append(interface)
        return interfaces.count - 1
    }

    private static let end: [UInt8] = [0, 0, 0, 0]

    private static func option(_ code: UInt16, _ value: [UInt8]) -> [UInt8] {
        number(code) + number(UInt16(value.count)) + padded(value)
    }

    /// Little-endian, which the byte-order magic says.
    private static func number(_ value: some FixedWidthInteger) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }

    private static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (4 - bytes.count % 4) % 4)
    }

    private static func block(_ type: UInt32, _ body: [UInt8]) -> [UInt8] {
        let length = number(UInt32(body.count + 12))
        return number(type) + length + body + length
    }

    private func write(_ bytes: [UInt8]) throws(Failure) {
        var done = 0
        while done < bytes.count {
            let written = bytes.withUnsafeBytes {
                Glibc.write(file, $0.baseAddress.map { $0 + done }, bytes.count - done)
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw failure(errno) }
            done += written
        }
    }

    private func failure(_ code: Int32) -> Failure {
        Failure(
            .system(errno: code), tried: "write the capture", on: path, because: String(cString: strerror(code)),
            next: "Give a path that can be written, with room behind it.")
    }
}
