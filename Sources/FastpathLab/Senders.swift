// SPDX-License-Identifier: Apache-2.0
import CFastpathLab
import FastpathCore
import FastpathKernel
import Glibc

/// Sends whole frames out of an interface and knows exactly how many left.
public struct RawSender {
    public let interface: LabInterface
    private let socket: FileDescriptor

    public init(_ interface: LabInterface) throws(Failure) {
        self.interface = interface
        socket = try interface.host.perform { () throws(Failure) in
            FileDescriptor(
                try check(
                    fastpath_lab_packet_socket(interface.index), "open a packet socket", on: interface.name))
        }
    }

    /// Sends the frames in order, at most `rate` a second (nil: as fast as it goes). What the interface refused is in
    /// the result.
    @discardableResult
    public func send(_ frames: [[UInt8]], rate: Int? = nil) throws(Failure) -> Sent {
        let before = try interface.statistics()
        let start = ContinuousClock.now
        var next = 0
        let limits = SendLimits(count: frames.count, duration: .seconds(600), rate: rate)
        try limits.drive(portion: 64, until: { Interruption.isRequested }) { (count) throws(Failure) in
            for frame in frames[next..<next + count] { try send(frame) }
            next += count
        }
        let duration = ContinuousClock.now - start
        let refused = try Int((interface.statistics() - before).sendDropped)
        return Sent(packets: next - refused, refused: refused, duration: duration)
    }

    private func send(_ frame: [UInt8]) throws(Failure) {
        while true {
            let count = Glibc.send(socket.rawValue, frame, frame.count, 0)
            if count == frame.count { return }
            // The interface's own count tells of frames that it had no room for.
            if count < 0, errno == ENOBUFS { return }
            if count < 0, errno == EINTR { continue }
            try check(count, "send a frame", on: interface.name, next: "Check that the interface is up.")
        }
    }
}

/// UDP datagrams from a host's own stack.
public struct DatagramSender {
    public let host: LabHost
    /// Connected.
    public let socket: FileDescriptor

    /// A socket on `host`, bound to a port of its own choice (0: any) and connected to `destination`:`port`. Addresses
    /// and ports in host byte order.
    public init(on host: LabHost, localPort: UInt16 = 0, to destination: UInt32, port: UInt16) throws(Failure) {
        self.host = host
        socket = try host.perform { () throws(Failure) in
            let socket = FileDescriptor(
                try check(
                    Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0), "make a socket",
                    on: host.name))
            let subject = "\(IPPrefix(ipv4: destination)):\(port)"
            try withSocketAddress(0, localPort) { (address, length) throws(Failure) in
                try check(
                    bind(socket.rawValue, address, length), "bind a socket", on: "port \(localPort)")
            }
            try withSocketAddress(destination, port) { (address, length) throws(Failure) in
                try check(connect(socket.rawValue, address, length), "connect a socket", on: subject)
            }
            return socket
        }
    }

    /// Sends each payload once.
    public func send(_ payloads: [[UInt8]]) throws(Failure) {
        for payload in payloads {
            let sent = fastpath_lab_send_repeated(socket.rawValue, payload, payload.count, 1)
            try check(sent, "send a datagram", on: host.name)
        }
    }

    /// The socket's own address and port.
    public func localEndpoint() throws(Failure) -> Endpoint {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket.rawValue, $0, &length) }
        }
        try check(result, "ask for a socket's address", on: host.name)
        let number = UInt32(bigEndian: address.sin_addr.s_addr)
        return Endpoint(mac: MACAddress(of: number), address: number, port: UInt16(bigEndian: address.sin_port))
    }

    /// The first payload that comes within `timeout`; nil without one.
    public func receive(timeout: Duration) -> [UInt8]? {
        var polled = pollfd(fd: socket.rawValue, events: Int16(POLLIN), revents: 0)
        guard poll(&polled, 1, Int32(timeout / .milliseconds(1))) > 0 else { return nil }
        var buffer = [UInt8](repeating: 0, count: 65536)
        let count = recv(socket.rawValue, &buffer, buffer.count, Int32(MSG_DONTWAIT))
        return count < 0 ? nil : Array(buffer[..<count])
    }

    /// Floods with one payload, with sendmmsg(2), on the calling thread.
    public func flood(_ payload: [UInt8], _ limits: SendLimits, until isStopping: () -> Bool = { false })
        throws(Failure) -> Sent
    {
        let start = ContinuousClock.now
        var sent = 0
        try limits.drive(portion: 1024, until: isStopping) { (count) throws(Failure) in
            let done = fastpath_lab_send_repeated(socket.rawValue, payload, payload.count, UInt32(count))
            sent += try check(Int(done), "send datagrams", on: host.name)
        }
        return Sent(packets: sent, refused: 0, duration: ContinuousClock.now - start)
    }

    /// Sends the payloads in one call, for the kernel or the NIC to cut (UDP_SEGMENT, udp(7)). All must have the same
    /// length, the last may be shorter; together at most 64 KB and 64 of them.
    public func sendSegmented(_ payloads: [[UInt8]]) throws(Failure) {
        guard let length = payloads.first?.count, payloads.dropLast().allSatisfy({ $0.count == length }),
            (payloads.last?.count ?? 0) <= length
        else {
            throw Failure(
                .usage, tried: "send segments", on: "\(payloads.count) payloads",
                because: "all but the last must have the same length",
                next: "Pad them to one length.")
        }
        try check(
            fastpath_lab_set_segment_length(socket.rawValue, UInt16(length)), "ask for segmentation",
            on: "UDP_SEGMENT",
            next: "Linux 4.18 or newer is needed.")
        let whole = payloads.flatMap { $0 }
        let count = fastpath_lab_send_repeated(socket.rawValue, whole, whole.count, 1)
        try check(count, "send segments", on: "\(whole.count) bytes")
        try check(
            fastpath_lab_set_segment_length(socket.rawValue, 0), "end segmentation", on: "UDP_SEGMENT")
    }
}

/// The packet that generic XDP sees as one: a REGISTER and nine OPTIONS in one segmented send.
public enum SegmentedMix {
    /// Ten payloads of one length, the REGISTER first.
    public static func payloads(to server: Endpoint, local: Endpoint) -> [[UInt8]] {
        let requests =
            [SIPRequest.register(to: server, local: local, sequence: 1)]
            + (2...10).map { SIPRequest.options(to: server, local: local, sequence: $0) }
        // Room for the padding header in each of them.
        let length = (requests.map(\.count).max() ?? 0) + 16
        return requests.compactMap { SIPRequest.padded($0, to: length) }
    }
}

/// A UDP socket that listens and counts, for what got through.
public final class DatagramReceiver: Sendable {
    private let socket: Int32

    /// Bound to `address`:`port` (host byte order; address 0: all) on `host`.
    public init(on host: LabHost, address: UInt32 = 0, port: UInt16, bufferBytes: Int32 = 8 << 20) throws(Failure) {
        socket = try host.perform { () throws(Failure) in
            let socket = try check(
                Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | O_CLOEXEC, 0), "make a socket",
                on: host.name)
            do throws(Failure) {
                var size = bufferBytes
                // Beyond net.core.rmem_max, as root.
                setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &size, socklen_t(MemoryLayout<Int32>.size))
                try withSocketAddress(address, port) { (address, length) throws(Failure) in
                    try check(
                        bind(socket, address, length), "listen", on: "UDP port \(port)",
                        next: "End what listens there.")
                }
            } catch {
                close(socket)
                throw error
            }
            return socket
        }
    }

    deinit { close(socket) }

    /// What was heard.
    public struct Datagram: Hashable, Sendable {
        /// The sender's IPv4 address, host byte order.
        public var source: UInt32
        public var payload: [UInt8]
    }

    /// The datagrams that wait in the socket, or come within `timeout` of each other.
    public func receive(timeout: Duration) -> [Datagram] {
        var datagrams: [Datagram] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        var polled = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        while poll(&polled, 1, Int32(timeout / .milliseconds(1))) > 0 {
            var address = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let count = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT), $0, &length)
                }
            }
            guard count >= 0 else { continue }
            datagrams.append(
                Datagram(source: UInt32(bigEndian: address.sin_addr.s_addr), payload: Array(buffer[..<count])))
        }
        return datagrams
    }
}

/// An IPv4 socket address; both numbers in host byte order.
@discardableResult
func withSocketAddress<Result>(
    _ address: UInt32, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) throws(Failure) -> Result
) throws(Failure) -> Result {
    var value = sockaddr_in()
    value.sin_family = sa_family_t(AF_INET)
    value.sin_port = port.bigEndian
    value.sin_addr.s_addr = address.bigEndian
    // Explicit, for typed throws do not go through withMemoryRebound on every compiler.
    let storage = UnsafeMutableRawPointer.allocate(byteCount: MemoryLayout<sockaddr_in>.size, alignment: 8)
    defer { storage.deallocate() }
    storage.initializeMemory(as: sockaddr_in.self, to: value)
    return try body(
        UnsafePointer(storage.assumingMemoryBound(to: sockaddr.self)), socklen_t(MemoryLayout<sockaddr_in>.size))
}
