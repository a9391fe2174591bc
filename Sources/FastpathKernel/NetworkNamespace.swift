// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import Glibc

/// A network namespace, known by its cookie.
public struct NetworkNamespace: Hashable, Sendable {
    /// SO_NETNS_COOKIE: unique until the machine reboots.
    public let cookie: UInt64
    /// A file that opens it; nil for the one the process is in.
    public let path: String?
    /// For people: the name under /run/netns or "pid N"; nil for the one the process is in.
    public let name: String?

    private static let cookieOption: Int32 = 71  // SO_NETNS_COOKIE, asm-generic/socket.h, Linux 5.14

    private static let newNetwork: Int32 = 0x4000_0000  // CLONE_NEWNET, linux/sched.h

    /// The namespace of the calling thread.
    public static func current() throws(Failure) -> NetworkNamespace {
        NetworkNamespace(cookie: try cookieHere(), path: nil, name: nil)
    }

    /// A namespace by the name that `ip netns` gives it.
    public static func named(_ name: String) throws(Failure) -> NetworkNamespace {
        try opened("/run/netns/\(name)", name: name)
    }

    /// The namespace with a cookie: the caller's own, one under /run/netns, or that of some process. Nil where it is gone.
    public static func find(cookie: UInt64) throws(Failure) -> NetworkNamespace? {
        let here = try current()
        if here.cookie == cookie { return here }
        var candidates = namesInFolder("/run/netns").map { (path: "/run/netns/\($0)", name: $0) }
        let processes = namesInFolder("/proc").filter { $0.utf8.allSatisfy { (0x30...0x39).contains($0) } }
        candidates += processes.map { ("/proc/\($0)/ns/net", "pid \($0)") }
        var seen: Set<UInt> = []
        for candidate in candidates {
            var status = stat()
            // Most processes share one namespace: its inode tells without entering.
            guard stat(candidate.path, &status) == 0, seen.insert(status.st_ino).inserted,
                let namespace = try? opened(candidate.path, name: candidate.name)
            else { continue }
            if namespace.cookie == cookie { return namespace }
        }
        return nil
    }

    /// Runs `body` in the namespace, on this thread. Sockets that it makes belong there.
    public func perform<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        guard let path else { return try body() }
        let home = FileDescriptor(
            try check(
                open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC), "open the own network namespace", on: "/proc"))
        let other = FileDescriptor(
            try check(
                open(path, O_RDONLY | O_CLOEXEC), "open a network namespace", on: name ?? path,
                next: "Check that it exists: `ip netns`."))
        _ = try check(
            setns(other.rawValue, Self.newNetwork), "enter a network namespace", on: name ?? path,
            next: "Run it as root.")
        // To go on in a foreign namespace would be worse than to stop.
        defer { precondition(setns(home.rawValue, Self.newNetwork) == 0, "cannot return to the own network namespace") }
        return try body()
    }

    private static func opened(_ path: String, name: String) throws(Failure) -> NetworkNamespace {
        let unknown = NetworkNamespace(cookie: 0, path: path, name: name)
        return NetworkNamespace(cookie: try unknown.perform(cookieHere), path: path, name: name)
    }

    private static func cookieHere() throws(Failure) -> UInt64 {
        let probe = FileDescriptor(
            try check(socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0), "make a socket", on: "AF_UNIX"))
        var cookie: UInt64 = 0
        var length = socklen_t(MemoryLayout<UInt64>.size)
        _ = try check(
            getsockopt(probe.rawValue, SOL_SOCKET, cookieOption, &cookie, &length), "tell the network namespace",
            on: "SO_NETNS_COOKIE", next: "Linux 5.14 or newer is needed.")
        return cookie
    }
}
