// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

extension KernelEdges {
    /// How many receive queues have a socket in `xsks_map`; nil where the kernel does not tell.
    public func socketCount(of edge: EdgeState) throws(Failure) -> Int? {
        try socketQueues(of: edge)?.count(where: \.hasSocket)
    }

    /// Who reads the sockets of an edge, for each receive queue in use.
    public func consumers(of edge: EdgeState) throws(Failure) -> InterfaceConsumers {
        let program = try program(of: edge)
        let map = try ConsumerMap(of: program)
        let isAsked = try FilterSettings.of(program)?.isOn(.consumers) ?? true
        // A socket that is there is seen before the beat of its reader: never the other way round.
        let queues = try socketQueues(of: edge) ?? []
        let time = bootMicroseconds()
        return InterfaceConsumers(
            queues: queues.map { queue in
                guard let map, queue.number < map.map.capacity else {
                    return QueueConsumer(queue: queue.number, hasSocket: queue.hasSocket)
                }
                return map.state(queue: queue.number, hasSocket: queue.hasSocket)
            }, time: time, isAsked: isAsked && map != nil)
    }

    /// The receive queues in use, and whether `xsks_map` has a socket for each. The kernel does not let user space read
    /// the map, so a twin of the program is asked for each queue: it redirects where there is one. Nil where the
    /// interface is gone.
    private func socketQueues(of edge: EdgeState) throws(Failure) -> [(number: Int, hasSocket: Bool)]? {
        guard edge.name != nil else { return nil }
        let sockets = try map(.xsks, of: edge)
        let twin = try ProgramInstance(maps: [.xsks: sockets])
        return try namespace(of: edge.interface).perform { () throws(Failure) in
            guard let link = try LinkTable.read().first(where: { $0.index == edge.interface.index }) else { return nil }
            var queues: [(number: Int, hasSocket: Bool)] = []
            for queue in 0..<min(link.receiveQueues, UInt32(sockets.capacity)) {
                do throws(Failure) {
                    let answer = try keepalive.span.withUnsafeBytes { (frame) throws(Failure) in
                        try twin.judge(frame: frame, interface: edge.interface.index, queue: queue)
                    }
                    queues.append((Int(queue), answer.reason == .redirected))
                } catch {
                    // Queues that are allocated and not in use are refused.
                    guard error.kind == .system(errno: EINVAL) else { throw error }
                    break
                }
            }
            return queues
        }
    }
}

/// Now, in microseconds of the boot-time clock: what the program takes a beat's age by.
func bootMicroseconds() -> UInt64 {
    var now = timespec()
    clock_gettime(CLOCK_BOOTTIME, &now)
    return UInt64(now.tv_sec) * 1_000_000 + UInt64(now.tv_nsec) / 1_000
}

/// The smallest frame that the program redirects: an empty datagram to the SIP port, with no list entry to meet.
private let keepalive: [UInt8] =
    [UInt8](repeating: 0, count: 12) + [0x08, 0x00]
    + [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]
    + [0x13, 0xc4, 0x13, 0xc4, 0, 8, 0, 0]
