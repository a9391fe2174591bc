// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// How a host is tuned.
public struct TuningReport: Sendable {
    public struct Interface: Hashable, Sendable {
        public var name: String
        public var interrupts: [QueueInterrupt]

        public var cpus: CPUSet { CPUSet(interrupts.flatMap(\.cpus.cpus)) }
    }

    public struct Setting: Hashable, Sendable {
        public var setting: BusyPollSetting
        /// In microseconds; nil where the kernel, or this network namespace, has none.
        public var now: Int?
        /// What is remembered.
        public var before: Int?
    }

    public struct Server: Hashable, Sendable {
        public var process: Int
        public var name: String
        public var threads: Int
        /// All that one of its threads may run on.
        public var cpus: CPUSet
        /// Of its main thread, before it was pinned; nil where nothing is remembered.
        public var before: CPUSet?
    }

    public var topology: Topology
    public var interfaces: [Interface]
    public var settings: [Setting]
    public var servers: [Server]
}

extension Tuning {
    /// `interface`: this one alone; without it all that have interrupts.
    public func report(of interface: String?, servers names: [String] = servers) throws(Failure) -> TuningReport {
        let state = try remembered()
        var interfaces: [TuningReport.Interface] = []
        for name in interface.map({ [$0] }) ?? host.interfaces() {
            let interrupts = try host.interrupts(of: name)
            if interface != nil || !interrupts.isEmpty {
                interfaces.append(TuningReport.Interface(name: name, interrupts: interrupts))
            }
        }
        let settings = BusyPollSetting.allCases.map { setting in
            TuningReport.Setting(
                setting: setting, now: try? host.busyPolling(setting), before: state.settings[setting])
        }
        let servers = host.processes(named: Set(names)).compactMap { process -> TuningReport.Server? in
            let threads = host.threads(of: process)
            guard let first = threads.first, let name = host.name(of: process) else { return nil }
            return TuningReport.Server(
                process: process, name: name, threads: threads.count, cpus: CPUSet(threads.flatMap(\.cpus.cpus)),
                before: state.threads[first.id])
        }
        return TuningReport(
            topology: try host.topology(), interfaces: interfaces, settings: settings, servers: servers)
    }

    /// Nothing where only root may read it: what is set now can be seen by everybody.
    private func remembered() throws(Failure) -> TuningState {
        do throws(Failure) {
            return try record.read()
        } catch {
            if error.kind == .system(errno: EACCES) { return TuningState(boot: "") }
            throw error
        }
    }
}
