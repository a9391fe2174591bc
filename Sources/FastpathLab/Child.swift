// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Synchronization

/// A program that runs beside us: a SIP server, a phone, a scanner. It ends when it is told to, when its
/// ``Child`` is released, and, by the kernel's hand, when this process dies in whatever way
/// (docs/decisions/0003-child-processes.md).
public final class Child: Sendable {
    public enum Exit: Hashable, Sendable {
        case code(Int32)
        case signal(Int32)
    }

    /// Of the outermost process; with `contained` of the one that holds the tree.
    public let pid: pid_t
    /// The command as a person would type it.
    public let command: String

    private let exit = Mutex<Exit?>(nil)

    /// Starts a program.
    /// - Parameters:
    ///   - arguments: its name, looked up in ``Programs``' folders, and its arguments.
    ///   - namespace: the network namespace it runs in; nil: ours.
    ///   - log: the file that gets its output and errors; nil: nobody does.
    ///   - contained: in a PID namespace of its own, so that its whole tree dies with it. Its first process then has
    ///     PID 1 in there.
    public static func start(
        _ arguments: [String], in namespace: NetworkNamespace? = nil, log: String? = nil, contained: Bool = false,
        environment: [String: String] = [:]
    ) throws(Failure) -> Child {
        // The trampolines are util-linux's, a part of every Debian: setpriv asks for SIGKILL at our death and becomes
        // the program; unshare makes a namespace whose processes the kernel kills together with the first.
        var trampoline = [try Programs.path("setpriv"), "--pdeathsig", "KILL", "--"]
        if contained {
            trampoline += [try Programs.path("unshare"), "--pid", "--fork", "--kill-child=KILL", "--"]
        }
        let program = try Programs.path(arguments.first ?? "")
        let output = FileDescriptor(
            try check(
                open(log ?? "/dev/null", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o644), "open a log",
                on: log ?? "/dev/null"))
        let input = FileDescriptor(
            try check(open("/dev/null", O_RDONLY | O_CLOEXEC), "open a file", on: "/dev/null"))
        let pid = try Spawner.spawn(
            trampoline[0], trampoline + [program] + arguments.dropFirst(),
            environment: Programs.environment(environment),
            streams: .init(input: input.rawValue, output: output.rawValue, errors: output.rawValue), in: namespace)
        return Child(pid: pid, command: arguments.joined(separator: " "))
    }

    init(pid: pid_t, command: String) {
        self.pid = pid
        self.command = command
    }

    deinit { end() }

    /// Nil while it runs.
    public var exitStatus: Exit? { reap(options: WNOHANG) }

    /// Waits for its end. Nil where it still runs after `timeout`; throws where a signal asks us to end.
    public func wait(timeout: Duration) throws(Failure) -> Exit? {
        var pause = Duration.microseconds(200)
        let end = ContinuousClock.now + timeout
        while true {
            if let exit = exitStatus { return exit }
            if ContinuousClock.now >= end { return nil }
            try Interruption.check()
            Wait.pause(pause)
            pause = min(pause * 2, .milliseconds(10))
        }
    }

    /// Kills it, where it still runs, and waits for its end.
    public func end() {
        guard exitStatus == nil else { return }
        // Not reaped yet, so the number still is this process.
        kill(pid, SIGKILL)
        while reap(options: 0) == nil {}
    }

    private func reap(options: Int32) -> Exit? {
        exit.withLock { exit in
            if exit != nil { return exit }
            var status: Int32 = 0
            let result = waitpid(pid, &status, options)
            if result < 0, errno == ECHILD { exit = .signal(0) }  // somebody else took it: never ours to kill again
            if result == pid { exit = status & 0x7f == 0 ? .code(status >> 8 & 0xff) : .signal(status & 0x7f) }
            return exit
        }
    }
}

/// The programs that the lab drives, and what they get to see.
enum Programs {
    private static let folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]

    /// Debian's packages, for the sentence that says what to install.
    private static let packages = [
        "kamailio": "kamailio", "sipp": "sip-tester", "svmap": "sipvicious", "sshd": "openssh-server",
        "ssh": "openssh-client",
        "ssh-keygen": "openssh-client", "scp": "openssh-client", "ethtool": "ethtool", "ip": "iproute2",
        "setpriv": "util-linux", "unshare": "util-linux",
    ]

    /// The whole path of a program; one that holds a slash is taken as it is.
    static func path(_ name: String) throws(Failure) -> String {
        if name.contains("/") { return name }
        if let folder = folders.first(where: { access("\($0)/\(name)", X_OK) == 0 }) { return "\(folder)/\(name)" }
        throw Failure(
            .unsupported, tried: "find a program", on: name, because: "it is not installed",
            next: "Install it: `apt-get install \(packages[name] ?? name)`.")
    }

    /// The same for everybody: no settings of the operator change what the lab measures.
    static func environment(_ additions: [String: String]) -> [String] {
        let base = ["PATH": folders.joined(separator: ":"), "LC_ALL": "C", "HOME": "/root", "TERM": "xterm"]
        return base.merging(additions) { $1 }.map { "\($0)=\($1)" }
    }
}
