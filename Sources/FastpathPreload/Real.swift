// SPDX-License-Identifier: Apache-2.0
import CPreload

typealias Length = UInt32

/// The C library's own functions, behind those of this library that have their names.
struct Real {
    let bind: @convention(c) (Int32, UnsafeRawPointer?, Length) -> Int32
    let connect: @convention(c) (Int32, UnsafeRawPointer?, Length) -> Int32
    let close: @convention(c) (Int32) -> Int32
    let dup: @convention(c) (Int32) -> Int32
    let dup2: @convention(c) (Int32, Int32) -> Int32
    let dup3: @convention(c) (Int32, Int32, Int32) -> Int32
    let fcntl: @convention(c) (Int32, Int32, Int) -> Int32
    let ioctl: @convention(c) (Int32, UInt, Int) -> Int32
    let setsockopt: @convention(c) (Int32, Int32, Int32, UnsafeRawPointer?, Length) -> Int32
    let read: @convention(c) (Int32, UnsafeMutableRawPointer?, Int) -> Int
    let readv: @convention(c) (Int32, UnsafePointer<iovec>?, Int32) -> Int
    let recv: @convention(c) (Int32, UnsafeMutableRawPointer?, Int, Int32) -> Int
    let recvfrom:
        @convention(c) (
            Int32, UnsafeMutableRawPointer?, Int, Int32, UnsafeMutableRawPointer?, UnsafeMutablePointer<Length>?
        ) -> Int
    let sendto: @convention(c) (Int32, UnsafeRawPointer?, Int, Int32, UnsafeRawPointer?, Length) -> Int
    let sendmsg: @convention(c) (Int32, UnsafePointer<msghdr>?, Int32) -> Int
    let recvmsg: @convention(c) (Int32, UnsafeMutablePointer<msghdr>?, Int32) -> Int
    let recvmmsg:
        @convention(c) (Int32, UnsafeMutablePointer<mmsghdr>?, UInt32, Int32, UnsafeMutablePointer<timespec>?) -> Int32
    let poll: @convention(c) (UnsafeMutablePointer<pollfd>?, UInt, Int32) -> Int32
    let ppoll:
        @convention(c) (
            UnsafeMutablePointer<pollfd>?, UInt, UnsafePointer<timespec>?, UnsafePointer<sigset_t>?
        ) -> Int32
    let select:
        @convention(c) (
            Int32, UnsafeMutablePointer<fd_set>?, UnsafeMutablePointer<fd_set>?, UnsafeMutablePointer<fd_set>?,
            UnsafeMutablePointer<timeval>?
        ) -> Int32
    let pselect:
        @convention(c) (
            Int32, UnsafeMutablePointer<fd_set>?, UnsafeMutablePointer<fd_set>?, UnsafeMutablePointer<fd_set>?,
            UnsafePointer<timespec>?, UnsafePointer<sigset_t>?
        ) -> Int32
    let epollCtl: @convention(c) (Int32, Int32, Int32, UnsafeMutablePointer<epoll_event>?) -> Int32
    let epollPwait:
        @convention(c) (
            Int32, UnsafeMutablePointer<epoll_event>?, Int32, Int32, UnsafePointer<sigset_t>?
        ) -> Int32

    private init() {
        bind = Self.next("bind")
        connect = Self.next("connect")
        close = Self.next("close")
        dup = Self.next("dup")
        dup2 = Self.next("dup2")
        dup3 = Self.next("dup3")
        fcntl = Self.next("fcntl64")
        ioctl = Self.next("ioctl")
        setsockopt = Self.next("setsockopt")
        read = Self.next("read")
        readv = Self.next("readv")
        recv = Self.next("recv")
        recvfrom = Self.next("recvfrom")
        sendto = Self.next("sendto")
        sendmsg = Self.next("sendmsg")
        recvmsg = Self.next("recvmsg")
        recvmmsg = Self.next("recvmmsg")
        poll = Self.next("poll")
        ppoll = Self.next("ppoll")
        select = Self.next("select")
        pselect = Self.next("pselect")
        epollCtl = Self.next("epoll_ctl")
        epollPwait = Self.next("epoll_pwait")
    }

    private static func next<Function>(_ name: StaticString) -> Function {
        let address = fastpath_next(UnsafeRawPointer(name.utf8Start).assumingMemoryBound(to: CChar.self))
        // Every C library has them.
        return unsafeBitCast(address.unsafelyUnwrapped, to: Function.self)
    }

    nonisolated(unsafe) private static var found: UnsafeMutablePointer<Real>?

    /// Found at the first call. Threads that come at once find the same.
    static var functions: UnsafeMutablePointer<Real> {
        @inline(__always) get {
            if let found { return found }
            return find()
        }
    }

    @inline(never)
    private static func find() -> UnsafeMutablePointer<Real> {
        let place = UnsafeMutablePointer<Real>.allocate(capacity: 1)
        place.initialize(to: Real())
        found = place
        return place
    }
}
