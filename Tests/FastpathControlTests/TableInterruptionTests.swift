// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

/// Operations on the policy table: every step of each is made to fail, and the process is killed at every one.
@Suite struct TableInterruptionTests {
    private static let old = Set((1...3).map { address($0) })
    private static let new = Set((3...6).map { address($0) })

    private static func file(_ prefixes: [IPPrefix]) -> AddressList {
        AddressList(parsing: Array(prefixes.map { "\($0)\n" }.joined().utf8))
    }

    @discardableResult
    private static func replace(_ world: FakeWorld, _ prefixes: Set<IPPrefix>) throws -> ImportReport {
        try world.policy.replace(
            file(prefixes.sorted()), of: .block, EntryOptions(set: "feed", origin: .importFile), now: 100
        ) { _ in }
    }

    /// Two interfaces that read the table, and a set.
    private static func twoReaders(_ world: FakeWorld) throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .carrier)
        try replace(world, old)
    }

    /// One that reads the public maps alone.
    private static func mixed(_ world: FakeWorld) throws {
        try world.up("eth0", settings: .carrier)
        try world.up("eth1", settings: .classic)
        try replace(world, old)
        world.kernel.shared[.block]?.writeByHand(address(9))
    }

    static let changes = [
        Scenario(testDescription: "add", steps: 1, prepare: twoReaders) { try $0.block(address(20), address(21)) },
        Scenario(testDescription: "add, mixed", steps: 3, prepare: mixed) {
            try $0.block(address(20), address(21), address(9))
        },
        Scenario(testDescription: "remove, mixed", steps: 3, prepare: mixed) {
            _ = try $0.policy.remove([address(1), address(2), address(9)], from: .block, now: 100)
        },
        Scenario(testDescription: "replace", steps: 1, prepare: twoReaders) { try replace($0, new) },
        Scenario(testDescription: "replace, mixed", steps: 6, prepare: mixed) { try replace($0, new) },
        Scenario(testDescription: "expiry", steps: 3) { world in
            try mixed(world)
            _ = try world.policy.add([address(30)], to: .block, EntryOptions(expiry: 200), now: 100)
        } operate: {
            _ = try $0.policy.add([address(31)], to: .block, now: 300)
        },
        Scenario(testDescription: "growth", steps: 8, prepare: twoReaders) { try $0.importBlocked(many(5_000)) },
    ]

    static let ups = [
        Scenario(testDescription: "the first up", steps: 6) { world in
            try world.block(address(1))
            _ = try world.policy.add([IPPrefix("10.0.0.0/8")], to: .block, now: 1)
        } operate: {
            try $0.up("eth0", settings: .carrier)
        },
        Scenario(testDescription: "classic to carrier", steps: 4, prepare: mixed) {
            try $0.up("eth1", settings: .carrier)
        },
        Scenario(testDescription: "carrier to classic", steps: 3, prepare: twoReaders) {
            try $0.up("eth1", settings: .classic)
        },
        Scenario(testDescription: "another capacity of the table", steps: 6, prepare: twoReaders) {
            try $0.up("eth0", settings: .carrier, table: 9_000)
        },
        Scenario(
            testDescription: "up over a program of ip link", steps: 3,
            prepare: { world in
                try world.up("eth0", settings: .carrier)
                world.loadByIPLink(FakeWorld.eth1, [.block: [address(8)]])
            }
        ) { try $0.up("eth1", settings: .carrier) },
    ]

    private func sweep(
        _ scenario: Scenario, kills: Bool, check: (FakeWorld, _ before: Snapshot, _ place: Comment) throws -> Void
    ) throws {
        try scenario.sweep(kills: kills) { world, before, failure, place in
            #expect(failure != nil)
            // What a public map holds is recorded, or was written by hand.
            let recorded = world.recordedBlocked
            #expect(world.blocked.subtracting(recorded).isSubset(of: [address(9)]), place)
            try check(world, before, place)
        }
    }

    /// The table is what the record says, and everybody who reads one reads it.
    private func expectOrder(_ world: FakeWorld, _ place: Comment) throws {
        #expect(world.lock.mark == nil, place)
        let table = try #require(world.kernel.table, place)
        for kind in PolicyKind.allCases {
            #expect(table.prefixes(kind) == Set(world.record.entries(kind).map(\.prefix)), place)
        }
        for interface in world.kernel.pinned {
            let program = try #require(world.kernel.programs[interface], place)
            if program.settings?.switches.isEmpty == false { #expect(program.table === table, place) }
            #expect(program.maps[.block] === world.kernel.shared[.block], place)
        }
        let odd = try world.edges.status(now: 300).oddities.filter {
            switch $0 {
            case .writtenByHand, .notEnforced: false
            default: true
            }
        }
        #expect(odd.isEmpty, place)
    }

    @Test(arguments: changes + ups)
    func whatFailsIsTakenBack(scenario: Scenario) throws {
        try sweep(scenario, kills: false) { world, before, place in
            // What expired may be dropped, whatever becomes of the rest.
            if scenario.testDescription != "expiry" || world.record.count(.block) == 4 {
                #expect(world.snapshot == before, place)
            }
            // And it can be done again.
            try scenario.operate(world)
            try expectOrder(world, place)
        }
    }

    @Test(arguments: changes + ups)
    func theNextUpMendsIt(scenario: Scenario) throws {
        try sweep(scenario, kills: true) { world, _, place in
            #expect(world.lock.mark != nil, place)
            let settings = world.kernel.programs[FakeWorld.eth0]?.settings ?? .carrier
            #expect(try world.up("eth0", settings: settings).mending != nil, place)
            // An `up` of the other interface that was cut off is done again.
            if scenario.testDescription.hasPrefix("up over") { try world.up("eth1", settings: .carrier) }
            try expectOrder(world, place)
        }
    }

    @Test(arguments: changes)
    func theNextChangeMendsItToo(scenario: Scenario) throws {
        try sweep(scenario, kills: true) { world, _, place in
            let mending = try #require(
                try world.policy.add([address(41)], to: .allow, now: 300).mending, place)
            #expect(mending.strays.isEmpty, place)
            try expectOrder(world, place)
        }
    }

    /// Killed anywhere, and mended: the old set or the new one, and with public maps perhaps both. Never less than one.
    @Test(arguments: [changes[3], changes[4]])
    func aReplacementIsNeverHalf(scenario: Scenario) throws {
        var seen: Set<Set<IPPrefix>> = []
        try sweep(scenario, kills: true) { world, _, place in
            let inForce = try #require(world.kernel.table).prefixes(.block)
            #expect([Self.old, Self.new].contains(inForce), place)
            _ = try world.policy.add([address(41)], to: .allow, now: 300)
            let mended = try #require(world.kernel.table).prefixes(.block)
            #expect([Self.old, Self.new, Self.old.union(Self.new)].contains(mended), place)
            seen.insert(mended)
        }
        #expect(seen.contains(Self.new) && seen.count > 1)
    }
}
