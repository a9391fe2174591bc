// SPDX-License-Identifier: Apache-2.0
import CLibBPF
import Glibc
import Synchronization

/// What libbpf says while it works: kept, and shown with the failure that it explains.
enum LibBPFLog {
    private static let text = Mutex("")
    private static let limit = 64 * 1024

    /// Sends libbpf's messages here instead of to standard error. Once a process.
    static let installed: Void = {
        _ = libbpf_set_print { level, format, arguments in
            guard level.rawValue <= LIBBPF_INFO.rawValue, let format, let arguments else { return 0 }
            var buffer = [CChar](repeating: 0, count: 16 * 1024)
            let length = vsnprintf(&buffer, buffer.count, format, arguments)
            guard length > 0 else { return length }
            let message = String(decoding: buffer.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            LibBPFLog.text.withLock { if $0.utf8.count < LibBPFLog.limit { $0 += message } }
            return length
        }
    }()

    /// The messages since the last call, or nil.
    static func take() -> String? {
        text.withLock { text in
            defer { text = "" }
            return text.isEmpty ? nil : text
        }
    }
}
