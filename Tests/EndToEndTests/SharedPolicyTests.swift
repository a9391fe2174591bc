// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    @Suite struct SharedPolicyTests {
        @Test("two interfaces share one policy and count for themselves", arguments: [XDPMode.native, .generic])
        func twoInterfaces(_ mode: XDPMode) throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                try lab.up(mode)
                // One address, behind either interface.
                let sources = [0, 1].map { lab.peer($0).spoofing(0xc000_0201) }
                let request = sources[0].register()
                for number in [0, 1] {
                    try lab.expect(
                        [sources[number].frame(request)], over: number, counted: [.passed: 1], heard: [request])
                }
                try lab.command.done("block", "add", "192.0.2.1")
                for number in [0, 1] {
                    try lab.expect([sources[number].frame(request)], over: number, counted: [.blocked: 1], heard: [])
                }
                let report = try lab.command.stats()
                #expect(report.interfaces.map(\.name) == ["sip0", "sip1"])
                #expect(report.interfaces.map(\.mode) == [mode.rawValue, mode.rawValue])
                // A request, two markers.
                let each = counters([.passed: 3, .blocked: 1])
                #expect(report.interfaces.map(\.counters) == [each, each])
                #expect(report.total == counters([.passed: 6, .blocked: 2]))

                try lab.command.done("down", "sip0")
                #expect(try lab.command.stats().interfaces.map(\.name) == ["sip1"])
                #expect(try lab.hear([sources[0].frame(request)], over: 0) == [request], "nothing filters there")
                #expect(try lab.hear([sources[1].frame(request)], over: 1) == [], "the other is not hurt")
                #expect(try lab.command.stats().total == counters([.passed: 4, .blocked: 2]))
            }
        }

        @Test("the same name in two network namespaces: one policy, own counters, own end")
        func twoNamespaces() throws {
            try EdgeLab.with { lab in
                let otherHost = try lab.laboratory.addHost("other")
                let wire = try EdgeLab.connect(lab.laboratory, otherHost, "sip0", lab.laboratory.addHost("peer9"), 9)
                let other = Edge(host: otherHost)
                let namespace = "fastpath-\(Edge.instance).other"
                try lab.up(.native)
                try other.done("up", "sip0")
                // Two dump orders, two points of view: each names the other's by its namespace.
                #expect(Set(try lab.command.stats().interfaces.map(\.name)) == ["sip0", "sip0@\(namespace)"])
                #expect(
                    Set(try other.stats().interfaces.map(\.name)) == ["sip0", "sip0@fastpath-\(Edge.instance).edge"])
                #expect(Set(try lab.command.status().interfaces.compactMap(\.namespace)) == [namespace])

                try other.done("block", "add", "192.0.2.1")
                let here = lab.peer().spoofing(0xc000_0201)
                try lab.expect([here.frame(here.register())], counted: [.blocked: 1], heard: [])
                let there = Peer(
                    local: Endpoint(mac: wire.there.mac, address: 0xc000_0201, port: 5060),
                    server: Endpoint(wire.here, port: 5060))
                try RawSender(wire.there).send([there.frame(there.options()), there.frame(there.register())])
                let counted = try eventually { try other.stats("sip0").total == counters([.blocked: 2]) }
                #expect(counted)
                #expect(try lab.command.stats("sip0").total == counters([.blocked: 1, .passed: 1]))
                #expect(try lab.command.stats("sip0@\(namespace)").total == counters([.blocked: 2]))
                #expect(try lab.command.stats().total == counters([.blocked: 3, .passed: 1]))

                // A change from here counts there, and `down` in one does not hurt the other.
                try lab.command.done("down", "sip0")
                #expect(try lab.command.stats().interfaces.map(\.name) == ["sip0@\(namespace)"])
                #expect(try other.status().interface("sip0")?.filtering == true)
                try lab.command.done("block", "remove", "192.0.2.1")
                try RawSender(wire.there).send([there.frame(there.register())])
                #expect(try eventually { try other.stats().total == counters([.blocked: 2, .passed: 1]) })
                try lab.command.done("down", "sip0@\(namespace)")
                expectFailure(try other.run("stats"), saying: "not loaded")
            }
        }

        /// Ids of the maps called `name` that the program on an interface uses, by bpftool and ip alone.
        static func mapID(_ name: String, on interface: String, _ edge: Edge) throws -> String {
            let ran = try edge.shell(
                """
                program=$(ip -j link show dev "$1" | jq .[0].xdp.prog.id) &&
                for map in $(bpftool -j prog show id "$program" | jq .map_ids[]); do
                    [ "$(bpftool -j map show id "$map" | jq -r .name)" = "$2" ] && echo "$map"
                done
                """, [interface, name])
            return try #require(ran.lines.first, "\(ran)")
        }

        @Test("an entry written with bpftool counts at once, is shown, survives `up`, is recorded by `down`")
        func byHand() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native)
                try edge.done("block", "add", "192.0.2.7")
                let (blocked, allowed) = (lab.peer().spoofing(0x0a63_0002), lab.peer().spoofing(0x0a63_0003))
                try lab.expect(
                    [blocked.frame(blocked.register()), allowed.frame(allowed.options())],
                    counted: [.passed: 1, .optionsDropped: 1], heard: [blocked.register()])

                func write(_ map: String, _ key: String) throws {
                    let id = try Self.mapID(map, on: "sip0", edge)
                    let ran = try edge.shell("bpftool map update id $1 key hex $2 value hex 01", [id, key])
                    try #require(ran.isDone, "\(ran)")
                }
                try write("blocked_ips", "0a 63 00 02")
                try write("allowed_ips", "0a 63 00 03")
                let sent = [blocked.frame(blocked.register()), allowed.frame(allowed.options())]
                try lab.expect(sent, counted: [.blocked: 1, .passed: 1], heard: [allowed.options()])

                #expect(try edge.list(.block) == ["10.99.0.2": "by hand", "192.0.2.7": "in force"])
                #expect(try edge.list(.allow) == ["10.99.0.3": "by hand"])
                #expect(try edge.status().odd == ["written_by_hand", "written_by_hand"])
                #expect(try edge.export() == ["10.99.0.2", "192.0.2.7"])

                for arguments in [[], ["--blocked-capacity", "2000"], ["--allowed-capacity", "300"], []] {
                    try edge.done(["up", "sip0"] + arguments)
                    try lab.expect(
                        sent, counted: [.blocked: 1, .passed: 1], heard: [allowed.options()], "\(arguments)")
                    #expect(try edge.list(.block) == ["10.99.0.2": "by hand", "192.0.2.7": "in force"])
                }
                // Other changes of the list leave it alone.
                try edge.done("block", "remove", "192.0.2.7")
                try edge.done("block", "add", "192.0.2.8")
                #expect(try edge.list(.block) == ["10.99.0.2": "by hand", "192.0.2.8": "in force"])

                let down = try edge.done("down", "sip0")
                #expect(down.output.contains("written by hand, recorded now"), "\(down)")
                #expect(try edge.list(.block) == ["10.99.0.2": "recorded", "192.0.2.8": "recorded"])
                #expect(try edge.list(.allow) == ["10.99.0.3": "recorded"])
                try edge.done("up", "sip0")
                try lab.expect(sent, counted: [.blocked: 1, .passed: 1], heard: [allowed.options()])
                #expect(try edge.status().odd == [])

                // Asked for by its name, it goes like any other.
                try write("blocked_ips", "c0 00 02 09")
                try edge.done("block", "remove", "192.0.2.9")
                #expect(try edge.list(.block) == ["10.99.0.2": "in force", "192.0.2.8": "in force"])
            }
        }
    }
}
