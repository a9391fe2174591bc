// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Synchronization

/// The one thread that starts children. A child asks to be killed when its parent dies (PR_SET_PDEATHSIG), and
/// the parent in this sense is the *thread* that started it (prctl(2)): so that thread lives as long as the process.
final class Spawner: Sendable {
    private static let shared = Result<Spawner, Failure> { () throws(Failure) in try Spawner() }

    private final class Queue: Sendable {
        let jobs = Mutex<[@Sendable () -> Void]>([])
        let pending = Semaphore()

        func serve() -> Never {
            while true {
                pending.wait()
                jobs.withLock { $0.isEmpty ? nil : $0.removeFirst() }?()
            }
        }
    }

    private final class Answer: Sendable {
        let value = Mutex<Result<pid_t, Failure>?>(nil)
        let ready = Semaphore()
    }

    private let queue = Queue()

    private init() throws(Failure) {
        let queue = queue
        try Thread.start { queue.serve() }
    }

    /// Where the standard streams of a child lead: descriptors of this process.
    struct Streams: Sendable {
        var input: Int32
        var output: Int32
        var errors: Int32
    }

    /// Starts the program `path` with `arguments` (the first is its name) in `namespace`, as the leader of a process
    /// group, so that a terminal's Ctrl-C reaches only this process.
    static func spawn(
        _ path: String, _ arguments: [String], environment: [String], streams: Streams, in namespace: NetworkNamespace?
    ) throws(Failure) -> pid_t {
        let queue = try shared.get().queue
        let answer = Answer()
        queue.jobs.withLock { jobs in
            jobs.append {
                let result = Result<pid_t, Failure> { () throws(Failure) -> pid_t in
                    guard let namespace else { return try spawnHere(path, arguments, environment, streams) }
                    return try namespace.perform { () throws(Failure) -> pid_t in
                        try spawnHere(path, arguments, environment, streams)
                    }
                }
                answer.value.withLock { $0 = result }
                answer.ready.signal()
            }
        }
        queue.pending.signal()
        while true {
            answer.ready.wait()
            if let result = answer.value.withLock({ $0 }) { return try result.get() }
        }
    }

    private static func spawnHere(
        _ path: String, _ arguments: [String], _ environment: [String], _ streams: Streams
    ) throws(Failure) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (number, stream) in [streams.input, streams.output, streams.errors].enumerated() {
            posix_spawn_file_actions_adddup2(&actions, stream, Int32(number))
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP) | Int16(POSIX_SPAWN_SETSIGMASK))
        posix_spawnattr_setpgroup(&attributes, 0)
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)

        var argumentPointers = arguments.map { strdup($0) } + [nil]
        var environmentPointers = environment.map { strdup($0) } + [nil]
        defer { (argumentPointers + environmentPointers).forEach { free($0) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, path, &actions, &attributes, &argumentPointers, &environmentPointers)
        guard code == 0 else { throw systemFailure(code, "start a program", on: path) }
        return pid
    }
}
