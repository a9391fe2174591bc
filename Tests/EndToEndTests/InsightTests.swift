// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Foundation
import Testing

extension EndToEndTests {
    /// What an operator sees of decisions: watch, capture, report, and SIP that passes unfiltered.
    @Suite struct InsightTests {
        /// A command that runs beside the traffic, which is sent until it ends.
        private func runs(
            _ arguments: [String], _ lab: EdgeLab, while frames: () throws -> [[UInt8]]
        ) throws -> (exit: Child.Exit, output: String) {
            let log = FileManager.default.temporaryDirectory.appendingPathComponent("insight-\(getpid()).log").path
            try? FileManager.default.removeItem(atPath: log)
            defer { try? FileManager.default.removeItem(atPath: log) }
            let child = try Child.start(
                ["sh", "-c", "exec \"$@\"", "sh", Edge.path] + arguments, in: lab.edge.namespace, log: log,
                environment: lab.command.environment)
            for _ in 0..<100 {
                if let exit = try child.wait(timeout: .milliseconds(100)) {
                    return (exit, (try? String(contentsOfFile: log, encoding: .utf8)) ?? "")
                }
                _ = try lab.hear(frames())
            }
            throw FixtureFailure("`\(arguments.joined(separator: " "))` did not end")
        }

        private struct Decision: Decodable, Equatable {
            var interface: String
            var verdict: String
            var reason: String
            var wouldBe: String?
            var source: String
            var sourcePort: Int
            var destinationPort: Int
            var length: Int
            var firstLine: String?
        }

        @Test("watch shows who was dropped, and why", arguments: [XDPMode.native, .generic])
        func watch(_ mode: XDPMode) throws {
            try EdgeLab.with { lab in
                try lab.up(mode)
                let peer = lab.peer()
                let other = peer.spoofing(0x0a61_0140)
                let frame = peer.frame(peer.options())
                let (exit, output) = try runs(
                    ["watch", "--json", "--count", "3", "--source", "10.97.1.2"], lab
                ) { [other.frame(other.options()), frame, peer.frame(peer.register())] }
                #expect(exit == .code(0))
                let decisions: [Decision] = try output.split(separator: "\n").map { try decode(String($0)) }
                let wanted = Decision(
                    interface: "sip0", verdict: "DROP", reason: "options_dropped", wouldBe: nil, source: "10.97.1.2",
                    sourcePort: 5060, destinationPort: 5060, length: frame.count,
                    firstLine: "OPTIONS sip:10.97.1.1 SIP/2.0")
                #expect(decisions.count == 3)
                for decision in decisions { #expect(decision == wanted) }
                // Nobody reads any more, and the program was told so.
                #expect(try lab.exchange([frame]).counted == counters([.optionsDropped: 1]))
            }
        }

        @Test("watch goes on when the program is replaced, and a second one is refused")
        func replaced() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let peer = lab.peer()
                var rounds = 0
                let (exit, output) = try runs(["watch", "--json", "--count", "40", "--rate", "20"], lab) {
                    rounds += 1
                    if rounds == 3 {
                        expectFailure(try lab.command.run("watch"), saying: "another 'watch' or 'capture'")
                    }
                    if rounds == 5 { try lab.up(.native, "--switch", "vlan=off") }
                    return [peer.frame(peer.options())]
                }
                #expect(exit == .code(0) && output.split(separator: "\n").count == 40)
                #expect(rounds > 5)
            }
        }

        @Test("capture writes whole frames with the reason, as tshark reads them")
        func capture() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let peer = lab.peer()
                let long = [UInt8](repeating: 0x78, count: 1_400)
                let file = FileManager.default.temporaryDirectory.appendingPathComponent("capture-\(getpid()).pcapng")
                    .path
                defer { try? FileManager.default.removeItem(atPath: file) }
                let (exit, output) = try runs(
                    ["capture", "-w", file, "--packets", "4", "--reason", "malformed", "--reason", "options_dropped"],
                    lab
                ) { [peer.frame(long), peer.frame(peer.invite()), peer.frame(peer.options())] }
                #expect(exit == .code(0) && output.contains("4 packets written, 0 lost"))
                let fields = ["frame.comment", "frame.len", "frame.cap_len", "ip.src", "frame.interface_name"]
                let read = try Shell.run(
                    ["tshark", "-n", "-r", file, "-T", "fields"] + fields.flatMap { ["-e", $0] })
                let rows = read.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
                #expect(rows.count == 4)
                #expect(rows.contains(["malformed", "1442", "1442", "10.97.1.2", "sip0"]), "\(read)")
                let options = peer.frame(peer.options()).count
                #expect(rows.contains(["options_dropped", "\(options)", "\(options)", "10.97.1.2", "sip0"]), "\(read)")
                // What is explained is what was seen.
                let explained = try lab.command.done("explain", "--json", file).lines
                #expect(explained.count == 4 && explained.allSatisfy { $0.contains("\"DROP\"") })
            }
        }

        private struct ReportAnswer: Decodable {
            struct Interface: Decodable {
                struct Source: Decodable, Hashable {
                    var source: String
                    var reason: String
                    var packets: Int
                    var beganWith: String
                }

                var name: String
                var since: String
                var dryRun: [String]
                var wouldHaveDropped: [String: Int]
                var unfiltered: [String: Int]
                var sources: [Source]
            }

            var interfaces: [Interface]
        }

        @Test("a dry run passes everything, and the report says what it would have dropped")
        func dryRun() throws {
            try EdgeLab.with { lab in
                try lab.up(.native, "--dry-run")
                let peer = lab.peer()
                let blocked = peer.spoofing(0x0a61_0132)
                try lab.command.done("block", "add", blocked.address)
                let frames =
                    peer.frames([peer.options(1), peer.options(2), TrafficTests.junk]) + [
                        blocked.frame(blocked.register())
                    ]
                    + [peer.frame(peer.invite())]
                let payloads = [peer.options(1), peer.options(2), TrafficTests.junk, blocked.register(), peer.invite()]
                try lab.expect(frames, counted: [.passed: 5], heard: payloads)

                let report: ReportAnswer = try lab.command.done("report", "--json").decoded()
                let row = try #require(report.interfaces.first)
                #expect(row.dryRun == Reason.droppable.map(\.name))
                #expect(
                    row.wouldHaveDropped == [
                        "options_dropped": 2, "blocked": 1, "malformed": 1, "rate_limited": 0,
                    ])
                #expect(row.sources.first?.source == "10.97.1.2" && row.sources.first?.packets == 2)
                #expect(row.sources.first?.beganWith == "OPTIONS sip:10.97.1.1 SIP/2.0")
                #expect(Set(row.sources.map(\.reason)) == ["options_dropped", "blocked", "malformed"])
                let text = try lab.command.done("report", "sip0").output
                #expect(text.contains("WOULD HAVE DROPPED") && text.contains("OPTIONS sip:10.97.1.1 SIP/2.0"))

                // A feed makes the policy table grow, which takes another program: the notes go on.
                let before = try #require(try lab.command.status().interface("sip0")?.program?.id)
                let feed = "\(lab.laboratory.folder)/feed.txt"
                try Text.write(CapacityTests.addresses(0..<10_000).joined(separator: "\n"), to: feed)
                try lab.command.done("block", "import", feed)
                #expect(try lab.command.status().interface("sip0")?.program?.id != before)
                let again: ReportAnswer = try lab.command.done("report", "--json").decoded()
                #expect(again.interfaces.first?.wouldHaveDropped == row.wouldHaveDropped)
                #expect(
                    again.interfaces.first?.since == row.since
                        && Set(row.sources).isSubset(of: again.interfaces[0].sources))

                // One rule only: the others are at work. Other settings begin anew.
                try lab.up(.native, "--dry-run-rule", "malformed")
                try lab.expect(
                    frames, counted: [.passed: 2, .optionsDropped: 2, .blocked: 1], heard: [payloads[2], payloads[4]])
                #expect(try lab.command.status().interface("sip0")?.profile == "carrier, dry run of malformed")
                let other: ReportAnswer = try lab.command.done("report", "--json").decoded()
                #expect(other.interfaces.first?.wouldHaveDropped["malformed"] == 1)
                #expect(other.interfaces.first?.wouldHaveDropped["options_dropped"] == 0)
            }
        }

        @Test("SIP that passes unfiltered is counted, and said")
        func unfiltered() throws {
            try EdgeLab.with { lab in
                try lab.up(.native, "--switch", "ipv6=off")
                let peer = lab.peer()
                _ = try lab.hear([peer.frame(peer.options(), port: 5061), peer.frame(peer.invite(), port: 5080)])
                let report: ReportAnswer = try lab.command.done("report", "--json").decoded()
                #expect(report.interfaces.first?.unfiltered["ports"] == 2)
                #expect(try lab.command.done("report").output.contains("2 packets of SIP passed unfiltered"))
                #expect(try lab.command.done("status").output.contains("2 packets of SIP passed unfiltered"))
                let doctor = try lab.command.run("doctor", "sip0")
                #expect(doctor.output.contains("2 packets of SIP passed unfiltered"))
            }
        }
    }
}

private struct FixtureFailure: Error, CustomStringConvertible {
    var description: String
    init(_ text: String) { description = text }
}
