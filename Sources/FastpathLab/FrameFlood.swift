// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import Glibc

/// Sends different frames round and round, with as few system calls as there can be: as sk_buffs, which a veth spreads
/// over its queues by their addresses and ports, as a NIC does.
public final class FrameFlood {
    public let interface: LabInterface
    private let socket: FileDescriptor
    private let bytes: [UInt8]
    private let length: Int
    private var next = 0

    /// `frames`: one at least, all of one length.
    public init(from interface: LabInterface, frames: [[UInt8]]) throws(Failure) {
        precondition(frames.allSatisfy { $0.count == frames[0].count }, "frames of one length")
        self.interface = interface
        bytes = frames.flatMap { $0 }
        length = frames[0].count
        socket = try interface.host.perform { () throws(Failure) in
            FileDescriptor(
                try check(fastpath_lab_packet_socket(interface.index), "open a packet socket", on: interface.name))
        }
    }

    /// Sends on the calling thread. What the interface had no room for is told apart.
    public func send(_ limits: SendLimits, until isStopping: () -> Bool = { false }) throws(Failure) -> Sent {
        let before = try interface.statistics()
        let start = ContinuousClock.now
        var sent = 0
        try limits.drive(portion: 1_024, until: isStopping) { (count) throws(Failure) in
            let done = fastpath_lab_send_frames(
                socket.rawValue, bytes, UInt32(length), UInt32(bytes.count / length), UInt32(next), UInt32(count))
            try check(Int(done), "send frames", on: interface.name, next: "Check that the interface is up.")
            sent += Int(done)
            next = (next + Int(done)) % (bytes.count / length)
        }
        let duration = ContinuousClock.now - start
        let refused = try Int((interface.statistics() - before).sendDropped)
        return Sent(packets: sent - refused, refused: refused, duration: duration)
    }
}
