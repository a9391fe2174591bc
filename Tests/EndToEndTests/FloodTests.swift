// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// The program and the lists are replaced under a flood of a blocked source: nothing leaks, nothing good is lost.
    @Suite struct FloodTests {
        /// The flood comes in at `sip0` from a source that is blocked, good numbered requests at `sip1`.
        static func underFlood(
            _ mode: XDPMode, capacity: String = "1024", _ body: (EdgeLab) throws -> Void
        ) throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                let (bad, good) = (lab.peer(0), lab.peer(1))
                let frame = bad.frame(bad.register())
                let flood = LiveFlood(from: lab.wires[0].there, frame: frame, firstSource: bad.local.address)
                // The positive control: without the edge the same flood reaches the socket.
                let leaked = try flood.run(SendLimits(count: 5000, duration: .seconds(5), rate: 50_000))
                var heard = 0
                let arrived = eventually {
                    heard += lab.receiver.receive(timeout: .milliseconds(2)).count
                    return heard >= leaked.packets
                }
                #expect(
                    arrived && leaked.packets > 0 && heard == leaked.packets,
                    "without the edge it leaks: \(heard) of \(leaked)")

                try lab.up(mode, "--blocked-capacity", capacity)
                try lab.command.done("block", "add", bad.address)
                let storm = try flood.start(SendLimits(count: 100_000_000, duration: .seconds(60), rate: 100_000))
                let wire = lab.wires[1].there
                let calls = try Worker { (isStopping) throws(Failure) in
                    let sender = try RawSender(wire)
                    var sent = 0
                    while sent < 200_000, !isStopping() {
                        let frames = (sent..<sent + 50).map { good.frame(good.register($0)) }
                        let portion = try sender.send(frames, rate: 2000)
                        guard portion.refused == 0 else { break }
                        sent += 50
                    }
                    return sent
                }
                defer {
                    storm.stop()
                    calls.stop()
                }
                #expect(try eventually { try lab.command.stats().total["blocked"] ?? 0 > 1000 }, "the flood is on")
                try body(lab)
                calls.stop()
                storm.stop()
                let (sent, flooded) = (try calls.join(), try storm.join())
                #expect(sent > 500 && flooded.packets > 10_000, "\(sent) good, \(flooded)")

                let expected = [counters([.blocked: flooded.packets]), counters([.passed: sent])]
                _ = try eventually { try lab.command.stats().interfaces.map(\.counters) == expected }
                #expect(try lab.command.stats().interfaces.map(\.counters) == expected, "kept and exact")
                let datagrams = lab.receiver.receive(timeout: .milliseconds(50))
                #expect(datagrams.count { $0.source == bad.local.address } == 0, "leaked")
                #expect(
                    Set(datagrams.map(\.payload)) == Set((0..<sent).map { good.register($0) }),
                    "good requests, each of them")
                #expect(datagrams.count == sent, "none twice")
            }
        }

        /// A reader that never sees a counter fall.
        static func expectNoFall(_ last: inout StatsReport, _ lab: EdgeLab) throws {
            let now = try lab.command.stats()
            for row in last.interfaces {
                for (name, value) in row.counters {
                    #expect(now.counters(of: row.name)?[name] ?? -1 >= value, "\(row.name) \(name) fell")
                }
            }
            last = now
        }

        @Test("100 redeploys on both interfaces", arguments: [XDPMode.native, .generic])
        func redeploys(_ mode: XDPMode) throws {
            try Self.underFlood(mode) { lab in
                var last = try lab.command.stats()
                let first = try lab.command.status().interface("sip0")?.program?.id
                for number in 0..<100 {
                    let object = number.isMultiple(of: 2) ? ["--object", "build/sip_logic.bpf.o"] : []
                    try lab.command.done(["up", "sip\(number % 2)"] + object)
                    if number.isMultiple(of: 10) { try Self.expectNoFall(&last, lab) }
                }
                #expect(try lab.command.status().interface("sip0")?.program?.id != first, "it was replaced")
                #expect(try lab.command.status().interfaces.map(\.mode) == [mode.rawValue, mode.rawValue])
            }
        }

        @Test("the capacity changed again and again, entries kept", arguments: [XDPMode.native, .generic])
        func capacities(_ mode: XDPMode) throws {
            try Self.underFlood(mode) { lab in
                let addresses = (1...500).map { "\(IPPrefix(ipv4: 0x6440_0000 + UInt32($0)))" }
                try lab.command.done(["block", "add"] + addresses)
                let entries = try lab.command.list(.block)
                #expect(entries.count == 501 && Set(entries.values) == ["in force"])
                var last = try lab.command.stats()
                for number in 0..<20 {
                    let capacity = number.isMultiple(of: 2) ? 4096 : 512
                    try lab.command.done(
                        "up", "sip\(number % 2)", "--blocked-capacity", "\(capacity)", "--allowed-capacity",
                        "\(capacity)")
                    #expect(try lab.command.status().list(.block)?.capacity == capacity)
                    #expect(try lab.command.list(.block) == entries)
                    try Self.expectNoFall(&last, lab)
                }
                #expect(try lab.command.status().odd == [])
            }
        }
    }
}
