// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import FastpathKernel
import FastpathStore
import Glibc

/// What a command works with.
struct Context {
    var output: Output
    var instance: Instance
    /// The command line behind the command's name, as it was typed.
    var arguments: [String] = []
}

extension Instance {
    /// The use cases of the edge, on the real kernel and record. Throws unless this process and host can run it.
    func edgeControl() throws(Failure) -> EdgeControl<KernelEdges, PolicyDatabase, FileLock> {
        try Host.requireReady()
        return EdgeControl(
            kernel: KernelEdges(instance: self), record: PolicyDatabase(at: databasePath), lock: FileLock(at: lockPath))
    }

    /// The use cases of the policy, likewise.
    func policyControl() throws(Failure) -> PolicyControl<KernelEdges, PolicyDatabase, FileLock> {
        try Host.requireReady()
        return PolicyControl(
            kernel: KernelEdges(instance: self), record: PolicyDatabase(at: databasePath), lock: FileLock(at: lockPath))
    }
}

/// Seconds since 1970-01-01 UTC.
func now() -> Int64 { Int64(time(nil)) }

/// Points in time, for people and for programs.
enum Timestamp {
    /// `2026-11-20 23:10:01`, in the host's time zone.
    static func local(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard localtime_r(&time, &parts) != nil else { return "-" }
        return format(parts, "%Y-%m-%d %H:%M:%S")
    }

    /// `2026-11-20T23:10:01Z` (RFC 3339).
    static func utc(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "-" }
        return format(parts, "%Y-%m-%dT%H:%M:%SZ")
    }

    /// `November 20, 2026`, as mdoc(7) wants it; UTC.
    static func manual(_ seconds: Int64) -> String {
        var time = time_t(seconds)
        var parts = tm()
        guard gmtime_r(&time, &parts) != nil else { return "-" }
        return format(parts, "%B ") + "\(parts.tm_mday), \(parts.tm_year + 1900)"
    }

    private static func format(_ parts: tm, _ pattern: String) -> String {
        var parts = parts
        let bytes = [UInt8](unsafeUninitializedCapacity: 64) { buffer, count in
            buffer.withMemoryRebound(to: CChar.self) { count = strftime($0.baseAddress, $0.count, pattern, &parts) }
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Output {
    /// An operation that had been cut off was found and put right.
    func note(_ mending: Mending?) {
        guard let mending else { return }
        note(
            "'\(mending.interrupted)' had been cut off; it was put right: "
                + "\(Format.plural(mending.restored, "recorded entry", "recorded entries")) put back in force")
        if mending.notFitted > 0 {
            warning(
                "\(Format.plural(mending.notFitted, "recorded entry", "recorded entries")) found no room in the kernel's "
                    + "lists; raise their capacity with 'vos-fastpath up'")
        }
    }
}

extension EdgeState {
    /// "native", "generic", or "-" where nothing is attached.
    var modeText: String { attachment?.mode.rawValue ?? "-" }
}
