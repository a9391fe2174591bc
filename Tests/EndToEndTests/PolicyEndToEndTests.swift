// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    /// The policy table on the wire: prefixes, trust, sets, expiry, growth and hits, by packets and by commands.
    @Suite struct PolicyEndToEndTests {
        @Test(
            "a blocked prefix drops every source in it, a trusted address in it passes",
            arguments: [XDPMode.native, .generic])
        func prefixesAndTrust(mode: XDPMode) throws {
            try EdgeLab.with { lab in
                try lab.up(mode)
                let sources = (0..<4).map { lab.peer().spoofing(0xc633_6400 + UInt32($0) * 64) }  // 198.51.100.0, .64 …
                try lab.command.done("block", "add", "198.51.100.0/25")
                try lab.command.done("trust", "add", "--comment", "trunk", "198.51.100.64")
                let good = sources.map { $0.register() }
                try lab.expect(
                    zip(sources, good).map { $0.frame($1) }, counted: [.blocked: 1, .passed: 3],
                    heard: [good[1], good[2], good[3]])
                // Trusted: OPTIONS pass without an entry of the allow list.
                let options = sources.map { $0.options() }
                try lab.expect(
                    zip(sources, options).map { $0.frame($1) }, counted: [.blocked: 1, .passed: 1, .optionsDropped: 2],
                    heard: [options[1]])
                let hits: HitReport = try lab.command.done("block", "list", "--hits", "--json").decoded()
                #expect(hits.entries.map(\.address) == ["198.51.100.0/25"] && hits.entries.map(\.hits) == [2])
                try lab.command.done("block", "remove", "198.51.100.0/25")
                try lab.expect([sources[0].frame(good[0])], counted: [.passed: 1], heard: [good[0]])
            }
        }

        @Test("a set is replaced as a whole, and other entries keep their hits")
        func sets() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let edge = lab.command
                let feed = "\(lab.laboratory.folder)/feed.txt"
                try Text.write("198.51.100.1\n203.0.113.0/24\n", to: feed)
                try edge.done("block", "add", "192.0.2.1")
                try edge.done("block", "import", "--set", "feed", feed)
                #expect(try edge.export() == ["192.0.2.1", "198.51.100.1", "203.0.113.0/24"])
                let source = lab.peer().spoofing(0xc633_6401)
                try lab.expect([source.frame(source.register())], counted: [.blocked: 1], heard: [])
                try Text.write("198.51.100.1\n2001:db8::/32\n", to: feed)
                try edge.done("block", "import", "--set", "feed", feed)
                #expect(try edge.export() == ["192.0.2.1", "198.51.100.1", "2001:db8::/32"])
                let hits: HitReport = try edge.done("block", "list", "--hits", "--set", "feed", "--json").decoded()
                #expect(hits.entries.map(\.hits) == [1])
                // A download that failed.
                try Text.write("", to: feed)
                expectFailure(try edge.run("block", "import", "--set", "feed", feed), code: 64, saying: "--force")
                try edge.done("block", "remove", "--set", "feed")
                #expect(try edge.export() == ["192.0.2.1"])
            }
        }

        @Test("an entry ends by itself, and the next change drops it from the record")
        func expiry() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let peer = lab.peer()
                try lab.command.done("block", "add", "--for", "2s", peer.address)
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])
                // No command runs: the program sees the second come.
                let isOver = eventually(within: .seconds(10)) {
                    (try? lab.hear([peer.frame(peer.register(7))])) == [peer.register(7)]
                }
                #expect(isOver)
                // The record goes by the wall clock, whose seconds begin at other moments than the program's.
                let isSaid = try eventually { try lab.command.list(.block).values.map { $0 } == ["expired"] }
                #expect(isSaid)
                try lab.command.done("allow", "add", "192.0.2.9")
                #expect(try lab.command.list(.block).isEmpty)
            }
        }

        @Test("more entries than fit make a larger table, on every interface, and nothing is lost")
        func growth() throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                try lab.up(.native)
                let big = "\(lab.laboratory.folder)/big.txt"
                let lines = (0..<20_000).map { "11.\($0 >> 16).\($0 >> 8 & 255).\($0 & 255)\n" }
                try Text.write(lines.joined(), to: big)
                let peer = lab.peer()
                try lab.command.done("block", "add", peer.address)
                let report: ImportAnswer = try lab.command.done("block", "import", "--json", big).decoded()
                #expect(report.added == 20_000 && Set(report.table?.moved ?? []) == ["sip0", "sip1"])
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])
                let other = lab.peer(1).spoofing(0x0b00_4e1f)  // 11.0.78.31, the last
                try lab.expect([other.frame(other.register())], over: 1, counted: [.blocked: 1], heard: [])
                #expect(try lab.command.status().odd.isEmpty)
            }
        }

        @Test("a classic interface beside it gets the addresses, and what it does not enforce is said")
        func mixed() throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                let edge = lab.command
                try edge.done("up", "sip0", "--mode", "native")
                try edge.done("block", "add", "198.51.100.1", "203.0.113.0/24")
                let ran = try edge.done("up", "sip1", "--mode", "native", "--profile", "classic")
                #expect(ran.errors.contains("not in force on sip1"))
                #expect(try edge.status().odd.contains("not_enforced"))
                let address = lab.peer(1).spoofing(0xc633_6401)
                try lab.expect([address.frame(address.register())], over: 1, counted: [.blocked: 1], heard: [])
                let inside = lab.peer(1).spoofing(0xcb00_7109)
                try lab.expect(
                    [inside.frame(inside.register())], over: 1, counted: [.passed: 1], heard: [inside.register()])
                try edge.done("up", "sip1", "--profile", "carrier")
                try lab.expect([inside.frame(inside.register())], over: 1, counted: [.blocked: 1], heard: [])
                #expect(try edge.status().odd.isEmpty)
            }
        }

        @Test("an address of the host and a trusted one are refused, with the line")
        func refusals() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let edge = lab.command
                try edge.done("trust", "add", "198.51.100.0/24")
                for address in ["10.97.1.1", "10.97.0.0/16", "198.51.100.7", "198.51.0.0/16", "64.0.0.0/2"] {
                    expectFailure(try edge.run("block", "add", address), code: 64, saying: address, "--force")
                }
                let feed = "\(lab.laboratory.folder)/feed.txt"
                try Text.write("# feed\n10.97.1.1\n192.0.2.1\n10.1.1.1\n", to: feed)
                expectFailure(try edge.run("block", "import", feed), saying: "line 2: \"10.97.1.1\" is refused")
                #expect(try edge.export() == ["10.1.1.1", "192.0.2.1"])
                try edge.done("block", "replace", "--exclude-private", feed)
                #expect(try edge.export() == ["192.0.2.1"])
                try edge.done("block", "add", "--force", "10.97.1.1")
                #expect(try edge.export() == ["10.97.1.1", "192.0.2.1"])
            }
        }
    }
}

/// `block list --hits --json`
private struct HitReport: Decodable {
    struct Entry: Decodable {
        var address: String
        var hits: Int
    }

    var entries: [Entry]
}

/// `block import --json`
private struct ImportAnswer: Decodable {
    struct Table: Decodable {
        var capacity: Int
        var moved: [String]
    }

    var added: Int
    var table: Table?
}
