// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// Sockets that the lab has no need for; in the calling thread's network namespace.
enum Sockets {
    /// -1 on failure.
    static func tcpListener(port: UInt16) -> Int32 {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        var yes: Int32 = 1
        setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, 4)
        guard withAddress(0, port, { bind(listener, $0, $1) }) == 0, listen(listener, 16) == 0 else { return -1 }
        return listener
    }

    /// Does a TCP handshake succeed? `address` in host byte order. Waits up to 2 s.
    static func tcpConnects(to address: UInt32, port: UInt16) -> Bool {
        let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        defer { close(client) }
        var patience = timeval(tv_sec: 2, tv_usec: 0)
        setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        return withAddress(address, port) { connect(client, $0, $1) } == 0
    }

    /// Is an ICMP echo request answered? Waits up to 2 s.
    static func echoes(_ address: UInt32) -> Bool {
        let pinger = socket(AF_INET, Int32(SOCK_RAW.rawValue) | O_CLOEXEC, Int32(IPPROTO_ICMP))
        defer { close(pinger) }
        // Type 8, code 0, checksum over type, identifier 0x0102 and sequence 1 (RFC 792).
        let request: [UInt8] = [8, 0, 0xf6, 0xfc, 0x01, 0x02, 0, 1]
        guard withAddress(address, 0, { sendto(pinger, request, request.count, 0, $0, $1) }) == request.count else {
            return false
        }
        var polled = pollfd(fd: pinger, events: Int16(POLLIN), revents: 0)
        guard poll(&polled, 1, 2000) == 1 else { return false }
        var buffer = [UInt8](repeating: 0, count: 1500)
        let count = recv(pinger, &buffer, buffer.count, 0)
        return count >= 28 && buffer[20] == 0 && Array(buffer[24..<28]) == Array(request[4...])
    }

    private static func withAddress<Result>(
        _ address: UInt32, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        var value = sockaddr_in()
        value.sin_family = sa_family_t(AF_INET)
        value.sin_port = port.bigEndian
        value.sin_addr.s_addr = address.bigEndian
        return withUnsafePointer(to: &value) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }
}
