// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

@Suite struct UpTests {
    let world = FakeWorld()

    @Test func theListsComeFromTheRecord() throws {
        try world.block(address(1), address(2))
        _ = try world.policy.add([address(7)], to: .allow, now: 1)
        let report = try world.up("eth0")
        #expect(world.blocked(on: FakeWorld.eth0) == [address(1), address(2)])
        #expect(world.kernel.programs[FakeWorld.eth0]?.maps[.allow]?.entries == [address(7)])
        #expect(report.edge.isFiltering && report.edge.isPinned && report.replaced == nil)
        #expect(report.lists.map(\.kind) == PolicyKind.inPublicMaps)
        #expect(report.lists.map(\.entries) == [2, 1])
        #expect(report.lists.map(\.capacity) == [1_024, 256])
        #expect(report.lists.map(\.capacityBefore) == [nil, nil])
        #expect(report.warnings == [.firstNativeAttach])
        #expect(report.mending == nil && report.moved.isEmpty)
    }

    @Test func listsAreFullBeforeTheyAreSharedAndSharedBeforeTheyAreRead() throws {
        try world.block(address(1))
        world.faults.reset()
        try world.up("eth0")
        let order = world.faults.steps.map { $0.split(separator: " ")[0] }
        #expect(order == ["make", "insert", "make", "share", "share", "attach", "pin"])
    }

    @Test func allInterfacesShareTheLists() throws {
        try world.up("eth0")
        try world.block(address(1))
        try world.up("eth1")
        try world.block(address(2))
        #expect(
            world.kernel.programs[FakeWorld.eth0]?.maps[.block] === world.kernel.programs[FakeWorld.eth1]?.maps[.block])
        #expect(world.blocked(on: FakeWorld.eth1) == [address(1), address(2)])
    }

    @Test func aReplacementKeepsCountersAndEntriesByHand() throws {
        try world.up("eth0")
        try world.block(address(1))
        world.kernel.programs[FakeWorld.eth0]?.counters[.passed] = 5
        world.kernel.shared[.block]?.writeByHand(address(9))
        let shared = world.kernel.shared[.block]
        let report = try world.up("eth0")
        #expect(report.replaced?.isEdge == true && !report.warnings.contains(.firstNativeAttach))
        #expect(world.kernel.programs[FakeWorld.eth0]?.counters[.passed] == 5)
        #expect(world.kernel.shared[.block] === shared)
        #expect(world.blocked == [address(1), address(9)])
        #expect(world.recordedBlocked == [address(1)])
        #expect(report.lists[0].byHand == 1 && report.lists[0].entries == 2)
    }

    @Test func whatTheKernelLostIsThereAgain() throws {
        try world.up("eth0")
        try world.block(address(1), address(2))
        world.kernel.shared[.block]?.deleteByHand(address(1))
        try world.up("eth0")
        #expect(world.blocked == [address(1), address(2)])
        // A reboot: nothing is left in the kernel.
        world.kernel.programs = [:]
        world.kernel.pinned = []
        world.kernel.shared = [:]
        try world.up("eth1")
        #expect(world.blocked(on: FakeWorld.eth1) == [address(1), address(2)])
    }

    @Test func warningsNameTheModeAndTheEmptyAllowList() throws {
        world.kernel.genericOnly = [FakeWorld.eth0]
        let report = try world.up("eth0")
        #expect(report.warnings == [.allowListEmpty, .genericMode])
        #expect(report.notes == ["native mode was refused"])
        #expect(report.warnings.allSatisfy { $0.sentence.hasSuffix(".") || $0.sentence.contains("vos-fastpath") })
    }

    @Test func anUnknownInterfaceAndMissingRightsAreErrors() {
        let missing = #expect(throws: Failure.self) { try world.up("eth9") }
        #expect(missing?.kind == .noInterface)
        world.kernel.isReady = false
        let refused = #expect(throws: Failure.self) { try world.up("eth0") }
        #expect(refused?.kind == .notRoot)
        #expect(world.faults.steps.isEmpty)
    }

    // MARK: Programs of others

    @Test func aForeignProgramStaysUnlessForced() throws {
        world.kernel.programs[FakeWorld.eth0] = FakeProgram(id: 77, mode: .native, isEdge: false)
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try world.up("eth0") }
        #expect(failure?.kind == .foreignProgram(id: 77))
        #expect(world.snapshot == before)
        let report = try world.up("eth0", force: true)
        #expect(report.replaced?.programID == 77 && report.edge.isFiltering)
    }

    @Test func anotherInstancesProgramStaysUnlessForced() throws {
        let program = world.loadByIPLink(FakeWorld.eth0, [.block: [address(5)]])
        world.kernel.otherInstances[FakeWorld.eth0] = "demo"
        let failure = #expect(throws: Failure.self) { try world.up("eth0") }
        #expect(failure?.kind == .foreignProgram(id: program.id))
        try world.up("eth0", force: true)
        // Its policy is not ours.
        #expect(world.recordedBlocked.isEmpty && world.blocked.isEmpty)
    }

    @Test func theListsOfAProgramFromIPLinkAreAdopted() throws {
        try world.block(address(1))
        world.loadByIPLink(FakeWorld.eth0, [.block: [address(1), address(2)], .allow: [address(3)]])
        let report = try world.up("eth0")
        #expect(report.lists.map(\.adopted) == [1, 1])
        #expect(world.blocked(on: FakeWorld.eth0) == [address(1), address(2)])
        #expect(world.record.entries(.block).map(\.origin) == [.operatorCommand, .adopted])
        #expect(world.record.entries(.allow).map(\.origin) == [.adopted])
        #expect(world.record.entries(.allow).map(\.added) == [500])
        #expect(!report.warnings.contains(.allowListEmpty))
    }

    @Test func whatComesIntoAnAdoptedListMeanwhileIsAdoptedToo() throws {
        let own = world.loadByIPLink(FakeWorld.eth0, [.block: [address(1)]]).maps[.block]
        world.kernel.afterAttach = { own?.writeByHand(address(2)) }
        let report = try world.up("eth0")
        #expect(world.blocked(on: FakeWorld.eth0) == [address(1), address(2)])
        #expect(world.recordedBlocked == [address(1), address(2)])
        #expect(report.lists[0].adopted == 2)
    }

    @Test func theProgramOfAnotherInterfaceIsNotTouched() throws {
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(9)]])
        let id = world.kernel.programs[FakeWorld.eth1]?.id
        try world.up("eth0", capacities: [.block: 64])
        try world.up("eth0", capacities: [.block: 128])
        #expect(world.kernel.programs[FakeWorld.eth1]?.id == id)
        #expect(world.blocked.isEmpty && world.recordedBlocked.isEmpty)
    }

    @Test func anInterfaceOfOursWithListsOfItsOwnGetsTheSharedOnes() throws {
        try world.up("eth0")
        try world.up("eth1", mode: .generic)
        try world.block(address(1))
        // In the place of ours, whose pins are there.
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(8)]])
        let report = try world.up("eth0")
        #expect(report.moved.map(\.label) == ["eth1"])
        #expect(world.kernel.programs[FakeWorld.eth1]?.maps[.block] === world.kernel.shared[.block])
        #expect(world.kernel.programs[FakeWorld.eth1]?.maps[.allow] === world.kernel.shared[.allow])
        #expect(world.blocked == [address(1), address(8)] && world.recordedBlocked == [address(1), address(8)])
        #expect(try world.up("eth0").moved.isEmpty)
    }

    @Test func adoptionMakesRoomWhereItMust() throws {
        try world.importBlocked(many(1_000))
        world.loadByIPLink(FakeWorld.eth0, [.block: (1...100).map { address($0) }])
        let report = try world.up("eth0")
        #expect(report.lists[0].capacity == 2_048 && report.lists[0].entries == 1_100)
        #expect(world.record.capacity(.block) == 2_048)
    }

    @Test func anotherModeNeedsForce() throws {
        try world.up("eth0", mode: .generic)
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try world.up("eth0", mode: .native) }
        #expect(failure?.kind == .modeConflict)
        #expect(world.snapshot == before)
        #expect(try world.up("eth0", mode: .native, force: true).edge.attachment?.mode == .native)
        // Without a wish the mode stays.
        #expect(try world.up("eth0").edge.attachment?.mode == .native)
    }
}

@Suite struct CapacityTests {
    let world = FakeWorld()

    @Test func aNewCapacityKeepsEverythingOnEveryInterface() throws {
        try world.up("eth0")
        try world.up("eth1", mode: .generic)
        world.kernel.elsewhere[FakeWorld.blue0] = ("eth0", "blue")
        world.kernel.pinned.insert(FakeWorld.blue0)
        world.kernel.programs[FakeWorld.blue0] = world.kernel.programs[FakeWorld.eth0]
        try world.block(address(1))
        world.kernel.programs[FakeWorld.eth1]?.counters[.blocked] = 3
        world.kernel.shared[.block]?.writeByHand(address(9))
        let (oldBlock, oldAllow) = (world.kernel.shared[.block], world.kernel.shared[.allow])

        let report = try world.up("eth0", capacities: [.block: 4_096])
        #expect(report.lists[0].capacity == 4_096 && report.lists[0].capacityBefore == 1_024)
        #expect(Set(report.moved.map(\.label)) == ["eth1", "eth0@blue"])
        let new = try #require(world.kernel.shared[.block])
        #expect(new.capacity == 4_096 && new.entries == [address(1), address(9)] && !new.isFrozenNow)
        for interface in [FakeWorld.eth0, FakeWorld.eth1, FakeWorld.blue0] {
            #expect(world.kernel.programs[interface]?.maps[.block] === new)
            #expect(world.kernel.programs[interface]?.maps[.allow] === oldAllow)
        }
        #expect(world.kernel.programs[FakeWorld.eth1]?.mode == .generic)
        #expect(world.kernel.programs[FakeWorld.eth1]?.counters[.blocked] == 3)
        #expect(oldBlock?.isFrozenNow == true && oldAllow?.isFrozenNow == false)
        #expect(world.recordedBlocked == [address(1)])
        #expect(world.record.capacity(.block) == 4_096 && world.record.capacity(.allow) == nil)
        try world.block(address(2))
        #expect(world.blocked(on: FakeWorld.eth1)?.contains(address(2)) == true)
    }

    @Test func theCapacityOutlivesAReboot() throws {
        try world.up("eth0", capacities: [.block: 2_000, .allow: 300])
        world.kernel.programs = [:]
        world.kernel.pinned = []
        world.kernel.shared = [:]
        let report = try world.up("eth0")
        #expect(report.lists.map(\.capacity) == [2_000, 300])
    }

    @Test func aCapacityThatIsTooSmallIsRefused() throws {
        try world.up("eth0")
        try world.importBlocked(many(10))
        world.kernel.shared[.block]?.writeByHand(address(1))
        let before = world.snapshot
        for capacity in [10, 1] {
            let failure = #expect(throws: Failure.self) { try world.up("eth0", capacities: [.block: capacity]) }
            #expect(failure?.kind == .mapFull(capacity: capacity))
            #expect(failure?.next.contains("11") == true)
        }
        let failure = #expect(throws: Failure.self) { try world.up("eth0", capacities: [.block: 0]) }
        #expect(failure?.kind == .usage)
        #expect(world.snapshot == before)
        #expect(try world.up("eth0", capacities: [.block: 11]).lists[0].capacity == 11)
        #expect(world.blocked == Set(many(10) + [address(1)]))
    }

    @Test func theSameCapacityMovesNothing() throws {
        try world.up("eth0")
        let before = world.snapshot
        try world.up("eth0", capacities: [.block: 1_024, .allow: 256])
        #expect(world.snapshot == before)
    }

    @Test func whatIsWrittenByHandMeanwhileIsKept() throws {
        try world.up("eth0")
        try world.up("eth1")
        let old = try #require(world.kernel.shared[.block])
        old.writeByHand(address(5), address(6))
        world.kernel.afterAttach = {
            old.writeByHand(address(7))
            old.deleteByHand(address(6))
        }
        try world.up("eth0", capacities: [.block: 2_048])
        #expect(world.blocked == [address(5), address(7)])
        #expect(world.recordedBlocked.isEmpty)
    }

    @Test func anotherObjectThatIsReplacedIsSaid() throws {
        try world.up("eth0")
        try world.up("eth1", object: "special.o")
        world.kernel.programs[FakeWorld.eth1]?.object = "special.o"
        let report = try world.up("eth0", capacities: [.block: 2_048])
        #expect(report.warnings.contains(.otherObject(interface: "eth1")))
    }
}
