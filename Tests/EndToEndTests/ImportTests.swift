// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    @Suite struct ImportTests {
        struct File {
            var name: String
            var content: String
            /// What is on the list afterwards.
            var addresses: [String]
            /// The last line of what is said, and warnings with the number of each bad line.
            var summary: String
            var warnings: [String] = []
        }

        static let files = [
            File(
                name: "empty", content: "", addresses: [],
                summary: "Done: 0 blocked, 0 skipped (invalid), 0 failed (map full)"),
            File(
                name: "comments and blank lines",
                content: "# a feed\n\n  \n192.0.2.1 # a scanner\n\t192.0.2.2\t\n#192.0.2.3\n",
                addresses: ["192.0.2.1", "192.0.2.2"],
                summary: "Done: 2 blocked, 0 skipped (invalid), 0 failed (map full)"),
            File(
                name: "CR LF, no end of line", content: "192.0.2.1\r\n\r\n192.0.2.2\r\n192.0.2.3",
                addresses: ["192.0.2.1", "192.0.2.2", "192.0.2.3"],
                summary: "Done: 3 blocked, 0 skipped (invalid), 0 failed (map full)"),
            File(
                name: "repeated", content: "192.0.2.1\n192.0.2.2\n192.0.2.1\n192.0.2.1\n",
                addresses: ["192.0.2.1", "192.0.2.2"],
                summary: "Done: 2 blocked, 0 skipped (invalid), 0 failed (map full)"),
            File(
                name: "bad lines",
                content:
                    "192.0.2.1\n999.1.2.3\n10.0.0.0/8\nabc.def.g.h\n\n192.0.2.2\n2001:db8::1\n192.0.2\n1.2.3.4.5\n-1.2.3.4\n0x7f.1\n",
                addresses: ["192.0.2.1", "192.0.2.2"],
                summary: "Done: 2 blocked, 8 skipped (invalid), 0 failed (map full)",
                warnings: [
                    "line 2: \"999.1.2.3\"", "line 3: \"10.0.0.0/8\"", "line 4: \"abc.def.g.h\"",
                    "line 7: \"2001:db8::1\"",
                    "line 8: \"192.0.2\"", "line 9: \"1.2.3.4.5\"", "line 10: \"-1.2.3.4\"", "line 11: \"0x7f.1\"",
                ]),
        ]

        @Test("files of every kind, by name and from standard input")
        func kinds() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native)
                let path = "\(lab.laboratory.folder)/list.txt"
                for file in Self.files {
                    try Text.write(file.content, to: path)
                    for (source, ran) in [
                        (path, try edge.run("block", "import", "--addresses-only", path)),
                        ("standard input", try edge.shell("$EDGE block import --addresses-only - < $1", [path])),
                    ] {
                        #expect(ran.isDone, "\(file.name): \(ran)")
                        #expect(ran.lines.last == file.summary, "\(file.name): \(ran)")
                        let warnings = ran.errors.split(separator: "\n").filter { $0.hasPrefix("warning: ") }
                        #expect(warnings.count == file.warnings.count, "\(file.name): \(ran)")
                        for (warning, expected) in zip(warnings, file.warnings) {
                            #expect(warning.hasPrefix("warning: \(source), \(expected): "), "\(file.name)")
                        }
                        let states = try edge.list(.block)
                        #expect(states.keys.sorted() == file.addresses, "\(file.name)")
                        #expect(Set(states.values).isSubset(of: ["in force"]))
                    }
                    if !file.addresses.isEmpty { try edge.done(["block", "remove"] + file.addresses) }
                }
            }
        }

        @Test("a folder, a missing file and binary garbage change nothing")
        func noFiles() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native)
                expectFailure(try edge.run("block", "import", "/nonexistent"), saying: "/nonexistent")
                expectFailure(try edge.run("block", "import", "/etc"), saying: "/etc")
                expectFailure(try edge.run("block", "import"), code: 64)
                let garbage = "\(lab.laboratory.folder)/garbage"
                try edge.shell(
                    "head -c 300000 /dev/zero > $1; head -c 100000 Package.resolved build/vos-fastpath >> $1", [garbage]
                )
                .requireDone()
                let ran = try edge.run("block", "import", garbage)
                #expect(
                    ran.isDone && ran.lines.last?.hasPrefix("Done: 0 blocked, ") == true, "\(ran.exit) \(ran.lines)")
                #expect(
                    !ran.errors.utf8.contains { $0 < 32 && $0 != 10 }, "nothing of it reaches the terminal as it is")
                #expect(try edge.export() == [])
            }
        }

        @Test("export gives what import takes, in order of address, and other lists are left alone")
        func roundTrip() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native)
                let addresses = [
                    "10.0.0.1", "10.0.0.2", "10.0.0.10", "9.255.255.255", "0.0.0.0", "255.255.255.255", "192.0.2.1",
                ]
                for kind in PolicyKind.inPublicMaps {
                    try edge.done([kind.rawValue, "add"] + addresses)
                    let sorted = [
                        "0.0.0.0", "9.255.255.255", "10.0.0.1", "10.0.0.2", "10.0.0.10", "192.0.2.1", "255.255.255.255",
                    ]
                    #expect(try edge.export(kind) == sorted)
                    let ran = try edge.shell(
                        "$EDGE $1 export > $2 && $EDGE $1 remove $(cat $2) && $EDGE $1 import $2",
                        [
                            kind.rawValue, "\(lab.laboratory.folder)/export.txt",
                        ])
                    #expect(ran.lines.last?.contains(" 7 ") == true, "\(ran)")
                    #expect(try edge.export(kind) == sorted)
                }
            }
        }

        @Test("a million lines: recorded, in force, back after `down` and `up`")
        func million() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let path = "\(lab.laboratory.folder)/million.txt"
                // 11.0.0.0 and on: the peers' own addresses are not among them.
                try edge.shell(
                    "seq 0 999999 | awk '{ printf \"11.%d.%d.%d\\n\", $1 / 65536, $1 / 256 % 256, $1 % 256 }' > $1",
                    [path]
                )
                .requireDone()
                try lab.up(.native)
                let ran = try edge.done("block", "import", path)
                #expect(ran.lines.last == "Done: 1000000 blocked, 0 skipped (invalid), 0 failed (map full)", "\(ran)")
                let list = try #require(try edge.status().inTable(.block))
                #expect(list.recorded == 1_000_000 && list.inKernel == 1_000_000 && list.missing == 0)
                let peer = lab.peer()
                let sources = [0x0b00_0000, 0x0b0f_423f, 0x0b0f_4240].map { peer.spoofing($0) }
                let frames = sources.map { $0.frame($0.register()) }
                try lab.expect(frames, counted: [.blocked: 2, .passed: 1], heard: [sources[2].register()])

                try edge.shell("$EDGE block export > $1.again && cmp $1 $1.again", [path]).requireDone()
                try edge.done("down", "sip0")
                try edge.done("up", "sip0")
                #expect(try edge.status().inTable(.block)?.inKernel == 1_000_000)
                try lab.expect(frames, counted: [.blocked: 2, .passed: 1], heard: [sources[2].register()])
            }
        }
    }
}
