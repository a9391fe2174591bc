// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Testing

extension EndToEndTests {
    /// Without root.
    @Suite struct PrivilegeTests {
        /// The command as the user nobody, with no capability.
        static func asNobody(_ arguments: [String]) throws -> Ran {
            try Edge().shell(
                "exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \"$EDGE\" \"$@\"",
                arguments)
        }

        static let commands = [
            ["up", "lo"], ["down", "--all"], ["down", "lo"], ["status"], ["stats"], ["block", "add", "192.0.2.1"],
            ["block", "remove", "192.0.2.1"], ["block", "list"], ["block", "export"],
            ["block", "import", "Package.swift"],
            ["allow", "add", "192.0.2.1"], ["sockets"], ["compare"], ["compare", "lo", "--yes"],
        ]

        @Test("one clear sentence and exit code 1", arguments: commands)
        func refused(_ arguments: [String]) throws {
            let ran = try Self.asNobody(arguments)
            expectFailure(ran, saying: "root", "sudo")
            #expect(ran.output == "")
            #expect(ran.errors.split(separator: "\n").count == 4, "four lines and no trace: \(ran)")
        }

        @Test("help and wrong usage need no root")
        func help() throws {
            for arguments in [
                ["--help"], ["--version"], ["up", "--help"], ["down", "--help"], ["status", "--help"],
                ["stats", "--help"],
                ["block", "--help"], ["block", "import", "--help"], ["explain", "--help"], ["doctor", "--help"],
                ["exec", "--help"], ["sockets", "--help"], ["compare", "--help"],
                ["help"],
            ] {
                let ran = try Self.asNobody(arguments)
                #expect(ran.isDone && ran.errors == "" && !ran.output.isEmpty, "\(ran)")
                if arguments.contains("--help"), arguments.count > 1 {
                    #expect(ran.output.contains("Example"), "an example for every command: \(ran)")
                }
            }
            expectFailure(try Self.asNobody(["fly"]), code: 64)
            expectFailure(try Self.asNobody(["block", "add", "999.1.2.3"]), code: 64)
        }

        @Test("doctor does what it can, and fails for want of root")
        func doctor() throws {
            let ran = try Self.asNobody(["doctor"])
            #expect(ran.exit == .code(1), "\(ran)")
            #expect(ran.output.contains("fail"))
            #expect(try Edge().run("doctor").isDone, "as root on this machine all is well")
        }
    }
}
