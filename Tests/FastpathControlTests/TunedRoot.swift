// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import FastpathKernel
import Glibc
import Testing

/// A /proc and a /sys of a machine that is not there, in a folder that goes with the test.
final class TunedRoot {
    let path: String
    /// What was asked of sched_setaffinity: the thread and its CPUs.
    private(set) var moves: [(thread: Int, cpus: String)] = []
    /// Threads whose CPUs cannot be set, and with which errno.
    var refusals: [Int: Int32] = [:]
    /// Called before a thread is moved.
    var beforeMove: (Int) throws -> Void = { _ in }

    init() throws {
        var template = Array("/tmp/fastpath-tuned.XXXXXX".utf8CString)
        path = String(cString: try #require(mkdtemp(&template)))
        try write("boot-1\n", to: "proc/sys/kernel/random/boot_id")
    }

    deinit { remove(path) }

    private func remove(_ path: String) {
        for name in namesInFolder(path) where unlink("\(path)/\(name)") != 0 { remove("\(path)/\(name)") }
        rmdir(path)
    }

    func removeProcess(_ process: Int) { remove("\(path)/proc/\(process)") }

    func write(_ text: String, to name: String) throws {
        var folder = path
        for part in name.split(separator: "/").dropLast() {
            folder += "/\(part)"
            mkdir(folder, 0o700)
        }
        let file = FileDescriptor(open("\(path)/\(name)", O_WRONLY | O_CREAT | O_TRUNC, 0o600))
        var text = text
        try #require(text.withUTF8 { Glibc.write(file.rawValue, $0.baseAddress, $0.count) } == text.utf8.count)
    }

    func read(_ name: String) throws -> String { String(decoding: try readFile("\(path)/\(name)"), as: UTF8.self) }

    func link(_ name: String, to target: String) throws {
        try #require(symlink(target, "\(path)/\(name)") == 0)
    }

    // MARK: A machine

    /// `domains`: the CPUs that share a last-level cache.
    func addCPUs(online: String, domains: [String], level: Int = 3) throws {
        try write("\(online)\n", to: "sys/devices/system/cpu/online")
        for (node, domain) in domains.enumerated() {
            for cpu in CPUSet(list: domain)?.cpus ?? [] {
                let folder = "sys/devices/system/cpu/cpu\(cpu)"
                try write("1\n", to: "\(folder)/cache/index0/level")
                try write("\(cpu)\n", to: "\(folder)/cache/index0/shared_cpu_list")
                try write("\(level)\n", to: "\(folder)/cache/index3/level")
                try write("\(domain)\n", to: "\(folder)/cache/index3/shared_cpu_list")
                try write("", to: "\(folder)/node\(node)/cpulist")
            }
        }
    }

    func addInterrupt(_ number: Int, cpus: String) throws {
        try write("0-63\n", to: "proc/irq/\(number)/smp_affinity_list")
        try write("\(cpus)\n", to: "proc/irq/\(number)/effective_affinity_list")
    }

    func addBusyPolling(poll: Int = 0, read: Int = 0) throws {
        try write("\(poll)\n", to: "proc/sys/net/core/busy_poll")
        try write("\(read)\n", to: "proc/sys/net/core/busy_read")
    }

    /// With threads of these numbers; the first is the process's own.
    func addProcess(_ name: String, _ threads: [Int], cpus: String = "0-7", start: Int = 1_000) throws {
        let process = threads[0]
        try write("\(name)\n", to: "proc/\(process)/comm")
        for thread in threads { try addThread(thread, of: process, cpus: cpus, start: start) }
    }

    func addThread(_ thread: Int, of process: Int, cpus: String, start: Int = 1_000) throws {
        let folder = "proc/\(process)/task/\(thread)"
        // A name may hold what it likes.
        try write("\(thread) (a) b) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 \(start) 0 0\n", to: "\(folder)/stat")
        try write("Name:\tx\nCpus_allowed:\tff\nCpus_allowed_list:\t\(cpus)\n", to: "\(folder)/status")
    }

    func cpus(of thread: Int, in process: Int) -> String? {
        host.threads(of: process).first { $0.id.thread == thread }?.cpus.description
    }

    // MARK: Under test

    var host: TunedHost { TunedHost(proc: "\(path)/proc", sys: "\(path)/sys") }
    var record: TuningRecord {
        TuningRecord(path: "\(path)/state/tuning", lockPath: "\(path)/lock", timeout: 100, boot: host.bootID())
    }

    func tuning() -> Tuning {
        Tuning(host: host, record: record) { (thread, cpus) throws(Failure) in try self.move(thread, cpus) }
    }

    private func move(_ thread: Int, _ cpus: CPUSet) throws(Failure) {
        if let code = refusals[thread] {
            throw Failure(.system(errno: code), tried: "move", on: "thread \(thread)", because: "refused", next: "-")
        }
        moves.append((thread, cpus.description))
        do {
            try beforeMove(thread)
            for process in namesInFolder("\(path)/proc").compactMap({ Int($0) }) {
                if let found = host.threads(of: process).first(where: { $0.id.thread == thread }) {
                    try addThread(thread, of: process, cpus: cpus.description, start: Int(found.id.start))
                }
            }
        } catch {
            throw Failure(tried: "move", on: "thread \(thread)", because: "\(error)", next: "-")
        }
    }
}
