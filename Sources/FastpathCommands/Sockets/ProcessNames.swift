// SPDX-License-Identifier: Apache-2.0
import FastpathKernel
import Glibc

/// Names of processes that a map knows by their numbers alone.
struct ProcessNames: Sendable {
    /// Answers for a number with a name; nil where it is not, or not surely, a process that we see.
    var name: @Sendable (UInt32) -> String?

    /// By /proc. A number in a map is that of the reader's PID namespace, which may be a container's: so only a process
    /// counts that has this number here and has the library loaded.
    init() { self.init { Self.ofReader($0) } }

    init(name: @escaping @Sendable (UInt32) -> String?) { self.name = name }

    private static func ofReader(_ process: UInt32) -> String? {
        guard let maps = try? readFile("/proc/\(process)/maps"), hasLibrary(maps),
            let name = firstLine(of: "/proc/\(process)/comm")
        else { return nil }
        return printable(name.utf8)
    }

    /// The path is what a line of /proc/PID/maps ends with (proc(5)).
    private static func hasLibrary(_ maps: [UInt8]) -> Bool {
        let ends = ["/\(PreloadLibrary.name)", "/\(PreloadLibrary.name) (deleted)"].map { Array($0.utf8) }
        return maps.split(separator: UInt8(ascii: "\n")).contains { line in
            ends.contains { line.suffix($0.count).elementsEqual($0) }
        }
    }
}
