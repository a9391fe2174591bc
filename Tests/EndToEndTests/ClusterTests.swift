// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Testing

extension EndToEndTests {
    /// cluster_sync_blocklist.sh against real sshds on hosts of their own, each with an edge of its own.
    @Suite struct ClusterTests {
        @Test("5 000 addresses on two hosts; one that fails does not stop the others")
        func cluster() throws {
            let laboratory = try Turn.laboratory()
            defer { laboratory.tearDown() }
            let admin = try laboratory.addHost("admin")
            var edges: [Edge] = []
            var configuration = ""
            for number in 1...2 {
                let host = try laboratory.addHost("node\(number)")
                let network = 0x0a60_0000 | UInt32(number) << 8
                try laboratory.connect(.init(admin, "node\(number)", network | 1), .init(host, "eth0", network | 2))
                let edge = Edge(instance: "e2e-node\(number)", host: host)
                try edge.clear()
                edges.append(edge)
                let server = try SSHServer(
                    in: laboratory, on: host, address: network | 2, environment: edge.environment)
                let address = "\(IPPrefix(ipv4: network | 2))"
                configuration += try Text.read(server.configurationPath).replacing("Host *", with: "Host \(address)")
            }
            defer { for edge in edges { try? edge.clear() } }
            try Text.write(configuration, to: "\(laboratory.folder)/ssh_config")
            let here = Edge(instance: "e2e-admin", host: admin)
            let file = "\(laboratory.folder)/feed.txt"
            let addresses = CapacityTests.addresses(0..<5000)
            try Text.write(addresses.joined(separator: "\n") + "\n", to: file)
            func sync(_ hosts: [String], list: String = file) throws -> Ran {
                try here.shell(
                    """
                    export VOS_FASTPATH_CLUSTER_REMOTE_PATH=$PWD VOS_FASTPATH_CLUSTER_SSH_OPTIONS="-F $1/ssh_config"
                    scripts/cluster_sync_blocklist.sh "$2" "${@:3}"
                    """, [laboratory.folder, list] + hosts)
            }
            let (first, second) = ("10.96.1.2", "10.96.2.2")
            // The second has no edge yet.
            try edges[0].done("up", "eth0", "--blocked-capacity", "8192")
            let half = try sync([second, first])
            #expect(half.exit == .code(1), "\(half)")
            #expect(
                half.output.contains("\(first): Done: 5000 blocked, 0 skipped (invalid), 0 failed (map full)"),
                "\(half)")
            #expect(half.output.contains("\(first): done (exit 0)"), "\(half)")
            #expect(
                half.output.contains("not loaded") && half.errors.contains("\(second): the import failed (exit 1)"),
                "\(half)")
            #expect(half.lines.last == "Done: 1 hosts done, 1 failed")
            #expect(try edges[0].export() == addresses)
            #expect(try Set(edges[0].list(.block).values) == ["in force"])
            #expect(try edges[1].export() == [])

            try edges[1].done("up", "eth0", "--blocked-capacity", "8192")
            let whole = try sync([first, second])
            #expect(whole.isDone && whole.lines.last == "Done: 2 hosts done, 0 failed", "\(whole)")
            #expect(try edges[1].export() == addresses)

            // The rest of what can go wrong, each with the other host done.
            for (bad, word) in [("10.96.1.9", "ssh failed (exit 255)"), ("-oProxyCommand=true", "refused")] {
                let ran = try sync([bad, second])
                #expect(ran.exit == .code(1) && ran.errors.contains(word), "\(ran)")
                #expect(ran.lines.last == "Done: 1 hosts done, 1 failed")
            }
            for arguments in [[], [first]] {
                let ran = try sync(arguments, list: arguments.isEmpty ? file : "/nonexistent")
                #expect(ran.exit == .code(1) && !ran.errors.isEmpty, "\(ran)")
            }
            for edge in edges { try edge.done("down", "--all", "--purge") }
        }
    }
}
