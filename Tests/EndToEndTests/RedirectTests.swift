// SPDX-License-Identifier: Apache-2.0
import FastpathAFXDP
import FastpathCore
import FastpathKernel
import FastpathLab
import Support
import Testing

extension EndToEndTests {
    @Suite struct RedirectTests {
        @Test(
            "good SIP goes to the AF_XDP socket with its exact bytes, what is dropped does not",
            arguments: [XDPMode.native, .generic])
        func redirect(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                let blocked = peer.spoofing(0xc000_0201)
                try lab.up(mode)
                try edge.done("block", "add", blocked.address)
                let good = [peer.register(1), peer.invite(2), peer.register(3)]
                let bad = [
                    peer.frame(peer.options()), peer.frame(TrafficTests.junk), blocked.frame(blocked.register()),
                ]
                let frames = peer.frames(good)
                let all = [bad[0], frames[0], bad[1], frames[1], bad[2], frames[2]]
                try lab.expect(
                    all, counted: [.passed: 3, .optionsDropped: 1, .malformed: 1, .blocked: 1], heard: good, "no socket"
                )

                do {
                    let xsk = try lab.receiver(on: "sip0")
                    defer { xsk.close() }
                    #expect(try edge.status().interface("sip0")?.sockets == 1)

                    let before = try edge.stats().total
                    try RawSender(lab.wire.there).send(all)
                    var received: [[UInt8]] = []
                    _ = eventually {
                        received += xsk.frames(milliseconds: 5)
                        return received.count >= 3
                    }
                    #expect(received == frames, "byte for byte, in order")
                    let moved = try edge.stats().total - before
                    #expect(moved == counters([.redirected: 3, .optionsDropped: 1, .malformed: 1, .blocked: 1]))
                    #expect(lab.receiver.receive(timeout: .milliseconds(20)).isEmpty, "the stack saw none")

                    // The socket stays over a replacement of the program.
                    try edge.done("up", "sip0")
                    #expect(try edge.status().interface("sip0")?.sockets == 1)
                    try RawSender(lab.wire.there).send([frames[0]])
                    _ = eventually {
                        received += xsk.frames(milliseconds: 5)
                        return received.count >= 4
                    }
                    #expect(received == frames + [frames[0]])
                }
                // Its owner is gone: the slot empties and packets pass again.
                #expect(try eventually { try edge.status().interface("sip0")?.sockets == 0 })
                try lab.expect(
                    all, counted: [.passed: 3, .optionsDropped: 1, .malformed: 1, .blocked: 1], heard: good,
                    "no socket again")
            }
        }
    }
}
