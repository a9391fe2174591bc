// SPDX-License-Identifier: Apache-2.0

/// One edge on a host: where its pins, its record and its lock lie. Tests, demo and bench use
/// instances of their own, so that they never touch a live edge.
public struct Instance: Hashable, Sendable {
    /// Empty for the default instance; else lower-case letters, digits and `-`.
    public let name: String

    public static let `default` = Instance(checked: "")

    /// The environment variable that chooses an instance.
    public static let environmentVariable = "VOS_FASTPATH_INSTANCE"

    private init(checked name: String) { self.name = name }

    public init(named name: String) throws(Failure) {
        // No dots: bpffs refuses them.
        let allowed = name.utf8.allSatisfy { (0x61...0x7a).contains($0) || (0x30...0x39).contains($0) || $0 == 0x2d }
        guard allowed, name.utf8.count <= 32 else {
            throw Failure(
                .usage, tried: "choose an instance", on: name,
                because: "a name has at most 32 of the characters a-z, 0-9 and -", next: "Choose another name.")
        }
        self.init(checked: name)
    }

    private var suffix: String { name.isEmpty ? "" : "-\(name)" }

    /// The folder of the pins.
    public var pinRoot: String { "/sys/fs/bpf/vos-fastpath\(suffix)" }
    /// The folder of the record.
    public var stateFolder: String { "/var/lib/vos-fastpath\(suffix)" }
    public var databasePath: String { "\(stateFolder)/policy.db" }
    /// What the host's settings were before they were tuned.
    public var tuningPath: String { "\(stateFolder)/tuning" }
    /// Where the configuration is looked for when nobody names a file.
    public var configurationPath: String { "/etc/vos-fastpath\(suffix)/config.toml" }
    /// Held by whoever reads the program's samples.
    public var samplesLockPath: String { "/run/vos-fastpath\(suffix).samples.lock" }
    /// Held while a command changes that.
    public var tuningLockPath: String { "/run/vos-fastpath\(suffix).tuning.lock" }
    /// Held while a command changes something; its content names an operation that was cut off.
    public var lockPath: String { "/run/vos-fastpath\(suffix).lock" }
}
