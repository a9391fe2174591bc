// SPDX-License-Identifier: Apache-2.0
import CPreload

// The calls by which a server waits until it can read: where one of its sockets was taken over, its rings are waited for
// as well, and the process beats meanwhile.

/// poll(2) and all that is poll in other words.
enum PollCalls {
    /// `timeout`: milliseconds, below 0 for none. `mask`: as ppoll(2) has it.
    static func poll(
        _ places: UnsafeMutablePointer<pollfd>, _ count: Int, _ timeout: Int, _ mask: UnsafePointer<sigset_t>?
    ) -> Int32 {
        let extra = (Shared.queueCount + 1) * min(count, Shared.bindingLimit)
        return withUnsafeTemporaryAllocation(of: pollfd.self, capacity: count + extra) { all in
            let used = lay(places, count, all)
            let end = timeout < 0 ? 0 : Waiting.milliseconds() + timeout
            while true {
                Beat.whenDue()
                let left = timeout < 0 ? Beat.interval : max(0, end - Waiting.milliseconds())
                let slice = hasReady(places, count) ? 0 : min(left, Beat.interval)
                var time = timespec(tv_sec: slice / 1_000, tv_nsec: slice % 1_000 * 1_000_000)
                let found = Real.functions.pointee.ppoll(all.baseAddress, UInt(used), &time, mask)
                if found < 0 { return -1 }
                let ready = gather(places, count, all, used)
                if ready > 0 || left == 0 { return ready }
            }
        }
    }

    /// Is one of them a socket that was taken over, and waited for to be read?
    static func concerns(_ places: UnsafeMutablePointer<pollfd>, _ count: Int) -> Bool {
        for index in 0..<count where binding(places[index]) >= 0 { return true }
        Leftover.settle()
        return false
    }

    @inline(__always)
    private static func binding(_ place: pollfd) -> Int {
        place.events & Int16(POLLIN | POLLRDNORM) != 0 ? Descriptors.binding(of: place.fd) : -1
    }

    private static func hasReady(_ places: UnsafeMutablePointer<pollfd>, _ count: Int) -> Bool {
        for index in 0..<count {
            let binding = binding(places[index])
            if binding >= 0, Waiting.mayHaveSome(binding) { return true }
        }
        return false
    }

    /// The caller's places, then those of the rings. Returns how many.
    private static func lay(
        _ places: UnsafeMutablePointer<pollfd>, _ count: Int, _ all: UnsafeMutableBufferPointer<pollfd>
    ) -> Int {
        var used = count
        for index in 0..<count { all[index] = places[index] }
        for index in 0..<count {
            let binding = binding(places[index])
            guard binding >= 0, used + Shared.queueCount + 1 <= all.count else { continue }
            Readers.register(Process.number)
            all[used] = pollfd(fd: Shared.bindings[binding].wakeup, events: Int16(POLLIN), revents: 0)
            used += 1
            for number in 0..<Shared.queueCount {
                all[used] = pollfd(fd: Shared.queues[number].socket.fd, events: Int16(POLLIN), revents: 0)
                used += 1
            }
        }
        return used
    }

    /// What the caller is told: its sockets are ready where a ring has something for them. Returns how many are.
    private static func gather(
        _ places: UnsafeMutablePointer<pollfd>, _ count: Int, _ all: UnsafeMutableBufferPointer<pollfd>, _ used: Int
    ) -> Int32 {
        var ready: Int32 = 0
        for index in 0..<count {
            places[index].revents = all[index].revents
            let binding = binding(places[index])
            if binding >= 0, Waiting.mayHaveSome(binding) {
                places[index].revents |= places[index].events & Int16(POLLIN | POLLRDNORM)
            }
            if places[index].revents != 0 { ready += 1 }
        }
        return ready
    }

    /// Milliseconds, rounded up; below 0 for nil.
    static func milliseconds(_ time: UnsafePointer<timespec>?) -> Int {
        guard let time else { return -1 }
        return Int(clamping: time.pointee.tv_sec.multipliedReportingOverflow(by: 1_000).partialValue)
            + (time.pointee.tv_nsec + 999_999) / 1_000_000
    }
}

@c(poll) public func preloadedPoll(_ places: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ timeout: Int32) -> Int32 {
    guard Shared.isActive, let places, count <= 65_536, PollCalls.concerns(places, Int(count)) else {
        return Real.functions.pointee.poll(places, count, timeout)
    }
    return PollCalls.poll(places, Int(count), Int(timeout), nil)
}

@c(ppoll)
public func preloadedPpoll(
    _ places: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ timeout: UnsafePointer<timespec>?,
    _ mask: UnsafePointer<sigset_t>?
) -> Int32 {
    guard Shared.isActive, let places, count <= 65_536, PollCalls.concerns(places, Int(count)) else {
        return Real.functions.pointee.ppoll(places, count, timeout, mask)
    }
    return PollCalls.poll(places, Int(count), PollCalls.milliseconds(timeout), mask)
}

@c(__poll_chk)
public func preloadedPollChecked(
    _ places: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ timeout: Int32, _ size: Int
) -> Int32 {
    if Int(count) > size / MemoryLayout<pollfd>.stride { abort() }
    return preloadedPoll(places, count, timeout)
}

@c(__ppoll_chk)
public func preloadedPpollChecked(
    _ places: UnsafeMutablePointer<pollfd>?, _ count: UInt, _ timeout: UnsafePointer<timespec>?,
    _ mask: UnsafePointer<sigset_t>?, _ size: Int
) -> Int32 {
    if Int(count) > size / MemoryLayout<pollfd>.stride { abort() }
    return preloadedPpoll(places, count, timeout, mask)
}

// MARK: select(2), as poll(2)

enum SelectCalls {
    typealias Sets = UnsafeMutablePointer<fd_set>?

    /// Nil where no socket that was taken over is in the set.
    @inline(never)
    static func select(
        _ end: Int32, _ readers: Sets, _ writers: Sets, _ others: Sets, _ timeout: Int, _ mask: UnsafePointer<sigset_t>?
    ) -> Int32? {
        guard Shared.isActive, end >= 0, end <= 1_024, let readers else { return nil }
        var isOurs = false
        for fd in 0..<end where fastpath_fd_isset(fd, readers) != 0 && Descriptors.binding(of: fd) >= 0 {
            isOurs = true
        }
        guard isOurs else { return nil }
        return withUnsafeTemporaryAllocation(of: pollfd.self, capacity: Int(end)) { places in
            var count = 0
            for fd in 0..<end {
                var events: Int32 = 0
                if isIn(fd, readers) { events |= POLLIN }
                if isIn(fd, writers) { events |= POLLOUT }
                if isIn(fd, others) { events |= POLLPRI }
                guard events != 0 else { continue }
                places[count] = pollfd(fd: fd, events: Int16(events), revents: 0)
                count += 1
            }
            let base = places.baseAddress.unsafelyUnwrapped
            let found = PollCalls.poll(base, count, timeout, mask)
            if found < 0 { return -1 }
            return answer(base, count, readers, writers, others)
        }
    }

    private static func isIn(_ fd: Int32, _ set: Sets) -> Bool {
        if let set { return fastpath_fd_isset(fd, set) != 0 }
        return false
    }

    /// The sets say who is ready. Returns how many bits are set; -1 where a descriptor is none.
    private static func answer(
        _ places: UnsafeMutablePointer<pollfd>, _ count: Int, _ readers: Sets, _ writers: Sets, _ others: Sets
    ) -> Int32 {
        for index in 0..<count where Int32(places[index].revents) & POLLNVAL != 0 {
            fastpath_set_errno(EBADF)
            return -1
        }
        if let readers { fastpath_fd_zero(readers) }
        if let writers { fastpath_fd_zero(writers) }
        if let others { fastpath_fd_zero(others) }
        var bits: Int32 = 0
        for index in 0..<count {
            let place = places[index]
            let events = Int32(place.events)
            let found = Int32(place.revents)
            func tell(_ set: Sets, _ asked: Int32, _ tells: Int32) {
                guard let set, events & asked != 0, found & tells != 0 else { return }
                fastpath_fd_set(place.fd, set)
                bits += 1
            }
            tell(readers, POLLIN, POLLIN | POLLHUP | POLLERR)
            tell(writers, POLLOUT, POLLOUT | POLLERR)
            tell(others, POLLPRI, POLLPRI)
        }
        return bits
    }
}

@c(select)
public func preloadedSelect(
    _ end: Int32, _ readers: UnsafeMutablePointer<fd_set>?, _ writers: UnsafeMutablePointer<fd_set>?,
    _ others: UnsafeMutablePointer<fd_set>?, _ timeout: UnsafeMutablePointer<timeval>?
) -> Int32 {
    var milliseconds = -1
    if let timeout { milliseconds = timeout.pointee.tv_sec * 1_000 + (timeout.pointee.tv_usec + 999) / 1_000 }
    return SelectCalls.select(end, readers, writers, others, milliseconds, nil)
        ?? Real.functions.pointee.select(end, readers, writers, others, timeout)
}

@c(pselect)
public func preloadedPselect(
    _ end: Int32, _ readers: UnsafeMutablePointer<fd_set>?, _ writers: UnsafeMutablePointer<fd_set>?,
    _ others: UnsafeMutablePointer<fd_set>?, _ timeout: UnsafePointer<timespec>?, _ mask: UnsafePointer<sigset_t>?
) -> Int32 {
    SelectCalls.select(end, readers, writers, others, PollCalls.milliseconds(timeout), mask)
        ?? Real.functions.pointee.pselect(end, readers, writers, others, timeout, mask)
}
