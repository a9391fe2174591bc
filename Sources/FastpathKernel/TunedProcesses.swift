// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import Glibc

/// A thread of a process, told from a later one of the same number by its start.
public struct ThreadID: Hashable, Sendable {
    public var process: Int
    public var thread: Int
    /// Clock ticks since the boot (field 22 of proc(5)'s stat).
    public var start: UInt64

    public init(process: Int, thread: Int, start: UInt64) {
        self.process = process
        self.thread = thread
        self.start = start
    }
}

extension TunedHost {
    /// Processes by the name that the kernel has for them (comm), in order of their ids.
    public func processes(named names: Set<String>) -> [Int] {
        namesInFolder(proc).compactMap { Int($0) }.sorted().filter { process in
            name(of: process).map(names.contains) ?? false
        }
    }

    /// Nil where there is no such process.
    public func name(of process: Int) -> String? { line("\(proc)/\(process)/comm") }

    /// With the CPUs that the kernel lets each run on, in order; empty where the process is gone.
    public func threads(of process: Int) -> [(id: ThreadID, cpus: CPUSet)] {
        let folder = "\(proc)/\(process)/task"
        return namesInFolder(folder).compactMap { Int($0) }.sorted().compactMap { thread in
            guard let start = start("\(folder)/\(thread)/stat"), let cpus = allowed("\(folder)/\(thread)/status") else {
                return nil
            }
            return (ThreadID(process: process, thread: thread, start: start), cpus)
        }
    }

    /// The name of the program, in parentheses, may hold blanks and parentheses of its own: fields count from the last one.
    private func start(_ path: String) -> UInt64? {
        guard let text = line(path), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[end...].split(separator: " ")
        return fields.count > 20 ? UInt64(fields[20]) : nil
    }

    private func allowed(_ path: String) -> CPUSet? {
        let key = "Cpus_allowed_list:"
        guard let content = try? readFile(path) else { return nil }
        let lines = String(decoding: content, as: UTF8.self).split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix(key) }) else { return nil }
        return CPUSet(list: line.dropFirst(key.count).drop { $0 == "\t" || $0 == " " })
    }
}

/// Lets a thread run on `cpus` alone (sched_setaffinity(2)).
public func setAffinity(of thread: Int, to cpus: CPUSet) throws(Failure) {
    var words = [UInt](repeating: 0, count: CPUSet.limit / UInt.bitWidth)
    for cpu in cpus.cpus { words[cpu / UInt.bitWidth] |= 1 << UInt(cpu % UInt.bitWidth) }
    let result = words.withUnsafeBytes { bytes in
        sched_setaffinity(
            pid_t(clamping: thread), bytes.count, bytes.baseAddress?.assumingMemoryBound(to: cpu_set_t.self))
    }
    try check(
        result, "set the CPUs of a thread", on: "thread \(thread), CPUs \(cpus)",
        next: "Check that it is your process, or run it as root; a cgroup may leave it other CPUs.")
}
