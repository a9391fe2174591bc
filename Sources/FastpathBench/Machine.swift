// SPDX-License-Identifier: Apache-2.0
import FastpathKernel
import Glibc

/// Where figures come from.
public struct Machine: Hashable, Sendable {
    /// `uname -r`
    public var kernel: String
    /// `uname -m`
    public var architecture: String
    public var processor: String
    /// On line.
    public var cores: Int
    /// Over 1, 5 and 15 minutes, before the bench.
    public var loadAverage: [Double]
    /// Bytes.
    public var memory: UInt64

    public static func current() -> Machine {
        var name = utsname()
        uname(&name)
        var load = [Double](repeating: 0, count: 3)
        getloadavg(&load, 3)
        return Machine(
            kernel: text(name.release), architecture: text(name.machine), processor: processor(),
            cores: sysconf(Int32(_SC_NPROCESSORS_ONLN)), loadAverage: load,
            memory: UInt64(sysconf(Int32(_SC_PHYS_PAGES))) * UInt64(sysconf(Int32(_SC_PAGESIZE))))
    }

    /// `model name` of proc(5)'s cpuinfo, which not every architecture has.
    private static func processor() -> String {
        guard let bytes = try? readFile("/proc/cpuinfo") else { return "" }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("model name") }), let colon = line.firstIndex(of: ":") else {
            return ""
        }
        return String(line[line.index(after: colon)...].drop { $0 == " " })
    }

    private static func text<Tuple>(_ characters: Tuple) -> String {
        withUnsafeBytes(of: characters) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }
}
