// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// A real sshd on a host of a lab, with keys of its own, that listens nowhere else. Sessions run in that host's network
/// namespace, as root.
public final class SSHServer: Sendable {
    /// Host byte order.
    public let address: UInt32
    public let port: UInt16
    /// An ssh_config(5) file: port, user, key and known host. `ssh -F PATH ADDRESS`.
    public let configurationPath: String

    private let process: Child

    /// The options that make ssh and scp use it.
    public var options: [String] { ["-F", configurationPath] }

    /// Starts it and waits until it takes connections. `environment`: what its sessions find set.
    public init(
        in laboratory: Laboratory, on host: LabHost, address: UInt32, port: UInt16 = 2222,
        environment: [String: String] = [:]
    ) throws(Failure) {
        self.address = address
        self.port = port
        let folder = "\(laboratory.folder)/sshd-\(host.name)"
        configurationPath = "\(folder)/ssh_config"
        try check(mkdir(folder, 0o700), "make a folder", on: folder)
        for key in ["host_key", "user_key"] {
            try Shell.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", key, "-f", "\(folder)/\(key)"])
        }
        let hostKey = File.text("\(folder)/host_key.pub") ?? ""
        try File.write("[\(IPPrefix(ipv4: address))]:\(port) \(hostKey)", to: "\(folder)/known_hosts")
        try File.write(File.text("\(folder)/user_key.pub") ?? "", to: "\(folder)/authorized_keys", mode: 0o600)
        try File.write(Self.server(folder, address, port, environment), to: "\(folder)/sshd_config")
        try File.write(Self.client(folder, port), to: configurationPath)
        // Compiled in: where sshd locks up the part of itself that speaks to strangers.
        mkdir("/run/sshd", 0o755)
        process = try laboratory.start(
            ["sshd", "-D", "-e", "-f", "\(folder)/sshd_config"], label: "sshd-\(host.name)", on: host, contained: true)
        let isListening = try Wait.until(timeout: .seconds(5)) { () throws(Failure) in
            try Self.takesConnections(host, address, port)
        }
        guard isListening else {
            throw Failure(
                tried: "start sshd", on: host.name, because: "nothing listens on port \(port)",
                next: "Read what it said below.",
                details: File.text("\(laboratory.folder)/sshd-\(host.name).log"))
        }
    }

    private static func server(_ folder: String, _ address: UInt32, _ port: UInt16, _ environment: [String: String])
        -> String
    {
        let settings = environment.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        return """
            ListenAddress \(IPPrefix(ipv4: address)):\(port)
            HostKey \(folder)/host_key
            AuthorizedKeysFile \(folder)/authorized_keys
            PidFile none
            StrictModes no
            UsePAM no
            PermitRootLogin prohibit-password
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            Subsystem sftp internal-sftp
            \(settings.isEmpty ? "" : "SetEnv \(settings)")

            """
    }

    private static func client(_ folder: String, _ port: UInt16) -> String {
        """
        Host *
            Port \(port)
            User root
            IdentityFile \(folder)/user_key
            IdentitiesOnly yes
            UserKnownHostsFile \(folder)/known_hosts
            GlobalKnownHostsFile none
            StrictHostKeyChecking yes
            BatchMode yes
            ConnectTimeout 5

        """
    }

    private static func takesConnections(_ host: LabHost, _ address: UInt32, _ port: UInt16) throws(Failure) -> Bool {
        try host.perform { () throws(Failure) in
            let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
            let probe = FileDescriptor(try check(descriptor, "make a socket", on: host.name))
            return try withSocketAddress(address, port) { (address, length) throws(Failure) in
                connect(probe.rawValue, address, length) == 0
            }
        }
    }
}
