// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// The kinds of policy entry.
public enum PolicyKind: String, Hashable, Sendable, CaseIterable {
    /// Everything from the source is dropped.
    case block
    /// The source may send OPTIONS.
    case allow

    /// The public map that holds the entries.
    public var map: PublicMap { self == .block ? .blockedIPs : .allowedIPs }

    /// "block list", for sentences.
    public var listName: String { "\(rawValue) list" }
}

/// Where an entry came from.
public enum Origin: String, Hashable, Sendable {
    /// An operator's command.
    case operatorCommand = "command"
    /// A file that was imported.
    case importFile = "import"
    /// Found in a public map that somebody else wrote to, and kept.
    case adopted
}

/// One entry of the policy.
public struct PolicyEntry: Hashable, Sendable {
    public var kind: PolicyKind
    public var prefix: IPPrefix
    public var origin: Origin
    /// When it was added; seconds since 1970-01-01 UTC.
    public var added: Int64

    public init(kind: PolicyKind, prefix: IPPrefix, origin: Origin, added: Int64) {
        self.kind = kind
        self.prefix = prefix
        self.origin = origin
        self.added = added
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
