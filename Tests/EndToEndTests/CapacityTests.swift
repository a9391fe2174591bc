// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    /// Public maps that are full, where the program reads nothing else.
    @Suite struct CapacityTests {
        static func addresses(_ range: Range<Int>) -> [String] {
            range.map { "\(IPPrefix(ipv4: 0x6440_0000 + UInt32($0)))" }
        }

        @Test("an address for a full list: refused, with the capacity and how to raise it; nothing changed")
        func full() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                try lab.up(.native, "--profile", "classic", "--blocked-capacity", "8", "--allowed-capacity", "4")
                try edge.done(["block", "add"] + Self.addresses(0..<8))
                try edge.done(["allow", "add"] + Self.addresses(0..<4))
                let (blocked, allowed) = (try edge.list(.block), try edge.list(.allow))
                expectFailure(
                    try edge.run("block", "add", peer.address), saying: "room for 8 entries", "nothing was changed",
                    "vos-fastpath up sip0 --profile classic --blocked-capacity 16")
                expectFailure(
                    try edge.run("allow", "add", peer.address), saying: "room for 4 entries",
                    "vos-fastpath up sip0 --profile classic --allowed-capacity 8")
                // Many at once: all or none.
                expectFailure(try edge.run("block", "add", "100.64.0.0", peer.address), saying: "nothing was changed")
                #expect(try edge.list(.block) == blocked && edge.list(.allow) == allowed)
                try lab.expect(
                    peer.frames([peer.register(), peer.options()]), counted: [.passed: 1, .optionsDropped: 1],
                    heard: [peer.register()])
                // One that is there is no error.
                try edge.done("block", "add", "100.64.0.0")

                // One goes, another comes.
                try edge.done("block", "remove", "100.64.0.0")
                try edge.done("block", "add", peer.address)
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])
            }
        }

        @Test(
            "an import that overflows: exact numbers, what fits is in; raised, the rest is in too",
            arguments: [XDPMode.native, .generic])
        func overflow(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let file = "\(lab.laboratory.folder)/feed.txt"
                try lab.up(mode, "--profile", "classic")
                try edge.done("block", "add", "192.0.2.1", "192.0.2.2")
                try Text.write(Self.addresses(0..<2000).joined(separator: "\n"), to: file)
                let ran = try edge.run("block", "import", file)
                expectFailure(
                    ran, saying: "1,024 entries", "978 of 2,000 addresses found none", "--blocked-capacity 2048")
                #expect(ran.lines.last == "Done: 1022 blocked, 0 skipped (invalid), 978 failed (map full)", "\(ran)")
                let states = try edge.list(.block)
                #expect(states.count == 1024 && Set(states.values) == ["in force"])
                #expect(try edge.status().odd == [])
                // What the advice says.
                try edge.done("up", "sip0", "--profile", "classic", "--blocked-capacity", "2048")
                #expect(try edge.list(.block) == states, "entries are kept")
                let again = try edge.done("block", "import", file)
                #expect(again.lines.last == "Done: 2000 blocked, 0 skipped (invalid), 0 failed (map full)", "\(again)")
                #expect(try edge.list(.block).count == 2002)
                #expect(try edge.status().list(.block)?.inKernel == 2002)

                // Each end of what is on it is in force, the address behind it is not.
                let peer = lab.peer()
                let (first, last, next) = (
                    peer.spoofing(0x6440_0000), peer.spoofing(0x6440_07cf), peer.spoofing(0x6440_07d0)
                )
                try lab.expect(
                    [first.frame(first.register()), last.frame(last.register()), next.frame(next.register())],
                    counted: [.blocked: 2, .passed: 1], heard: [next.register()])

                expectFailure(
                    try edge.run("up", "sip0", "--profile", "classic", "--blocked-capacity", "2001"),
                    saying: "2002 entries",
                    "Choose 2002 or more")
                #expect(try edge.status().list(.block)?.capacity == 2048, "refused: as it was")
                try edge.done("up", "sip0", "--profile", "classic", "--blocked-capacity", "2002")
                #expect(try edge.status().list(.block)?.capacity == 2002)
                #expect(try edge.list(.block).count == 2002)
                #expect(try edge.stats().total == counters([.blocked: 2, .passed: 2]))
            }
        }

        @Test("entries by hand fill a list too: the record takes what fits and says so")
        func filledByHand() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native, "--profile", "classic", "--blocked-capacity", "4")
                let id = try SharedPolicyTests.mapID("blocked_ips", on: "sip0", edge)
                for last in 1...3 {
                    try edge.shell("bpftool map update id $1 key hex c0 00 02 0$2 value hex 01", [id, "\(last)"])
                        .requireDone()
                }
                try edge.done("block", "add", "198.51.100.1")
                expectFailure(
                    try edge.run("block", "add", "198.51.100.2"), saying: "room for 4 entries", "nothing was changed")
                #expect(
                    try edge.list(.block) == [
                        "192.0.2.1": "by hand", "192.0.2.2": "by hand", "192.0.2.3": "by hand",
                        "198.51.100.1": "in force",
                    ])
                expectFailure(
                    try edge.run("up", "sip0", "--profile", "classic", "--blocked-capacity", "3"), saying: "4 entries")
                try edge.done("up", "sip0", "--profile", "classic", "--blocked-capacity", "5")
                try edge.done("block", "add", "198.51.100.2")
                #expect(try edge.list(.block).count == 5)
            }
        }
    }
}
