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
    /// Milliseconds to wait for another command that changes something.
    var lockTimeout = FileLock.defaultTimeout
    /// The command line behind the command's name, as it was typed.
    var arguments: [String] = []
}

extension Context {
    /// `limits`: for what may make the policy table grow.
    func edgeControl(
        limits: PolicyLimits = PolicyLimits()
    ) throws(Failure) -> EdgeControl<KernelEdges, PolicyDatabase, FileLock> {
        try instance.edgeControl(lockTimeout: lockTimeout, limits: limits)
    }

    /// A configuration file that cannot be read keeps nobody from blocking an attacker: the defaults count then, which is
    /// said.
    func policyControl() throws(Failure) -> PolicyControl<KernelEdges, PolicyDatabase, FileLock> {
        var limits = PolicyLimits()
        do throws(Failure) {
            limits = try ConfigurationFile(path: instance.configurationPath, isNamed: false).read().policyLimits
        } catch {
            output.warning(
                "\(error.subject): \(error.reason); the defaults of \(ConfigurationKey.policyMemory.rawValue) and "
                    + "\(ConfigurationKey.maxBlockShare.rawValue) count. See 'vos-fastpath config check'.")
        }
        return try instance.policyControl(lockTimeout: lockTimeout, limits: limits)
    }
}

extension Configuration {
    var policyLimits: PolicyLimits {
        PolicyLimits(
            policyMemory: policyMemory ?? Configuration.defaultPolicyMemory,
            maxBlockShare: maxBlockShare ?? Configuration.defaultMaxBlockShare)
    }
}

extension FileLock {
    /// The environment variable that says how many seconds a command waits for another one.
    static let timeoutVariable = "VOS_FASTPATH_LOCK_TIMEOUT"

    /// In milliseconds.
    static func timeout(environment: (String) -> String?) throws(Failure) -> Int {
        guard let text = environment(timeoutVariable), !text.isEmpty else { return defaultTimeout }
        guard let seconds = Int(text), (0...86_400).contains(seconds) else {
            throw Failure(
                .usage, tried: "read \(timeoutVariable)", on: text, because: "it is no number from 0 to 86400",
                next: "Give seconds, or unset it.")
        }
        return seconds * 1_000
    }
}

extension Instance {
    /// The use cases of the edge, on the real kernel and record. Throws unless this process and host can run it.
    func edgeControl(
        lockTimeout: Int = FileLock.defaultTimeout, limits: PolicyLimits = PolicyLimits()
    ) throws(Failure) -> EdgeControl<KernelEdges, PolicyDatabase, FileLock> {
        try Host.requireReady()
        return EdgeControl(
            kernel: KernelEdges(instance: self), record: PolicyDatabase(at: databasePath),
            lock: FileLock(at: lockPath, timeout: lockTimeout), limits: limits)
    }

    /// The use cases of the policy, likewise.
    func policyControl(
        lockTimeout: Int = FileLock.defaultTimeout, limits: PolicyLimits = PolicyLimits()
    ) throws(Failure) -> PolicyControl<KernelEdges, PolicyDatabase, FileLock> {
        try Host.requireReady()
        return PolicyControl(
            kernel: KernelEdges(instance: self), record: PolicyDatabase(at: databasePath),
            lock: FileLock(at: lockPath, timeout: lockTimeout), limits: limits)
    }
}

/// Seconds since 1970-01-01 UTC.
func now() -> Int64 { Int64(time(nil)) }

/// Now, on both clocks.
func moment() -> Moment { Moment(wall: now(), boot: PolicyTable.now()) }

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
    /// An operation was found that had not come to its end.
    func note(_ mending: Mending?) {
        guard let mending else { return }
        var text = "'\(mending.interrupted)' had not come to its end; "
        text += mending.strays.isEmpty ? "it was put right" : "the shared lists were put right"
        if mending.restored > 0 {
            text += ": \(Format.plural(mending.restored, "recorded entry", "recorded entries")) put back in force"
        }
        note(text)
        for edge in mending.strays {
            warning(
                "\(edge.label) reads lists of its own still, which changes reach too; give it the shared ones: "
                    + "vos-fastpath up \(edge.label)")
        }
        if mending.notFitted > 0 {
            warning(
                "\(Format.plural(mending.notFitted, "recorded entry", "recorded entries")) found no room in the kernel's "
                    + "lists; raise their capacity with 'vos-fastpath up'")
        }
    }

    /// What some interfaces do not enforce.
    func warn(of gap: EnforcementGap?) {
        for sentence in gap?.sentences ?? [] { warning(sentence) }
    }

    /// The policy table was too small.
    func note(_ growth: TableGrowth?) {
        guard let growth else { return }
        var text = "the policy table has room for \(Format.count(growth.capacity)) prefixes now"
        if let before = growth.capacityBefore { text += ", before \(Format.count(before))" }
        if !growth.moved.isEmpty {
            text += "; the program was replaced on \(growth.moved.map(\.label).joined(separator: ", "))"
        }
        note(text + ".")
        for name in growth.otherObjects { warning(UpWarning.otherObject(interface: name).sentence) }
    }

    /// Says where a list may be half of a change.
    func noteChange(_ listing: PolicyListing) {
        guard let changing = listing.changing else { return }
        warning("\(changing) is changing something; what is printed may be half of it")
    }
}

extension EdgeState {
    /// "native", "generic", or "-" where nothing is attached.
    var modeText: String { attachment?.mode.rawValue ?? "-" }
}
