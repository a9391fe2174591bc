// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import FastpathKernel
import Glibc

/// An AF_XDP socket without rings: enough to fill a slot of `xsks_map`, so that the program redirects.
public final class SlotSocket {
    public let fd: Int32

    public init() throws {
        fd = socket(44, Int32(SOCK_RAW.rawValue) | O_CLOEXEC, 0)  // AF_XDP
        guard fd >= 0 else { throw FixtureError(text: "no AF_XDP socket: \(errorText(errno))") }
    }

    deinit { close(fd) }

    /// Puts it into slot `queue`.
    public func fill(_ map: BPFMap, queue: UInt32) throws {
        try map.update(key: withUnsafeBytes(of: queue) { Array($0) }, value: withUnsafeBytes(of: fd) { Array($0) })
    }
}
