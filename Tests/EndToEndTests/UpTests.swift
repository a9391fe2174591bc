// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    @Suite struct UpTests {
        /// What `ip link` says is attached: the kernel's own word. Empty where nothing is.
        static func attached(_ host: LabHost, _ interface: String) throws -> String {
            let words = try host.ip(["-o", "link", "show", "dev", interface]).split(separator: " ")
            // `xdp` native, `xdpgeneric`; the id comes as `prog/xdp id N`.
            return words.first { $0.hasPrefix("xdp") }.map(String.init) ?? ""
        }

        struct Attaching: CustomTestStringConvertible, Sendable {
            var name: String
            var interface = "sip0"
            var mtu = 1500
            var arguments: [String] = []
            var mode: XDPMode
            var warnings: [String]
            var testDescription: String { name }
        }

        static let attachings = [
            Attaching(name: "auto on veth", mode: .native, warnings: ["allow_list_empty", "first_native_attach"]),
            Attaching(
                name: "native on veth", arguments: ["--mode", "native"], mode: .native,
                warnings: ["allow_list_empty", "first_native_attach"]),
            Attaching(
                name: "generic on veth", arguments: ["--mode", "generic"], mode: .generic,
                warnings: ["allow_list_empty", "generic_mode"]),
            Attaching(
                name: "MTU 9000", mtu: 9000, arguments: ["--mode", "native"], mode: .native,
                warnings: ["allow_list_empty", "first_native_attach"]),
            Attaching(
                name: "a dot in the name", interface: "sip.100", mode: .native,
                warnings: ["allow_list_empty", "first_native_attach"]),
            Attaching(
                name: "the object from a file", arguments: ["--object", "build/sip_logic.bpf.o"], mode: .native,
                warnings: ["allow_list_empty", "first_native_attach"]),
        ]

        @Test("attaches in the mode that the kernel confirms, filters, and goes", arguments: attachings)
        func attaching(_ row: Attaching) throws {
            try EdgeLab.with([row.interface]) { lab in
                for end in [lab.wire.there, lab.wire.here] {
                    try end.host.ip(["link", "set", end.name, "mtu", "\(row.mtu)"])
                }
                let peer = lab.peer()
                let sent = [peer.options(), peer.register()]
                try lab.expectAllHeard(sent, peer.frames(sent))

                let ran = try lab.command.done(["up", row.interface, "--json"] + row.arguments)
                let answer: UpAnswer = try ran.decoded()
                #expect(answer.interface == row.interface)
                #expect(answer.mode == row.mode.rawValue)
                #expect(answer.driver == "veth")
                #expect(answer.warnings == row.warnings)
                #expect(answer.notes == [])
                #expect(try Self.attached(lab.edge, row.interface) == (row.mode == .native ? "xdp" : "xdpgeneric"))
                let status = try lab.command.status()
                #expect(status.interface(row.interface)?.mode == row.mode.rawValue)
                #expect(status.interface(row.interface)?.profile == "carrier")
                #expect(status.odd == [])
                try lab.expect(peer.frames(sent), counted: [.optionsDropped: 1, .passed: 1], heard: [peer.register()])

                try lab.command.done("down", row.interface)
                #expect(try Self.attached(lab.edge, row.interface) == "")
                try lab.expectAllHeard(sent, peer.frames(sent))
            }
        }

        @Test("lo: generic, with the reason why native was refused; native only fails and attaches nothing")
        func loopback() throws {
            try EdgeLab.with { lab in
                expectFailure(try lab.command.run("up", "lo", "--mode", "native"), saying: "lo", "native")
                #expect(try Self.attached(lab.edge, "lo") == "")
                #expect(!namesInFolder("/sys/fs/bpf").contains("vos-fastpath-\(Edge.instance)"), "no pins are left")

                let ran = try lab.command.done("up", "lo", "--json")
                let answer: UpAnswer = try ran.decoded()
                #expect(answer.mode == "generic")
                #expect(answer.warnings.contains("generic_mode"))
                #expect(answer.notes.count == 1 && answer.notes[0].hasPrefix("native mode was refused: "))
                #expect(ran.errors.contains("native mode was refused: "), "people are told as well")
                #expect(try Self.attached(lab.edge, "lo") == "xdpgeneric")
                let server = Endpoint(mac: MACAddress(of: 0x7f00_0001), address: 0x7f00_0001, port: 5060)
                let request = SIPRequest.register(to: server, local: server, sequence: 1)
                let sender = try DatagramSender(on: lab.edge, to: 0x7f00_0001, port: 5060)
                try sender.send([request, SIPRequest.options(to: server, local: server, sequence: 1)])
                #expect(lab.receiver.receive(timeout: .milliseconds(50)).map(\.payload) == [request])
                #expect(try lab.command.stats().total == counters([.optionsDropped: 1, .passed: 1]))
            }
        }

        /// What is refused, with which exit code, and a word that the error must have.
        static let refusals: [([String], Int32, String)] = [
            (["up", "sip9"], 1, "sip9"),
            (["up", "sip0", "--object", "/nonexistent.o"], 1, "/nonexistent.o"),
            (["up", "sip0", "--object", "Package.swift"], 1, "Package.swift"),
            (["up", "sip0", "--object", "/dev/null"], 1, "/dev/null"),
            (
                ["up", "sip0", "--object", "build/lab/empty_drop.bpf.o"], 1,
                "lacks xsks_map, allowed_ips, blocked_ips, xdp_counters"
            ),
            (["up", "sip0", "--object", "build"], 1, "build"),
            (["up"], 64, "--help"),
            (["up", "sip0", "--mode", "fast"], 64, "fast"),
            (["up", "sip0", "--config", "/nonexistent.toml"], 1, "/nonexistent.toml"),
            (["up", "sip0", "--config", "Package.swift"], 1, "Package.swift, line 1"),
            (["up", "sip0", "--profile", "none"], 64, "none"),
            (["up", "sip0", "--switch", "vlans=on"], 64, "vlans"),
            (["up", "sip0", "--port", "0"], 64, "--port"),
            (["up", "sip0", "--profile", "classic", "--port", "5061"], 64, "--switch ports=on"),
            (["config", "check", "/nonexistent.toml"], 1, "/nonexistent.toml"),
            (["config", "diff", "sip0"], 1, "vos-fastpath up sip0"),
            (["config", "diff", "sip9"], 1, "sip9"),
            (["up", "sip0", "--blocked-capacity", "0"], 64, "--blocked-capacity"),
            (["up", "sip0", "--blocked-capacity", "-1"], 64, "--blocked-capacity"),
            (["up", "sip0", "--allowed-capacity", "4294967296"], 64, "--allowed-capacity"),
            (["up", "sip0", "sip1"], 64, "sip1"),
            (["down"], 64, "--all"),
            (["down", "sip0", "--all"], 64, "--all"),
            (["down", "sip0"], 1, "nothing of ours"),
            (["down", "sip9"], 1, "sip9"),
            (["stats"], 1, "not loaded"),
            (["stats", "sip0"], 1, "sip0"),
            (["stats", "sip9"], 1, "sip9"),
            (["status", "sip9"], 1, "sip9"),
            (["block", "add"], 64, "add"),
            (["block", "add", "999.1.2.3"], 64, "999"),
            (["block", "add", "10.0.0.1/8"], 64, "10.0.0.0/8"),
            (["block", "add", "--addresses-only", "192.0.2.0/24"], 64, "192.0.2.0/24"),
            (["block", "add", "abc.def.g.h"], 64, "abc.def.g.h"),
            (["block", "add", "--addresses-only", "2001:db8::1"], 64, "2001:db8::1"),
            (["block", "add", "192.0.2.1", "192.0.2.256"], 64, "256"),
            (["allow", "remove", "192.0.2"], 64, "192.0.2"),
            (["block", "add", "--require-loaded", "192.0.2.1"], 1, "not loaded"),
            (["fly"], 64, "fly"),
            (["--instance", "no.dots", "status"], 64, "--instance"),
            (["status", "--instance", "no.dots"], 64, "no.dots"),
        ]

        @Test("refuses with four parts on standard error, and changes nothing")
        func refuses() throws {
            try EdgeLab.with { lab in
                for (arguments, code, word) in Self.refusals {
                    let ran = try lab.command.run(arguments)
                    expectFailure(ran, code: code, saying: word)
                    #expect(ran.output == "", "\(ran)")
                }
                #expect(try Self.attached(lab.edge, "sip0") == "")
                #expect(access(lab.command.pinRoot, F_OK) != 0, "no pins")
                #expect(try lab.command.export() == [])
                #expect(try lab.command.export(.allow) == [])
            }
        }

        @Test("a failed replacement leaves the program that was there, with its counters")
        func failedReplacement() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let peer = lab.peer()
                try lab.expect([peer.frame(peer.options())], counted: [.optionsDropped: 1], heard: [])
                let before = try lab.command.status().interface("sip0")?.program?.id
                for object in ["Package.swift", "build/lab/empty_drop.bpf.o"] {
                    expectFailure(try lab.command.run("up", "sip0", "--object", object))
                }
                expectFailure(try lab.command.run("up", "sip0", "--mode", "generic"), saying: "--force")
                #expect(try lab.command.status().interface("sip0")?.program?.id == before)
                #expect(try lab.command.stats().total == counters([.optionsDropped: 1, .passed: 1]))

                let changed = try lab.command.done("up", "sip0", "--mode", "generic", "--force")
                #expect(changed.errors.contains("unfiltered"), "the gap is stated: \(changed)")
                #expect(try Self.attached(lab.edge, "sip0") == "xdpgeneric")
                #expect(try lab.command.stats().total == counters([.optionsDropped: 1, .passed: 1]), "counters stay")
                try lab.expect([peer.frame(peer.options())], counted: [.optionsDropped: 1], heard: [])
            }
        }
    }
}
