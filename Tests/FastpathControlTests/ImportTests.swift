import FastpathCore
import Testing

// SPDX-License-Identifier: Apache-2.0
@testable import FastpathControl

@Suite struct ImportTests {
    let world = FakeWorld()

    @Test func everyLineIsAccountedFor() throws {
        try world.up("eth0")
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(2))
        let text = "# list\n192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.3\n999.1.2.3\n10.0.0.1/8\n\n192.0.2.4\n"
        let report = try world.policy.importList(AddressList(parsing: Array(text.utf8)), into: .block, now: 7) { _ in }
        #expect((report.alreadyThere, report.byHand, report.added) == (1, 1, 2))
        #expect(report.fitted == 4 && report.duplicates == 1)
        #expect(report.badLines.map(\.number) == [6, 7])
        #expect(report.notFitted.isEmpty && report.shortage == nil && report.isInForce && !report.isComplete)
        #expect(world.blocked == Set((1...4).map { address($0) }))
        #expect(world.recordedBlocked == world.blocked)
        #expect(
            world.record.entries(.block).map(\.origin) == [.operatorCommand, .importFile, .importFile, .importFile])
    }

    @Test func whatFitsIsRecordedAndAppliedAndNothingElse() throws {
        try world.up("eth0", capacities: [.block: 8])
        world.kernel.shared[.block]?.writeByHand(address(1), address(2))
        try world.block(address(3))
        let listed = many(4) + [address(1), address(3)] + many(9)[4...]
        let report = try world.importBlocked(listed)
        // Five places were left; the two that are there already need none.
        #expect((report.added, report.byHand, report.alreadyThere) == (5, 1, 1))
        #expect(report.notFitted == Array(many(9)[5...]))
        #expect(report.shortage == Shortage(kind: .block, capacity: 8, interface: "eth0", suggestedCapacity: 16))
        #expect(
            report.shortage?.advice == "Raise it: vos-fastpath up eth0 --profile classic --blocked-capacity 16. "
                + "Or use profile carrier, whose table grows by itself.")
        #expect(world.blocked == Set(many(5) + [address(1), address(2), address(3)]))
        #expect(world.recordedBlocked == world.blocked.subtracting([address(2)]))
        #expect(!report.isComplete)
    }

    @Test func theSuggestedCapacityIsEnough() throws {
        try world.up("eth0", capacities: [.block: 8])
        let suggested = try #require(try world.importBlocked(many(100)).shortage?.suggestedCapacity)
        try world.up("eth0", capacities: [.block: suggested])
        let report = try world.importBlocked(many(100))
        #expect(report.isComplete && (report.added, report.alreadyThere) == (92, 8))
        #expect(world.blocked == Set(many(100)))
    }

    @Test func noInterfaceHasMoreThanAnother() throws {
        try world.up("eth0", capacities: [.block: 4_096])
        world.loadByIPLink(FakeWorld.eth1)
        let report = try world.importBlocked(many(1_500))
        #expect(report.added == 1_024 && report.notFitted == Array(many(1_500)[1_024...]))
        #expect(report.shortage?.capacity == 1_024 && report.shortage?.interface == "eth1")
        #expect(report.shortage?.suggestedCapacity == 4_096)
        #expect(world.blocked == world.blocked(on: FakeWorld.eth1))
        #expect(world.recordedBlocked == world.blocked)
    }

    @Test func progressTellsBothSteps() throws {
        try world.up("eth0")
        let text = many(10).map { "\($0)\n" }.joined()
        var seen: [ChangeProgress] = []
        _ = try world.policy.importList(AddressList(parsing: Array(text.utf8)), into: .block, now: 1) {
            seen.append($0)
        }
        #expect(seen.map(\.step) == [.recording, .applying])
        #expect(seen.allSatisfy { $0.done == 10 && $0.total == 10 && $0.kind == .block })
    }

    // MARK: Listing

    @Test func theListMergesRecordAndKernel() throws {
        try world.up("eth0")
        try world.block(address(1), address(2), address(3))
        world.kernel.shared[.block]?.deleteByHand(address(2))
        world.kernel.shared[.block]?.writeByHand(address(4))
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(1), address(5)]])
        let listing = try world.policy.list(.block, now: 300)
        let rows = listing.rows
        #expect(rows.map(\.prefix) == (1...5).map { address($0) })
        #expect(rows.map(\.state) == [.inForce, .notInKernel, .partly, .byHand, .byHand])
        #expect(rows.map(\.origin) == [.operatorCommand, .operatorCommand, .operatorCommand, nil, nil])
        #expect(rows.map(\.added) == [100, 100, 100, nil, nil])
        #expect(listing.prefixes == (1...5).map { address($0) } && listing.changing == nil)
        #expect(try world.policy.list(.allow, now: 300).rows.isEmpty)
    }

    @Test func withoutListsInTheKernelEntriesAreRecorded() throws {
        try world.block(address(1))
        #expect(try world.policy.list(.block, now: 300).rows.map(\.state) == [.recorded])
    }

    @Test func aListIsReadUnderTheReadersLockAndSaysWhereItCouldNotBeHad() throws {
        try world.block(address(1))
        #expect(try world.policy.list(.block, now: 300).changing == nil)
        world.lock.changing = "`block import`, process 7,"
        let listing = try world.policy.list(.block, now: 300)
        #expect(listing.changing == "`block import`, process 7," && listing.prefixes == [address(1)])
        #expect(world.lock.readings == 2)
    }

    @Test func whatIsExportedIsImported() throws {
        try world.up("eth0")
        try world.importBlocked(many(300))
        let exported = try world.policy.list(.block, now: 300).prefixes
        let other = FakeWorld()
        try other.up("eth0")
        #expect(try other.importBlocked(exported).isComplete)
        #expect(other.blocked == world.blocked)
    }
}
