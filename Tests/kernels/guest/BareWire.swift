// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// A veth pair in the guest's own namespace, for kernels that are too old for hosts of a lab: nobody listens, the
/// counters tell.
struct BareWire {
    /// The interface that is filtered.
    private let index: UInt32

    static let isNeeded = kernelIsOlder(than: Host.oldestKernel)

    static func with<Answer>(_ body: (BareWire) throws -> Answer) throws -> Answer {
        for arguments in [
            "link add sip0 type veth peer name eth0", "addr add 10.97.1.2/24 dev eth0",
            "addr add 10.97.1.66/24 dev eth0",
            "link set sip0 up", "link set eth0 up", "link set sip0 address 02:00:00:00:00:01",
            "neigh replace 10.97.1.1 lladdr 02:00:00:00:00:01 dev eth0 nud permanent",
        ] { try ip(arguments) }
        defer { try? ip("link del sip0") }
        return try body(BareWire(index: if_nametoindex("sip0")))
    }

    static func ip(_ arguments: String) throws {
        try Shell.run(["ip"] + arguments.split(separator: " ").map(String.init))
    }

    static func native(_ profile: String) throws -> Check.Result {
        try with { wire in
            let instance = try ProgramInstance(
                blocked: [IPPrefix(ipv4: 0x0a61_0142)], settings: Check.settings(profile))
            try XDP.attach(instance.program, to: wire.index, mode: .native, replacing: nil)
            try wire.requireMode(.native)
            try send("INVITE sip:a@10.97.1.1 SIP/2.0\r\n\r\n", from: "10.97.1.66")
            try send("OPTIONS sip:a@10.97.1.1 SIP/2.0\r\n\r\n", from: "10.97.1.2")
            try send(String(repeating: "A", count: 100), from: "10.97.1.2")
            try send("INVITE sip:b@10.97.1.1 SIP/2.0\r\n\r\n", from: "10.97.1.2")
            let end = ContinuousClock.now + .seconds(5)
            while try instance.counters().total < 4, ContinuousClock.now < end { usleep(10_000) }
            let counted = try instance.counters()
            for reason in Reason.counted {
                let wanted: UInt64 = [.blocked, .optionsDropped, .malformed, .passed].contains(reason) ? 1 : 0
                try require(counted[reason] == wanted, "\(reason) is \(counted[reason]), not \(wanted)")
            }
            try XDP.detach(instance.program, from: wire.index, mode: .native)
            try wire.requireMode(nil)
            return .passed("4 packets, counted")
        }
    }

    static func rawObject() throws -> Check.Result {
        try with { wire in
            try ip("link set dev sip0 xdpdrv obj \(Wire.object) sec xdp")
            try wire.requireMode(.native)
            try ip("link set dev sip0 xdpdrv off")
            try wire.requireMode(nil)
            return .passed("ip link set … xdpdrv obj … sec xdp")
        }
    }

    private func requireMode(_ wanted: XDPMode?) throws {
        let mode = try LinkTable.read().first { $0.index == index }?.program?.mode
        try require(mode == wanted, "the kernel says \(mode?.rawValue ?? "none"), not \(wanted?.rawValue ?? "none")")
    }

    private static func send(_ payload: String, from source: String) throws {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        defer { close(socket) }
        func address(_ text: String, _ port: UInt16) -> sockaddr_in {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            inet_pton(AF_INET, text, &address.sin_addr)
            return address
        }
        var (from, to) = (address(source, 5070), address("10.97.1.1", 5060))
        let length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let done = withUnsafePointer(to: &from) { from in
            from.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(socket, $0, length) == 0 }
        }
        let sent = withUnsafePointer(to: &to) { to in
            to.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(socket, Array(payload.utf8), payload.utf8.count, 0, $0, length)
            }
        }
        try require(done && sent == payload.utf8.count, "could not send: \(errorText(errno))")
    }
}
