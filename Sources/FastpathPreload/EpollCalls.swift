// SPDX-License-Identifier: Apache-2.0
import CPreload

/// epoll(7): whoever adds a socket that was taken over adds its rings with it, by the same name (`epoll_data`), so that
/// an event of theirs reads like one of the socket's.
enum EpollCalls {
    private static let reading = EPOLLIN.rawValue | EPOLLRDNORM.rawValue
    /// Bits that say how to tell, not what.
    private static let manner =
        EPOLLET.rawValue | EPOLLONESHOT.rawValue | EPOLLEXCLUSIVE.rawValue | EPOLLWAKEUP.rawValue

    /// Behind an epoll_ctl(2) that went well.
    static func changed(
        _ binding: Int, _ epoll: Int32, _ operation: Int32, _ fd: Int32, _ event: UnsafeMutablePointer<epoll_event>?
    ) {
        let code = fastpath_errno()
        defer { fastpath_set_errno(code) }
        guard operation != EPOLL_CTL_DEL, let event else {
            removeRings(binding, from: epoll)
            Watches.remove(fd, from: epoll)
            return
        }
        Watches.add(fd, to: epoll)
        Descriptors.watch(epoll)
        guard event.pointee.events & reading != 0 else { return removeRings(binding, from: epoll) }
        var ring = event.pointee
        ring.events &= reading | manner
        forEachRing(binding) { fd in
            // Modified where it is there; the kernel refuses to modify with EPOLLEXCLUSIVE, where nothing changes anyway.
            if Real.functions.pointee.epollCtl(epoll, EPOLL_CTL_ADD, fd, &ring) != 0, fastpath_errno() == EEXIST {
                _ = Real.functions.pointee.epollCtl(epoll, EPOLL_CTL_MOD, fd, &ring)
            }
        }
    }

    static func removeRings(_ binding: Int, from epoll: Int32) {
        var event = epoll_event()
        forEachRing(binding) { fd in _ = Real.functions.pointee.epollCtl(epoll, EPOLL_CTL_DEL, fd, &event) }
    }

    /// One descriptor for each binding, as an epoll instance tells them apart by their numbers.
    private static func forEachRing(_ binding: Int, _ body: (Int32) -> Void) {
        body(Shared.bindings[binding].wakeup)
        for number in 0..<Shared.queueCount { body(Shared.queues[number].watched[binding]) }
    }

    /// In slices, beating between them.
    static func wait(
        _ epoll: Int32, _ events: UnsafeMutablePointer<epoll_event>?, _ limit: Int32, _ timeout: Int,
        _ mask: UnsafePointer<sigset_t>?
    ) -> Int32 {
        Readers.register(Process.number)
        var left = timeout
        while true {
            Beat.whenDue()
            let slice = left < 0 || left > Beat.interval ? Beat.interval : left
            let count = Real.functions.pointee.epollPwait(epoll, events, limit, Int32(slice), mask)
            if count != 0 { return count }
            if left >= 0 {
                left -= slice
                if left <= 0 { return 0 }
            }
        }
    }
}

@c(epoll_ctl)
public func preloadedEpollCtl(
    _ epoll: Int32, _ operation: Int32, _ fd: Int32, _ event: UnsafeMutablePointer<epoll_event>?
) -> Int32 {
    let result = Real.functions.pointee.epollCtl(epoll, operation, fd, event)
    let binding = Descriptors.binding(of: fd)
    if binding >= 0, result == 0 { EpollCalls.changed(binding, epoll, operation, fd, event) }
    return result
}

@c(epoll_wait)
public func preloadedEpollWait(
    _ epoll: Int32, _ events: UnsafeMutablePointer<epoll_event>?, _ limit: Int32, _ timeout: Int32
) -> Int32 {
    guard Descriptors.isWatched(epoll) else {
        return Real.functions.pointee.epollPwait(epoll, events, limit, timeout, nil)
    }
    return EpollCalls.wait(epoll, events, limit, Int(timeout), nil)
}

@c(epoll_pwait)
public func preloadedEpollPwait(
    _ epoll: Int32, _ events: UnsafeMutablePointer<epoll_event>?, _ limit: Int32, _ timeout: Int32,
    _ mask: UnsafePointer<sigset_t>?
) -> Int32 {
    guard Descriptors.isWatched(epoll) else {
        return Real.functions.pointee.epollPwait(epoll, events, limit, timeout, mask)
    }
    return EpollCalls.wait(epoll, events, limit, Int(timeout), mask)
}

/// Of an instance that has sockets of ours its timeout is rounded up to milliseconds.
@c(epoll_pwait2)
public func preloadedEpollPwait2(
    _ epoll: Int32, _ events: UnsafeMutablePointer<epoll_event>?, _ limit: Int32, _ timeout: UnsafePointer<timespec>?,
    _ mask: UnsafePointer<sigset_t>?
) -> Int32 {
    guard Descriptors.isWatched(epoll) else { return fastpath_epoll_pwait2(epoll, events, limit, timeout, mask) }
    return EpollCalls.wait(epoll, events, limit, PollCalls.milliseconds(timeout), mask)
}
