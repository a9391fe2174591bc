// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// From the first `up` over reboots to the last `down`.
    @Suite struct LifeTests {
        @Test("a link that goes down and up filters on", arguments: [XDPMode.native, .generic])
        func linkDownAndUp(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                let peer = lab.peer()
                try lab.up(mode)
                try lab.command.done("block", "add", peer.address)
                for (command, name) in [(lab.edge, "sip0"), (lab.wire.there.host, "eth0")] {
                    try command.ip(["link", "set", name, "down"])
                    try command.ip(["link", "set", name, "up"])
                    // The neighbours went with the link; frames need none.
                    try lab.expect(
                        [peer.frame(peer.register()), peer.spoofing(1).frame(peer.options())],
                        counted: [.blocked: 1, .optionsDropped: 1], heard: [], "\(name)")
                }
                #expect(try lab.command.status().odd == [])
            }
        }

        @Test("after a reboot `up` restores lists and capacities; `down` keeps the record, `down --purge` forgets")
        func reboot() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                try lab.up(.native, "--blocked-capacity", "3000")
                try edge.done("block", "add", peer.address, "192.0.2.1")
                try edge.done("allow", "add", "192.0.2.2")
                // A reboot takes programs, pins and the lock's file; the disk stays.
                try lab.edge.ip(["link", "set", "dev", "sip0", "xdp", "off"])
                try Shell.run(["rm", "-rf", "--", edge.pinRoot, edge.lockPath])
                #expect(try lab.hear([peer.frame(peer.register())]) == [peer.register()], "nothing filters")
                #expect(try edge.list(.block) == [peer.address: "recorded", "192.0.2.1": "recorded"])
                #expect(try edge.status().odd == [])
                // A change before the next `up` waits for it.
                let ran = try edge.done("block", "add", "192.0.2.3")
                #expect(ran.errors.contains("waits for"), "\(ran)")

                try edge.done("up", "sip0")
                #expect(
                    try edge.list(.block) == [
                        peer.address: "in force", "192.0.2.1": "in force", "192.0.2.3": "in force",
                    ])
                #expect(try edge.list(.allow) == ["192.0.2.2": "in force"])
                #expect(try edge.status().list(.block)?.capacity == 3000)
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])

                try edge.done("down", "sip0")
                #expect(try edge.export() == [peer.address, "192.0.2.1", "192.0.2.3"])
                try edge.done("up", "sip0")
                try lab.expect([peer.frame(peer.register())], counted: [.blocked: 1], heard: [])

                let down = try edge.done("down", "sip0", "--purge")
                #expect(down.output.contains("forgotten"), "\(down)")
                #expect(try edge.export() == [] && edge.export(.allow) == [])
                try edge.done("up", "sip0")
                #expect(try edge.status().list(.block)?.capacity == 1024, "the capacity is forgotten too")
                try lab.expect([peer.frame(peer.register())], counted: [.passed: 1], heard: [peer.register()])
            }
        }

        @Test("one interface of two cannot be purged: the other goes on with the lists")
        func purgeOfOne() throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                try lab.up(.native)
                try lab.command.done("block", "add", "192.0.2.1")
                expectFailure(try lab.command.run("down", "sip0", "--purge"), code: 64, saying: "sip1")
                #expect(try lab.command.status().interfaces.count { $0.filtering } == 2)
                try lab.command.done("down", "--all", "--purge")
                #expect(try lab.command.export() == [])
            }
        }

        /// Ids of programs and maps in the kernel that go by our names, by bpftool.
        static func ours(_ edge: Edge) throws -> Set<String> {
            let ran = try edge.shell(
                """
                bpftool -j prog show | jq -r '.[] | select(.name == "sip_xdp_prog") | "program \\(.id)"'
                bpftool -j map show | jq -r \
                    '.[] | select(.name == ("blocked_ips", "allowed_ips", "xsks_map", "xdp_counters", "window_copies")) | "map \\(.id)"'
                """)
            return Set(ran.lines)
        }

        @Test("after `down --all` nothing is left in the kernel", arguments: [XDPMode.native, .generic])
        func nothingLeft(_ mode: XDPMode) throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                let edge = lab.command
                // Others may run edges of their own on this machine meanwhile: ours are known by their ids.
                try lab.up(mode)
                try edge.done("up", "sip0", "--blocked-capacity", "5000")
                try edge.done("block", "add", "192.0.2.1")
                let mine = try Self.maps(of: ["sip0", "sip1"], edge)
                #expect(mine.count == 2 + 2 + 6, "two programs, the shared lists, three maps each: \(mine)")
                #expect(try Self.ours(edge).isSuperset(of: mine))
                try edge.done("down", "--all")
                // The kernel frees maps behind a grace period.
                let gone = try eventually { try Self.ours(edge).isDisjoint(with: mine) }
                let left = try Self.ours(edge).intersection(mine)
                #expect(gone && left == [])
                for name in ["sip0", "sip1"] { #expect(try UpTests.attached(lab.edge, name) == "") }
                #expect(access(edge.pinRoot, F_OK) != 0)
            }
        }

        /// The programs of interfaces and their maps, in the words of ``ours(_:)``.
        static func maps(of interfaces: [String], _ edge: Edge) throws -> Set<String> {
            let ran = try edge.shell(
                """
                for name in "$@"; do
                    program=$(ip -j link show dev "$name" | jq .[0].xdp.prog.id) || exit
                    echo "program $program"
                    for map in $(bpftool -j prog show id "$program" | jq .map_ids[]); do
                        bpftool -j map show id "$map" | jq -r 'select(.name | test("rodata") | not) | "map \\(.id)"'
                    done
                done
                """, interfaces
            ).requireDone()
            return Set(ran.lines)
        }
    }
}
