// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// What others do behind the edge's back.
    @Suite struct OutsideTests {
        @Test("an interface disappears: said, and taken away; one of the same name is another one")
        func interfaceGone() throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                let edge = lab.command
                try lab.up(.native)
                try edge.done("block", "add", lab.peer(1).address)
                let index = lab.wires[0].here.index
                try lab.edge.ip(["link", "del", "sip0"])
                #expect(try edge.status().odd == ["interface_gone"])
                #expect(try edge.stats().interfaces.map(\.name) == ["sip1"])
                try lab.expect([lab.peer(1).frame(lab.peer(1).register())], over: 1, counted: [.blocked: 1], heard: [])

                let oddity = try #require(try edge.status().oddities.first)
                let advice = try #require(oddity.next.split(separator: " ").last.map(String.init))
                try edge.done("down", advice)
                #expect(try edge.status().odd == [])
                let again = try lab.laboratory.connect(
                    .init(lab.edge, "sip0", lab.wires[0].here.address),
                    .init(lab.laboratory.addHost("peer8"), "eth0", 0x0a61_0102))
                #expect(again.0.index != index)
                #expect(try edge.status().interface("sip0") == nil, "no program, no pins")
                try edge.done("up", "sip0")
                #expect(try edge.stats().interfaces.map(\.name).sorted() == ["sip0", "sip1"])
                #expect(try edge.stats("sip0").total == counters(), "counts from 0")
            }
        }

        @Test("a whole host disappears: `down --all` takes away what is left")
        func hostGone() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                try lab.command.done("block", "add", "192.0.2.1")
                try lab.edge.ip(["link", "del", "sip0"])
                let here = Edge()
                #expect(try here.status().odd == ["interface_gone"])
                try here.done("down", "--all")
                #expect(access(here.pinRoot, F_OK) != 0)
                #expect(try here.list(.block) == ["192.0.2.1": "recorded"])
            }
        }

        @Test(
            "taken off by ip link: said; `up` puts it back with policy and counters",
            arguments: [XDPMode.native, .generic])
        func takenOff(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                try lab.up(mode)
                try edge.done("block", "add", peer.address)
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])
                try lab.edge.ip(["link", "set", "dev", "sip0", mode == .native ? "xdp" : "xdpgeneric", "off"])
                #expect(try UpTests.attached(lab.edge, "sip0") == "")
                #expect(try lab.hear([peer.frame(peer.register())]) == [peer.register()], "traffic flows as before")
                let status = try edge.status()
                #expect(status.odd == ["program_gone"])
                #expect(status.interface("sip0")?.filtering == false && status.interface("sip0")?.pinned == true)
                expectFailure(try edge.run("stats"), saying: "not loaded")
                expectFailure(try edge.run("block", "add", "--require-loaded", "192.0.2.1"), saying: "not loaded")

                try lab.up(mode)
                #expect(try edge.status().odd == [])
                #expect(try edge.stats().total == counters([.blocked: 1, .passed: 1]), "the counters go on")
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])
            }
        }

        @Test(
            "a foreign program: refused by its id, replaced with --force, left alone by `down`",
            arguments: [XDPMode.native, .generic])
        func foreign(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                let keyword = mode == .native ? "xdpdrv" : "xdpgeneric"
                func attachForeign(_ force: [String] = []) throws {
                    try lab.edge.ip(
                        force + [
                            "link", "set", "dev", "sip0", keyword, "obj", "build/lab/empty_drop.bpf.o", "sec", "xdp",
                        ])
                }
                try attachForeign()
                let seen = try #require(try edge.status().interface("sip0"))
                #expect(seen.program?.edge == false && !seen.filtering && !seen.pinned)
                #expect(try edge.status().odd == ["foreign_program"])
                let id = try #require(seen.program?.id)
                for arguments in [["up", "sip0"], ["up", "sip0", "--mode", mode.rawValue]] {
                    expectFailure(try edge.run(arguments), saying: "id \(id)", "--force", "sip0")
                }
                expectFailure(try edge.run("down", "sip0"), saying: "id \(id)", "not ours")
                _ = try edge.done("down", "--all")
                #expect(try edge.status().interface("sip0")?.program?.id == id, "still there")
                #expect(access(edge.pinRoot, F_OK) != 0)
                expectFailure(try edge.run("stats", "sip0"), saying: "sip0")

                try edge.done("up", "sip0", "--force", "--mode", mode.rawValue)
                try lab.expect(
                    peer.frames([peer.register(), peer.options()]), counted: [.passed: 1, .optionsDropped: 1],
                    heard: [peer.register()])

                // A foreign one in place of ours.
                try edge.done("block", "add", "192.0.2.1")
                try attachForeign(["-force"])
                #expect(try edge.status().odd == ["foreign_program"])
                #expect(try #require(try edge.status().oddities.first).text.contains("took the place of ours"))
                expectFailure(try edge.run("up", "sip0"), saying: "--force")
                let down = try edge.done("down", "sip0")
                #expect(down.errors.contains("not ours"), "\(down)")
                #expect(try edge.status().interface("sip0")?.program?.edge == false, "it was left there")
                #expect(access(edge.pinRoot, F_OK) != 0)
                #expect(try edge.list(.block) == ["192.0.2.1": "recorded"])
            }
        }

        @Test("a program of another instance is not ours to touch")
        func otherInstance() throws {
            try EdgeLab.with { lab in
                let other = Edge(instance: "e2e-other", host: lab.edge)
                try other.clear()
                defer { try? other.clear() }
                try other.done("up", "sip0")
                try other.done("block", "add", "192.0.2.1")
                let edge = lab.command
                #expect(try edge.status().odd == ["other_instance"])
                #expect(try edge.status().interface("sip0")?.instance == "e2e-other")
                expectFailure(try edge.run("up", "sip0"), saying: "e2e-other", "--force")
                expectFailure(try edge.run("down", "sip0"), saying: "e2e-other")
                expectFailure(try edge.run("stats"), saying: "not loaded")
                try edge.done("block", "add", "192.0.2.2")
                try edge.done("down", "--all")
                #expect(try other.list(.block) == ["192.0.2.1": "in force"])
                #expect(try edge.list(.block) == ["192.0.2.2": "recorded"])
                let stranger = lab.peer().spoofing(0xc000_0202)
                #expect(try lab.hear([stranger.frame(stranger.register())]) == [stranger.register()])
                try other.done("down", "--all", "--purge")
            }
        }

        @Test(
            "loaded by ip link it is `classic`; commands use it; `up` over it adopts its lists",
            arguments: [XDPMode.native, .generic])
        func loadedByIP(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                let blocked = peer.spoofing(0xc000_0201)
                try lab.edge.ip([
                    "link", "set", "dev", "sip0", mode == .native ? "xdp" : "xdpgeneric", "obj",
                    "build/sip_logic.bpf.o", "sec", "xdp",
                ])
                try lab.expect(
                    peer.frames([peer.options(), peer.register(), TrafficTests.junk]),
                    counted: [.optionsDropped: 1, .passed: 1, .malformed: 1], heard: [peer.register()])
                try lab.expect([blocked.frame(blocked.register())], counted: [.passed: 1], heard: [blocked.register()])
                #expect(try edge.status().odd == ["own_lists"])
                #expect(try edge.status().interface("sip0")?.pinned == false)

                try edge.done("block", "add", "--require-loaded", "192.0.2.1")
                try edge.done("allow", "add", "--require-loaded", peer.address)
                let sent = [peer.frame(peer.options()), blocked.frame(blocked.register())]
                try lab.expect(sent, counted: [.passed: 1, .blocked: 1], heard: [peer.options()])
                #expect(try edge.list(.block) == ["192.0.2.1": "in force"])
                // By hand, into lists that are its own.
                let id = try SharedPolicyTests.mapID("blocked_ips", on: "sip0", edge)
                try edge.shell("bpftool map update id $1 key hex c0 00 02 09 value hex 01", [id]).requireDone()
                #expect(try edge.list(.block) == ["192.0.2.1": "in force", "192.0.2.9": "by hand"])

                let before = try edge.stats().total
                let answer: UpAnswer = try edge.done("up", "sip0", "--json").decoded()
                #expect(answer.mode == mode.rawValue)
                #expect(try edge.stats().total == before, "the counters go on")
                #expect(try edge.list(.block) == ["192.0.2.1": "in force", "192.0.2.9": "in force"])
                #expect(try edge.list(.allow) == [peer.address: "in force"])
                #expect(try edge.status().odd == [])
                let late = peer.spoofing(0xc000_0209)
                try lab.expect(
                    sent + [late.frame(late.register())], counted: [.passed: 1, .blocked: 2], heard: [peer.options()])
                // And whoever attached it: `ip link` takes it off.
                try lab.edge.ip(["link", "set", "dev", "sip0", mode == .native ? "xdp" : "xdpgeneric", "off"])
                #expect(try lab.hear(sent) == [peer.options(), blocked.register()])
            }
        }

        @Test("bpftool loads the object as it is; its public maps have their names, types and sizes")
        func bpftool() throws {
            try EdgeLab.with { lab in
                let pin = "/sys/fs/bpf/vos-fastpath-e2e-bpftool"
                let ran = try lab.command.shell(
                    """
                    rm -f "$1"
                    trap 'rm -f "$1"' EXIT
                    bpftool prog load build/sip_logic.bpf.o "$1" type xdp || exit
                    bpftool -j prog show pinned "$1" | jq -r '"\\(.name) \\(.type) gpl=\\(.gpl_compatible)"'
                    for id in $(bpftool -j prog show pinned "$1" | jq .map_ids[]); do
                        bpftool -j map show id $id | jq -r '"\\(.name) \\(.type) \\(.bytes_key) \\(.bytes_value) \\(.max_entries)"'
                    done | grep -E '^(allowed|blocked|xdp|xsks)_' | sort
                    """, [pin]
                ).requireDone()
                #expect(
                    ran.lines == [
                        "sip_xdp_prog xdp gpl=true", "allowed_ips hash 4 1 256", "blocked_ips hash 4 1 1024",
                        "xdp_counters percpu_array 4 8 6", "xsks_map xskmap 4 4 64",
                    ])
            }
        }
    }
}
