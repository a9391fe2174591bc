// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// The kinds of policy entry. All entries that cover a source count together: trust beats block beats allow.
public enum PolicyKind: String, Hashable, Sendable, CaseIterable {
    /// Everything from the source is dropped.
    case block
    /// The source may send OPTIONS.
    case allow
    /// Nothing from the source is dropped or limited.
    case trust

    /// The kinds that a public map holds entries of: what profile `classic` knows.
    public static let inPublicMaps: [PolicyKind] = [.block, .allow]

    /// The public map that holds single IPv4 addresses of this kind; nil where there is none.
    public var map: PublicMap? {
        switch self {
        case .block: .blockedIPs
        case .allow: .allowedIPs
        case .trust: nil
        }
    }

    /// "block list", for sentences.
    public var listName: String { "\(rawValue) list" }

    /// How the policy table spells it.
    public var tableKind: PolicyKinds {
        switch self {
        case .block: .block
        case .allow: .allow
        case .trust: .trust
        }
    }
}

/// Where an entry came from.
public enum Origin: String, Hashable, Sendable {
    /// An operator's command.
    case operatorCommand = "command"
    /// A file that was imported.
    case importFile = "import"
    /// Found in a public map that somebody else wrote to, and kept.
    case adopted
    /// A source that stayed over its limit.
    case ban
}

/// One entry of the policy, as it is recorded. The same prefix may be in several sets of a kind; it counts as long as
/// one of them has it.
public struct PolicyEntry: Hashable, Sendable {
    public var prefix: IPPrefix
    public var kind: PolicyKind
    public var origin: Origin
    /// When it was added; seconds since 1970-01-01 UTC.
    public var added: Int64
    /// From this second on it no longer counts; seconds since 1970-01-01 UTC. Nil: it stays.
    public var expiry: Int64?
    /// The name of its set; empty for what is in none.
    public var set: String
    /// What an operator wrote about it.
    public var comment: String?

    public init(
        kind: PolicyKind, prefix: IPPrefix, origin: Origin, added: Int64, expiry: Int64? = nil, set: String = "",
        comment: String? = nil
    ) {
        self.kind = kind
        self.prefix = prefix
        self.origin = origin
        self.added = added
        self.expiry = expiry
        self.set = set
        self.comment = comment
    }

    /// Does it count at a second since 1970-01-01 UTC?
    public func isLive(at second: Int64) -> Bool { expiry.map { second < $0 } ?? true }
}

/// The names that sets may have.
public enum PolicySetName {
    /// Throws `.usage` for anything but 1 to 64 of the characters a-z, A-Z, 0-9, `.`, `_` and `-`.
    public static func check(_ name: String) throws(Failure) {
        let allowed = name.utf8.allSatisfy { byte in
            (0x61...0x7a).contains(byte) || (0x41...0x5a).contains(byte) || (0x30...0x39).contains(byte)
                || [0x2e, 0x5f, 0x2d].contains(byte)
        }
        guard allowed, (1...64).contains(name.utf8.count) else {
            throw Failure(
                .usage, tried: "choose a set", on: name,
                because: "a name has 1 to 64 of the characters a-z, A-Z, 0-9, '.', '_' and '-'",
                next: "Choose another name.")
        }
    }
}

/// The public maps: rows of `FASTPATH_MAPS` in `fastpath_abi.h`.
public enum PublicMap: Hashable, Sendable, CaseIterable {
    case xsks
    case allowedIPs
    case blockedIPs
    case counters

    private var row: fastpath_map_info {
        let map =
            switch self {
            case .xsks: FASTPATH_MAP_XSKS
            case .allowedIPs: FASTPATH_MAP_ALLOWED
            case .blockedIPs: FASTPATH_MAP_BLOCKED
            case .counters: FASTPATH_MAP_COUNTERS
            }
        return fastpath_map_row(map).pointee
    }

    /// The name in the object, in the kernel and as a pin.
    public var name: String { String(cString: row.name) }
    /// Bytes.
    public var keySize: Int { Int(row.key_size) }
    /// Bytes; for `xdp_counters` of one CPU's cell.
    public var valueSize: Int { Int(row.value_size) }
    public var defaultCapacity: Int { Int(row.default_entries) }
}
