// SPDX-License-Identifier: Apache-2.0
import CPreload

// The calls by which a server takes a datagram. Each is recvmsg(2) in other words; what is none of ours goes on to the
// C library. The names that end in _chk are those of programs that were built with _FORTIFY_SOURCE.

@c(recvmsg) public func preloadedRecvmsg(_ fd: Int32, _ message: UnsafeMutablePointer<msghdr>?, _ flags: Int32) -> Int {
    let binding = Descriptors.binding(of: fd)
    guard binding >= 0, let message else { return Real.functions.pointee.recvmsg(fd, message, flags) }
    return Receiver.receive(binding, fd, message, flags)
}

@c(recvfrom)
public func preloadedRecvfrom(
    _ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ flags: Int32, _ name: UnsafeMutableRawPointer?,
    _ nameLength: UnsafeMutablePointer<UInt32>?
) -> Int {
    let binding = Descriptors.binding(of: fd)
    guard binding >= 0 else { return Real.functions.pointee.recvfrom(fd, buffer, length, flags, name, nameLength) }
    return receive(binding, fd, buffer, length, flags, name, nameLength)
}

@inline(__always)
private func receive(
    _ binding: Int, _ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ flags: Int32,
    _ name: UnsafeMutableRawPointer?, _ nameLength: UnsafeMutablePointer<UInt32>?
) -> Int {
    var part = iovec(iov_base: buffer, iov_len: length)
    return withUnsafeMutablePointer(to: &part) { part in
        var message = msghdr()
        message.msg_iov = part
        message.msg_iovlen = 1
        if let name, let nameLength {
            message.msg_name = name
            message.msg_namelen = nameLength.pointee
        }
        let count = Receiver.receive(binding, fd, &message, flags)
        if count >= 0, name != nil, let nameLength { nameLength.pointee = message.msg_namelen }
        return count
    }
}

@c(recv)
public func preloadedRecv(_ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ flags: Int32) -> Int {
    let binding = Descriptors.binding(of: fd)
    guard binding >= 0 else { return Real.functions.pointee.recv(fd, buffer, length, flags) }
    return receive(binding, fd, buffer, length, flags, nil, nil)
}

@c(read) public func preloadedRead(_ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int) -> Int {
    let binding = Descriptors.binding(of: fd)
    guard binding >= 0 else { return Real.functions.pointee.read(fd, buffer, length) }
    return receive(binding, fd, buffer, length, 0, nil, nil)
}

@c(readv) public func preloadedReadv(_ fd: Int32, _ parts: UnsafePointer<iovec>?, _ count: Int32) -> Int {
    let binding = Descriptors.binding(of: fd)
    guard binding >= 0, count >= 0 else { return Real.functions.pointee.readv(fd, parts, count) }
    var message = msghdr()
    message.msg_iov = UnsafeMutablePointer(mutating: parts)
    message.msg_iovlen = Int(count)
    return Receiver.receive(binding, fd, &message, 0)
}

/// As the kernel has it: it waits for the first alone where MSG_WAITFORONE says so, and looks at `timeout` between two
/// datagrams only.
@c(recvmmsg)
public func preloadedRecvmmsg(
    _ fd: Int32, _ messages: UnsafeMutablePointer<mmsghdr>?, _ limit: UInt32, _ flags: Int32,
    _ timeout: UnsafeMutablePointer<timespec>?
) -> Int32 {
    let binding = Descriptors.binding(of: fd)
    guard binding >= 0, let messages else {
        return Real.functions.pointee.recvmmsg(fd, messages, limit, flags, timeout)
    }
    var end = timespec()
    clock_gettime(CLOCK_MONOTONIC, &end)
    if let timeout {
        end.tv_sec += timeout.pointee.tv_sec
        end.tv_nsec += timeout.pointee.tv_nsec
    }
    let waitForOne = Int32(MSG_WAITFORONE)
    let waitsForOne = flags & waitForOne != 0
    var flags = flags & ~waitForOne
    var count: Int32 = 0
    while count < Int32(clamping: limit) {
        let place = messages + Int(count)
        let length = Receiver.receive(binding, fd, &place.pointee.msg_hdr, flags)
        guard length >= 0 else { return count > 0 ? count : -1 }
        place.pointee.msg_len = UInt32(length)
        count += 1
        if waitsForOne { flags |= Int32(MSG_DONTWAIT) }
        guard timeout != nil else { continue }
        var now = timespec()
        clock_gettime(CLOCK_MONOTONIC, &now)
        if (now.tv_sec, now.tv_nsec) >= (end.tv_sec, end.tv_nsec) { break }
    }
    return count
}

// MARK: With the buffer's size, which the caller's compiler knew

@c(__recv_chk)
public func preloadedRecvChecked(
    _ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ size: Int, _ flags: Int32
) -> Int {
    if length > size { abort() }
    return preloadedRecv(fd, buffer, length, flags)
}

@c(__recvfrom_chk)
public func preloadedRecvfromChecked(
    _ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ size: Int, _ flags: Int32,
    _ name: UnsafeMutableRawPointer?, _ nameLength: UnsafeMutablePointer<UInt32>?
) -> Int {
    if length > size { abort() }
    return preloadedRecvfrom(fd, buffer, length, flags, name, nameLength)
}

@c(__read_chk)
public func preloadedReadChecked(_ fd: Int32, _ buffer: UnsafeMutableRawPointer?, _ length: Int, _ size: Int) -> Int {
    if length > size { abort() }
    return preloadedRead(fd, buffer, length)
}
