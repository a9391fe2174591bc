// SPDX-License-Identifier: Apache-2.0
import FastpathKernel
import Glibc

/// CPU time of processes, from /proc/PID/stat (proc(5)).
public enum ProcessTime {
    /// User and system time that a process, its living descendants and its dead, reaped children have used.
    public static func tree(of root: pid_t) -> Duration {
        let all = namesInFolder("/proc").compactMap { pid_t($0) }.compactMap(Row.init(pid:))
        let children = Dictionary(grouping: all, by: \.parent)
        var open = all.filter { $0.pid == root }
        var ticks: UInt64 = 0
        while let row = open.popLast() {
            ticks += row.ticks
            open += children[row.pid] ?? []
        }
        return .seconds(1) * Int(ticks) / sysconf(Int32(_SC_CLK_TCK))
    }

    struct Row: Equatable {
        var pid: pid_t
        var parent: pid_t
        /// utime + stime + cutime + cstime, in clock ticks.
        var ticks: UInt64

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
        }
    }
}
