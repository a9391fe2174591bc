// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Synchronization

/// Hosts in network namespaces of our own, joined by veth pairs. Nothing of it touches the machine's own network, and
/// nothing is left of it after ``tearDown()``, nor, at the next start, of a lab whose process was killed.
public final class Laboratory: Sendable {
    /// Its namespaces are called `fastpath-NAME.HOST`.
    public let name: String
    /// A folder for the files of the lab's programs; goes with the lab.
    public let folder: String

    /// One folder a lab; a lab is alive while somebody holds the lock in it (flock(2): the kernel lets go at death).
    private static let root = "/run/vos-fastpath-lab"

    private struct Contents: Sendable {
        /// Nil after the tear-down.
        var lock: Int32?
        var children: [Child] = []
    }

    private let contents: Mutex<Contents>

    /// Opens a lab and removes what killed ones left, of this name and of others. `name`: a-z, 0-9 and `-`. Throws `.busy` where
    /// another process has a lab of that name.
    public init(named name: String) throws(Failure) {
        _ = try Instance(named: name)  // the same rule for names
        try Self.requireRoot()
        // A clean-up holds a lock for a moment.
        guard let lock = try Self.lock(name, patience: .milliseconds(500)) else {
            throw Failure(
                .busy, tried: "open a lab", on: name, because: "another process has a lab of that name",
                next: "Wait for its end, or choose another name.")
        }
        self.name = name
        folder = Self.folder(of: name)
        contents = Mutex(Contents(lock: lock))
        Self.removeNamespaces(of: name)
        for leftover in namesInFolder(folder) where leftover != "lock" { Self.removeAll("\(folder)/\(leftover)") }
        Self.removeStale()
    }

    deinit { tearDown() }

    /// Opens a lab, runs `body`, and takes everything away again, however `body` ends.
    public static func with<Result>(
        named name: String, _ body: (Laboratory) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let laboratory = try Laboratory(named: name)
        defer { laboratory.tearDown() }
        return try body(laboratory)
    }

    /// Removes what labs left whose process was killed, of whatever name. Every new lab does it.
    public static func removeStale() {
        for name in namesInFolder(root) {
            guard let lock = try? lock(name) else { continue }
            removeNamespaces(of: name)
            removeAll(folder(of: name))
            close(lock)
        }
        rmdir(root)
    }

    /// Ends the lab's programs and removes its hosts and files. To be called as often as one likes.
    public func tearDown() {
        let (lock, children) = contents.withLock { contents in
            defer { contents = Contents() }
            return (contents.lock, contents.children)
        }
        guard let lock else { return }
        for child in children.reversed() { child.end() }
        Self.removeNamespaces(of: name)
        Self.removeAll(folder)
        close(lock)
        rmdir(Self.root)  // refused while other labs are there
    }

    /// What is left of labs of this name: namespaces. Empty after a tear-down.
    public static func remains(of name: String) -> [String] {
        namesInFolder("/run/netns").filter { $0.hasPrefix(namespacePrefix(of: name)) }
    }

    /// A new host: a network namespace with its loopback up and nothing else.
    public func addHost(_ hostName: String) throws(Failure) -> LabHost {
        try LabNamespace.make(Self.namespacePrefix(of: name) + hostName, host: hostName)
    }

    /// Joins two hosts by a veth pair, both ends up, each with its address and knowing the other's for good.
    /// Returns the two ends.
    @discardableResult
    public func connect(_ first: LabHost.Port, _ second: LabHost.Port) throws(Failure) -> (LabInterface, LabInterface) {
        try VethPair.create(first, second)
    }

    /// Starts a program that ends with the lab. Its output goes to `LABEL.log` in the lab's folder.
    public func start(
        _ arguments: [String], label: String, on host: LabHost? = nil, contained: Bool = false,
        environment: [String: String] = [:]
    ) throws(Failure) -> Child {
        let child = try Child.start(
            arguments, in: host?.namespace, log: "\(folder)/\(label).log", contained: contained,
            environment: ["HOME": folder].merging(environment) { $1 })
        contents.withLock { $0.children.append(child) }
        return child
    }

    private static func folder(of name: String) -> String { "\(root)/\(name)" }

    private static func namespacePrefix(of name: String) -> String { "fastpath-\(name)." }

    private static func requireRoot() throws(Failure) {
        guard geteuid() == 0 else {
            throw Failure(
                .notRoot, tried: "build a lab", on: "user \(geteuid())", because: "network namespaces take root",
                next: "Run it with sudo.")
        }
    }

    /// The open lock of a lab's folder, which is made where it is missing; nil where somebody else holds it all through
    /// `patience`.
    private static func lock(_ name: String, patience: Duration = .zero) throws(Failure) -> Int32? {
        let path = "\(folder(of: name))/lock"
        let end = ContinuousClock.now + patience
        var attempts = 0
        while true {
            attempts += 1
            mkdir(root, 0o755)
            mkdir(folder(of: name), 0o755)
            let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
            // Another lab's clean-up may take the empty folder away between our calls.
            if file < 0, errno == ENOENT, attempts < 100 { continue }
            try check(file, "open a lab's lock", on: path)
            if flock(file, LOCK_EX | LOCK_NB) == 0 {
                // Its last owner may have removed it: then it is no lock any more.
                var held = stat()
                var present = stat()
                if fstat(file, &held) == 0, stat(path, &present) == 0, held.st_ino == present.st_ino { return file }
                close(file)
            } else {
                close(file)
                if ContinuousClock.now >= end { return nil }
                Wait.pause(.milliseconds(10))
            }
        }
    }

    /// Ends every process in the lab's namespaces and removes the namespaces with their interfaces.
    private static func removeNamespaces(of name: String) {
        for namespace in remains(of: name) { LabNamespace.remove(namespace) }
    }

    private static func removeAll(_ path: String) {
        _ = try? Shell.run(["rm", "-rf", "--one-file-system", "--", path])
    }
}

/// Named network namespaces (ip-netns(8)).
enum LabNamespace {
    /// A new namespace with its loopback up. IPv4 only: no neighbour discovery between the counted packets; and
    /// spoofed sources may come in on any interface.
    static func make(_ name: String, host: String) throws(Failure) -> LabHost {
        try Shell.run(["ip", "netns", "add", name])
        let host = LabHost(name: host, namespace: try .named(name))
        for scope in ["all", "default"] {
            // Absent where the kernel was booted without IPv6.
            try? host.setKernelParameter("net/ipv6/conf/\(scope)/disable_ipv6", "1")
            try host.setKernelParameter("net/ipv4/conf/\(scope)/rp_filter", "0")
        }
        try host.ip(["link", "set", "lo", "up"])
        return host
    }

    /// Ends the processes in a namespace, removes its veth pairs (at once: the namespace itself goes later, when the
    /// kernel finds the time) and its name.
    static func remove(_ name: String) {
        for pid in processes(in: name) { kill(pid, SIGKILL) }
        if let namespace = try? NetworkNamespace.named(name) {
            let links = (try? namespace.perform { () throws(Failure) in try LinkTable.read() }) ?? []
            for link in links where link.name != "lo" {
                _ = try? Shell.run(["ip", "-n", name, "link", "del", link.name])
            }
        }
        _ = try? Shell.run(["ip", "netns", "del", name])
    }

    /// The processes in a namespace, ourselves not among them.
    static func processes(in name: String) -> [pid_t] {
        guard let output = try? Shell.run(["ip", "netns", "pids", name]) else { return [] }
        return output.split(separator: "\n").compactMap { pid_t($0) }.filter { $0 != getpid() }
    }
}
