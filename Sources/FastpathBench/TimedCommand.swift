// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// Runs a command and takes its time, from before it is started until it has ended.
struct TimedCommand {
    var clock: Duration
    /// User and system part; what other threads of the kernel did is not in it.
    var cpu: Duration

    /// `arguments` begin with the whole path of a program; its output is thrown away. Runs in `host`'s network
    /// namespace, or here. Nil where it did not end within `timeout` (it is killed then); throws where it fails.
    static func run(
        _ arguments: [String], on host: LabHost? = nil, timeout: Duration = .seconds(20)
    ) throws(Failure) -> TimedCommand? {
        try beforeOthers { () throws(Failure) in
            guard let host else { return try runHere(arguments, timeout) }
            return try host.perform { () throws(Failure) in try runHere(arguments, timeout) }
        }
    }

    private static func runHere(_ arguments: [String], _ timeout: Duration) throws(Failure) -> TimedCommand? {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for descriptor in [STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO] {
            posix_spawn_file_actions_addopen(&actions, descriptor, "/dev/null", O_RDWR, 0)
        }
        // A process group of its own: Ctrl-C is ours to deal with.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var argumentPointers = arguments.map { strdup($0) } + [nil]
        let variables = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C"]
        var environment = variables.map { strdup($0) } + [nil]
        defer { (argumentPointers + environment).forEach { free($0) } }

        var pid: pid_t = 0
        let start = ContinuousClock.now
        let code = posix_spawn(&pid, arguments[0], &actions, &attributes, &argumentPointers, &environment)
        guard code == 0 else {
            throw Failure(
                .system(errno: code), tried: "start a program", on: arguments[0], because: errorText(code),
                next: "Install it.")
        }
        var status: Int32 = 0
        var cpu: UInt64 = 0
        while true {
            let left = timeout - (ContinuousClock.now - start)
            let result = fastpath_lab_reap(pid, Int32(max(0, left / .milliseconds(1))), &status, &cpu)
            if result > 0 { break }
            if result < 0 || left <= .zero || Interruption.isRequested {
                kill(pid, SIGKILL)
                waitpid(pid, &status, 0)
                try Interruption.check()
                return nil
            }
        }
        let clock = ContinuousClock.now - start
        guard status == 0 else {
            throw unexpected(
                "take a command's time", on: arguments.joined(separator: " "),
                because: status & 0x7f == 0 ? "it exited with \(status >> 8)" : "signal \(status & 0x7f) ended it")
        }
        return TimedCommand(clock: clock, cpu: .microseconds(Int64(cpu)))
    }

    var milliseconds: Double { clock / .milliseconds(1) }
}

/// Writes a file of the laboratory.
func writeFile(_ text: String, to path: String) throws(Failure) {
    try writeFile(Array(text.utf8), to: path)
}

func writeFile(_ bytes: [UInt8], to path: String) throws(Failure) {
    let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
    var left = bytes[...]
    var isWritten = descriptor >= 0
    while isWritten, !left.isEmpty {
        let count = left.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        isWritten = count > 0
        left = left.dropFirst(max(0, count))
    }
    let code = errno
    close(descriptor)
    guard isWritten else {
        throw Failure(
            .system(errno: code), tried: "write the file", on: path, because: errorText(code), next: "Make room there.")
    }
}
