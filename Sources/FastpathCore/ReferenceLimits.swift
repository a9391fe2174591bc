// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// The limits of strangers once more, for ``ReferenceFilter``: every source has a place of its own, whatever others send.
struct ReferenceLimits: Sendable {
    private struct Key: Hashable {
        /// The address; of IPv6 the upper half.
        var source: UInt64
        var requests: RequestClass
    }

    /// When the next packet is due, in microseconds of the boot-time clock.
    private var due: [Key: UInt64] = [:]
    /// In 1024 parts of a microsecond.
    private var budgetDue: UInt64 = 0

    /// Is a packet one too many? If not, it is counted. `now`: microseconds.
    mutating func isExceeded(
        by source: SourceAddress, _ requests: RequestClass, now: UInt64, _ settings: FilterSettings
    ) -> Bool {
        if let limit = settings.limits[requests]?.abi(.source) {
            let key = Key(source: source.limitKey, requests: requests)
            let ahead = max(due[key] ?? now, now) - now
            if ahead > limit.tolerance { return true }
            due[key] = now + ahead + limit.interval
        }
        guard let budget = settings.budget?.abi(.budget) else { return false }
        let now = now << 10
        if budgetDue > now, budgetDue - now > budget.tolerance { return true }
        budgetDue = max(budgetDue, now) + budget.interval
        return false
    }
}

extension SourceAddress {
    /// Whoever has one address of an IPv6 /64 has all of them.
    fileprivate var limitKey: UInt64 {
        switch self {
        case .ipv4(let address): UInt64(address)
        case .ipv6(let bytes): bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        }
    }

    /// As a prefix of full length.
    var prefix: IPPrefix {
        switch self {
        case .ipv4(let address): IPPrefix(ipv4: address)
        case .ipv6(let bytes): IPPrefix(ipv6: bytes.reduce(0) { $0 << 8 | UInt128($1) })
        }
    }
}
