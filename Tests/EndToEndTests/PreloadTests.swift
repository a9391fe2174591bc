// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Testing

extension EndToEndTests {
    /// Programs that know nothing of AF_XDP under the preloaded library.
    @Suite struct PreloadTests {
        /// How a server receives, and with how many workers: who looks first must be alone.
        static let ways = [
            ("recvfrom", 3), ("timeout", 3), ("recvmsg", 3), ("recvmmsg", 3), ("poll", 3), ("ppoll", 3), ("select", 3),
            ("pselect", 3), ("epoll", 3), ("epoll-edge", 3), ("epoll-common", 3), ("epoll-pwait2", 3), ("threads", 3),
            ("dup", 3), ("rebind", 3), ("close-all", 3), ("peek-recv", 1), ("peek-read", 1), ("peek-readv", 1),
        ]

        @Test("every receiving call takes from the rings, one server after the other")
        func ways() throws {
            try PreloadLab.with { lab in
                for (way, workers) in Self.ways {
                    let server = try lab.serve(way, workers: workers)
                    #expect(server.said.contains("UDP port 5060 by AF_XDP: sip0 (copy mode) queues 0;"))
                    let counted = try lab.counted { lab.expectAll(300, try lab.ask(300), "\(way)") }
                    #expect(counted == counters([.redirected: 300]), "\(way)")
                    #expect(way != "timeout" || server.said.contains("timed-out"), "\(server.said)")
                    if way == "epoll-pwait2" {
                        let line = try #require(server.said.split(separator: "\n").first { $0.hasPrefix("elsewhere ") })
                        let time = try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) })
                        #expect(time < 90_000, "100 times 20 µs")
                    }
                    try lab.end(server)
                }
            }
        }

        @Test(
            "IPv6, IPv4 by an IPv6 socket, and sockets of one address",
            arguments: [
                ("recvmsg", "::", PreloadLab.address6), ("recvmsg", "::", PreloadLab.address),
                ("epoll", PreloadLab.address6, PreloadLab.address6),
                ("recvfrom", PreloadLab.address, PreloadLab.address),
            ])
        func families(_ way: String, _ bound: String, _ asked: String) throws {
            try PreloadLab.with { lab in
                _ = try lab.serve(way, on: bound)
                let counted = try lab.counted { lab.expectAll(300, try lab.ask(300, to: asked), "\(bound)") }
                #expect(counted == counters([.redirected: 300]))
            }
        }

        @Test("IP_PKTINFO tells the interface and the destination, as the kernel does")
        func packetInfo() throws {
            try PreloadLab.with { lab in
                var heads: [String] = []
                for library in [PreloadLab.library, ""] {
                    let server = try lab.serve("recvmsg", workers: 1, library.isEmpty ? ["LD_PRELOAD": ""] : [:])
                    let sender = try DatagramSender(on: lab.peer, to: lab.wire.here.address, port: 5060)
                    let local = try sender.localEndpoint()
                    let peer = Endpoint(mac: lab.wire.here.mac, address: lab.wire.here.address, port: 5060)
                    try sender.send([SIPRequest.register(to: peer, local: local, sequence: 1)])
                    let answer = String(decoding: try #require(sender.receive(timeout: .seconds(2))), as: UTF8.self)
                    let lines = answer.components(separatedBy: "\r\n")
                    heads.append(
                        lines.filter { $0.hasPrefix("X-Interface") || $0.hasPrefix("X-To") }.joined(separator: " "))
                    try lab.end(server)
                }
                #expect(heads[0] == "X-Interface: \(lab.wire.here.index) X-To: ::ffff:\(PreloadLab.address)")
                #expect(heads[0] == heads[1])
            }
        }

        @Test("what is for another socket of this host reaches it", arguments: ["carrier", "classic"])
        func others(_ profile: String) throws {
            try PreloadLab.with(["--profile", profile]) { lab in
                let server = try lab.serve("epoll", on: PreloadLab.address)
                #expect(server.said.contains("(profile classic)") == (profile == "classic"))
                _ = try lab.serve("recvfrom", on: PreloadLab.other, workers: 1, ["LD_PRELOAD": ""])
                let isClassic = profile == "classic"
                let counted = try lab.counted {
                    lab.expectAll(300, try lab.ask(300), "its own")
                    lab.expectAll(300, try lab.ask(300, to: PreloadLab.other), "the other's")
                }
                #expect(counted == counters(isClassic ? [.redirected: 600] : [.redirected: 300, .passed: 300]))
            }
        }

        @Test("two sockets of a server, each with its own port, and a second queue of the interface")
        func twoSockets() throws {
            try PreloadLab.with(["--port", "5060", "--port", "5080"], queues: 2) { lab in
                let script = "Tests/preload/two_ports.py"
                let child = try lab.laboratory.start(
                    ["python3", script], label: "two", on: lab.edge,
                    environment: lab.environment(["VOS_FASTPATH_PORTS": "5060,5080"]))
                try #require(
                    eventually(within: .seconds(5)) {
                        (try? lab.command.status().interface("sip0")?.sockets) == 2 || child.exitStatus != nil
                    }, "\((try? Shell.run(["cat", "\(lab.laboratory.folder)/two.log"])) ?? "")")
                for (port, removes) in [(5060, false), (5080, false), (5060, true)] {
                    // The last one makes the server take the other socket out of its epoll instance.
                    let counted = try lab.counted {
                        lab.expectAll(200, try lab.ask(200, port: removes ? 5080 : port), "port \(port)")
                        if removes { lab.expectAll(200, try lab.ask(200, port: 5060), "the one that is left") }
                    }
                    #expect(counted == counters([.redirected: removes ? 400 : 200]))
                }
            }
        }

        @Test("fragments come by the kernel's socket, and whole datagrams between them by the rings")
        func fragments() throws {
            try PreloadLab.with { lab in
                _ = try lab.serve("epoll")
                for end in [lab.wire.here, lab.wire.there] {
                    try end.host.ip(["link", "set", end.name, "mtu", "1000"])
                }
                let counted = try lab.counted {
                    lab.expectAll(100, try lab.ask(100, bytes: 1_800), "in fragments")
                    lab.expectAll(100, try lab.ask(100, bytes: 900), "whole")
                }
                #expect(counted == counters([.redirected: 100, .passed: 100]))
            }
        }

        @Test(
            "a datagram with a wrong checksum is dropped, unless it is not to be looked at", arguments: [true, false])
        func checksums(_ isChecked: Bool) throws {
            try PreloadLab.with { lab in
                _ = try lab.serve("recvfrom", isChecked ? [:] : ["VOS_FASTPATH_CHECKSUM": "off"])
                let listener = try DatagramReceiver(on: lab.peer, port: 5070)
                let local = Endpoint(lab.wire.there, port: 5070)
                let server = Endpoint(lab.wire.here, port: 5060)
                let good = Frame.udp(
                    from: local, to: server, payload: SIPRequest.register(to: server, local: local, sequence: 1))
                var wrong = Frame.udp(
                    from: local, to: server, payload: SIPRequest.register(to: server, local: local, sequence: 2))
                // Of UDP, behind Ethernet's 14 bytes and IP's 20. Neither none nor one that is only begun.
                wrong[40] ^= 0x55
                let counted = try lab.counted {
                    try RawSender(lab.wire.there).send([wrong, good])
                    var answers: [String] = []
                    _ = eventually {
                        answers += listener.receive(timeout: .milliseconds(5)).map {
                            String(decoding: $0.payload, as: UTF8.self)
                        }
                        return answers.contains { $0.contains("CSeq: 1 ") }
                    }
                    #expect(answers.count == (isChecked ? 1 : 2), "\(answers)")
                }
                #expect(counted == counters([.redirected: 2]))
            }
        }

        @Test("without an edge, or without the right to, the server runs on the kernel's socket and says why")
        func withoutIt() throws {
            try PreloadLab.with { lab in
                let asNobody = try lab.serve("epoll", user: "65534")
                #expect(
                    asNobody.said.contains("warning: the SIP server stays on the kernel's socket: "), "\(asNobody.said)"
                )
                try lab.expect(.passed, 50, "without the right")
                try lab.end(asNobody)

                let wrong = try lab.serve("epoll", ["VOS_FASTPATH_INTERFACES": "nothing0"])
                #expect(wrong.said.contains("VOS_FASTPATH_INTERFACES names one that is not there"), "\(wrong.said)")
                try lab.expect(.passed, 50, "another name")
                try lab.end(wrong)

                try lab.command.done("down", "sip0")
                let without = try lab.serve("epoll")
                #expect(
                    without.said.contains("no interface has an edge; attach it first: vos-fastpath up"),
                    "\(without.said)")
                lab.expectAll(50, try lab.ask(50), "no edge")
            }
        }
    }
}
