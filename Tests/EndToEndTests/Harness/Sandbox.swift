// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Testing

/// A host with a network, a /run, a /var/lib and a BPF file system of its own: there the default instance, which the
/// scripts use, is not the one of this machine, which may protect somebody.
final class Sandbox {
    let laboratory: Laboratory
    let host: LabHost
    private let holder: Child

    static func with(_ body: (Sandbox) throws -> Void) throws {
        let laboratory = try Turn.laboratory()
        defer { laboratory.tearDown() }
        try Edge().clear()
        try body(Sandbox(laboratory))
        try Edge().clear()
    }

    private init(_ laboratory: Laboratory) throws {
        self.laboratory = laboratory
        host = try laboratory.addHost("sandbox")
        let mounts = """
            mount -t tmpfs run /run && mkdir /run/sshd && mount -t tmpfs lib /var/lib && mount -t bpf bpf /sys/fs/bpf \
            && echo ready && exec sleep 1000
            """
        holder = try laboratory.start(
            ["unshare", "--mount", "--propagation", "private", "bash", "-c", mounts], label: "sandbox", on: host)
        let log = "\(laboratory.folder)/sandbox.log"
        try #require(eventually { (try? Text.read(log)) == "ready\n" }, "the sandbox's file systems are mounted")
    }

    /// Runs anything in it, from the project's folder.
    func run(_ arguments: [String], timeout: Duration = .seconds(60), environment: [String: String] = [:]) throws -> Ran
    {
        let path = FileManager.default.currentDirectoryPath
        let outcome = try Shell.outcome(
            of: ["nsenter", "--target", "\(holder.pid)", "--mount", "--net", "--", "env", "--chdir", path] + arguments,
            timeout: timeout, environment: environment)
        return Ran(
            command: arguments.joined(separator: " "), exit: outcome.exit, output: outcome.output,
            errors: outcome.errors)
    }

    /// A script of scripts/.
    func script(_ name: String, _ arguments: String..., timeout: Duration = .seconds(60)) throws -> Ran {
        try run(["scripts/\(name)"] + arguments, timeout: timeout)
    }

    /// The command, to be done.
    @discardableResult
    func edge(_ arguments: String..., sourceLocation: SourceLocation = #_sourceLocation) throws -> Ran {
        try run([Edge.path] + arguments).requireDone(sourceLocation: sourceLocation)
    }

    /// What is left: namespaces, interfaces, pins, the lock, programs on interfaces.
    func remains() throws -> [String] {
        try run(["bash", "-c", "ls /run/netns /sys/fs/bpf; ip -o link | grep -v ' lo:'; ip -o link | grep -o xdp.*"])
            .lines
            .filter { !["/run/netns:", "/sys/fs/bpf:", "maps.debug", "progs.debug"].contains($0) }
    }
}
