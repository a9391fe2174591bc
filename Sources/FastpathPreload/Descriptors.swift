// SPDX-License-Identifier: Apache-2.0
import CPreload

/// The file descriptors of this process that this library knows: the server's sockets that were taken over, its own,
/// and the epoll instances that the server's sockets are in.
///
/// Threads may change it at once; each byte is read and written whole, and the server itself must not use a descriptor
/// while it is being closed.
enum Descriptors {
    private static let limit = 65_536
    /// 0: unknown; 1 + a binding; ``own``; ``epoll``.
    nonisolated(unsafe) private static var kinds: UnsafeMutablePointer<UInt8>?
    private static let own: UInt8 = 255
    private static let epoll: UInt8 = 254

    static func make() -> Bool {
        if kinds != nil { return true }
        // This process's own: a child has a copy.
        guard let memory = fastpath_map(limit, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) else { return false }
        kinds = memory.assumingMemoryBound(to: UInt8.self)
        return true
    }

    @inline(__always)
    private static func kind(_ fd: Int32) -> UInt8 {
        guard let kinds, fd >= 0, fd < limit else { return 0 }
        return kinds[Int(fd)]
    }

    private static func set(_ fd: Int32, _ kind: UInt8) {
        guard let kinds, fd >= 0, fd < limit else { return }
        kinds[Int(fd)] = kind
    }

    /// The binding of a socket of the server's, or -1. What all calls ask first: one about something else may take long.
    @inline(never)
    static func binding(of fd: Int32) -> Int {
        let kind = kind(fd)
        if kind == 0 { Leftover.settle() }
        return kind == 0 || kind >= epoll ? -1 : Int(kind) - 1
    }

    static func isOwn(_ fd: Int32) -> Bool { kind(fd) == own }
    static func isWatched(_ fd: Int32) -> Bool { kind(fd) == epoll }

    static func setBinding(_ binding: Int, of fd: Int32) { set(fd, UInt8(1 + binding)) }

    /// How many descriptors of this process are the server's sockets that were taken over.
    static var bound: Int {
        guard let kinds else { return 0 }
        var count = 0
        for fd in 0..<limit where kinds[fd] != 0 && kinds[fd] < epoll { count += 1 }
        return count
    }

    /// A descriptor of this library's: moved to where a server that closes or selects small ones does not meet it, closed
    /// on exec. Negative ones stay as they are.
    static func hide(_ fd: Int32) -> Int32 {
        guard fd >= 0 else { return fd }
        var hidden = Real.functions.pointee.fcntl(fd, F_DUPFD_CLOEXEC, 1_200)
        if hidden < 0 { hidden = Real.functions.pointee.fcntl(fd, F_DUPFD_CLOEXEC, 3) }
        guard hidden >= 0 else {
            set(fd, own)
            return fd
        }
        _ = fastpath_close(fd)
        set(hidden, own)
        return hidden
    }

    /// `copy` is the same socket as `fd`, or whatever was there before no more.
    static func copied(_ fd: Int32, to copy: Int32) {
        guard copy >= 0, copy != fd else { return }
        set(copy, 0)
        let binding = binding(of: fd)
        if binding >= 0 { setBinding(binding, of: copy) }
        if isWatched(fd) { set(copy, epoll) }
    }

    static func forget(_ fd: Int32) { set(fd, 0) }

    /// Closes one of this library's; negative ones are none.
    static func end(_ fd: Int32) {
        guard fd >= 0 else { return }
        _ = fastpath_close(fd)
        forget(fd)
    }

    static func watch(_ epollFD: Int32) { set(epollFD, epoll) }
}

/// Which sockets of the server's are in which epoll instance of its own, so that a closed one takes along what was
/// added beside it.
enum Watches {
    private struct Watch {
        var epoll: Int32
        var fd: Int32
    }
    private static let limit = 64
    nonisolated(unsafe) private static var watches = InlineArray<64, Watch>(repeating: Watch(epoll: -1, fd: -1))

    static func add(_ fd: Int32, to epoll: Int32) {
        for place in 0..<limit where watches[place].epoll == epoll && watches[place].fd == fd { return }
        for place in 0..<limit where watches[place].epoll < 0 {
            watches[place] = Watch(epoll: epoll, fd: fd)
            return
        }
    }

    static func remove(_ fd: Int32, from epoll: Int32) {
        for place in 0..<limit where watches[place].epoll == epoll && watches[place].fd == fd {
            watches[place] = Watch(epoll: -1, fd: -1)
        }
    }

    /// Every epoll instance that `fd` is in.
    static func forEach(of fd: Int32, _ body: (Int32) -> Void) {
        for place in 0..<limit where watches[place].fd == fd && watches[place].epoll >= 0 { body(watches[place].epoll) }
    }

    /// An epoll instance, or a socket, is closed.
    static func forget(_ fd: Int32) {
        for place in 0..<limit where watches[place].epoll == fd || watches[place].fd == fd {
            watches[place] = Watch(epoll: -1, fd: -1)
        }
    }
}
