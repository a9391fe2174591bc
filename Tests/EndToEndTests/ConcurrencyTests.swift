// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// Commands at the same time.
    @Suite struct ConcurrencyTests {
        /// Runs commands at once; fails where one does not end with 0.
        static func together(_ lab: EdgeLab, _ commands: [[String]]) throws {
            for number in commands.indices { unlink("\(lab.laboratory.folder)/together-\(number)") }
            let children = try commands.enumerated().map { number, arguments in
                try Child.start(
                    [Edge.path] + arguments, in: lab.edge.namespace, log: "\(lab.laboratory.folder)/together-\(number)",
                    environment: lab.command.environment)
            }
            for (number, child) in children.enumerated() {
                let exit = try child.wait(timeout: .seconds(40))
                let said = (try? Text.read("\(lab.laboratory.folder)/together-\(number)")) ?? ""
                #expect(exit == .code(0), "\(commands[number]): \(said)")
            }
        }

        static func expectWhole(_ edge: Edge, _ wanted: Set<String>) throws {
            let states = try edge.list(.block)
            #expect(Set(states.keys) == wanted)
            #expect(Set(states.values).isSubset(of: ["in force"]))
            let status = try edge.status()
            #expect(status.odd == [] && status.inTable(.block)?.inKernel == wanted.count)
        }

        @Test("twenty additions at once: all are in force and recorded")
        func additions() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                let addresses = CapacityTests.addresses(0..<20)
                try Self.together(lab, addresses.map { ["block", "add", $0] })
                try Self.expectWhole(lab.command, Set(addresses))
                try Self.together(lab, addresses.map { ["block", "remove", $0] })
                try Self.expectWhole(lab.command, [])
            }
        }

        @Test("an import, a removal, a replacement and a change of capacity at once")
        func mixture() throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                let edge = lab.command
                let (first, second) = (CapacityTests.addresses(0..<3000), CapacityTests.addresses(5000..<8000))
                let files = ["\(lab.laboratory.folder)/first.txt", "\(lab.laboratory.folder)/second.txt"]
                for (file, addresses) in zip(files, [first, second]) {
                    try Text.write(addresses.joined(separator: "\n"), to: file)
                }
                try lab.up(.native, "--blocked-capacity", "20000")
                try edge.done("block", "import", files[0])
                for round in 0..<3 {
                    try Self.together(
                        lab,
                        [
                            ["block", "import", files[1]], ["block", "remove"] + first[..<1000], ["up", "sip0"],
                            ["up", "sip1", "--blocked-capacity", "\(21_000 + round)"],
                            ["allow", "add", "192.0.2.\(round)"],
                            ["stats"], ["status"], ["block", "list"], ["block", "add", "198.51.100.\(round)"],
                        ])
                    let extra = (0...round).map { "198.51.100.\($0)" }
                    try Self.expectWhole(edge, Set(first[1000...] + second + extra))
                    #expect(try edge.status().list(.block)?.capacity == 21_000 + round)
                    try edge.done(["block", "remove"] + second)
                    try edge.done(["block", "import", files[0]])
                }
                let peer = lab.peer(1).spoofing(0x6440_0000)
                try lab.expect([peer.frame(peer.register())], over: 1, counted: [.blocked: 1], heard: [])
            }
        }

        @Test("readers while programs and lists are replaced: each gets an answer")
        func readers() throws {
            try EdgeLab.with { lab in
                try lab.up(.native)
                try lab.command.done("block", "add", "192.0.2.1")
                let namespace = lab.edge.namespace
                let environment = lab.command.environment
                let replacing = try Worker { (isStopping) throws(Failure) in
                    for number in 0..<500 where !isStopping() {
                        let capacity = number.isMultiple(of: 2) ? "2000" : "1000"
                        try Shell.run(
                            [Edge.path, "up", "sip0", "--blocked-capacity", capacity], in: namespace,
                            environment: environment)
                    }
                }
                defer { replacing.stop() }
                for _ in 0..<50 {
                    #expect(try lab.command.stats().total == counters())
                    #expect(try lab.command.status().interface("sip0")?.filtering == true)
                    #expect(try Array(lab.command.list(.block).keys) == ["192.0.2.1"])
                }
                replacing.stop()
                try replacing.join()
            }
        }

        /// Reads the block list: true where all `count` are in force, false where none is there or a warning came.
        static func isWholeOrNone(_ edge: Edge, _ count: Int) throws -> Bool {
            let read = try edge.done("block", "list", "--json")
            let listing: ListReport = try read.decoded()
            let inForce = listing.entries.count { $0.state == "in force" }
            let isWhole = inForce == count && listing.entries.count == count
            let isSaid = read.errors.contains("is changing something")
            #expect(
                isWhole || listing.entries.isEmpty || isSaid, "\(listing.entries.count) entries, \(inForce) in force")
            return isWhole
        }

        @Test("a list that is read during an import shows none of it or all, or says that it may be half")
        func listDuringImport() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native, "--blocked-capacity", "65536")
                let file = "\(lab.laboratory.folder)/feed.txt"
                let addresses = CapacityTests.addresses(0..<50_000)
                try Text.write(addresses.joined(separator: "\n"), to: file)
                let importing = try Child.start(
                    [Edge.path, "block", "import", file], in: lab.edge.namespace, environment: edge.environment)
                defer { importing.end() }
                var whole = 0
                for _ in 0..<200 where whole < 3 {
                    if try Self.isWholeOrNone(edge, addresses.count) { whole += 1 }
                }
                #expect(whole == 3)
                #expect(try importing.wait(timeout: .seconds(10)) == .code(0))
            }
        }

        @Test("a lock that is not let go: who holds it is said, and nothing changed; reading goes on")
        func lockTimeout() throws {
            try EdgeLab.with { lab in
                var edge = lab.command
                edge.lockTimeout = 1
                try lab.up(.native)
                // A program that holds the lock for longer than anybody waits.
                let holder = try Child.start(["flock", "--no-fork", edge.lockPath, "sleep", "100"])
                defer { holder.end() }
                let isHeld = try eventually { try !edge.shell("flock -n $1 true", [edge.lockPath]).isDone }
                #expect(isHeld)
                let start = ContinuousClock.now
                let waiting = try Child.start(
                    [Edge.path, "allow", "add", "192.0.2.1"], in: lab.edge.namespace, environment: edge.environment)
                let ran = try edge.run("block", "add", "192.0.2.1")
                expectFailure(ran, saying: edge.lockPath, "holds it for longer than 1 s")
                #expect(ContinuousClock.now - start >= .seconds(1))
                #expect(try waiting.wait(timeout: .seconds(20)) == .code(1))
                let reading = ContinuousClock.now
                for kind in ["block", "allow"] {
                    for command in ["list", "export"] {
                        let read = try edge.done(kind, command)
                        #expect(read.output == "" && read.errors.contains("another command is changing"), "\(read)")
                    }
                }
                #expect(try edge.stats().total == counters())
                #expect(try edge.status().interface("sip0")?.filtering == true)
                #expect(ContinuousClock.now - reading < .seconds(10), "nothing changed, and reading goes on")
                holder.end()
                try edge.shell("flock -w 1 $1 true", [edge.lockPath]).requireDone()
                try edge.done("block", "add", "192.0.2.1")
                #expect(try edge.done("block", "export").errors == "")
            }
        }
    }
}
