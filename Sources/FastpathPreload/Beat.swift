// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// While a process is willing to read, it says so where the packet program sees it (`fastpath_consumer.beat`): the
/// program redirects nothing to a server that stands still.
enum Beat {
    /// Milliseconds that a process waits at most before it beats again: with ``pause`` well within the program's second.
    static let interval = 400
    nonisolated(unsafe) private static var last: Int = 0
    nonisolated(unsafe) private static var told: Int = 0

    /// Microseconds between beats of a process that is awake: the places that are written to are on other CPUs too.
    private static let pause = 50_000

    /// Of the coarse monotonic clock, which goes in steps of the kernel's tick and costs nothing to read: microseconds.
    static var time: Int { micros(CLOCK_MONOTONIC_COARSE) }

    static var second: UInt32 { UInt32(truncatingIfNeeded: time / 1_000_000) }

    private static func micros(_ clock: Int32) -> Int {
        var now = timespec()
        clock_gettime(clock, &now)
        return now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
    }

    /// At once: for queues that are new.
    static func now() {
        let coarse = time
        write(coarse)
        Endpoints.refresh(second: coarse / 1_000_000)
    }

    /// With each datagram, before a process sleeps and behind it. Returns ``time``.
    @inline(never) @discardableResult
    static func whenDue() -> Int {
        let coarse = time
        if coarse - last >= pause { now() }
        return coarse
    }

    private static func write(_ coarse: Int) {
        let tells = coarse - told > 100_000
        if tells { told = coarse }
        last = coarse
        // What the program reads.
        let beat = UInt64(micros(CLOCK_BOOTTIME))
        for number in 0..<Shared.queueCount {
            let queue = Shared.queues + number
            guard let consumer = queue.pointee.consumer, queue.pointee.isStuck.load(ordering: .relaxed) == 0 else {
                continue
            }
            UnsafeMutableRawPointer(consumer).assumingMemoryBound(to: Atomic<UInt64>.self)
                .pointee.store(beat, ordering: .relaxed)
            if tells { queue.pointee.tell(consumer) }
        }
    }
}

extension Queue {
    /// How full the rings are, and what the kernel found no room for (linux/if_xdp.h): for `vos-fastpath sockets`.
    @inline(never)
    func tell(_ consumer: UnsafeMutablePointer<fastpath_consumer>) {
        consumer.pointee.ring_ready = UInt64(socket.receive.ready)
        var statistics = xdp_statistics()
        var length = socklen_t(MemoryLayout<xdp_statistics>.size)
        guard getsockopt(socket.fd, SOL_XDP, XDP_STATISTICS, &statistics, &length) == 0 else { return }
        // Not counted up, so that it does not matter who tells.
        withUnsafeMutableBytes(of: &consumer.pointee.counts) { bytes in
            let counts = bytes.assumingMemoryBound(to: UInt64.self)
            counts[Int(FASTPATH_CONSUMER_RING_FULL.rawValue)] = statistics.rx_dropped &+ statistics.rx_ring_full
        }
    }
}
