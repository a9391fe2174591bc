// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Testing

extension EndToEndTests {
    /// Answers by the transmit ring (VOS_FASTPATH_TX=1), and by the kernel where it knows better.
    @Suite struct PreloadTransmitTests {
        static let transmits = ["VOS_FASTPATH_TX": "1"]

        /// How many of `count` answers went by the ring; all were right.
        static func sent(_ lab: PreloadLab, _ count: Int, to address: String = PreloadLab.address, bytes: Int = 200)
            throws -> Int
        {
            let before = try SocketCounts(lab.command)
            lab.expectAll(count, try lab.ask(count, to: address, bytes: bytes), "\(bytes) bytes to \(address)")
            return try SocketCounts(lab.command).sent - before.sent
        }

        @Test("answers go by the ring, byte for byte", arguments: ["recvfrom", "epoll", "recvmsg"])
        func answers(_ way: String) throws {
            try PreloadLab.with { lab in
                try lab.wire.here.setOffloads(["rxvlan": false])
                try lab.edge.ip([
                    "neigh", "replace", "fd97::2", "lladdr", "\(lab.wire.there.mac)", "dev", "sip0", "nud", "permanent",
                ])
                for address in ["0.0.0.0", PreloadLab.address, "::"] {
                    let server = try lab.serve(way, on: address, workers: 2, Self.transmits)
                    #expect(server.said.contains("; answers by the transmit ring;"), "\(server.said)")
                    let asked = address == "::" ? PreloadLab.address6 : PreloadLab.address
                    // Each process asks where the peer is at its third answer; two at a time go one by the kernel.
                    #expect(try Self.sent(lab, 2_000, to: asked) > 1_000)
                    try lab.end(server)
                }
            }
        }

        @Test("the neighbour's address changes, is not confirmed, or the answer is too long: nobody is left without")
        func changes() throws {
            try PreloadLab.with { lab in
                _ = try lab.serve("epoll", workers: 1, Self.transmits)
                #expect(try Self.sent(lab, 200) >= 195)
                func neighbour(_ mac: String, _ state: String) throws {
                    try lab.edge.ip(["neigh", "replace", "10.97.1.2", "lladdr", mac, "dev", "sip0", "nud", state])
                }
                try lab.peer.ip(["link", "set", "eth0", "address", "02:00:00:00:00:77"])
                try neighbour("02:00:00:00:00:77", "permanent")
                #expect(try Self.sent(lab, 200) >= 195, "to the new address")
                try neighbour("02:00:00:00:00:77", "stale")
                #expect(try Self.sent(lab, 200) == 0, "the kernel asks first")
                try neighbour("02:00:00:00:00:77", "permanent")
                #expect(try Self.sent(lab, 200) >= 195)
                #expect(try Self.sent(lab, 50, bytes: 1_800) == 0, "the kernel makes fragments")
                try lab.edge.ip(["link", "set", "sip0", "mtu", "600"])
                #expect(try Self.sent(lab, 50, bytes: 450) >= 45)
                #expect(try Self.sent(lab, 50, bytes: 540) == 0, "with the answer's own lines it is longer")
            }
        }

        // That their peers are answered is not played: not every kernel has VLAN interfaces.
        @Test("where the NIC hides VLAN tags, the log says so")
        func tags() throws {
            try PreloadLab.with { lab in
                for hides in [true, false] {
                    try lab.wire.here.setOffloads(["rxvlan": hides])
                    let server = try lab.serve("epoll", workers: 1, Self.transmits)
                    let hidden = hides ? ", off for peers behind VLAN tags, which the NIC hides" : ""
                    #expect(server.said.contains("; answers by the transmit ring\(hidden);"), "\(server.said)")
                    #expect(try Self.sent(lab, 200) >= 195)
                    try lab.end(server)
                }
            }
        }
    }
}
