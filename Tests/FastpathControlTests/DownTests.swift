// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

@Suite struct DownTests {
    let world = FakeWorld()

    @discardableResult
    private func down(_ name: String, purge: Bool = false) throws -> DownReport {
        try world.edges.down(.interface(name), purge: purge, now: 700)
    }

    private func expectNothingInTheKernel() {
        #expect(world.kernel.pinned.isEmpty && world.kernel.shared.isEmpty)
        #expect(world.kernel.programs.values.filter(\.isEdge).isEmpty)
    }

    @Test func theLastInterfaceTakesTheListsAlong() throws {
        try world.up("eth0")
        try world.up("eth1")
        try world.block(address(1))
        let first = try down("eth0")
        #expect(first.takenDown.map(\.label) == ["eth0"] && first.remaining.map(\.label) == ["eth1"])
        #expect(world.blocked(on: FakeWorld.eth1) == [address(1)] && !world.kernel.shared.isEmpty)
        let second = try down("eth1")
        #expect(second.remaining.isEmpty && second.recorded == [.block: 1, .allow: 0, .trust: 0])
        expectNothingInTheKernel()
        try world.up("eth0")
        #expect(world.blocked == [address(1)])
    }

    @Test func entriesByHandAreRecordedFirst() throws {
        try world.up("eth0")
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(2), address(3))
        world.faults.reset()
        let report = try down("eth0")
        #expect(report.adopted == [.block: 2])
        #expect(world.faults.steps.first == "record 2")
        #expect(world.record.entries(.block).map(\.origin) == [.operatorCommand, .adopted, .adopted])
        #expect(world.record.entries(.block).map(\.added) == [100, 700, 700])
        expectNothingInTheKernel()
    }

    @Test func theListsOfAProgramFromIPLinkAreRecordedToo() throws {
        world.loadByIPLink(FakeWorld.eth0, [.block: [address(4)], .allow: [address(5)]])
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(6)]])
        let report = try down("eth0")
        #expect(report.adopted == [.block: 1, .allow: 1])
        // The other one keeps its own.
        #expect(world.recordedBlocked == [address(4)])
        #expect(world.blocked(on: FakeWorld.eth1) == [address(6)])
    }

    @Test func moreEntriesThanTheCapacityFindTheirPlaceAtTheNextUp() throws {
        try world.up("eth0", capacities: [.block: 2])
        try world.block(address(1), address(2))
        world.kernel.shared[.block]?.deleteByHand(address(1), address(2))
        world.kernel.shared[.block]?.writeByHand(address(3), address(4))
        try down("eth0")
        #expect(world.record.count(.block) == 4)
        #expect(try world.up("eth0").lists[0].capacity == 4)
        #expect(world.blocked.count == 4)
    }

    @Test func purgeForgetsTheRecordAfterTheKernel() throws {
        try world.up("eth0", capacities: [.block: 5_000])
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(2))
        world.faults.reset()
        let report = try down("eth0", purge: true)
        #expect(report.isPurged && report.adopted.isEmpty)
        #expect(world.faults.steps.last == "purge the record")
        #expect(world.record.count(.block) == 0 && world.record.capacity(.block) == nil)
        expectNothingInTheKernel()
    }

    @Test func purgeIsRefusedWhileOthersFilter() throws {
        try world.up("eth0")
        try world.up("eth1")
        try world.block(address(1))
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try down("eth0", purge: true) }
        #expect(failure?.kind == .usage)
        #expect(world.snapshot == before)
        #expect(try world.edges.down(.all, purge: true, now: 1).isPurged)
        expectNothingInTheKernel()
    }

    @Test func allTakesEverythingOfOurs() throws {
        try world.up("eth0")
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(2)]])
        world.kernel.pinned.insert(FakeWorld.blue0)
        let report = try world.edges.down(.all, now: 1)
        #expect(Set(report.takenDown.map(\.label)) == ["eth0", "eth1", "ifindex 2"])
        #expect(world.recordedBlocked == [address(2)])
        expectNothingInTheKernel()
        #expect(try world.edges.down(.all, now: 1).takenDown.isEmpty)
    }

    @Test func allLeavesOtherInstancesAlone() throws {
        world.loadByIPLink(FakeWorld.eth1)
        world.kernel.otherInstances[FakeWorld.eth1] = "demo"
        #expect(try world.edges.down(.all, now: 1).takenDown.isEmpty)
        let failure = #expect(throws: Failure.self) { try down("eth1") }
        #expect(failure?.kind == .notLoaded && failure?.reason.contains("demo") == true)
        #expect(world.kernel.programs[FakeWorld.eth1] != nil)
    }

    @Test func allDropsListsThatNoInterfaceUses() throws {
        try world.up("eth0")
        world.kernel.programs = [:]
        world.kernel.pinned = []
        _ = try world.edges.down(.all, now: 1)
        expectNothingInTheKernel()
    }

    @Test func oneInterfaceDropsListsThatNoInterfaceUses() throws {
        try world.up("eth0")
        try world.block(address(1))
        world.kernel.programs = [:]
        world.kernel.pinned = []
        // A name that nothing has is no order.
        let missing = #expect(throws: Failure.self) { try down("eth9") }
        #expect(missing?.kind == .noInterface && !world.kernel.shared.isEmpty)
        // Nor is the interface of another instance.
        world.loadByIPLink(FakeWorld.eth1)
        world.kernel.otherInstances[FakeWorld.eth1] = "demo"
        let other = #expect(throws: Failure.self) { try down("eth1") }
        #expect(other?.kind == .notLoaded && !world.kernel.shared.isEmpty)
        let report = try down("eth0")
        #expect(
            report.takenDown.isEmpty && report.areListsRemoved && report.recorded == [.block: 1, .allow: 0, .trust: 0])
        #expect(world.kernel.shared.isEmpty && world.kernel.programs[FakeWorld.eth1] != nil)
        // Then nothing is there, and it is said.
        let failure = #expect(throws: Failure.self) { try down("eth0") }
        #expect(failure?.kind == .notLoaded)
    }

    @Test func listsThatAnInterfaceUsesStay() throws {
        try world.up("eth0")
        let failure = #expect(throws: Failure.self) { try down("eth1") }
        #expect(failure?.kind == .notLoaded && !world.kernel.shared.isEmpty)
    }

    @Test func aForeignProgramIsLeftAndSaid() throws {
        try world.up("eth0")
        world.kernel.programs[FakeWorld.eth0] = FakeProgram(id: 77, mode: .native, isEdge: false)
        let report = try down("eth0")
        #expect(report.foreign.map(\.label) == ["eth0"])
        #expect(world.kernel.programs[FakeWorld.eth0]?.id == 77)
        expectNothingInTheKernel()
        let failure = #expect(throws: Failure.self) { try down("eth0") }
        #expect(failure?.kind == .notLoaded && failure?.reason.contains("77") == true)
    }

    @Test func removedBehindOurBack() throws {
        try world.up("eth0")
        world.kernel.programs = [:]
        world.kernel.shared[.block]?.writeByHand(address(3))
        try down("eth0")
        #expect(world.recordedBlocked == [address(3)])
        expectNothingInTheKernel()
    }

    @Test(arguments: ["ifindex 3", "3", "3-1"])
    func anInterfaceThatIsGone(name: String) throws {
        try world.up("eth0")
        try world.up("eth1")
        world.kernel.interfaces["eth1"] = nil
        world.kernel.programs[FakeWorld.eth1] = nil
        let missing = #expect(throws: Failure.self) { try down("eth1") }
        #expect(missing?.kind == .noInterface)
        #expect(try down(name).takenDown.map(\.interface) == [FakeWorld.eth1])
        #expect(world.kernel.pinned == [FakeWorld.eth0])
    }

    @Test func anInterfaceElsewhereHasItsNamespaceInItsName() throws {
        try world.up("eth0")
        world.kernel.elsewhere[FakeWorld.blue0] = ("eth0", "blue")
        world.kernel.pinned.insert(FakeWorld.blue0)
        world.kernel.programs[FakeWorld.blue0] = world.kernel.programs[FakeWorld.eth0]
        #expect(try down("eth0@blue").takenDown.map(\.interface) == [FakeWorld.blue0])
        #expect(try down("eth0").takenDown.map(\.interface) == [FakeWorld.eth0])
        expectNothingInTheKernel()
    }

    @Test func aNameThatIsANumberIsANameFirst() throws {
        world.kernel.interfaces["9"] = InterfaceID(index: 4, namespace: 1)
        try world.up("9")
        world.kernel.pinned.insert(InterfaceID(index: 9, namespace: 1))
        #expect(try down("9").takenDown.map(\.interface.index) == [4])
        #expect(try down("9").takenDown.map(\.interface.index) == [9])
    }

    @Test func namesThatSeveralGoByAreRefused() throws {
        world.kernel.pinned = [InterfaceID(index: 7, namespace: 5), InterfaceID(index: 7, namespace: 6)]
        let failure = #expect(throws: Failure.self) { try down("7") }
        #expect(failure?.kind == .usage && failure?.next.contains("7-5, 7-6") == true)
        try down("7-6")
        #expect(world.kernel.pinned == [InterfaceID(index: 7, namespace: 5)])
    }

    @Test func nothingThereIsAnError() throws {
        let failure = #expect(throws: Failure.self) { try down("eth0") }
        #expect(failure?.kind == .notLoaded)
        let missing = #expect(throws: Failure.self) { try down("eth9") }
        #expect(missing?.kind == .noInterface)
    }

    @Test func oneInterfaceThatFailsDoesNotHoldUpTheOthers() throws {
        try world.up("eth0")
        try world.up("eth1")
        try world.block(address(1))
        world.faults.reset()
        world.faults.failAt = 1
        let report = try world.edges.down(.all, purge: true, now: 1)
        #expect(report.failed.map(\.edge.label) == ["eth0"] && report.takenDown.map(\.label) == ["eth1"])
        // It still filters, so its policy is kept.
        #expect(!report.isPurged && world.blocked(on: FakeWorld.eth0) == [address(1)])
        #expect(world.recordedBlocked == [address(1)] && !world.kernel.shared.isEmpty)
    }
}
