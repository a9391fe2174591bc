// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathControl

extension FilterSettings {
    /// Profile carrier with `live_maps = false`.
    static var frozen: FilterSettings {
        var settings = FilterSettings.carrier
        settings.hasLiveMaps = false
        return settings
    }
}

/// `live_maps = false`: public maps that no program reads are frozen, and nothing that was in them is lost.
@Suite struct FrozenMapsTests {
    let world = FakeWorld()

    private var table: FakeTable { get throws { try #require(world.kernel.table) } }
    private var shared: [FakeMap] { PolicyKind.inPublicMaps.compactMap { world.kernel.shared[$0] } }
    private var areFrozen: Bool { shared.count == 2 && shared.allSatisfy(\.isFrozenNow) }

    @Test func theFirstUpFreezesThem() throws {
        let report = try world.up("eth0", settings: .frozen)
        #expect(areFrozen && report.publicMaps == .frozen(unreadBy: ["eth0"]))
        #expect(report.lists.map(\.isFrozen) == [true, true] && report.lists.map(\.entries) == [0, 0])
        #expect(world.kernel.shared[.block]?.writeByHand(address(9)) == false)
        let status = try world.edges.status(now: 1)
        #expect(status.publicMaps == .frozen(unreadBy: ["eth0"]) && status.oddities.isEmpty)
        #expect(status.lists.map(\.isFrozen) == [true, true])
        let sentence = try #require(status.publicMaps.sentence)
        #expect(sentence.contains("EPERM") && sentence.contains("vos-fastpath up eth0 --live-maps on"))
        // Again, nothing is made anew.
        let ids = shared.map(\.id)
        world.faults.reset()
        try world.up("eth0", settings: .frozen)
        #expect(shared.map(\.id) == ids && world.faults.steps.map { $0.prefix(6) } == ["attach", "pin 2"])
    }

    @Test func whatWasByHandIsAdoptedFirst() throws {
        try world.up("eth0", settings: .carrier)
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(9))
        world.kernel.shared[.allow]?.writeByHand(address(8))
        world.faults.reset()
        let report = try world.up("eth0", settings: .frozen)
        #expect(report.lists.map(\.adopted) == [1, 1] && areFrozen && shared.allSatisfy(\.entries.isEmpty))
        #expect(world.recordedBlocked == [address(1), address(9)])
        #expect(world.record.entries(.allow).map(\.origin) == [.adopted])
        #expect(try table.prefixes(.block) == [address(1), address(9)] && table.prefixes(.allow) == [address(8)])
        // In the record and in the table before the program that does not look.
        let steps = world.faults.steps
        let attach = try #require(steps.firstIndex { $0.hasPrefix("attach") })
        #expect(
            steps[..<attach].contains { $0.hasPrefix("record") } && steps[..<attach].contains { $0.hasPrefix("apply") })
        #expect(steps[..<attach].allSatisfy { !$0.hasPrefix("freeze") })
    }

    @Test func whatComesInTheLastMomentIsAdoptedToo() throws {
        try world.up("eth0", settings: .carrier)
        world.kernel.afterAttach = { [world] in world.kernel.shared[.block]?.writeByHand(address(7)) }
        world.kernel.shared[.block]?.beforeFreeze = { $0.writeByHand(address(9)) }
        try world.up("eth0", settings: .frozen)
        #expect(areFrozen && shared.allSatisfy(\.entries.isEmpty))
        #expect(try table.prefixes(.block) == [address(7), address(9)])
        #expect(world.recordedBlocked == [address(7), address(9)])
        #expect(try world.edges.status(now: 1).oddities.isEmpty)
        // Removed, it stays so.
        _ = try world.policy.remove([address(9)], from: .block, now: 2)
        world.lock.mark = "block add"
        try world.block(address(1))
        #expect(world.recordedBlocked == [address(1), address(7)] && areFrozen)
    }

    @Test func listsGoOnChanging() throws {
        try world.up("eth0", settings: .frozen)
        #expect(try world.block(address(1)).isInForce)
        #expect(try world.importBlocked(many(30)).isComplete)
        _ = try world.policy.remove([address(1)], from: .block, now: 1)
        #expect(try table.prefixes(.block) == Set(many(30)) && areFrozen)
        #expect(try Set(world.policy.list(.block, now: 2).rows.map(\.state)) == [.inForce])
        // An operation that was cut off is mended, and no step of it touches the maps.
        world.lock.mark = "block import"
        world.faults.reset()
        #expect(try world.block(address(2)).mending != nil)
        #expect(world.faults.steps.allSatisfy { !$0.contains("map") })
    }

    @Test func whoReadsThemKeepsThemWritable() throws {
        try world.up("eth0", settings: .frozen)
        for settings in [FilterSettings.classic, .carrier] {
            let report = try world.up("eth1", settings: settings)
            #expect(report.publicMaps == .keptWritable(readBy: ["eth1"], unreadBy: ["eth0"]))
            #expect(report.warnings.contains(.mapsNotFrozen(report.publicMaps)))
            #expect(shared.allSatisfy { !$0.isFrozenNow })
            let sentence = try #require(try world.edges.status(now: 1).publicMaps.sentence)
            #expect(sentence.contains("eth1 reads them") && sentence.contains("not on eth0"))
            #expect(try world.edges.status(now: 1).oddities.isEmpty)
            #expect(world.kernel.shared[.block]?.writeByHand(address(9)) == true)
            // An `up` that freezes its own leaves them writable, and says so.
            #expect(try world.up("eth0", settings: .frozen).warnings.contains(.mapsNotFrozen(report.publicMaps)))
            // The last one that reads them goes, one way or the other.
            if settings == .classic {
                _ = try world.edges.down(.interface("eth1"), now: 2)
            } else {
                try world.up("eth1", settings: .frozen)
            }
            #expect(areFrozen)
            #expect(try table.prefixes(.block) == [address(9)])
        }
    }

    @Test(arguments: [FilterSettings.classic, .carrier]) func switchingBackMakesFreshMaps(settings: FilterSettings)
        throws
    {
        try world.up("eth0", settings: .frozen)
        try world.up("eth1", settings: .frozen)
        try world.block(address(1))
        let before = shared.map(\.id), other = world.kernel.programs[FakeWorld.eth1]?.id
        world.faults.reset()
        let report = try world.up("eth0", settings: settings)
        #expect(shared.allSatisfy { !$0.isFrozenNow && !before.contains($0.id) })
        #expect(world.kernel.programs[FakeWorld.eth0]?.maps[.block] === world.kernel.shared[.block])
        #expect(world.blocked == (settings == .classic ? [address(1)] : []))
        // Who does not read them needs no other program.
        #expect(world.kernel.programs[FakeWorld.eth1]?.id == other && report.moved.isEmpty)
        #expect(try world.edges.status(now: 1).oddities.isEmpty)
        #expect(world.faults.steps.allSatisfy { !$0.hasPrefix("freeze") })
        #expect(world.kernel.shared[.block]?.writeByHand(address(9)) == true)
    }

    @Test func capacitiesAreRecordedForTheMapsThatComeBack() throws {
        try world.up("eth0", settings: .frozen)
        try world.up("eth0", capacities: [.block: 4_096], settings: .frozen)
        #expect(areFrozen && world.record.capacity(.block) == 4_096)
        #expect(try world.up("eth0", settings: .carrier).lists[0].capacity == 4_096)
        #expect(world.kernel.shared[.block]?.capacity == 4_096)
        // Entries that fit no public map do not stand in the way of freezing, nor of coming back.
        _ = try world.importBlocked(many(5_000))
        try world.up("eth0", settings: .frozen)
        #expect(areFrozen)
        #expect(try world.up("eth0", settings: .classic).lists[0].capacity == 8_192)
        #expect(world.blocked == Set(many(5_000)))
    }

    @Test func aReaderThatGoesBehindOurBackIsToldAndTheNextChangeFreezes() throws {
        try world.up("eth0", settings: .frozen)
        try world.up("eth1", settings: .carrier)
        world.kernel.shared[.block]?.writeByHand(address(9))
        world.kernel.programs[FakeWorld.eth1] = nil
        let state = try world.edges.status(now: 1).publicMaps
        #expect(state == .notFrozenYet(unreadBy: ["eth0"]) && state.sentence?.contains("next change") == true)
        try world.block(address(1))
        #expect(try areFrozen && table.prefixes(.block) == [address(1), address(9)])
    }

    @Test func aProgramOfIPLinkKeepsWhatIsWritableAndLeavesWhatIsFrozen() throws {
        try world.up("eth0", settings: .frozen)
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(8)]])
        let added = try world.block(address(1))
        #expect(added.isInForce && areFrozen)
        #expect(world.blocked(on: FakeWorld.eth1) == [address(1), address(8)])
        #expect(try world.edges.status(now: 1).oddities == [.ownLists(world.kernel.state(FakeWorld.eth1))])
        // Put right with the same switches, its list is adopted and nobody reads the maps.
        try world.up("eth1", settings: .frozen)
        #expect(try areFrozen && table.prefixes(.block) == [address(1), address(8)])
    }

    @Test func downTakesFrozenMapsAway() throws {
        try world.up("eth0", settings: .frozen)
        try world.block(address(1))
        _ = try world.edges.down(.all, now: 1)
        #expect(world.kernel.shared.isEmpty && world.recordedBlocked == [address(1)])
        try world.up("eth0", settings: .classic)
        #expect(world.blocked == [address(1)])
    }

    // MARK: Cut off

    /// Two interfaces, one entry recorded, one by hand in each map.
    private static func live(_ world: FakeWorld) throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .frozen)
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(9))
        world.kernel.shared[.allow]?.writeByHand(address(8))
        // Into the map in the last moment.
        world.kernel.shared[.block]?.beforeFreeze = { $0.writeByHand(address(7)) }
    }

    private static func frozen(_ world: FakeWorld) throws {
        try world.up("eth0", settings: .frozen)
        try world.up("eth1", settings: .frozen)
        try world.block(address(1), address(9), address(7))
        _ = try world.policy.add([address(8)], to: .allow, now: 1)
    }

    static let freezing = [
        Scenario(testDescription: "freezing", steps: 14, prepare: live) { try $0.up("eth0", settings: .frozen) },
        Scenario(testDescription: "down of the last reader", steps: 8, prepare: live) {
            _ = try $0.edges.down(.interface("eth0"), now: 1)
        },
    ]
    static let thawing = [FilterSettings.carrier, .classic].map { settings in
        Scenario(testDescription: "to \(settings)", steps: 5, prepare: frozen) { try $0.up("eth0", settings: settings) }
    }

    private func sweep(
        _ scenario: Scenario, kills: Bool, check: (FakeWorld, _ before: Snapshot, _ place: Comment) throws -> Void
    ) throws {
        try scenario.sweep(kills: kills) { world, before, failure, place in
            #expect(failure != nil, "a step failed, and nobody said so: \(place)")
            try expectInForce(world, place)
            try check(world, before, place)
        }
    }

    /// Wherever it was cut off: what a program that filters does not find in a map that it reads, it finds in the table.
    private func expectInForce(_ world: FakeWorld, _ place: Comment) throws {
        for (interface, program) in world.kernel.programs {
            let settings = try #require(program.settings)
            for (kind, wanted) in [(PolicyKind.block, [address(1)]), (.block, [address(9)]), (.allow, [address(8)])] {
                var found = program.table?.prefixes(kind) ?? []
                if settings.hasLiveMaps { found.formUnion(program.maps[kind]?.entries ?? []) }
                // The interface that never read them had the entries by hand in no place.
                if interface == FakeWorld.eth1, wanted != [address(1)] { continue }
                #expect(found.isSuperset(of: wanted), place)
            }
        }
    }

    /// No entry is lost, everybody reads what is shared, and the maps are frozen exactly where nobody reads them.
    private func expectOrder(_ world: FakeWorld, _ place: Comment, late: Bool) throws {
        #expect(world.lock.mark == nil, place)
        let table = try #require(world.kernel.table, place)
        for kind in PolicyKind.inPublicMaps {
            let shared = try #require(world.kernel.shared[kind], place)
            let readers = world.kernel.programs.values.filter { $0.settings?.hasLiveMaps == true }
            #expect(shared.isFrozenNow == readers.isEmpty, place)
            if readers.isEmpty { #expect(shared.entries.isEmpty, place) }
            #expect(readers.allSatisfy { $0.maps[kind] === shared }, place)
            #expect(table.prefixes(kind) == Set(world.record.entries(kind).map(\.prefix)), place)
            let all = table.prefixes(kind).union(shared.entries)
            #expect(all.isSuperset(of: kind == .block ? [address(1), address(9)] : [address(8)]), place)
            if late, kind == .block { #expect(all.contains(address(7)), place) }
        }
        let odd = try world.edges.status(now: 300).oddities.filter {
            switch $0 {
            case .writtenByHand, .notEnforced: false
            default: true
            }
        }
        #expect(odd.isEmpty, place)
    }

    @Test(arguments: freezing, [false, true]) func theNextChangeFinishesIt(scenario: Scenario, kills: Bool) throws {
        try sweep(scenario, kills: kills) { world, _, place in
            try world.block(address(40))
            // Pins of an interface whose program is off already are for `down` to take.
            if !scenario.testDescription.hasPrefix("down") {
                try expectOrder(world, place, late: world.kernel.programs[FakeWorld.eth0]?.settings == .frozen)
            }
            try again(scenario, world, place)
            try expectOrder(world, place, late: true)
            #expect(try #require(world.kernel.table).prefixes(.block).contains(address(40)), place)
        }
    }

    @Test(arguments: freezing) func theSameAgainFinishesIt(scenario: Scenario) throws {
        try sweep(scenario, kills: true) { world, _, place in
            try again(scenario, world, place)
            try expectOrder(world, place, late: true)
        }
    }

    private func again(_ scenario: Scenario, _ world: FakeWorld, _ place: Comment) throws {
        do {
            try scenario.operate(world)
        } catch let failure as Failure {
            // `down` of an interface where nothing is left.
            #expect(failure.kind == .notLoaded, place)
            try world.block(address(40))
        }
    }

    @Test(arguments: thawing, [false, true]) func comingBackIsFinishedOrUndone(scenario: Scenario, kills: Bool) throws {
        var undone = 0
        try sweep(scenario, kills: kills) { world, before, place in
            if world.snapshot == before { undone += 1 }
            try world.block(address(40))
            try expectOrder(world, place, late: true)
            try scenario.operate(world)
            try expectOrder(world, place, late: true)
            #expect(world.kernel.shared.values.allSatisfy { !$0.isFrozenNow }, place)
        }
        #expect(kills || undone > 3)
    }

    @Test func aFailureBeforeTheFreezeIsTakenBack() throws {
        var (back, forward) = (0, 0)
        try sweep(Self.freezing[0], kills: false) { world, before, place in
            if world.snapshot == before { back += 1 } else { forward += 1 }
            #expect(world.lock.mark == nil, place)
        }
        #expect(back > 4 && forward > 4)
    }
}
