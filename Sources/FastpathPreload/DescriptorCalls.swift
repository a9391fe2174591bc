// SPDX-License-Identifier: Apache-2.0
import CPreload

// The calls by which a server makes, copies and ends its sockets.

@c(bind) public func preloadedBind(_ fd: Int32, _ address: UnsafeRawPointer?, _ length: UInt32) -> Int32 {
    let result = Real.functions.pointee.bind(fd, address, length)
    if result == 0, let address, length >= 16 {
        let family = Int32(address.loadUnaligned(as: UInt16.self))
        if family == AF_INET || family == AF_INET6 { Takeover.bound(fd) }
    }
    return result
}

/// A connected socket takes datagrams of one peer alone: the kernel knows to choose, so it is the kernel's again.
@c(connect) public func preloadedConnect(_ fd: Int32, _ address: UnsafeRawPointer?, _ length: UInt32) -> Int32 {
    let result = Real.functions.pointee.connect(fd, address, length)
    if result == 0, Descriptors.binding(of: fd) >= 0 {
        let code = fastpath_errno()
        Takeover.warn("it has connected a socket that was taken over", 0)
        Takeover.released(fd)
        fastpath_set_errno(code)
    }
    return result
}

/// What is this library's own stays open: a server that closes all descriptors means those that it knows.
@c(close) public func preloadedClose(_ fd: Int32) -> Int32 {
    if Descriptors.isOwn(fd) {
        fastpath_set_errno(EBADF)
        return -1
    }
    if Descriptors.binding(of: fd) >= 0 { Takeover.released(fd) }
    if Descriptors.isWatched(fd) {
        Watches.forget(fd)
        Descriptors.forget(fd)
    }
    return Real.functions.pointee.close(fd)
}

@c(dup) public func preloadedDup(_ fd: Int32) -> Int32 {
    let copy = Real.functions.pointee.dup(fd)
    Descriptors.copied(fd, to: copy)
    return copy
}

@c(dup2) public func preloadedDup2(_ fd: Int32, _ copy: Int32) -> Int32 {
    guard mayReplace(fd, copy) else { return -1 }
    let result = Real.functions.pointee.dup2(fd, copy)
    if result >= 0 { Descriptors.copied(fd, to: result) }
    return result
}

@c(dup3) public func preloadedDup3(_ fd: Int32, _ copy: Int32, _ flags: Int32) -> Int32 {
    guard mayReplace(fd, copy) else { return -1 }
    let result = Real.functions.pointee.dup3(fd, copy, flags)
    if result >= 0 { Descriptors.copied(fd, to: result) }
    return result
}

/// dup2(2) closes what was there.
private func mayReplace(_ fd: Int32, _ copy: Int32) -> Bool {
    if Descriptors.isOwn(copy) {
        fastpath_set_errno(EBADF)
        return false
    }
    if copy != fd, Descriptors.binding(of: copy) >= 0 { Takeover.released(copy) }
    return true
}

// fcntl and ioctl take one more argument of the size of a register, or none; on the platforms that this library is built
// for it comes in the same one either way.

@c(fcntl) public func preloadedFcntl(_ fd: Int32, _ command: Int32, _ argument: Int) -> Int32 {
    let result = Real.functions.pointee.fcntl(fd, command, argument)
    if result == 0, command == F_SETFL {
        let binding = Descriptors.binding(of: fd)
        if binding >= 0 { Options.changed(binding, fd) }
    }
    if result >= 0, command == F_DUPFD || command == F_DUPFD_CLOEXEC { Descriptors.copied(fd, to: result) }
    return result
}

@c(fcntl64) public func preloadedFcntl64(_ fd: Int32, _ command: Int32, _ argument: Int) -> Int32 {
    preloadedFcntl(fd, command, argument)
}

/// FIONREAD (udp(7)): bytes of the next datagram.
@c(ioctl) public func preloadedIoctl(_ fd: Int32, _ request: UInt, _ argument: Int) -> Int32 {
    let binding = Descriptors.binding(of: fd)
    if binding >= 0, request == UInt(FIONREAD), let place = UnsafeMutablePointer<Int32>(bitPattern: argument),
        Waiting.mayHaveSome(binding)
    {
        var message = msghdr()
        let flags = Int32(MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC)
        let count = Receiver.receive(binding, fd, &message, flags)
        if count >= 0 {
            place.pointee = Int32(truncatingIfNeeded: count)
            return 0
        }
    }
    let result = Real.functions.pointee.ioctl(fd, request, argument)
    if binding >= 0, result == 0, request == UInt(FIONBIO) { Options.changed(binding, fd) }
    return result
}

@c(setsockopt)
public func preloadedSetsockopt(
    _ fd: Int32, _ level: Int32, _ name: Int32, _ value: UnsafeRawPointer?, _ length: UInt32
) -> Int32 {
    let result = Real.functions.pointee.setsockopt(fd, level, name, value, length)
    let binding = Descriptors.binding(of: fd)
    if binding >= 0, result == 0 { Options.changed(binding, fd) }
    return result
}
