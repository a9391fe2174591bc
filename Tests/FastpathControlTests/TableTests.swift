// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathControl

/// The policy table beside the public maps: where what goes.
@Suite struct TableTests {
    let world = FakeWorld()

    private var table: FakeTable { get throws { try #require(world.kernel.table) } }

    private func prefixes(_ texts: String...) throws -> [IPPrefix] { try texts.map { try IPPrefix($0) } }

    // MARK: Up

    @Test func theFirstUpThatReadsATableMakesIt() throws {
        try world.up("eth1")
        #expect(world.kernel.table == nil)
        _ = try world.policy.add(prefixes("10.0.0.0/8", "2001:db8::/32", "192.0.2.1"), to: .block, now: 1)
        _ = try world.policy.add(prefixes("192.0.2.0/24"), to: .trust, now: 1)
        world.faults.reset()
        let report = try world.up("eth0", settings: .carrier)
        #expect(try table.prefixes(.block) == Set(prefixes("10.0.0.0/8", "2001:db8::/32", "192.0.2.1")))
        #expect(try table.prefixes(.trust) == Set(prefixes("192.0.2.0/24")))
        #expect(world.kernel.programs[FakeWorld.eth0]?.table === world.kernel.table)
        #expect(world.kernel.programs[FakeWorld.eth1]?.table == nil)
        #expect(report.table == UpTable(prefixes: 4, capacity: 4_096, bytes: 4_096 * 64, capacityBefore: nil))
        #expect(report.recorded == [.block: 3, .allow: 0, .trust: 1])
        // Full before it is shared, shared before a program reads it.
        let order = world.faults.steps.map { $0.split(separator: " ")[0] }
        #expect(order == ["make", "apply", "share", "attach", "pin"])
        // The other interface reads the public maps alone.
        #expect(try world.blocked == Set(prefixes("192.0.2.1")))
    }

    @Test func withoutClassicInterfacesThePublicMapsHoldWhatIsByHand() throws {
        try world.up("eth0", settings: .carrier)
        try world.block(address(1))
        #expect(try world.blocked.isEmpty && table.prefixes(.block) == [address(1)])
        world.kernel.shared[.block]?.writeByHand(address(9))
        let report = try world.up("eth0", settings: .carrier)
        #expect(world.blocked == [address(9)] && report.lists[0].byHand == 1 && report.lists[0].entries == 1)
        #expect(try world.policy.list(.block, now: 2).rows.map(\.state) == [.inForce, .byHand])
    }

    @Test func aClassicInterfaceFillsThePublicMapsAndItsReplacementEmptiesThem() throws {
        try world.up("eth0", settings: .carrier)
        _ = try world.policy.add([address(1), IPPrefix("10.0.0.0/8")], to: .block, now: 1)
        world.kernel.shared[.block]?.writeByHand(address(9))
        world.faults.reset()
        try world.up("eth1", settings: .classic)
        #expect(world.blocked == [address(1), address(9)])
        let steps = world.faults.steps
        #expect(steps.firstIndex { $0.hasPrefix("insert") }! < steps.firstIndex { $0.hasPrefix("attach") }!)
        try world.block(address(2))
        #expect(world.blocked == [address(1), address(2), address(9)])

        world.faults.reset()
        let report = try world.up("eth1", settings: .carrier)
        #expect(world.blocked == [address(9)])
        #expect(
            world.faults.steps.firstIndex { $0.hasPrefix("attach") }! < world.faults.steps.firstIndex {
                $0.hasPrefix("remove")
            }!)
        #expect(report.table?.prefixes == 3)
        #expect(world.kernel.programs[FakeWorld.eth1]?.table === world.kernel.table)
    }

    @Test func downOfTheLastClassicInterfaceEmptiesThePublicMaps() throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .classic)
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(9))
        let report = try world.edges.down(.interface("eth1"), now: 3)
        // What was by hand is recorded by `down`, and the table has it from there.
        #expect(report.adopted == [.block: 1] && world.blocked.isEmpty)
        #expect(try table.prefixes(.block) == [address(1), address(9)])
        _ = try world.edges.down(.all, now: 4)
        #expect(world.kernel.table == nil && world.kernel.shared.isEmpty)
    }

    @Test func aCapacityThatFitsNoPublicMapFitsTheTable() throws {
        try world.up("eth0", settings: .carrier)
        #expect(try world.importBlocked(many(3_000)).isComplete)
        #expect(world.kernel.shared[.block]?.capacity == 1_024 && world.blocked.isEmpty)
        // A classic interface needs them in the public map.
        #expect(try world.up("eth1", settings: .classic).lists[0].capacity == 4_096)
        #expect(world.blocked == Set(many(3_000)))
    }

    @Test func adoptedListsGoIntoTheTable() throws {
        world.loadByIPLink(FakeWorld.eth0, [.block: [address(8)], .allow: [address(7)]])
        let report = try world.up("eth0", settings: .carrier)
        #expect(report.lists.map(\.adopted) == [1, 1])
        #expect(try table.prefixes(.block) == [address(8)] && table.prefixes(.allow) == [address(7)])
        #expect(world.blocked.isEmpty && world.recordedBlocked == [address(8)])
    }

    @Test func upBringsTheTableToTheRecord() throws {
        try world.up("eth0", settings: .carrier)
        try world.block(address(1), address(2))
        let key = FakeTable.Key(prefix: address(1), kind: .block)
        try table.hits[key] = (5, 50)
        try table.apply(
            [PolicyTableChange(address(2), .block, expiry: nil), PolicyTableChange(address(3), .allow)], now: 1
        ) { _ in }
        try world.up("eth0", settings: .carrier)
        #expect(try table.prefixes(.block) == [address(1), address(2)] && table.prefixes(.allow).isEmpty)
        #expect(try table.hits[key]?.count == 5)
    }

    @Test func capacitiesOfTheTable() throws {
        #expect(try world.up("eth0", settings: .carrier, table: 10_000).table?.capacity == 10_000)
        try world.up("eth1", settings: .carrier)
        let report = try world.up("eth0", settings: .carrier, table: 20_000)
        #expect(report.table?.capacity == 20_000 && report.table?.capacityBefore == 10_000)
        #expect(report.moved.map(\.label) == ["eth1"])
        #expect(world.kernel.programs[FakeWorld.eth1]?.table === world.kernel.table)
        _ = try world.importBlocked(many(100))
        let failure = #expect(throws: Failure.self) { try world.up("eth0", settings: .carrier, table: 99) }
        #expect(failure?.kind == .mapFull(capacity: 99))
        // The wish outlives a reboot.
        world.kernel.programs = [:]
        (world.kernel.pinned, world.kernel.shared, world.kernel.table) = ([], [:], nil)
        #expect(try world.up("eth0", settings: .carrier).table?.capacity == 20_000)
    }

    @Test func theWarningCountsTrust() throws {
        #expect(try world.up("eth0", settings: .carrier).warnings.contains(.allowListEmpty))
        _ = try world.policy.add([address(1)], to: .trust, now: 1)
        #expect(try !world.up("eth0", settings: .carrier).warnings.contains(.allowListEmpty))
        let classic = try world.up("eth1", settings: .classic).warnings
        #expect(classic.contains(.allowListEmpty))
        let gap = classic.compactMap { if case .notEnforced(let gap) = $0 { gap } else { nil } }
        #expect(gap.map(\.kind) == [.trust] && gap.first?.interfaces == ["eth1"] && gap.first?.count == 1)
    }

    // MARK: Changes

    @Test func oneChangeOfTheTableIsTheLastStep() throws {
        try world.up("eth0", settings: .carrier)
        world.faults.reset()
        _ = try world.policy.add([address(1), IPPrefix("2001:db8::/48")], to: .block, now: 1)
        #expect(world.faults.steps.map { $0.prefix(5) } == ["recor", "apply"])
        world.faults.reset()
        _ = try world.policy.remove([address(1)], from: .block, now: 1)
        #expect(world.faults.steps.map { $0.prefix(5) } == ["remov", "apply"])
        #expect(try table.prefixes(.block) == Set(prefixes("2001:db8::/48")))
    }

    @Test func whatClassicInterfacesDoNotEnforceIsSaid() throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .classic)
        let some = try prefixes("10.0.0.0/8", "192.0.2.1", "::1")
        #expect(
            try world.policy.add(some, to: .block, now: 1).gap
                == EnforcementGap(kind: .block, interfaces: ["eth1"], count: 2, late: 0))
        #expect(
            try world.policy.add([address(1)], to: .trust, now: 1).gap
                == EnforcementGap(kind: .trust, interfaces: ["eth1"], count: 1, late: 0))
        #expect(try world.policy.add([address(3)], to: .block, now: 1).gap == nil)
        #expect(try world.policy.add([address(3)], to: .block, EntryOptions(expiry: 90), now: 1).gap?.late == 1)
        #expect(
            try world.policy.list(.block, now: 2).rows.map(\.state) == [.partly, .inForce, .inForce, .partly])
        let status = try world.edges.status(now: 2)
        #expect(status.policy.map(\.recorded) == [4, 0, 1] && status.policy.map(\.beyondPublicMaps) == [2, 0, 1])
        #expect(
            status.oddities == [
                .notEnforced(EnforcementGap(kind: .block, interfaces: ["eth1"], count: 2, late: 0)),
                .notEnforced(EnforcementGap(kind: .trust, interfaces: ["eth1"], count: 1, late: 0)),
            ])
        #expect(status.table == TableStatus(prefixes: 4, capacity: 4_096, bytes: 4_096 * 64, readers: ["eth0"]))
        // Taken off the classic one, nothing is odd.
        _ = try world.edges.down(.interface("eth1"), now: 3)
        #expect(try world.edges.status(now: 3).oddities.isEmpty)
        #expect(try Set(try world.policy.list(.block, now: 3).rows.map(\.state)) == [.inForce])
    }

    @Test func whatTheTableLacksIsOdd() throws {
        try world.up("eth0", settings: .carrier)
        _ = try world.policy.add([address(1), address(2)], to: .trust, now: 1)
        try table.apply([PolicyTableChange(address(2), .trust, expiry: nil)], now: 1) { _ in }
        #expect(try world.edges.status(now: 2).oddities == [.notInKernel(.trust, count: 1)])
        #expect(try world.policy.list(.trust, now: 2).rows.map(\.state) == [.inForce, .notInKernel])
        // Asked for again, it is there again.
        #expect(try world.policy.add([address(2)], to: .trust, now: 3).alreadyThere == [address(2)])
        #expect(try table.prefixes(.trust) == [address(1), address(2)])
    }

    @Test func hitsAreShownWithTheTimeOfTheLast() throws {
        try world.up("eth0", settings: .carrier)
        try world.block(address(1), address(2), address(3))
        try table.hits[.init(prefix: address(2), kind: .block)] = (7, 40)
        try table.hits[.init(prefix: address(3), kind: .block)] = (9, 60)
        let listing = try world.policy.list(.block, now: Moment(wall: 1_000_000, boot: 100))
        #expect(listing.rows.map(\.hits) == [0, 7, 9] && listing.rows.map(\.lastHit) == [nil, 999_940, 999_960])
        #expect(listing.talkers().map(\.prefix) == [address(3), address(2)])
        #expect(listing.talkers(top: 1).map(\.prefix) == [address(3)])
    }

    // MARK: Growth

    @Test func aFullTableGrowsOnEveryInterface() throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", mode: .generic, settings: .carrier)
        world.kernel.interfaces["eth2"] = InterfaceID(index: 9, namespace: 1)
        try world.up("eth2", capacities: [.block: 10_000], settings: .classic)
        let classic = world.kernel.programs[InterfaceID(index: 9, namespace: 1)]?.id
        world.kernel.programs[FakeWorld.eth1]?.counters[.blocked] = 3
        let old = try table
        let report = try world.importBlocked(many(5_000))
        #expect(report.isComplete && report.added == 5_000)
        #expect(report.growth?.capacity == 8_192 && report.growth?.capacityBefore == 4_096)
        #expect(report.growth?.moved.map(\.label) == ["eth0", "eth1"])
        #expect(try table !== old && table.prefixes(.block) == Set(many(5_000)))
        for interface in [FakeWorld.eth0, FakeWorld.eth1] {
            #expect(world.kernel.programs[interface]?.table === world.kernel.table)
        }
        #expect(world.kernel.programs[FakeWorld.eth1]?.mode == .generic)
        #expect(world.kernel.programs[FakeWorld.eth1]?.counters[.blocked] == 3)
        #expect(world.kernel.programs[InterfaceID(index: 9, namespace: 1)]?.id == classic)
        #expect(try world.block(address(1)).growth == nil)
    }

    @Test func aLargerTableHasTheHitsOfTheOldOne() throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .carrier)
        try world.block(address(1), address(2), address(3))
        func key(_ number: UInt8) -> FakeTable.Key { .init(prefix: address(number), kind: .block) }
        let old = try table
        old.hits = [key(1): (5, 50), key(2): (6, 60)]
        // Counted while one interface has the new table already.
        world.kernel.afterAttach = { [world] in
            world.kernel.programs[FakeWorld.eth0]?.table?.hits[key(1), default: (0, 0)].count += 100
        }
        _ = try world.importBlocked(many(5_000))
        world.kernel.afterAttach = {}
        #expect(try table !== old && table.hits[key(1)]?.count == 205 && table.hits[key(1)]?.last == 50)
        #expect(try table.hits[key(2)]?.count == 6 && table.hits[key(3)] == nil)
        try world.up("eth0", settings: .carrier, table: 20_000)
        #expect(try table.hits[key(1)]?.count == 205 && table.hits[key(2)]?.last == 60)
    }

    /// Every step of a growth fails, or the process dies there: no hit is counted twice, and none is lost but by a death
    /// between taking one away and adding it, which the fake does in one.
    @Test(arguments: [false, true], [false, true]) func hitsAreCountedOnce(kills: Bool, byHand: Bool) throws {
        for step in 1...100 {
            let world = FakeWorld()
            try world.up("eth0", settings: .carrier)
            try world.up("eth1", settings: .carrier)
            try world.block(address(1), address(2), address(3))
            for number in UInt8(1)...3 {
                world.kernel.table?.hits[.init(prefix: address(number), kind: .block)] = (UInt64(number), 50)
            }
            world.faults.reset()
            world.faults.failAt = step
            world.faults.kills = kills
            func grow() throws {
                if byHand {
                    try world.up("eth0", settings: .carrier, table: 9_000)
                } else {
                    _ = try world.importBlocked(many(5_000))
                }
            }
            try? grow()
            let taken = world.faults.steps
            world.faults.reset()
            if taken.count >= step {
                try world.up("eth0", settings: .carrier)
                let rows = try world.policy.list(.block, now: 1).rows.filter { $0.hits ?? 0 > 0 }
                #expect(rows.map(\.hits) == [1, 2, 3], "step \(step) of \(taken)")
                try grow()
            }
            let rows = try world.policy.list(.block, now: 1).rows.filter { $0.hits ?? 0 > 0 }
            #expect(rows.map(\.hits) == [1, 2, 3], "step \(step) of \(taken)")
            if taken.count < step {
                #expect(step > 8)
                return
            }
        }
        Issue.record("the sweep did not end")
    }

    @Test func growthHasItsBounds() throws {
        let limits = PolicyLimits(policyMemory: 4_096 * 64)
        let policy = FakeWorld.Policy(kernel: world.kernel, record: world.record, lock: world.lock, limits: limits)
        try world.up("eth0", settings: .carrier)
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try policy.add(many(5_000), to: .block, now: 1) }
        #expect(failure?.kind == .mapFull(capacity: 8_192))
        #expect(failure?.next.contains("policy_memory") == true && failure?.reason.contains("policy_memory") == true)
        #expect(world.snapshot == before)
        #expect(try policy.add(many(4_000), to: .block, now: 1).added.count == 4_000)
    }

    @Test func anotherObjectThatGrowthReplacesIsSaid() throws {
        try world.up("eth0", object: "special.o", settings: .carrier)
        #expect(try world.importBlocked(many(5_000)).growth?.otherObjects == ["eth0"])
    }

    // MARK: After a crash

    @Test func aTableThatAWriterDiedInIsPutRight() throws {
        try world.up("eth0", settings: .carrier)
        try table.isDamaged = true
        #expect(try world.block(address(1)).added == [address(1)])
        #expect(try table.prefixes(.block) == [address(1)])
    }

    @Test func anInterfaceWithAnotherTableIsOddAndMovedByUp() throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .carrier)
        try world.block(address(1))
        let own = FakeTable(id: 9_000, capacity: 64, faults: Faults())
        world.kernel.programs[FakeWorld.eth1]?.table = own
        #expect(try world.edges.status(now: 1).oddities == [.ownTable(world.kernel.state(FakeWorld.eth1))])
        #expect(try world.up("eth0", settings: .carrier).moved.map(\.label) == ["eth1"])
        #expect(world.kernel.programs[FakeWorld.eth1]?.table === world.kernel.table)
        #expect(try world.edges.status(now: 1).oddities.isEmpty)
    }
}
