// SPDX-License-Identifier: Apache-2.0
import CPreload
import Synchronization

/// While a process is willing to read, it says so where the packet program sees it (`fastpath_consumer.beat`): the
/// program redirects nothing to a server that stands still.
enum Beat {
    /// Milliseconds that a process waits at most before it beats again: well within the program's second.
    static let interval = 400
    /// Microseconds between the boot-time clock, which the program reads, and the coarse monotonic one, which costs
    /// nothing to read.
    nonisolated(unsafe) private static var offset: Int = 0
    nonisolated(unsafe) private static var last: Int = 0

    /// Of the coarse monotonic clock.
    static var second: UInt32 { UInt32(truncatingIfNeeded: micros(CLOCK_MONOTONIC_COARSE) / 1_000_000) }

    private static func micros(_ clock: Int32) -> Int {
        var now = timespec()
        clock_gettime(clock, &now)
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    }

    /// Before a process sleeps, and behind it: takes the difference of the clocks anew, which grows while the machine is
    /// suspended.
    static func slowly() {
        let coarse = micros(CLOCK_MONOTONIC_COARSE)
        offset = micros(CLOCK_BOOTTIME) - coarse
        write(coarse)
        Endpoints.refresh(second: coarse / 1_000_000)
    }

    /// With each datagram.
    @inline(__always)
    static func quickly() {
        let coarse = micros(CLOCK_MONOTONIC_COARSE)
        if coarse - last < 50_000 { return }
        offset == 0 ? slowly() : write(coarse)
        Endpoints.refresh(second: coarse / 1_000_000)
    }

    private static func write(_ coarse: Int) {
        last = coarse
        for number in 0..<Shared.queueCount {
            let queue = Shared.queues + number
            guard let consumer = queue.pointee.consumer, queue.pointee.isStuck.load(ordering: .relaxed) == 0 else {
                continue
            }
            UnsafeMutableRawPointer(consumer).assumingMemoryBound(to: Atomic<UInt64>.self)
                .pointee.store(UInt64(coarse + offset), ordering: .relaxed)
        }
    }
}
