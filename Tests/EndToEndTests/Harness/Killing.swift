// SPDX-License-Identifier: Apache-2.0
import CSupport
import FastpathCore
import FastpathLab
import Glibc

extension Edge {
    /// How a command ended that was to be killed.
    enum Death: Equatable {
        case killed
        /// It had fewer changing system calls than that; the exit code.
        case ended(Int32)
    }

    /// Runs the command and kills it with SIGKILL as it enters its `number`-th system call that changes anything
    /// (support_kill.h), from 1 on.
    func killed(at number: Int, _ arguments: [String]) throws -> Death {
        var result = support_killed()
        let variables = environment.map { "\($0.key)=\($0.value)" } + ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]
        var pointers = ([Self.path] + arguments).map { strdup($0) } + [nil]
        var environmentPointers = variables.map { strdup($0) } + [nil]
        defer { (pointers + environmentPointers).forEach { free($0) } }
        func run() throws(Failure) {
            let code = support_kill_at(Self.path, &pointers, &environmentPointers, Int32(number), &result)
            guard code == 0 else {
                throw Failure(
                    .system(errno: errno), tried: "run under ptrace", on: arguments.joined(separator: " "),
                    because: String(cString: strerror(errno)), next: "Run the tests as root.")
            }
        }
        if let host { try host.perform(run) } else { try run() }
        return result.status & 0x7f == SIGKILL ? .killed : .ended(result.status >> 8 & 0xff)
    }

    /// Kills the command at its first changing call, at its second and so on, until it lives to its end. Before each
    /// run `prepare` makes the same start; behind each `check` looks, with the number of the call.
    /// Returns how many deaths it died. `every`: look at each n-th call only.
    func dyingEverywhere(
        _ arguments: [String], every step: Int = 1, prepare: () throws -> Void, check: (Int) throws -> Void
    ) throws -> Int {
        var number = 1
        while number < 2000 {
            try prepare()
            let death = try killed(at: number, arguments)
            try check(number)
            guard death == .killed else { break }
            number += step
        }
        return number / step
    }
}
