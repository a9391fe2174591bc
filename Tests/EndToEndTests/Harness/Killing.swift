// SPDX-License-Identifier: Apache-2.0
import CSupport
import FastpathCore
import FastpathLab
import Glibc

extension Edge {
    /// Runs the command and kills it with SIGKILL as it enters its `number`-th system call that changes anything
    /// (support_kill.h), from 1 on; 0 lets it live. Returns how many such calls it began, and whether it was killed.
    func killed(at number: Int, _ arguments: [String]) throws -> (changes: Int, isKilled: Bool) {
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
        return (Int(result.changes), result.status & 0x7f == SIGKILL)
    }

    /// Kills the command at each of its changing calls in turn, at `most` of them: then at calls spread evenly, and at
    /// the last ones. Before each run `prepare` makes the same start; behind each `check` looks, with the place.
    /// Returns how many deaths it died.
    func dyingEverywhere(
        _ arguments: [String], most: Int = 24, prepare: () throws -> Void, check: (String) throws -> Void
    ) throws -> Int {
        try prepare()
        let whole = try killed(at: 0, arguments)
        try check("\(arguments.joined(separator: " ")), not killed")
        let last = min(whole.changes, most / 2)
        let early = whole.changes - last
        let step = max(1, (early + most / 2 - 1) / max(1, most / 2))
        let places = Array(stride(from: 1, through: early, by: step)) + Array(early + 1..<whole.changes + 1)
        var deaths = 0
        for place in places {
            try prepare()
            if try killed(at: place, arguments).isKilled { deaths += 1 }
            try check("\(arguments.joined(separator: " ")), killed at change \(place) of \(whole.changes)")
        }
        return deaths
    }
}
