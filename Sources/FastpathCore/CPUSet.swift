// SPDX-License-Identifier: Apache-2.0

/// Numbers of CPUs, as the kernel lists them: `0-2,6`.
public struct CPUSet: Hashable, Sendable {
    /// Ascending, each once.
    public let cpus: [Int]

    /// The kernel's own limit (CONFIG_NR_CPUS) is 8,192 at most: a list of more is a mistake, not a machine.
    public static let limit = 8_192

    public init(_ cpus: some Sequence<Int>) { self.cpus = Set(cpus).sorted() }

    /// Reads a list as the kernel and taskset(1) write it; nil where it is none. An empty list is none.
    public init?(list: some StringProtocol) {
        var cpus: Set<Int> = []
        for part in list.split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false)
            guard (1...2).contains(ends.count), let first = Self.number(ends[0]),
                let last = Self.number(ends[ends.count - 1]), first <= last
            else { return nil }
            cpus.formUnion(first...last)
        }
        self.init(cpus)
    }

    private static func number(_ text: some StringProtocol) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
            let number = Int(text), number < limit
        else { return nil }
        return number
    }

    public var isEmpty: Bool { cpus.isEmpty }
    public var count: Int { cpus.count }

    public func contains(_ cpu: Int) -> Bool { cpus.contains(cpu) }
    public func subtracting(_ other: CPUSet) -> CPUSet { CPUSet(cpus.filter { !other.contains($0) }) }
    public func intersection(_ other: CPUSet) -> CPUSet { CPUSet(cpus.filter(other.contains)) }
}

extension CPUSet: CustomStringConvertible {
    /// `0-2,6`
    public var description: String {
        var ranges: [ClosedRange<Int>] = []
        for cpu in cpus {
            if let last = ranges.last, last.upperBound + 1 == cpu {
                ranges[ranges.count - 1] = last.lowerBound...cpu
            } else {
                ranges.append(cpu...cpu)
            }
        }
        return ranges.map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound)-\($0.upperBound)" }
            .joined(separator: ",")
    }
}
