// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// `explain` on what tcpdump captured.
    @Suite struct ExplainTests {
        /// Captures what arrives at the edge's interface: six packets, of which the last is the marker.
        static func capture(_ lab: EdgeLab, _ name: String, _ options: [String] = [], interface: String = "sip0") throws
            -> String
        {
            let path = "\(lab.laboratory.folder)/\(name).pcap"
            let tcpdump = try Child.start(
                ["tcpdump", "-i", interface, "-n", "-U", "-Z", "root", "-Q", "in", "-w", path] + options + ["udp"],
                in: lab.edge.namespace, log: "\(path).log")
            defer { tcpdump.end() }
            #expect(eventually { (try? Text.read("\(path).log").contains("listening on")) ?? false }, "tcpdump listens")
            let peer = lab.peer()
            let blocked = peer.spoofing(0xc000_0201)
            let frames = [
                peer.frame(peer.options()), peer.frame(peer.register()), peer.frame(TrafficTests.junk),
                blocked.frame(blocked.register()), peer.frame(peer.options(), port: 5061),
            ]
            _ = try lab.hear(frames)
            // tcpdump writes each packet as it comes, a moment behind the kernel.
            let isWhole = try eventually {
                try lab.command.shell("tcpdump -r $1 2>/dev/null | wc -l", [path]).lines == ["6"]
            }
            #expect(isWhole, "six packets are captured")
            return path
        }

        static func line(_ packet: Int, _ verdict: String, _ reason: String, _ source: String, _ more: String = "")
            -> String
        {
            "{\"packet\":\(packet),\"verdict\":\"\(verdict)\",\"reason\":\"\(reason)\",\"source\":\"\(source)\"\(more)}"
        }

        static let (stranger, marker) = ("10.97.1.2", "10.97.254.1")

        static let lines = [
            line(1, "DROP", "options_dropped", stranger), line(2, "PASS", "passed", stranger),
            line(3, "DROP", "malformed", stranger), line(4, "PASS", "passed", "192.0.2.1"),
            line(5, "PASS", "ignored", stranger, #","unfiltered":"ports""#), line(6, "PASS", "passed", marker),
        ]

        @Test("each packet of a capture, with lists of the command line and with those of an interface")
        func packets() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let path = try Self.capture(lab, "ethernet")
                #expect(try edge.done("explain", "--json", path).lines == Self.lines)
                var withLists = Self.lines
                withLists[0] = Self.line(1, "PASS", "passed", Self.stranger)
                withLists[3] = Self.line(4, "DROP", "blocked", "192.0.2.1")
                let options = ["--block", "192.0.2.1", "--allow", Self.stranger]
                #expect(try edge.done(["explain", "--json", path] + options).lines == withLists)
                #expect(
                    try edge.shell("$EDGE explain --json - < $1", [path]).lines == Self.lines, "from standard input")

                // People get a sentence each, and a sum.
                let text = try edge.done("explain", path).output
                for reason in [Reason.optionsDropped, .passed, .malformed, .ignored] {
                    #expect(text.contains(reason.sentence))
                }
                #expect(text.contains("6 packets"))

                expectFailure(
                    try edge.run("explain", "--interface", "sip0", path), saying: "sip0", "vos-fastpath up sip0")
                try lab.up(.native)
                try edge.done("block", "add", "192.0.2.1")
                try edge.done("allow", "add", Self.stranger)
                let before = try edge.stats()
                #expect(try edge.done("explain", "--json", "--interface", "sip0", path).lines == withLists)
                let after = try edge.stats()
                #expect(after.total == counters() && after.interfaces == before.interfaces, "nothing live moves")
                expectFailure(
                    try edge.run("explain", "--interface", "sip0", "--block", "192.0.2.1", path), code: 64,
                    saying: "--interface")
                // The capture under a running edge sees what XDP passes.
                let peer = lab.peer()
                try lab.expect([peer.frame(peer.options())], counted: [.passed: 1], heard: [peer.options()])
            }
        }

        @Test("cooked and cut captures, and files that are none")
        func captures() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                for type in ["LINUX_SLL", "LINUX_SLL2"] {
                    let path = try Self.capture(lab, type, ["-y", type], interface: "any")
                    #expect(try edge.done("explain", "--json", path).lines == Self.lines, "\(type)")
                }
                // 14 Ethernet, 20 IPv4, 8 UDP and 30 of the payload: what cannot be seen is not judged as malformed.
                let cut = try Self.capture(lab, "cut", ["-s", "72"])
                let lines = try edge.done("explain", "--json", cut).lines
                #expect(lines.count == 6)
                let whole = Self.line(3, "DROP", "malformed", Self.stranger)
                for (number, line) in lines.enumerated() {
                    #expect(line.contains(",\"truncated\":true}"), "packet \(number + 1): \(line)")
                }
                #expect(lines[0].contains("options_dropped") && lines[2] != whole)
                #expect(try edge.done("explain", cut).output.contains("6 truncated"))

                expectFailure(try edge.run("explain", "/nonexistent.pcap"), saying: "/nonexistent.pcap")
                expectFailure(try edge.run("explain", "Package.swift"), saying: "Package.swift")
                expectFailure(try edge.run("explain", "/etc"), saying: "/etc")
                // A file that ends in the middle of a packet.
                try edge.shell("head -c 300 $1 > $1.half", [try Self.capture(lab, "whole")]).requireDone()
                expectFailure(try edge.run("explain", "\(lab.laboratory.folder)/whole.pcap.half"), saying: "cut off")
            }
        }
    }
}
