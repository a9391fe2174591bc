// SPDX-License-Identifier: Apache-2.0
import FastpathKernel
import Glibc

/// CPU time of processes (proc(5)): of the living what the scheduler has noted, in ns; of the dead clock ticks.
public enum ProcessTime {
    /// User and system time that a process, its living descendants and its dead, reaped children have used.
    public static func tree(of root: pid_t) -> Duration {
        let all = namesInFolder("/proc").compactMap { pid_t($0) }.compactMap(Row.init(pid:))
        let children = Dictionary(grouping: all, by: \.parent)
        var open = all.filter { $0.pid == root }
        let tick = Duration.seconds(1) / sysconf(Int32(_SC_CLK_TCK))
        var time = Duration.zero
        while let row = open.popLast() {
            time += (scheduled(row.pid) ?? tick * Int(row.ticks - row.deadTicks)) + tick * Int(row.deadTicks)
            open += children[row.pid] ?? []
        }
        return time
    }

    /// Of all threads of a process; nil where the kernel does not tell.
    private static func scheduled(_ pid: pid_t) -> Duration? {
        var time = Duration.zero
        for thread in namesInFolder("/proc/\(pid)/task") {
            guard let text = File.text("/proc/\(pid)/task/\(thread)/schedstat"),
                let nanoseconds = text.split(separator: " ").first.flatMap({ Int64($0) })
            else { return nil }
            time += .nanoseconds(nanoseconds)
        }
        return time
    }

    struct Row: Equatable {
        var pid: pid_t
        var parent: pid_t
        /// utime + stime + cutime + cstime, in clock ticks.
        var ticks: UInt64
        /// The last two of them: of children that have ended.
        var deadTicks: UInt64

        init?(pid: pid_t) {
            guard let text = File.text("/proc/\(pid)/stat") else { return nil }
            self.init(text)
        }

        /// The name in field 2 may hold blanks and parentheses: fields are counted from the last one.
        init?(_ text: String) {
            guard let pid = pid_t(text.prefix { $0 != " " }), let nameEnd = text.lastIndex(of: ")") else { return nil }
            let fields = text[text.index(after: nameEnd)...].split(separator: " ")  // from field 3 on
            guard fields.count > 14, let parent = pid_t(fields[1]) else { return nil }
            self.pid = pid
            self.parent = parent
            ticks = fields[11...14].reduce(0) { $0 + (UInt64($1) ?? 0) }
            deadTicks = fields[13...14].reduce(0) { $0 + (UInt64($1) ?? 0) }
        }
    }
}
