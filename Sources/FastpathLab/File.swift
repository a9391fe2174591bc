// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// Small files, whole.
enum File {
    /// The content as text, or nil where it cannot be read. Bytes that are no UTF-8 are replaced.
    static func text(_ path: String) -> String? {
        guard let bytes = try? readFile(path) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Writes the file anew. `mode`: its permissions, less the umask.
    static func write(_ text: String, to path: String, mode: mode_t = 0o644) throws(Failure) {
        let file = FileDescriptor(
            try check(
                open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode), "write the file", on: path))
        var bytes = Array(text.utf8)[...]
        while !bytes.isEmpty {
            let count = bytes.withUnsafeBytes { Glibc.write(file.rawValue, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            bytes = bytes.dropFirst(try check(count, "write the file", on: path))
        }
    }

    static func exists(_ path: String) -> Bool { access(path, F_OK) == 0 }
}
