// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// Fits a host to a SIP server: busy polling, and the CPUs that the server runs on. What was set before is remembered
/// first, so that it can be put back.
public struct Tuning {
    /// How the kernel calls the servers that are looked for where nobody names one.
    public static let servers = ["opensips", "kamailio", "asterisk", "freeswitch"]

    let host: TunedHost
    let record: TuningRecord
    /// Lets a thread run on some CPUs alone.
    let setAffinity: (Int, CPUSet) throws(Failure) -> Void

    public init(
        host: TunedHost = TunedHost(), record: TuningRecord,
        setAffinity: @escaping (Int, CPUSet) throws(Failure) -> Void = FastpathKernel.setAffinity
    ) {
        self.host = host
        self.record = record
        self.setAffinity = setAffinity
    }
}

// MARK: Busy polling

/// A setting that was, or would be, changed.
public struct BusyPollChange: Hashable, Sendable {
    public var setting: BusyPollSetting
    /// In microseconds.
    public var before: Int
    public var after: Int
}

extension Tuning {
    /// Sets what is given, in microseconds; all of it or nothing.
    public func setBusyPolling(_ wanted: [BusyPollSetting: Int], dryRun: Bool) throws(Failure) -> [BusyPollChange] {
        let changes = try changes(to: wanted)
        if dryRun { return changes }
        try record.change { state in
            for change in changes { state.settings[change.setting] = state.settings[change.setting] ?? change.before }
        }
        try apply(changes)
        return changes
    }

    /// Puts back what was set before; empty where nothing is remembered.
    public func restoreBusyPolling(dryRun: Bool) throws(Failure) -> [BusyPollChange] {
        let changes = try changes(to: record.read().settings)
        if dryRun || changes.isEmpty { return changes }
        try apply(changes)
        try record.change { $0.settings = [:] }
        return changes
    }

    private func changes(to wanted: [BusyPollSetting: Int]) throws(Failure) -> [BusyPollChange] {
        var changes: [BusyPollChange] = []
        for setting in BusyPollSetting.allCases {
            guard let value = wanted[setting] else { continue }
            changes.append(BusyPollChange(setting: setting, before: try host.busyPolling(setting), after: value))
        }
        return changes
    }

    private func apply(_ changes: [BusyPollChange]) throws(Failure) {
        for (number, change) in changes.enumerated() {
            do throws(Failure) {
                try host.setBusyPolling(change.setting, to: change.after)
            } catch {
                for done in changes[..<number] { try? host.setBusyPolling(done.setting, to: done.before) }
                throw error
            }
        }
    }
}
