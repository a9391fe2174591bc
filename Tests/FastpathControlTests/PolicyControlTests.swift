// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

@Suite struct PolicyControlTests {
    let world = FakeWorld()

    // MARK: Adding

    @Test func anAdditionIsRecordedAndInForce() throws {
        try world.up("eth0")
        let report = try world.block(address(1), address(2), address(1))
        #expect(report.added == [address(1), address(2)])
        #expect(report.alreadyThere.isEmpty && report.byHand.isEmpty && report.mending == nil)
        #expect(report.isInForce)
        #expect(world.blocked == [address(1), address(2)])
        #expect(
            world.record.entries(.block).map { [$0.origin.rawValue, "\($0.added)"] } == [
                ["command", "100"], ["command", "100"],
            ])
        #expect(world.record.entries(.allow).isEmpty && world.kernel.shared[.allow]?.entries.isEmpty == true)
    }

    @Test func theRecordComesFirst() throws {
        try world.up("eth0")
        world.faults.reset()
        try world.block(address(1))
        #expect(world.faults.steps.map { $0.prefix(6) } == ["record", "insert"])
        world.faults.reset()
        _ = try world.policy.remove([address(1)], from: .block, now: 300)
        #expect(world.faults.steps.map { $0.hasSuffix("the record") } == [false, true])
    }

    @Test func whatIsThereAlreadyIsToldApart() throws {
        try world.up("eth0")
        try world.block(address(1), address(2))
        world.kernel.shared[.block]?.deleteByHand(address(2))
        world.kernel.shared[.block]?.writeByHand(address(3))
        let report = try world.policy.add(
            [address(1), address(2), address(3), address(4)], to: .block, EntryOptions(origin: .adopted), now: 900)
        #expect(report.alreadyThere == [address(1), address(2)])
        #expect(report.byHand == [address(3)])
        #expect(report.added == [address(4)])
        #expect(world.blocked == [address(1), address(2), address(3), address(4)])
        #expect(world.record.entries(.block).map(\.added) == [100, 100, 900, 900])
    }

    @Test func withoutAnInterfaceItIsRecorded() throws {
        let report = try world.block(address(1))
        #expect(report.added == [address(1)] && !report.isInForce)
        #expect(world.recordedBlocked == [address(1)])
        try world.up("eth0")
        #expect(world.blocked == [address(1)])
    }

    @Test func scriptsInsistOnALoadedProgram() throws {
        for change in [
            { _ = try world.policy.add([address(1)], to: .block, requireLoaded: true, now: 1) },
            { _ = try world.policy.remove([address(1)], from: .block, requireLoaded: true, now: 300) },
            { _ = try world.policy.importList(AddressList(), into: .block, requireLoaded: true, now: 1) { _ in } },
        ] {
            let failure = #expect(throws: Failure.self) { try change() }
            #expect(failure?.kind == .notLoaded)
        }
        // Pins without a program are no filter.
        try world.up("eth0")
        world.kernel.programs = [:]
        let failure = #expect(throws: Failure.self) {
            try world.policy.add([address(1)], to: .block, requireLoaded: true, now: 1)
        }
        #expect(failure?.kind == .notLoaded)
        #expect(world.recordedBlocked.isEmpty && world.blocked.isEmpty)
        world.loadByIPLink(FakeWorld.eth1)
        #expect(try world.policy.add([address(1)], to: .block, requireLoaded: true, now: 1).isInForce)
    }

    @Test func anotherProgramsListsAreChangedToo() throws {
        try world.up("eth0")
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(9)]])
        let report = try world.block(address(1), address(9))
        #expect(report.added == [address(1)] && report.byHand == [address(9)])
        #expect(world.blocked == [address(1), address(9)])
        #expect(world.blocked(on: FakeWorld.eth1) == [address(1), address(9)])
        let removal = try world.policy.remove([address(1)], from: .block, now: 300)
        #expect(removal.removed == [address(1)])
        #expect(world.blocked(on: FakeWorld.eth1) == [address(9)])
        #expect(world.blocked(on: FakeWorld.eth0) == [address(9)])
    }

    @Test func anotherInstanceIsLeftAlone() throws {
        world.loadByIPLink(FakeWorld.eth1)
        world.kernel.otherInstances[FakeWorld.eth1] = "demo"
        let report = try world.block(address(1))
        #expect(!report.isInForce)
        #expect(world.blocked(on: FakeWorld.eth1) == [])
        #expect(throws: Failure.self) { try world.policy.add([address(2)], to: .block, requireLoaded: true, now: 1) }
    }

    @Test func withoutRootNothingIsTouched() {
        world.kernel.isReady = false
        let failure = #expect(throws: Failure.self) { try world.block(address(1)) }
        #expect(failure?.kind == .notRoot)
        #expect(world.faults.steps.isEmpty)
    }

    // MARK: Removing

    @Test func aRemovalSaysWhatItFound() throws {
        try world.up("eth0")
        try world.block(address(1), address(2))
        world.kernel.shared[.block]?.writeByHand(address(3))
        world.kernel.shared[.block]?.deleteByHand(address(2))
        let report = try world.policy.remove([address(1), address(2), address(3), address(4)], from: .block, now: 300)
        #expect(report.removed == [address(1), address(2)])
        #expect(report.byHand == [address(3)])
        #expect(report.notThere == [address(4)])
        #expect(world.blocked.isEmpty && world.recordedBlocked.isEmpty)
    }

    /// Few are looked up one by one, many by reading the list: both ways must agree.
    @Test func manyAreChangedLikeFew() throws {
        try world.up("eth0", capacities: [.block: 2_000])
        let addition = try world.policy.add(many(600) + [address(1)], to: .block, now: 1)
        #expect(addition.added.count == 601 && world.blocked.count == 601)
        world.kernel.shared[.block]?.writeByHand(address(2))
        let removal = try world.policy.remove(many(700) + [address(2)], from: .block, now: 300)
        #expect((removal.removed.count, removal.byHand, removal.notThere.count) == (600, [address(2)], 100))
        #expect(world.blocked == [address(1)] && world.recordedBlocked == [address(1)])
    }

    // MARK: Full lists

    @Test func aFullMapRefusesAnAdditionAsAWhole() throws {
        try world.up("eth0", capacities: [.block: 2])
        try world.block(address(1))
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try world.block(address(2), address(3)) }
        #expect(failure?.kind == .mapFull(capacity: 2))
        #expect(
            failure?.next.hasPrefix("Raise it: vos-fastpath up eth0 --profile classic --blocked-capacity 4.") == true)
        #expect(world.snapshot == before)
        #expect(try world.block(address(2)).added == [address(2)])
        // Nothing to add is no reason to fail.
        #expect(try world.block(address(1), address(2)).alreadyThere.count == 2)
    }

    @Test func entriesByHandTakeRoomToo() throws {
        try world.up("eth0", capacities: [.block: 2])
        world.kernel.shared[.block]?.writeByHand(address(8), address(9))
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try world.block(address(1)) }
        #expect(failure?.kind == .mapFull(capacity: 2))
        #expect(world.snapshot == before)
        #expect(try world.block(address(8)).byHand == [address(8)])
    }

    /// The table grows, and so do the public maps when `up` needs them.
    @Test func withoutListsInTheKernelTheRecordHasRoom() throws {
        #expect(try world.importBlocked(many(1_500)).fitted == 1_500)
        #expect(try world.block(address(1)).added == [address(1)])
        #expect(try world.up("eth0").lists[0].capacity == 2_048)
        #expect(world.blocked.count == 1_501)
    }

    @Test func theOtherProgramsFullMapCounts() throws {
        try world.up("eth0", capacities: [.block: 4_096])
        world.loadByIPLink(FakeWorld.eth1, [.block: many(1_024)])
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try world.block(address(1)) }
        #expect(failure?.kind == .mapFull(capacity: 1_024))
        #expect(world.snapshot == before)
    }
}
