// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    @Suite struct ListFileTests {
        @Test("add and remove take a file as a whole, or nothing of it", arguments: PolicyKind.inPublicMaps)
        func allOrNothing(kind: PolicyKind) throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let list = kind.rawValue
                try lab.up(.native)
                let good = "\(lab.laboratory.folder)/good.txt"
                let bad = "\(lab.laboratory.folder)/bad.txt"
                try Text.write("# a list\n10.98.0.2 # a peer\r\n\n10.98.0.1\n10.98.0.2\n", to: good)
                try Text.write("10.98.0.1\n10.98.0.1/24\n10.98.0.9\n999.1.2.3\n", to: bad)

                for ran in [
                    try edge.run(list, "add", "--from", bad),
                    try edge.shell("$EDGE $1 add --from - < $2", [list, bad]),
                ] {
                    expectFailure(ran, code: 64, saying: "line 2: \"10.98.0.1/24\": ", "line 4: \"999.1.2.3\": ")
                }
                #expect(try edge.export(kind) == [])

                try edge.done(list, "add", "10.98.0.3", "--from", good)
                #expect(try edge.export(kind) == ["10.98.0.1", "10.98.0.2", "10.98.0.3"])
                #expect(Set(try edge.list(kind).values) == ["in force"])

                expectFailure(try edge.run(list, "remove", "--from", bad), code: 64, saying: "line 2", "line 4")
                expectFailure(try edge.run(list, "remove", "--from", "/nonexistent"), saying: "/nonexistent")
                expectFailure(try edge.run(list, "remove"), code: 64, saying: "--from")
                #expect(try edge.export(kind) == ["10.98.0.1", "10.98.0.2", "10.98.0.3"])

                let removed: RemoveAnswer = try edge.shell("$EDGE $1 remove --json --from - < $2", [list, good])
                    .decoded()
                #expect(removed.removed == ["10.98.0.2", "10.98.0.1"] && removed.notThere == [])
                #expect(try edge.export(kind) == ["10.98.0.3"])
            }
        }

        @Test("20,000 addresses: by a file and on one command line, each in seconds; packets follow")
        func many() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let path = "\(lab.laboratory.folder)/many.txt"
                try edge.shell(
                    "seq 0 19999 | awk '{ printf \"11.0.%d.%d\\n\", $1 / 256, $1 % 256 }' > $1", [path]
                )
                .requireDone()
                try lab.up(.native, "--profile", "classic")
                let peer = lab.peer()
                let sources = [0x0b00_0000, 0x0b00_4e1f, 0x0b00_4e20].map { peer.spoofing($0) }
                let frames = sources.map { $0.frame($0.register()) }

                // Too many for the list: none of them.
                expectFailure(try edge.run("block", "add", "--from", path), saying: "1024")
                #expect(try edge.export() == [])
                try lab.expect(frames, counted: [.passed: 3], heard: sources.map { $0.register() })

                try edge.done("up", "sip0", "--profile", "classic", "--blocked-capacity", "32768")
                for (add, remove) in [
                    ("$EDGE block add --from $1", "$EDGE block remove --from - < $1"),
                    ("$EDGE block add $(cat $1)", "xargs -n 20000 -s 1000000 $EDGE block remove < $1"),
                ] {
                    try edge.shell(add, [path], timeout: .seconds(8)).requireDone()
                    #expect(try edge.status().list(.block)?.inKernel == 20_000)
                    try lab.expect(frames, counted: [.blocked: 2, .passed: 1], heard: [sources[2].register()])

                    try edge.shell(remove, [path], timeout: .seconds(8)).requireDone()
                    let list = try #require(try edge.status().list(.block))
                    #expect(list.inKernel == 0 && list.recorded == 0)
                    try lab.expect(frames, counted: [.passed: 3], heard: sources.map { $0.register() })
                }
            }
        }
    }
}

/// `block remove --json`
struct RemoveAnswer: Decodable {
    var removed: [String]
    var notThere: [String]
}
