// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    /// Ten messages in one segmented send (UDP_SEGMENT): what generic mode cannot see (docs/NIC-COMPATIBILITY.md).
    @Suite struct SegmentTests {
        @Test("native mode sees ten, generic mode one, and `up` warns of it", arguments: [XDPMode.native, .generic])
        func segments(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let sender = try DatagramSender(
                    on: lab.wire.there.host, localPort: 5060, to: lab.wire.here.address, port: 5060)
                let peer = lab.peer()
                let payloads = SegmentedMix.payloads(to: peer.server, local: peer.local)
                #expect(payloads.count == 10)
                func heard(_ count: Int) -> [[UInt8]] {
                    var heard: [[UInt8]] = []
                    _ = eventually {
                        heard += lab.receiver.receive(timeout: .milliseconds(20)).map(\.payload)
                        return heard.count >= count
                    }
                    return heard
                }
                try sender.sendSegmented(payloads)
                #expect(heard(10) == payloads, "without the edge")

                let answer: UpAnswer = try lab.command.done("up", "sip0", "--mode", mode.rawValue, "--json").decoded()
                #expect(answer.warnings.contains("generic_mode") == (mode == .generic))
                try sender.sendSegmented(payloads)
                let expected = mode == .native ? [payloads[0]] : payloads
                #expect(heard(expected.count) == expected)
                let counted = try lab.command.stats().total
                #expect(counted == counters(mode == .native ? [.passed: 1, .optionsDropped: 9] : [.passed: 1]))
            }
        }
    }
}
