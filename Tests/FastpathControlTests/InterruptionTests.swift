// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

/// An operation on a prepared host. Every one of its steps is made to fail, and the process is killed at every one.
struct Scenario: Sendable, CustomTestStringConvertible {
    var testDescription: String
    /// It has more than so many steps that change something: a sweep over fewer would prove nothing.
    var steps: Int
    var prepare: @Sendable (FakeWorld) throws -> Void
    var operate: @Sendable (FakeWorld) throws -> Void

    /// Written by hand to lists that are shared or a program's own; the record need not have them.
    static let byHand: Set<IPPrefix> = [address(9), address(8)]

    /// Two interfaces, an entry in the record and one by hand.
    private static func twoInterfaces(_ world: FakeWorld) throws {
        try world.up("eth0")
        try world.up("eth1")
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(9))
    }

    /// The second interface with a program from `ip link`.
    private static func twoLists(_ world: FakeWorld) throws {
        try world.up("eth0")
        world.loadByIPLink(FakeWorld.eth1, [.block: [address(8)]])
        try world.block(address(1))
        world.kernel.shared[.block]?.writeByHand(address(9))
    }

    static let changes = [
        Scenario(testDescription: "block add", steps: 4, prepare: twoLists) {
            try $0.block(address(2), address(3), address(4))
        },
        Scenario(testDescription: "block remove", steps: 4, prepare: twoLists) {
            _ = try $0.policy.remove([address(1), address(9), address(8)], from: .block, now: 300)
        },
        Scenario(testDescription: "block import", steps: 4, prepare: twoLists) { try $0.importBlocked(many(20)) },
    ]

    static let ups = [
        Scenario(testDescription: "the first up", steps: 5, prepare: { try $0.block(address(1), address(2)) }) {
            try $0.up("eth0")
        },
        Scenario(
            testDescription: "up over a program of ip link", steps: 7,
            prepare: { world in
                try world.block(address(1))
                world.loadByIPLink(FakeWorld.eth0, [.block: [address(8)], .allow: [address(8)]])
            }
        ) { try $0.up("eth0") },
        Scenario(
            testDescription: "up over a program of ip link, beside another interface", steps: 4,
            prepare: { world in
                try twoInterfaces(world)
                world.loadByIPLink(FakeWorld.eth0, [.block: [address(8)]])
            }
        ) { try $0.up("eth0") },
        Scenario(testDescription: "a replacement", steps: 1, prepare: twoInterfaces) { try $0.up("eth0") },
    ]

    static let resize = Scenario(testDescription: "a change of capacity", steps: 14, prepare: twoInterfaces) {
        try $0.up("eth0", capacities: [.block: 4_096, .allow: 512])
    }

    static let downs = [
        Scenario(testDescription: "down", steps: 2, prepare: twoInterfaces) {
            _ = try $0.edges.down(.interface("eth0"), now: 1)
        },
        Scenario(testDescription: "down --all", steps: 4, prepare: twoLists) { _ = try $0.edges.down(.all, now: 1) },
        Scenario(testDescription: "down --all --purge", steps: 4, prepare: twoLists) {
            _ = try $0.edges.down(.all, purge: true, now: 1)
        },
    ]
}

extension Scenario {
    /// Runs it once for each of its steps, with that step made to fail. `check` gets nil where the operation went on all
    /// the same.
    func sweep(
        kills: Bool, goesOn: Bool = false,
        check: (FakeWorld, _ before: Snapshot, Failure?, _ place: Comment) throws -> Void
    ) throws {
        for step in 1...100 {
            let world = FakeWorld()
            try prepare(world)
            world.faults.reset()
            let before = world.snapshot
            world.faults.failAt = step
            world.faults.kills = kills
            world.faults.goesOn = goesOn
            let failure: Failure?
            do {
                try operate(world)
                failure = nil
            } catch {
                failure = try #require(error as? Failure)
            }
            let taken = world.faults.steps
            if taken.count < step {
                #expect(failure == nil && step > steps, "the sweep ended after \(step - 1) steps: \(taken)")
                return
            }
            world.faults.reset()
            try check(world, before, failure, "\(testDescription), step \(step) of \(taken)")
        }
        Issue.record("the sweep did not end")
    }
}

@Suite struct InterruptionTests {
    private func sweep(
        _ scenario: Scenario, kills: Bool = false, goesOn: Bool = false,
        check: (FakeWorld, _ before: Snapshot, Failure?, _ place: Comment) throws -> Void
    ) throws {
        try scenario.sweep(kills: kills, goesOn: goesOn) { world, before, failure, place in
            expectRecordCoversKernel(world, place)
            try check(world, before, failure, place)
        }
    }

    private func expectRecordCoversKernel(_ world: FakeWorld, _ place: Comment) {
        var maps = Array(world.kernel.shared.map { ($0, $1) })
        for program in world.kernel.programs.values where program.isEdge { maps += program.maps.map { ($0, $1) } }
        for (kind, map) in maps {
            let recorded = Set(world.record.entries(kind).map(\.prefix))
            #expect(map.entries.subtracting(recorded).subtracting(Scenario.byHand).isEmpty, place)
        }
    }

    /// The shared lists are whole, every pinned interface reads them, and changes reach it.
    private func expectOrder(_ world: FakeWorld, _ place: Comment) throws {
        #expect(world.lock.mark == nil, place)
        for kind in PolicyKind.inPublicMaps {
            let shared = try #require(world.kernel.shared[kind], place)
            #expect(!shared.isFrozenNow, place)
            #expect(Set(world.record.entries(kind).map(\.prefix)).isSubset(of: shared.entries), place)
            for interface in world.kernel.pinned {
                #expect(world.kernel.programs[interface]?.maps[kind] === shared, place)
            }
            #expect(world.record.capacity(kind) ?? kind.capacity == shared.capacity, place)
        }
        try world.block(address(50))
        for interface in world.kernel.programs.keys {
            #expect(world.blocked(on: interface)?.contains(address(50)) == true, place)
        }
    }

    // MARK: A step fails

    @Test(arguments: Scenario.changes + Scenario.ups)
    func whatFailsIsTakenBack(scenario: Scenario) throws {
        try sweep(scenario) { world, before, failure, place in
            #expect(world.snapshot == before, place)
            #expect(failure != nil && failure?.details == nil, place)
            // And it can be done again.
            try scenario.operate(world)
        }
    }

    @Test(arguments: Scenario.changes + Scenario.ups + [Scenario.resize])
    func whatCannotBeTakenBackIsSaid(scenario: Scenario) throws {
        var saidWhatIsLeft = 0
        try sweep(scenario, goesOn: true) { world, before, failure, place in
            if world.snapshot != before {
                let isPastReturn = failure?.next.contains("filter with the new lists") == true
                let isHalfDone = failure?.details?.contains("left as it is") == true
                #expect(isHalfDone || isPastReturn, place)
                // As after a crash.
                #expect(isHalfDone == (world.lock.mark != nil), place)
                saidWhatIsLeft += 1
            }
            try world.up("eth0")
            #expect(world.lock.mark == nil, place)
            for interface in world.kernel.pinned {
                let program = world.kernel.programs[interface]
                #expect(program?.maps[.block] === world.kernel.shared[.block], place)
                #expect(program?.maps[.allow] === world.kernel.shared[.allow], place)
            }
            #expect(world.recordedBlocked.isSubset(of: world.blocked), place)
            expectRecordCoversKernel(world, place)
        }
        #expect(saidWhatIsLeft > 0 || scenario.testDescription == "a replacement")
    }

    @Test func aChangeOfCapacityIsTakenBackOrFinishedByTheNextCommand() throws {
        var (back, forward) = (0, 0)
        try sweep(Scenario.resize) { world, before, failure, place in
            if world.snapshot == before {
                back += 1
                return
            }
            guard let failure else { return try expectOrder(world, place) }
            forward += 1
            #expect(failure.next.contains("Run the command again"), place)
            #expect(world.kernel.shared.values.filter(\.isFrozenNow).count > 0, place)
            #expect(
                try world.edges.status(now: 300).oddities.contains {
                    if case .capacityChangeCutOff = $0 { true } else { false }
                })
            // Any change of a list will do.
            try world.block(address(40))
            try expectOrder(world, place)
            #expect(world.blocked == [address(1), address(9), address(40), address(50)], place)
            #expect(world.kernel.shared[.block]?.capacity == 4_096, place)
        }
        #expect(back > 8 && forward > 1)
    }

    // MARK: The process is killed

    @Test(arguments: Scenario.changes + Scenario.ups + [Scenario.resize])
    func theNextUpMendsIt(scenario: Scenario) throws {
        try sweep(scenario, kills: true) { world, before, _, place in
            #expect(world.lock.mark != nil, place)
            let report = try world.up("eth0")
            #expect(report.mending != nil, place)
            try expectOrder(world, place)
            #expect(world.blocked.contains(address(1)) || scenario.testDescription == "block remove", place)
            if before.shared[.block]?.entries.contains(address(9)) == true, scenario.testDescription != "block remove" {
                #expect(world.blocked.contains(address(9)), place)
            }
        }
    }

    @Test(arguments: Scenario.changes + [Scenario.resize])
    func theNextChangeOfAListMendsItToo(scenario: Scenario) throws {
        try sweep(scenario, kills: true) { world, _, _, place in
            let report = try world.block(address(41))
            #expect(report.mending?.interrupted != nil, place)
            #expect(report.isInForce, place)
            #expect(world.lock.mark == nil, place)
            #expect(world.recordedBlocked.isSubset(of: world.blocked), place)
            #expect(world.kernel.shared.values.allSatisfy { !$0.isFrozenNow }, place)
            for interface in [FakeWorld.eth0, FakeWorld.eth1] {
                #expect(world.blocked(on: interface)?.contains(address(41)) == true, place)
            }
        }
    }

    /// Who reads lists of its own is seen in the kernel, not remembered: a command that succeeds in between, and mends
    /// what it can, does not make `up` forget the rest.
    @Test(arguments: Scenario.ups + [Scenario.resize])
    func theNextUpMendsItBehindOtherCommandsToo(scenario: Scenario) throws {
        var strays = 0
        try sweep(scenario, kills: true) { world, _, _, place in
            let mending = try #require(try world.block(address(41)).mending, place)
            #expect(mending.strays.map(\.interface) == (try ownLists(world)), place)
            strays += mending.strays.count
            _ = try world.policy.remove([address(41)], from: .block, now: 300)
            let report = try world.up("eth0")
            try expectOrder(world, place)
            #expect(try ownLists(world).isEmpty && report.mending == nil, place)
        }
        #expect(strays > 0 || scenario.steps < 14)
    }

    /// Pinned interfaces that `status` says have lists of their own.
    private func ownLists(_ world: FakeWorld) throws -> [InterfaceID] {
        try world.edges.status(now: 300).edges.filter { $0.edge.isPinned && !$0.ownLists.isEmpty }.map(\.edge.interface)
    }

    @Test func whatWasCutOffIsFinishedOrUndone() throws {
        try sweep(Scenario.changes[2], kills: true) { world, _, _, place in
            let restored = try world.block(address(41)).mending?.restored ?? 0
            let imported = world.recordedBlocked.intersection(many(20))
            #expect(imported.isEmpty || imported.count == 20, place)
            #expect(world.blocked.intersection(many(20)) == imported, place)
            #expect(restored <= imported.count, place)
        }
    }

    /// Killed anywhere, the same command again takes away what is left, the lists included.
    @Test(arguments: [false, true])
    func downOfTheLastInterfaceCanBeRepeated(kills: Bool) throws {
        let last = Scenario(testDescription: "down of the last interface", steps: 3) { world in
            try world.up("eth0")
            try world.block(address(1))
            world.kernel.shared[.block]?.writeByHand(address(9))
        } operate: {
            _ = try $0.edges.down(.interface("eth0"), now: 1)
        }
        try sweep(last, kills: kills) { world, _, _, place in
            let wasThere = !world.kernel.shared.isEmpty
            #expect(wasThere, place)
            let report = try world.edges.down(.interface("eth0"), now: 1)
            #expect(world.kernel.pinned.isEmpty && world.kernel.shared.isEmpty, place)
            #expect(world.kernel.programs.isEmpty, place)
            #expect(world.recordedBlocked == [address(1), address(9)], place)
            #expect(report.remaining.isEmpty && world.lock.mark == nil, place)
        }
    }

    @Test(arguments: Scenario.downs)
    func downCanBeRepeated(scenario: Scenario) throws {
        for kills in [false, true] {
            try sweep(scenario, kills: kills) { world, _, _, place in
                // What the kernel lost is in the record, what was by hand included.
                if world.kernel.shared.isEmpty, scenario.testDescription != "down --all --purge" {
                    #expect(world.recordedBlocked.isSuperset(of: [address(1), address(9)]), place)
                }
                _ = try world.edges.down(.all, now: 1)
                #expect(world.kernel.pinned.isEmpty && world.kernel.shared.isEmpty, place)
                #expect(world.kernel.programs.isEmpty, place)
                #expect(world.lock.mark == nil, place)
            }
        }
    }
}
