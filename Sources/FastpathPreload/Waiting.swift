// SPDX-License-Identifier: Apache-2.0
import CFastpathABI
import CPreload
import Synchronization

/// How a process waits for datagrams of a binding: in an epoll instance of this process that has the server's socket,
/// the AF_XDP sockets and the binding's eventfd. The kernel wakes one waiting process for each event (EPOLLEXCLUSIVE);
/// one that leaves something behind wakes the next (``Binding/wake(always:)``).
enum Waiting {
    private struct Instance {
        var epoll: Int32 = -1
        var process: Int32 = 0
        var socket: Int32 = -1
    }
    nonisolated(unsafe) private static var instances = InlineArray<8, Instance>(repeating: Instance())

    /// Why it is over.
    enum Outcome {
        /// Something may be in a ring.
        case ring
        /// Something may be in the kernel's socket.
        case kernel
        case timedOut
        /// By a signal.
        case interrupted
    }

    /// Waits until `end`, in ``milliseconds()``; nil: without end. Beats meanwhile.
    static func wait(_ binding: Int, _ fd: Int32, until end: Int?) -> Outcome {
        let epoll = instance(binding, fd)
        let place = Shared.bindings + binding
        place.pointee.sleepers.add(1, ordering: .sequentiallyConsistent)
        defer { place.pointee.sleepers.subtract(1, ordering: .sequentiallyConsistent) }
        while true {
            let time = Beat.whenDue()
            // Whoever came before this process was counted as one that sleeps has woken nobody.
            if mayHaveSome(binding) { return .ring }
            var slice = place.pointee.slice(at: time)
            if let end { slice = min(slice, max(0, end - milliseconds())) }
            var event = epoll_event()
            let count = Real.functions.pointee.epollPwait(epoll, &event, 1, Int32(slice), nil)
            if count < 0 {
                if fastpath_errno() == EINTR { return .interrupted }
                // No descriptor for an instance was to be had: then by turns.
                usleep(1_000)
                return .kernel
            }
            if count > 0 {
                if Shared.queueCount > 0 { Shared.queues[0].count(FASTPATH_CONSUMER_WAKEUPS) }
                if event.data.u32 == 1 { place.pointee.calm() }
                return event.data.u32 == 0 ? .kernel : .ring
            }
            if let end, milliseconds() >= end { return .timedOut }
        }
    }

    /// Of the monotonic clock.
    static func milliseconds() -> Int {
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        return now.tv_sec * 1_000 + now.tv_nsec / 1_000_000
    }

    /// Would a receiving call go on behind a signal (SA_RESTART, signal(7))? Which one it was is not told: where the
    /// handlers differ, the call ends, as any may.
    static var isRestarted: Bool {
        for signal in 1..<Int32(65) where fastpath_interrupts(signal) != 0 { return false }
        return true
    }

    /// This process has closed its sockets.
    static func leave() {
        for binding in 0..<Shared.bindingLimit {
            if instances[binding].process == Process.number { Descriptors.end(instances[binding].epoll) }
            instances[binding] = Instance()
        }
    }

    /// Is there something in a ring? A hint, without a lock.
    @inline(__always)
    static func mayHaveSome(_ binding: Int) -> Bool {
        for number in 0..<Shared.queueCount where Shared.queues[number].mayHave(binding) { return true }
        return false
    }

    /// This process's own, made when it first waits: one that was made before a fork would be its parent's too.
    private static func instance(_ binding: Int, _ fd: Int32) -> Int32 {
        let process = Process.number
        let present = instances[binding]
        if present.process == process, present.socket == fd { return present.epoll }
        if present.process == process { Descriptors.end(present.epoll) }
        let epoll = Descriptors.hide(epoll_create1(Int32(EPOLL_CLOEXEC)))
        instances[binding] = Instance(epoll: epoll, process: process, socket: fd)
        guard epoll >= 0 else { return -1 }
        let events = EPOLLIN.rawValue | EPOLLEXCLUSIVE.rawValue
        add(fd, to: epoll, events, mark: 0)
        add(Shared.bindings[binding].wakeup, to: epoll, events, mark: 1)
        // By the edge: the rings are looked at before each wait, so that the kernel need not look once more.
        let edge = events | EPOLLET.rawValue
        for number in 0..<Shared.queueCount { add(Shared.queues[number].watched[binding], to: epoll, edge, mark: 2) }
        Readers.register(process)
        return epoll
    }

    private static func add(_ fd: Int32, to epoll: Int32, _ events: UInt32, mark: UInt32) {
        var event = epoll_event()
        event.events = events
        event.data.u32 = mark
        _ = Real.functions.pointee.epollCtl(epoll, EPOLL_CTL_ADD, fd, &event)
    }
}

/// This process's number without a system call: kept in a page that the kernel empties in a child (madvise(2)).
enum Process {
    nonisolated(unsafe) private static var place: UnsafeMutablePointer<Int32>?

    static func make() {
        guard place == nil, let memory = fastpath_map(4_096, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) else { return }
        guard madvise(memory, 4_096, MADV_WIPEONFORK) == 0 else { return }
        place = memory.assumingMemoryBound(to: Int32.self)
    }

    @inline(__always)
    static var number: Int32 {
        guard let place else { return getpid() }
        if place.pointee == 0 { place.pointee = getpid() }
        return place.pointee
    }
}

/// The processes that read, for `vos-fastpath sockets`.
enum Readers {
    nonisolated(unsafe) private static var known: Int32 = 0

    static func register(_ process: Int32) {
        guard known != process else { return }
        known = process
        for number in 0..<Shared.queueCount {
            guard let consumer = Shared.queues[number].consumer else { continue }
            withUnsafeMutableBytes(of: &consumer.pointee.pids) { bytes in
                let places = bytes.assumingMemoryBound(to: UInt32.self)
                for place in 0..<Int(FASTPATH_CONSUMER_PIDS) {
                    let present = Int32(bitPattern: places[place])
                    if present == process { break }
                    // A place of a process that is gone is free again.
                    guard present == 0 || kill(present, 0) != 0 && fastpath_errno() == ESRCH else { continue }
                    places[place] = UInt32(bitPattern: process)
                    break
                }
            }
        }
    }
}
