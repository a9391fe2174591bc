// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// Which CPUs a server is to have.
public struct PinWish: Hashable, Sendable {
    /// These, and no others.
    public var cpus: CPUSet?
    /// These where all of them run.
    public var preferred: CPUSet?
    /// Those that share their cache with the CPUs that take this NIC's interrupts.
    public var interface: String?

    public init(cpus: CPUSet? = nil, preferred: CPUSet? = nil, interface: String? = nil) {
        self.cpus = cpus
        self.preferred = preferred
        self.interface = interface
    }
}

/// Why it has these CPUs.
public enum PinReason: Hashable, Sendable {
    case asked
    case preferred
    /// The cache domain that takes so many of an interface's interrupts.
    case interrupts(Int, interface: String)
    /// The first of the largest cache domains. The interface, where one was named, shows no interrupts.
    case domain(interface: String?)
}

/// A process with its new CPUs, as the kernel tells: a cgroup may leave it fewer than it was given.
public struct PinnedProcess: Hashable, Sendable {
    public var process: Int
    public var threads: Int
    /// Of its main thread.
    public var before: CPUSet
    public var now: CPUSet
}

public struct PinReport: Sendable {
    /// In a dry run: those that would be.
    public var pinned: [PinnedProcess] = []
    public var failed: [Failure] = []
    /// Why the way back is not open; nil where it is.
    public var unremembered: Failure?
}

extension Tuning {
    /// The CPUs that a wish comes to on this host.
    public func cpus(for wish: PinWish) throws(Failure) -> (cpus: CPUSet, reason: PinReason) {
        let topology = try host.topology()
        if let asked = wish.cpus {
            let missing = asked.subtracting(topology.online)
            guard missing.isEmpty else {
                throw Failure(
                    tried: "choose CPUs", on: "\(asked)",
                    because: "these CPUs do not run on this machine: \(missing)",
                    next: "Choose among those that do: \(topology.online).")
            }
            return (asked, .asked)
        }
        if let preferred = wish.preferred, preferred.subtracting(topology.online).isEmpty {
            return (preferred, .preferred)
        }
        var interrupts: [QueueInterrupt] = []
        if let interface = wish.interface { interrupts = try host.interrupts(of: interface) }
        let domain = topology.domain(for: interrupts)
        let own = interrupts.count { !$0.cpus.intersection(domain.cpus).isEmpty }
        if let interface = wish.interface, own > 0 { return (domain.cpus, .interrupts(own, interface: interface)) }
        return (domain.cpus, .domain(interface: wish.interface))
    }

    /// The processes of these names; throws where there are none.
    public func processes(named names: [String]) throws(Failure) -> [Int] {
        let found = host.processes(named: Set(names))
        guard !found.isEmpty else {
            throw Failure(
                tried: "find the SIP server", on: names.joined(separator: ", "),
                because: "no process is called that", next: "Start it, or give its process ids.")
        }
        return found
    }

    /// Throws where one of them is none, before anything is changed.
    public func requireProcesses(_ processes: [Int]) throws(Failure) {
        for process in processes where host.threads(of: process).isEmpty {
            throw Failure(
                tried: "find the process", on: "\(process)", because: "there is no process \(process)",
                next: "Look for it: pidof opensips")
        }
    }

    /// Keeps all threads of `processes` on `cpus`. Processes that end meanwhile, or are not ours, are told.
    public func pin(_ processes: [Int], to cpus: CPUSet, dryRun: Bool) throws(Failure) -> PinReport {
        var report = PinReport()
        let before = processes.map { (process: $0, threads: host.threads(of: $0)) }
        if !dryRun {
            do throws(Failure) {
                try remember(before.flatMap(\.threads))
            } catch {
                // Whoever may pin a process of his own need not be able to write the record.
                guard error.kind == .notRoot else { throw error }
                report.unremembered = error
            }
        }
        for (process, threads) in before {
            do throws(Failure) {
                if !dryRun { try move(process) { _ in cpus } }
                let now = dryRun ? cpus : host.threads(of: process).first?.cpus
                guard let first = threads.first, let now else { throw gone(process) }
                report.pinned.append(
                    PinnedProcess(process: process, threads: threads.count, before: first.cpus, now: now))
            } catch {
                report.failed.append(error.about(process))
            }
        }
        return report
    }

    /// Puts back the CPUs that were set before `pin`: of `processes`, or of all that are remembered and still run.
    /// Threads that were made since get what their process's first had.
    public func unpin(_ processes: [Int], dryRun: Bool) throws(Failure) -> PinReport {
        var report = PinReport()
        let remembered = try record.read().threads
        let known = Set(remembered.keys.map(\.process))
        for process in processes where !known.contains(process) {
            throw Failure(
                tried: "undo the pinning", on: "process \(process)", because: "nothing is remembered of it",
                next: "`vos-fastpath tune show` says what is; taskset(1) sets any CPUs.")
        }
        let wanted = processes.isEmpty ? known.sorted() : processes
        var done: Set<Int> = []
        for process in wanted {
            let threads = host.threads(of: process)
            let first = threads.lazy.compactMap { remembered[$0.id] }.first
            done.insert(process)
            // It ended; a later one of the same number is not ours to move.
            guard let first, let present = threads.first else { continue }
            do throws(Failure) {
                if !dryRun { try move(process) { remembered[$0] ?? first } }
                let now = dryRun ? first : host.threads(of: process).first?.cpus ?? first
                report.pinned.append(
                    PinnedProcess(process: process, threads: threads.count, before: present.cpus, now: now))
            } catch {
                done.remove(process)
                report.failed.append(error.about(process))
            }
        }
        if !dryRun {
            try record.change { state in state.threads = state.threads.filter { !done.contains($0.key.process) } }
        }
        return report
    }

    /// What was set first stays remembered, also where threads are pinned twice; those that ended are forgotten.
    private func remember(_ threads: [(id: ThreadID, cpus: CPUSet)]) throws(Failure) {
        try record.change { state in
            let living = Set(state.threads.keys.map(\.process)).flatMap { host.threads(of: $0).map(\.id) }
            let ids = Set(living)
            state.threads = state.threads.filter { ids.contains($0.key) }
            for (id, cpus) in threads where state.threads[id] == nil { state.threads[id] = cpus }
        }
    }

    /// Sets the CPUs of all threads of a process, of those too that are made meanwhile: each is made by one that was not
    /// moved yet, so that they come to an end.
    private func move(_ process: Int, to cpus: (ThreadID) -> CPUSet) throws(Failure) {
        var moved: Set<ThreadID> = []
        // Each look finds those that were made during the last one.
        for _ in 0..<100 {
            let rest = host.threads(of: process).map(\.id).filter { !moved.contains($0) }
            if rest.isEmpty {
                if moved.isEmpty { throw gone(process) }
                return
            }
            for thread in rest {
                moved.insert(thread)
                do throws(Failure) {
                    try setAffinity(thread.thread, cpus(thread))
                } catch {
                    // A thread that ended needs no CPUs.
                    if error.kind == .system(errno: ESRCH) { continue }
                    throw error
                }
            }
        }
        throw Failure(
            tried: "pin the process", on: "process \(process)", because: "it went on making threads all the while",
            next: "Pin it again when it has started.")
    }

    private func gone(_ process: Int) -> Failure {
        Failure(
            tried: "pin the process", on: "process \(process)", because: "it has ended",
            next: "Pin the server again once it runs.")
    }
}

extension Failure {
    /// The same failure, of a process.
    fileprivate func about(_ process: Int) -> Failure {
        var named = self
        if !subject.contains("process") { named.subject = "process \(process), \(subject)" }
        return named
    }
}
