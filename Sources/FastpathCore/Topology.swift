// SPDX-License-Identifier: Apache-2.0

/// CPUs that run and share their last-level cache: a core complex (CCX), or a whole socket.
public struct CacheDomain: Hashable, Sendable {
    public var cpus: CPUSet
    /// Of the cache that they share; nil where the machine tells of none.
    public var level: Int?
    /// The NUMA node of the first of them; nil where the machine tells of none.
    public var node: Int?

    public init(cpus: CPUSet, level: Int? = nil, node: Int? = nil) {
        self.cpus = cpus
        self.level = level
        self.node = node
    }
}

/// An interrupt of a NIC's queue, and the CPUs that the kernel delivers it to.
public struct QueueInterrupt: Hashable, Sendable {
    public var number: Int
    public var cpus: CPUSet

    public init(number: Int, cpus: CPUSet) {
        self.number = number
        self.cpus = cpus
    }
}

/// The CPUs of a machine that run.
public struct Topology: Hashable, Sendable {
    public var online: CPUSet
    /// In order of their first CPU; together they hold `online`.
    public var domains: [CacheDomain]

    public init(online: CPUSet, domains: [CacheDomain]) {
        self.online = online
        self.domains = domains
    }

    /// Where a SIP server is best: the domain that takes most of the NIC's interrupts, since what the kernel has just
    /// written lies in that cache; without interrupts the largest. The first of several that are equal.
    public func domain(for interrupts: [QueueInterrupt]) -> CacheDomain {
        let rank = { (domain: CacheDomain) in
            (interrupts.count { !$0.cpus.intersection(domain.cpus).isEmpty }, domain.cpus.count)
        }
        var best = domains.first ?? CacheDomain(cpus: online)
        for domain in domains.dropFirst() where rank(domain) > rank(best) { best = domain }
        return best
    }
}
