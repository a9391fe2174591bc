// SPDX-License-Identifier: Apache-2.0

/// The two settings of the kernel for busy polling (Documentation/admin-guide/sysctl/net.rst). The raw value is the
/// name below net.core.
public enum BusyPollSetting: String, CaseIterable, Sendable {
    /// For epoll; for poll and select as far as a socket was made with the other one set.
    case poll = "busy_poll"
    /// For reads that block. A socket takes its value when it is made.
    case read = "busy_read"

    /// `net.core.busy_poll`
    public var key: String { "net.core.\(rawValue)" }
}
