// SPDX-License-Identifier: Apache-2.0

/// What a figure counts.
public enum Unit: String, Hashable, Sendable {
    case nanoseconds = "ns"
    case milliseconds = "ms"
    /// Millions of packets a second.
    case megapackets = "Mpps"
    /// Thousands of packets a second.
    case kilopackets = "kpps"
    case percent = "%"
    /// One figure over another.
    case ratio
}

/// Something that was measured, once a round.
public struct Figure: Hashable, Sendable {
    /// For programs; never changes: `packet.invite.edge`.
    public var name: String
    public var unit: Unit
    /// One a round, in their order.
    public var samples: [Double]

    public init(_ name: String, _ unit: Unit, _ samples: [Double] = []) {
        self.name = name
        self.unit = unit
        self.samples = samples
    }

    public var minimum: Double { samples.min() ?? .nan }
    public var maximum: Double { samples.max() ?? .nan }

    /// The middle one, or the mean of the two in the middle; not a number without samples.
    public var median: Double {
        guard !samples.isEmpty else { return .nan }
        let sorted = samples.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// Round by round: what disturbs one round disturbs both figures of it.
    public func over(_ other: Figure, as name: String) -> Figure {
        Figure(name, .ratio, zip(samples, other.samples).map { $0 / $1 })
    }

    /// Round by round.
    public func minus(_ other: Figure, as name: String) -> Figure {
        Figure(name, unit, zip(samples, other.samples).map { $0 - $1 })
    }
}

/// What a figure should reach.
public struct Goal: Hashable, Sendable {
    public enum Relation: String, Hashable, Sendable {
        case atMost = "at_most"
        case atLeast = "at_least"
    }

    /// The figure's median counts.
    public var figure: Figure
    public var relation: Relation
    /// In the figure's unit.
    public var limit: Double
    /// What is measured, for a person.
    public var label: String

    public var isMet: Bool {
        switch relation {
        case .atMost: figure.median <= limit
        case .atLeast: figure.median >= limit
        }
    }
}
