// SPDX-License-Identifier: Apache-2.0
import CPreload

// The calls by which a server answers: by the transmit ring where that is asked for, else, and for all that is not one
// plain datagram to one address, by the C library.

@c(sendto)
public func preloadedSendto(
    _ fd: Int32, _ bytes: UnsafeRawPointer?, _ length: Int, _ flags: Int32, _ address: UnsafeRawPointer?,
    _ addressLength: UInt32
) -> Int {
    let binding = Descriptors.binding(of: fd)
    if binding >= 0, Transmit.isOn, Transmit.send(binding, bytes, length, flags, address, Int(addressLength)) {
        return length
    }
    return Real.functions.pointee.sendto(fd, bytes, length, flags, address, addressLength)
}

@c(sendmsg) public func preloadedSendmsg(_ fd: Int32, _ message: UnsafePointer<msghdr>?, _ flags: Int32) -> Int {
    let binding = Descriptors.binding(of: fd)
    if binding >= 0, Transmit.isOn, let message, message.pointee.msg_iovlen == 1, message.pointee.msg_controllen == 0,
        let part = message.pointee.msg_iov,
        Transmit.send(
            binding, part.pointee.iov_base, part.pointee.iov_len, flags, message.pointee.msg_name,
            Int(message.pointee.msg_namelen))
    {
        return part.pointee.iov_len
    }
    return Real.functions.pointee.sendmsg(fd, message, flags)
}
