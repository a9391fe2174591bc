// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

@Suite struct StatusTests {
    let world = FakeWorld()

    @Test func nothingIsThere() throws {
        let status = try world.edges.status(now: 300)
        #expect(status.edges.isEmpty && status.oddities.isEmpty)
        #expect(status.lists.map(\.capacity) == [1_024, 256])
        #expect(status.lists.map(\.inKernel) == [nil, nil])
        #expect(world.faults.steps.isEmpty)
    }

    @Test func allIsWell() throws {
        try world.up("eth0", capacities: [.block: 2_000])
        try world.block(address(1))
        world.faults.reset()
        let status = try world.edges.status(now: 300)
        let edge = try #require(status.edges.first)
        #expect(edge.edge.label == "eth0" && edge.settings == .classic && edge.sockets == 0 && edge.ownLists.isEmpty)
        let block = try #require(status.lists.first { $0.kind == .block })
        #expect((block.recorded, block.inKernel, block.capacity, block.byHand, block.missing) == (1, 1, 2_000, 0, 0))
        #expect(status.oddities.isEmpty)
        #expect(world.faults.steps.isEmpty)
    }

    @Test func whatIsOddIsTold() throws {
        try world.up("eth0")
        try world.block(address(1), address(2))
        world.kernel.shared[.block]?.deleteByHand(address(1))
        world.kernel.shared[.block]?.writeByHand(address(8), address(9), address(10))
        world.loadByIPLink(FakeWorld.eth1, [.allow: [address(5)]])
        world.kernel.pinned.insert(FakeWorld.blue0)
        let status = try world.edges.status(now: 300)
        let gone = world.kernel.state(FakeWorld.blue0)
        let own = world.kernel.state(FakeWorld.eth1)
        #expect(
            Set(status.oddities) == [
                .interfaceGone(gone), .ownLists(own), .writtenByHand(.block, count: 3), .notInKernel(.block, count: 1),
            ])
        let lists = try #require(status.edges.first { $0.edge == own }?.ownLists)
        #expect(lists.map(\.inKernel) == [0, 1] && lists.map(\.byHand) == [0, 1] && lists.map(\.missing) == [2, 0])
    }

    @Test func whatProgramsHaveWrittenDown() throws {
        try world.up("eth0", settings: .carrier)
        world.kernel.programs[FakeWorld.eth0]?.notes.unfiltered = [.ipv6: 7]
        #expect(try world.edges.status(now: 1).edges.map { $0.notes?.unfiltered } == [[.ipv6: 7]])
        #expect(try world.edges.notes(of: "eth0").unfiltered == [.ipv6: 7])
        let failure = #expect(throws: Failure.self) { try world.edges.notes(of: "eth1") }
        #expect(failure?.kind == .notLoaded)
    }

    @Test func upWarnsOfDryRuns() throws {
        var settings = FilterSettings.carrier
        settings.dryRun = [.blocked]
        #expect(try world.up("eth0", settings: settings).warnings.contains(.dryRun(interface: "eth0", settings)))
        #expect(
            try !world.up("eth0", settings: .carrier).warnings.contains { if case .dryRun = $0 { true } else { false } }
        )
    }

    @Test func behindOurBack() throws {
        try world.up("eth0")
        try world.up("eth1")
        world.kernel.programs[FakeWorld.eth0] = nil
        world.kernel.programs[FakeWorld.eth1] = FakeProgram(id: 5, mode: .native, isEdge: false)
        let oddities = try world.edges.status(now: 300).oddities
        #expect(
            oddities == [
                .programGone(world.kernel.state(FakeWorld.eth0)),
                .foreignProgram(world.kernel.state(FakeWorld.eth1), id: 5, hadOurs: true),
            ])
        world.kernel.pinned = []
        #expect(
            try world.edges.status(now: 300).oddities == [
                .foreignProgram(world.kernel.state(FakeWorld.eth1), id: 5, hadOurs: false), .listsWithoutInterface,
            ])
    }

    @Test func anotherInstance() throws {
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(1)]])
        world.kernel.otherInstances[FakeWorld.eth1] = "demo"
        let status = try world.edges.status(now: 300)
        #expect(status.oddities == [.otherInstance(world.kernel.state(FakeWorld.eth1), name: "demo")])
        #expect(status.edges.first?.ownLists.isEmpty == true)
    }

    @Test func everyOddityHasASentenceAndAnOrder() {
        let edge = world.kernel.state(FakeWorld.eth0)
        let all: [Oddity] = [
            .foreignProgram(edge, id: 1, hadOurs: true), .foreignProgram(edge, id: 1, hadOurs: false),
            .otherInstance(edge, name: "demo"), .programGone(edge), .interfaceGone(edge), .ownLists(edge),
            .listsWithoutInterface, .capacityChangeCutOff(.allow), .writtenByHand(.block, count: 2),
            .notInKernel(.allow, count: 1),
        ]
        #expect(Set(all.map(\.sentence)).count == all.count)
        #expect(all.allSatisfy { $0.sentence.hasSuffix(".") && !$0.next.isEmpty })
        #expect(Oddity.writtenByHand(.block, count: 2).sentence.hasPrefix("Block list: 2 "))
    }

    @Test func oneInterface() throws {
        try world.up("eth0")
        world.kernel.programs[FakeWorld.eth1] = FakeProgram(id: 5, mode: .native, isEdge: false)
        #expect(try world.edges.status(of: "eth0", now: 300).edges.map(\.edge.label) == ["eth0"])
        #expect(try world.edges.status(of: "eth0", now: 300).oddities.isEmpty)
        world.kernel.interfaces["eth2"] = InterfaceID(index: 8, namespace: 1)
        #expect(try world.edges.status(of: "eth2", now: 300).edges.isEmpty)
        let failure = #expect(throws: Failure.self) { try world.edges.status(of: "eth9", now: 300) }
        #expect(failure?.kind == .noInterface)
    }

    // MARK: Counters

    @Test func countersAreByInterfaceAndInAll() throws {
        try world.up("eth0")
        try world.up("eth1")
        world.kernel.programs[FakeWorld.eth0]?.counters[.blocked] = 3
        world.kernel.programs[FakeWorld.eth0]?.counters[.passed] = 1
        world.kernel.programs[FakeWorld.eth1]?.counters[.blocked] = 4
        let statistics = try world.edges.statistics()
        #expect(statistics.rows.map(\.edge.label) == ["eth0", "eth1"])
        #expect(statistics.rows.map { $0.counters[.blocked] } == [3, 4])
        #expect(statistics.total[.blocked] == 7 && statistics.total[.passed] == 1 && statistics.total.total == 8)
        #expect(Set(statistics.rows.map(\.mapID)).count == 2)
        #expect(try world.edges.statistics(of: "eth1").total.total == 4)
    }

    @Test func withoutAProgramThereAreNoCounters() throws {
        world.kernel.programs[FakeWorld.eth1] = FakeProgram(id: 5, mode: .native, isEdge: false)
        for name in [nil, "eth0", "eth1"] {
            let failure = #expect(throws: Failure.self) { try world.edges.statistics(of: name) }
            #expect(failure?.kind == .notLoaded)
        }
        let failure = #expect(throws: Failure.self) { try world.edges.statistics(of: "eth9") }
        #expect(failure?.kind == .noInterface)
    }
}
