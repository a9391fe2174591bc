// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc
import Testing

extension EndToEndTests {
    /// kill -9 at every system call that changes anything: what is filtered stays filtered, what is half-done is said,
    /// and the next command puts it right.
    @Suite struct CrashTests {
        /// What holds after a death, before anybody mends: nothing is in the kernel of which the record knows nothing,
        /// and what the record has and the kernel lacks is said.
        static func expectHonest(_ edge: Edge, _ place: String) throws {
            let status = try edge.status()
            for kind in PolicyKind.inPublicMaps {
                let states = try edge.list(kind)
                let list = try #require(status.inTable(kind))
                let absent = states.values.count { $0 == "not in the kernel" }
                #expect(!states.values.contains("by hand"), "\(place): unknown to the record: \(states)")
                #expect(list.missing == absent && list.recorded == states.count, "\(place): \(list), \(states)")
                #expect(
                    status.odd.contains("not_in_kernel")
                        == PolicyKind.inPublicMaps.contains { (status.inTable($0)?.missing ?? 0) > 0 }, "\(place)")
            }
        }

        /// Record and kernel agree, and nothing is odd but what `tolerated` names.
        static func expectWhole(_ edge: Edge, _ wanted: Set<String>, _ place: String, tolerated: Set<String> = [])
            throws
        {
            let states = try edge.list(.block)
            #expect(Set(states.keys) == wanted, "\(place): \(states)")
            #expect(Set(states.values).isSubset(of: ["in force"]), "\(place): \(states)")
            let status = try edge.status()
            #expect(Set(status.odd).isSubset(of: tolerated), "\(place): \(status.odd)")
            #expect(status.inTable(.block)?.inKernel == wanted.count, "\(place)")
        }

        static func isBlocked(_ lab: EdgeLab, over number: Int = 0) throws -> Bool {
            let peer = lab.peer(number)
            return try lab.hear([peer.frame(peer.register())], over: number) == []
        }

        static let changes = [
            ["up", "sip0"], ["up", "sip1", "--object", "build/sip_logic.bpf.o"],
            ["up", "sip0", "--blocked-capacity", "2048", "--allowed-capacity", "512"],
        ]

        @Test("`up` over a running edge", arguments: changes)
        func replacement(_ arguments: [String]) throws {
            try EdgeLab.with(["sip0", "sip1"]) { lab in
                let edge = lab.command
                try lab.up(.native)
                let blocked = [lab.peer(0).address, lab.peer(1).address, "192.0.2.1"]
                try edge.done(["block", "add"] + blocked)
                var before = try edge.stats()
                let deaths = try edge.dyingEverywhere(arguments, most: 18) {
                    // Back to the smaller lists.
                    try edge.done("up", "sip0", "--blocked-capacity", "1024", "--allowed-capacity", "256")
                    try Self.expectWhole(edge, Set(blocked), "prepared")
                } check: { place in
                    #expect(try Self.isBlocked(lab, over: 0) && Self.isBlocked(lab, over: 1), "\(place): it leaks")
                    try Self.expectHonest(edge, place)
                    let now = try edge.stats()
                    for name in ["sip0", "sip1"] {
                        let moved = try #require(now.counters(of: name)) - (try #require(before.counters(of: name)))
                        #expect(moved == counters([.blocked: 1, .passed: 1]), "\(place): \(name)")
                    }
                    before = now
                    // Any change of a list mends lists, too; an interface that reads new ones already waits for `up`.
                    let added = try edge.done("block", "add", "192.0.2.2")
                    try Self.expectWhole(edge, Set(blocked + ["192.0.2.2"]), place, tolerated: ["own_lists"])
                    let hasOwnLists = try edge.status().odd.contains("own_lists")
                    #expect(added.errors.contains("reads lists of its own still") == hasOwnLists, "\(place): \(added)")
                    #expect(
                        try Self.isBlocked(lab, over: 0) && Self.isBlocked(lab, over: 1),
                        "\(place): it leaks when mended")
                    try edge.done("block", "remove", "192.0.2.2")
                    before = try edge.stats()
                }
                #expect(deaths > 5, "it was killed \(deaths) times")
            }
        }

        @Test("the first `up`, and `down`, with a record that is there")
        func firstAndLast() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let peer = lab.peer()
                try edge.done("up", "sip0")
                try edge.done("block", "add", peer.address, "192.0.2.1")
                let blocked: Set = [peer.address, "192.0.2.1"]

                let deathsDown = try edge.dyingEverywhere(["down", "sip0"]) {
                    try edge.done("up", "sip0")
                    try Self.expectWhole(edge, blocked, "prepared")
                    #expect(try Self.isBlocked(lab))
                } check: { place in
                    #expect(try Set(edge.list(.block).keys) == blocked, "\(place): the record keeps them")
                    // It filters whole or not at all, and status tells which.
                    let isFiltering = try edge.status().interface("sip0")?.filtering ?? false
                    #expect(try Self.isBlocked(lab) == isFiltering, "\(place)")
                    try Self.expectHonest(edge, place)
                    // An empty folder holds nothing in the kernel; a list does.
                    if !isFiltering, namesInFolder(edge.pinRoot).contains(where: { $0.hasSuffix("_ips") }) {
                        #expect(try edge.status().odd != [], "\(place): it is said")
                    }
                    let isLeft = access(edge.pinRoot, F_OK) == 0 || isFiltering
                    let again = try edge.run("down", "sip0")
                    #expect(again.isDone == isLeft, "\(place): \(again)")
                    #expect(isLeft || again.errors.contains("nothing of ours is there"), "\(place): \(again)")
                    #expect(access(edge.pinRoot, F_OK) != 0, "\(place): the next `down` takes all away")
                    #expect(try UpTests.attached(lab.edge, "sip0") == "", "\(place)")
                    #expect(try Set(edge.list(.block).keys) == blocked, "\(place): the record keeps them")
                }
                #expect(deathsDown > 5, "it was killed \(deathsDown) times")

                let deathsUp = try edge.dyingEverywhere(["up", "sip0"]) {
                    try edge.done("down", "--all")
                    #expect(try !Self.isBlocked(lab))
                } check: { place in
                    let isFiltering = try edge.status().interface("sip0")?.filtering ?? false
                    #expect(try Self.isBlocked(lab) == isFiltering, "\(place)")
                    try Self.expectHonest(edge, place)
                    try edge.done("up", "sip0")
                    try Self.expectWhole(edge, blocked, place)
                    #expect(try Self.isBlocked(lab), "\(place)")
                }
                #expect(deathsUp > 10, "it was killed \(deathsUp) times")
            }
        }

        @Test("an import and a removal of many addresses")
        func imports() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                let file = "\(lab.laboratory.folder)/feed.txt"
                // Several batches for the record and for the kernel.
                let addresses = (0..<20_000).map { "\(IPPrefix(ipv4: 0x6440_0000 + UInt32($0) * 3))" }
                try Text.write(addresses.joined(separator: "\n"), to: file)
                let whole = Set(addresses + [lab.peer().address])

                func check(_ place: String) throws {
                    #expect(try Self.isBlocked(lab), "\(place)")
                    let status = try #require(try edge.status().inTable(.block))
                    #expect(status.byHand == 0, "\(place): unknown to the record: \(status)")
                    #expect(
                        [1, whole.count].contains(status.recorded), "\(place): the record is one transaction: \(status)"
                    )
                    #expect(status.missing == status.recorded - (status.inKernel ?? -1), "\(place): \(status)")
                    // Mended by the next change, whatever it is.
                    let mended = try edge.done("allow", "add", "192.0.2.1")
                    let now = try #require(try edge.status().inTable(.block))
                    #expect(now.missing == 0 && now.inKernel == status.recorded, "\(place): \(now)")
                    #expect(try edge.status().odd == [], "\(place)")
                    if status.missing > 0 {
                        #expect(mended.errors.contains("had not come to its end"), "\(place): it says so: \(mended)")
                    }
                }
                let deathsIn = try edge.dyingEverywhere(["block", "import", file], most: 16) {
                    try edge.done("down", "--all", "--purge")
                    try lab.up(.native, "--blocked-capacity", "32768")
                    try edge.done("block", "add", lab.peer().address)
                } check: {
                    try check($0)
                }
                #expect(deathsIn >= 5, "it was killed \(deathsIn) times")
                try edge.done("block", "import", file)
                #expect(try Set(edge.export()) == whole)
            }
        }

        @Test("killed while it waits for the record's disk or the kernel, at moments of the clock")
        func clock() throws {
            try EdgeLab.with { lab in
                let edge = lab.command
                try lab.up(.native, "--blocked-capacity", "262144")
                let file = "\(lab.laboratory.folder)/feed.txt"
                try Text.write(
                    (0..<200_000).map { "\(IPPrefix(ipv4: 0x6440_0000 + UInt32($0)))" }.joined(separator: "\n"),
                    to: file)
                var outcomes: Set<Int> = []
                for milliseconds in [1, 5, 20, 50, 100, 200, 400, 800, 1600, 5000] {
                    let child = try Child.start(
                        [Edge.path, "block", "import", file], in: lab.edge.namespace, environment: edge.environment)
                    _ = try child.wait(timeout: .milliseconds(milliseconds))
                    child.end()
                    let status = try #require(try edge.status().inTable(.block))
                    #expect(
                        status.byHand == 0 && [0, 200_000].contains(status.recorded),
                        "after \(milliseconds) ms: \(status)")
                    outcomes.insert(status.recorded)
                    try edge.done("allow", "add", "192.0.2.1")
                    let now = try #require(try edge.status().inTable(.block))
                    #expect(now.missing == 0 && now.inKernel == status.recorded, "after \(milliseconds) ms: \(now)")
                    #expect(try edge.status().odd == [])
                    if status.recorded > 0 {
                        try edge.done("down", "--all", "--purge")
                        try lab.up(.native, "--blocked-capacity", "262144")
                    }
                }
                #expect(outcomes == [0, 200_000], "some before, some behind")
            }
        }
    }
}
