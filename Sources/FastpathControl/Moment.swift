// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// A point in time on the two clocks that count: the record's and the kernel's.
public struct Moment: Hashable, Sendable {
    /// Seconds since 1970-01-01 UTC.
    public var wall: Int64
    /// Seconds of the boot-time clock (CLOCK_BOOTTIME), which the program compares with.
    public var boot: UInt32

    public init(wall: Int64, boot: UInt32) {
        self.wall = wall
        self.boot = boot
    }

    /// The boot-time clock's second for one since 1970-01-01 UTC, as far as it can tell one.
    func boot(ofWall second: Int64) -> UInt32 {
        let (distance, isTooFar) = second.subtractingReportingOverflow(wall)
        if isTooFar { return second > wall ? .max - 1 : 1 }
        // 0 and the largest number mean something else to the table.
        return UInt32(clamping: min(max(1, Int64(boot) &+ min(distance, 1 << 40)), Int64(UInt32.max) - 1))
    }

    /// The second since 1970-01-01 UTC for one of the boot-time clock.
    func wall(ofBoot second: UInt32) -> Int64 { wall - (Int64(boot) - Int64(second)) }
}

/// Bounds that the configuration sets.
public struct PolicyLimits: Hashable, Sendable {
    /// Bytes that the policy table may take.
    public var policyMemory: Int
    /// A block entry may cover so much of its family's address space at most: ``IPPrefix/addressShare``.
    public var maxBlockShare: Double

    public init(
        policyMemory: Int = Configuration.defaultPolicyMemory,
        maxBlockShare: Double = Configuration.defaultMaxBlockShare
    ) {
        self.policyMemory = policyMemory
        self.maxBlockShare = maxBlockShare
    }
}
