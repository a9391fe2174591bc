// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Spreads events evenly over time: at any moment, as many are due as the rate says.
public struct Pace: Sendable {
    /// A second; nil: as fast as it goes.
    public let rate: Int?
    private let start: ContinuousClock.Instant
    private var taken = 0

    public init(rate: Int?, start: ContinuousClock.Instant = .now) {
        self.rate = rate
        self.start = start
    }

    /// How many are due at `now`, at most `limit`, and none below `least`; they count as done from here on. What could not
    /// be done in time is made up for, but never more than 20 ms of it: a burst is no fixed rate.
    public mutating func take(limit: Int, least: Int = 1, now: ContinuousClock.Instant = .now) -> Int {
        guard let rate else { return limit }
        let planned = Int((now - start) / .nanoseconds(1) * Double(rate) / 1e9)
        taken = max(taken, planned - max(1, rate / 50))
        let due = min(limit, max(0, planned - taken))
        if due < least { return 0 }
        taken += due
        return due
    }
}

/// Bounds on whatever sends.
public struct SendLimits: Hashable, Sendable {
    /// Packets at most.
    public var count: Int
    /// Time at most.
    public var duration: Duration
    /// Packets a second; nil: as fast as it goes.
    public var rate: Int?

    public init(count: Int, duration: Duration = .seconds(60), rate: Int? = nil) {
        self.count = count
        self.duration = duration
        self.rate = rate
    }

    /// Calls `send` with how many packets are due, `portion` at most, until a bound is reached or `isStopping` says so.
    /// A portion of a fixed rate is sent every half a millisecond or later: each run of live frames makes a pool of memory
    /// in the kernel, which has numbers for 65,533 (ENOSPC) and keeps a pool for seconds while its frames wait in sockets.
    func drive(
        portion: Int, until isStopping: () -> Bool, send: (Int) throws(Failure) -> Void
    ) throws(Failure) {
        let end = ContinuousClock.now + duration
        var pace = Pace(rate: rate)
        var left = count
        let least = rate.map { max(1, min(portion, $0 / 2_000)) } ?? 1
        while left > 0, ContinuousClock.now < end, !isStopping() {
            let due = pace.take(limit: min(portion, left), least: min(least, left))
            if due == 0 {
                Wait.pause(.microseconds(500))
                continue
            }
            try send(due)
            left -= due
        }
    }
}

/// What a generator sent.
public struct Sent: Hashable, Sendable {
    /// Packets that left: those that the interface refused are not among them.
    public var packets: Int
    /// Packets that the interface refused (a veth whose peer's ring was full).
    public var refused: Int
    public var duration: Duration

    public init(packets: Int, refused: Int, duration: Duration) {
        self.packets = packets
        self.refused = refused
        self.duration = duration
    }

    /// Packets a second.
    public var rate: Double { duration > .zero ? Double(packets) / (duration / .seconds(1)) : 0 }
}
