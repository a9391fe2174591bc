// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// Two datagrams that arrive in one batch, for which the kernel wakes one reader.
    @Suite struct PreloadLeftoverTests {
        @Test(
            "a datagram that a reader leaves behind waits for no other's slow answer, however the first one tarries",
            // In a call that the library sees, it wakes another reader before; else one looks within 50 ms.
            arguments: [("poll", 20.0), ("sleep", 100.0)])
        func leftover(_ tarries: String, _ usual: Double) throws {
            try PreloadLab.with { lab in
                _ = try lab.serve("recvfrom", workers: 3)
                let pair = try PairSender(lab)
                var delays: [Double] = []
                for round in 0..<6 {
                    // For half a second and more: readers that have waited long are looked after otherwise.
                    let start = ContinuousClock.now
                    while ContinuousClock.now - start < .milliseconds(600) {
                        #expect(try lab.ask(200).answered == 200)
                    }
                    delays.append(try pair.delay(tarries, round))
                }
                #expect(delays.sorted()[3] < usual && delays.allSatisfy { $0 < 300 }, "ms, beside 500: \(delays)")
                #expect(try SocketCounts(lab.command).byKernel == 0)
            }
        }
    }
}

/// Sends two requests as one packet of two segments (UDP_SEGMENT, Linux 4.18), which a veth pair delivers together.
private struct PairSender {
    private let sender: DatagramSender
    private let server: Endpoint
    private let local: Endpoint

    init(_ lab: PreloadLab) throws {
        server = Endpoint(mac: lab.wire.here.mac, address: lab.wire.here.address, port: 5060)
        sender = try DatagramSender(on: lab.peer, to: server.address, port: server.port)
        local = try sender.localEndpoint()
    }

    /// The first request keeps its reader busy for half a second, in such a way. How long the second one's answer takes,
    /// ms.
    func delay(_ tarries: String, _ number: Int) throws -> Double {
        let slow = SIPRequest.make(
            "REGISTER", uri: "sip:edge", local: local, sequence: 10 + 2 * number, headers: ["X-Slow: \(tarries)"])
        let quick = try #require(
            SIPRequest.padded(
                SIPRequest.make("REGISTER", uri: "sip:edge", local: local, sequence: 11 + 2 * number), to: slow.count))
        var length = Int32(slow.count)
        let (udp, segment): (Int32, Int32) = (17, 103)
        try #require(setsockopt(sender.socket.rawValue, udp, segment, &length, 4) == 0)
        let start = ContinuousClock.now
        try #require(send(sender.socket.rawValue, slow + quick, slow.count * 2, 0) == slow.count * 2)
        var delay: Double?
        for _ in 0..<2 {
            let answer = try #require(sender.receive(timeout: .seconds(2)), "no answer")
            if answer.suffix(quick.count) == quick[...] { delay = (ContinuousClock.now - start) / .milliseconds(1) }
        }
        return try #require(delay)
    }
}
