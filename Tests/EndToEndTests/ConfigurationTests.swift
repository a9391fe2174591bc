// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

/// `config check`, `show` and `diff` with `--json`.
private struct ConfigAnswer: Decodable {
    var profile: String?
    var settings: Settings?
    var equal: Bool?
    var configuration: Settings?
    var running: Settings?
    var differences: [String]?
}

extension EndToEndTests {
    /// Profiles, switches and the configuration file, from the file to the packet.
    @Suite struct ConfigurationTests {
        static let all = FilterSwitch.allCases.map(\.name)

        static func settings(
            _ on: Set<String> = Set(all), ports: [Int] = [5060], limit: Int? = 512
        ) -> Settings {
            Settings(
                switches: Dictionary(uniqueKeysWithValues: all.map { ($0, on.contains($0)) }), ports: ports,
                firstLineLimit: limit)
        }

        /// An Ethernet frame with an 802.1Q tag: a priority tag (VLAN 0), which the stack takes off by itself.
        static func tagged(_ frame: [UInt8]) -> [UInt8] { Array(frame[..<12] + [0x81, 0x00, 0, 0] + frame[12...]) }

        /// What slips past `classic`: OPTIONS behind CR LF, and OPTIONS behind a tag.
        static func evasions(_ peer: Peer) -> (frames: [[UInt8]], payloads: [[UInt8]]) {
            let behindBlanks = [13, 10] + peer.options(7)
            return ([peer.frame(behindBlanks), tagged(peer.frame(peer.options(8)))], [behindBlanks, peer.options(8)])
        }

        private func running(_ lab: EdgeLab) throws -> StatusReport.Interface {
            try #require(try lab.command.status().interface("sip0"))
        }

        @Test("up is carrier; --profile classic replaces it in one step, lists and counters stay; and back")
        func profiles() throws {
            try EdgeLab.with { lab in
                let (edge, peer) = (lab.command, lab.peer())
                let (frames, payloads) = Self.evasions(peer)
                try lab.expectAllHeard(payloads, frames)

                let first: UpAnswer = try edge.done("up", "sip0", "--mode", "native", "--json").decoded()
                #expect(first.profile == "carrier" && first.warnings.contains("allow_list_empty"))
                #expect(try running(lab).profile == "carrier")
                #expect(try running(lab).settings == Self.settings())
                try lab.expect(frames, counted: [.optionsDropped: 2], heard: [])
                try edge.done("block", "add", "192.0.2.7")

                let text = try edge.done("up", "sip0", "--profile", "classic").output
                #expect(text.contains("was replaced") && text.contains("profile classic; was carrier"), "\(text)")
                #expect(try running(lab).profile == "classic")
                #expect(try running(lab).settings == Self.settings([], limit: nil))
                #expect(try edge.done("status").output.contains(" classic "))
                // Behind a tag nothing is counted; behind CR LF the first 64 bytes show SIP/2.0, and so it passes.
                try lab.expect(frames, counted: [.passed: 1], heard: payloads)
                #expect(try edge.list(.block) == ["192.0.2.7": "in force"], "lists stay")
                #expect(try edge.stats().total["options_dropped"] == 2, "counters stay")

                try edge.done("up", "sip0")
                try lab.expect(frames, counted: [.optionsDropped: 2], heard: [])
            }
        }

        @Test("each switch by itself: the tag is looked through, or it is not")
        func switches() throws {
            try EdgeLab.with { lab in
                let (edge, peer) = (lab.command, lab.peer())
                let (frames, payloads) = Self.evasions(peer)
                try lab.up(.native, "--switch", "vlan=off", "--port", "5060", "--port", "5061")
                #expect(try running(lab).profile == "carrier, vlan off, ports 5060 5061")
                #expect(
                    try running(lab).settings
                        == Self.settings(Set(Self.all).subtracting(["vlan"]), ports: [5060, 5061]))
                try lab.expect(frames, counted: [.optionsDropped: 1], heard: [payloads[1]])
                try lab.expect([peer.frame(peer.options(), port: 5061)], counted: [.optionsDropped: 1], heard: [])
                try edge.done("up", "sip0")
                try lab.expect(frames, counted: [.optionsDropped: 2], heard: [])
                try lab.expect([peer.frame(peer.options(), port: 5061)], counted: [:], heard: [])
            }
        }

        @Test("the file: used where it is, beaten by the command line, refused with its line and nothing changed")
        func file() throws {
            try EdgeLab.with { lab in
                let (edge, peer) = (lab.command, lab.peer())
                // In small letters: OPTIONS to a server, and to `evasion`.
                let small = Array("options".utf8) + peer.options(9).dropFirst(7)
                let path = "\(edge.configurationFolder)/config.toml"
                try Shell.run(["mkdir", "-p", edge.configurationFolder])
                try Text.write("[switches]\nevasion = false\n", to: path)
                try lab.up(.native)
                #expect(try running(lab).profile == "carrier, evasion off")
                try lab.expect([peer.frame(small)], counted: [.passed: 1], heard: [small])
                #expect(try edge.done("doctor").output.contains("\(path): carrier, evasion off"))
                let same: ConfigAnswer = try edge.done("config", "diff", "sip0", "--json").decoded()
                #expect(same.equal == true && same.differences == [] && same.running == same.configuration)

                // The file changes; what runs does not, until `up`.
                try Text.write("ports = [5060, 5070]\n", to: path)
                let differs = try edge.run("config", "diff", "sip0", "--json")
                #expect(differs.exit == .code(1) && differs.errors == "", "\(differs)")
                let answer: ConfigAnswer = try differs.decoded()
                #expect(answer.equal == false && answer.differences == ["switches.evasion", "ports"])
                #expect(answer.running == Self.settings(Set(Self.all).subtracting(["evasion"])))
                #expect(answer.configuration == Self.settings(ports: [5060, 5070]))
                try edge.done("up", "sip0", "--switch", "ports=off")
                try lab.expect([peer.frame(small)], counted: [.optionsDropped: 1], heard: [])
                #expect(try running(lab).profile == "carrier, ports off")

                let before = try running(lab).program?.id
                try Text.write("ports = [5060, 5070]\n\nprot = 1\n", to: path)
                for command in [["up", "sip0"], ["up", "sip0", "--profile", "classic"], ["config", "diff", "sip0"]] {
                    expectFailure(try edge.run(command), saying: "\(path), line 3", "prot", "first_line_limit")
                }
                expectFailure(try edge.run("config", "check"), saying: "line 3")
                #expect(try edge.run("doctor").lines.contains { $0.hasPrefix("fail") && $0.contains("line 3") })
                #expect(try running(lab).program?.id == before)

                try Text.write("", to: path)
                // A file of one's own in its place, made by `config show`.
                let own = "\(lab.laboratory.folder)/own.toml"
                try edge.shell("$EDGE config show --profile classic > $1", [own]).requireDone()
                try edge.done("up", "sip0", "--config", own)
                #expect(try running(lab).profile == "classic")
                try edge.done("config", "diff", "sip0", "--config", own)
            }
        }

        @Test("a program that `ip link` loaded is told by what the kernel holds: classic")
        func loadedByIPLink() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.edge.ip(["link", "set", "dev", "sip0", "xdp", "obj", "build/sip_logic.bpf.o", "sec", "xdp"])
                #expect(try running(lab).profile == "classic")
                #expect(try running(lab).settings == Self.settings([], limit: nil))
                let differs = try edge.run("config", "diff", "sip0")
                #expect(differs.exit == .code(1) && differs.output.contains("switches.vlan"), "\(differs)")
                let up: UpAnswer = try edge.done("up", "sip0", "--json").decoded()
                #expect(up.profile == "carrier")
                try edge.done("config", "diff", "sip0")
            }
        }

        @Test("explain: the rules of a profile, of single switches, of an interface")
        func explain() throws {
            try EdgeLab.with { lab in
                let (edge, peer) = (lab.command, lab.peer())
                let frames = Self.evasions(peer).frames
                let path = "\(lab.laboratory.folder)/evasions.pcap"
                try writeCapture(frames, to: path)
                func reasons(_ arguments: String...) throws -> [String] {
                    try edge.done(["explain", "--json", path] + arguments).lines.map { line in
                        try decode(line, Answer.self).reason
                    }
                }
                #expect(try reasons() == ["options_dropped", "options_dropped"])
                #expect(try reasons("--profile", "classic") == ["passed", "ignored"])
                #expect(try reasons("--switch", "vlan=off") == ["options_dropped", "ignored"])
                try lab.up(.native, "--profile", "classic", "--switch", "vlan=on")
                #expect(try running(lab).profile == "classic, vlan on")
                #expect(try reasons("--interface", "sip0") == ["passed", "options_dropped"])
            }
        }

        private struct Answer: Decodable { var reason: String }

        /// A pcap file with Ethernet frames (pcap-savefile(5)), in this machine's byte order.
        private func writeCapture(_ frames: [[UInt8]], to path: String) throws {
            func word(_ number: UInt32) -> [UInt8] { withUnsafeBytes(of: number) { Array($0) } }
            let version = withUnsafeBytes(of: UInt16(2)) { Array($0) } + withUnsafeBytes(of: UInt16(4)) { Array($0) }
            var bytes = word(0xa1b2_c3d4) + version + word(0) + word(0) + word(65535) + word(1)
            for frame in frames {
                bytes += word(0) + word(0) + word(UInt32(frame.count)) + word(UInt32(frame.count)) + frame
            }
            let file = try #require(fopen(path, "w"))
            defer { fclose(file) }
            #expect(fwrite(bytes, 1, bytes.count, file) == bytes.count)
        }

        @Test("deploy.sh and the simulation are classic, whatever up is")
        func scripts() throws {
            try Sandbox.with { sandbox in
                try sandbox.run(["ip", "link", "add", "sip0", "type", "veth", "peer", "name", "peer0"]).requireDone()
                func profile(_ name: String) throws -> String? {
                    try sandbox.edge("status", "--json").decoded(StatusReport.self).interface(name)?.profile
                }
                try sandbox.edge("up", "sip0")
                #expect(try profile("sip0") == "carrier")
                for object in [[], ["build/sip_logic.bpf.o"]] {
                    try sandbox.run(["scripts/deploy.sh", "sip0"] + object).requireDone()
                    #expect(try profile("sip0") == "classic")
                }
                try sandbox.script("sip_sim_setup.sh").requireDone()
                #expect(try profile("veth-sip") == "classic")
                try sandbox.script("sip_sim_teardown.sh").requireDone()
                try sandbox.edge("down", "--all", "--purge")
            }
        }
    }
}
