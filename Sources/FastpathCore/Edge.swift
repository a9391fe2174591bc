// SPDX-License-Identifier: Apache-2.0

/// A network interface, told apart from its namesakes in other network namespaces.
public struct InterfaceID: Hashable, Sendable {
    /// The kernel's ifindex, unique within its namespace.
    public var index: UInt32
    /// The namespace's cookie (SO_NETNS_COOKIE), unique until the machine reboots.
    public var namespace: UInt64

    public init(index: UInt32, namespace: UInt64) {
        self.index = index
        self.namespace = namespace
    }

    /// The name of its folder of pins: an interface's own name may hold dots, which bpffs refuses.
    public var pinName: String { "\(index)-\(namespace)" }

    public init?(pinName: String) {
        let parts = pinName.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, let index = UInt32(parts[0]), let namespace = UInt64(parts[1]) else { return nil }
        self.init(index: index, namespace: namespace)
    }
}

/// Where in the receive path the program runs.
public enum XDPMode: String, Hashable, Sendable, CaseIterable {
    /// In the driver, before the kernel makes an sk_buff.
    case native
    /// In the stack, on the finished sk_buff: works everywhere, slower, and sees merged packets as one.
    case generic
    /// On the NIC itself; ours is never put there.
    case offloaded
}

/// An XDP program on an interface, as the kernel describes it.
public struct Attachment: Hashable, Sendable {
    public var mode: XDPMode
    public var programID: UInt32
    /// At most 15 characters: the kernel cuts names.
    public var programName: String
    /// Eight bytes in hexadecimal, a digest of the instructions.
    public var tag: String
    /// Seconds since 1970-01-01 UTC.
    public var loaded: Int64
    /// True where the program is ours: its name and its public maps say so.
    public var isEdge: Bool

    public init(mode: XDPMode, programID: UInt32, programName: String, tag: String, loaded: Int64, isEdge: Bool) {
        self.mode = mode
        self.programID = programID
        self.programName = programName
        self.tag = tag
        self.loaded = loaded
        self.isEdge = isEdge
    }
}

/// An interface with an XDP program on it, with pins of ours, or with both.
public struct EdgeState: Hashable, Sendable {
    public var interface: InterfaceID
    /// Nil where the interface is gone, or its namespace cannot be found.
    public var name: String?
    /// Driver name as ethtool gives it, or nil.
    public var driver: String?
    /// Name of the namespace under /run/netns, "pid N" of a process in it, or nil for the caller's own.
    public var namespaceName: String?
    /// What is attached; nil where nothing is.
    public var attachment: Attachment?
    /// Does this instance hold pins for the interface?
    public var isPinned: Bool
    /// The name of another instance of the edge that holds pins for the interface ("default" for the one without
    /// a name), or nil. Its policy is not this instance's business.
    public var otherInstance: String?

    public init(
        interface: InterfaceID, name: String?, driver: String?, namespaceName: String?, attachment: Attachment?,
        isPinned: Bool, otherInstance: String? = nil
    ) {
        self.interface = interface
        self.name = name
        self.driver = driver
        self.namespaceName = namespaceName
        self.attachment = attachment
        self.isPinned = isPinned
        self.otherInstance = otherInstance
    }

    /// Is a program of ours filtering there?
    public var isFiltering: Bool { attachment?.isEdge ?? false }

    /// Is a program filtering there whose policy this instance looks after?
    public var isFilteringForUs: Bool { isFiltering && otherInstance == nil }
}
