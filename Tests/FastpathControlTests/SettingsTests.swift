// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

/// Which switches a program gets, and who keeps its own.
@Suite struct SettingsTests {
    private let narrow = FilterSettings(switches: [.ipv6, .ports], ports: [5060, 5061])

    @Test func upWithoutAWordIsCarrier() throws {
        let world = FakeWorld()
        let report = try world.edges.up(UpRequest(interface: "eth0"), now: 500)
        #expect(report.settings == .carrier && report.settingsBefore == nil)
        #expect(world.kernel.programs[FakeWorld.eth0]?.settings == .carrier)
        #expect(try world.edges.settings(of: "eth0") == .carrier)
        #expect(try world.edges.status(now: 300).edges.map(\.settings) == [.carrier])
    }

    @Test func upAgainReplacesAndKeepsListsAndCounters() throws {
        let world = FakeWorld()
        try world.up("eth0", settings: .carrier)
        try world.block(address(1))
        world.kernel.programs[FakeWorld.eth0]?.counters[.blocked] = 7
        let counters = world.kernel.programs[FakeWorld.eth0]?.countersID
        let report = try world.up("eth0", settings: .classic)
        #expect(report.settings == .classic && report.settingsBefore == .carrier && report.replaced != nil)
        let program = world.kernel.programs[FakeWorld.eth0]
        #expect(program?.settings == .classic && program?.counters[.blocked] == 7 && program?.countersID == counters)
        #expect(world.blocked(on: FakeWorld.eth0) == [address(1)])
    }

    @Test func aChangeOfCapacityLeavesOtherInterfacesTheirSwitches() throws {
        let world = FakeWorld()
        try world.up("eth0", settings: narrow)
        let report = try world.up("eth1", capacities: [.block: 5000], settings: .classic)
        #expect(report.moved.map(\.label) == ["eth0"])
        #expect(world.kernel.programs[FakeWorld.eth0]?.settings == narrow)
        #expect(world.kernel.programs[FakeWorld.eth1]?.settings == .classic)
    }

    /// Every step of a replacement with another configuration fails once: the program that was there is back, with its
    /// own switches.
    @Test func whatFailsPutsTheOldSwitchesBack() throws {
        var steps = 1
        var failures = 0
        while true {
            let world = FakeWorld()
            try world.up("eth0", settings: narrow)
            try world.up("eth1", settings: .classic)
            try world.block(address(1))
            let before = world.snapshot
            world.faults.reset()
            world.faults.failAt = steps
            do {
                try world.up("eth0", capacities: [.block: 5000], settings: .carrier)
                break
            } catch {
                // Behind the first frozen list, going on is the better way.
                if !world.kernel.shared.values.contains(where: \.isFrozenNow) {
                    #expect(world.snapshot == before, "step \(steps): \(world.faults.steps.last ?? "")")
                    failures += 1
                }
            }
            steps += 1
        }
        #expect(failures > 5)
    }

    @Test func aProgramThatIPLinkLoadedIsToldByWhatItHolds() throws {
        let world = FakeWorld()
        world.loadByIPLink(FakeWorld.eth0)
        #expect(try world.edges.settings(of: "eth0") == .classic)
        world.kernel.programs[FakeWorld.eth0]?.settings = nil
        #expect(try world.edges.settings(of: "eth0") == nil)
        #expect(try world.edges.status(now: 300).edges.map(\.settings) == [nil])
        let report = try world.up("eth0", settings: narrow)
        #expect(report.settings == narrow && report.settingsBefore == nil)
    }

    @Test func noneOfOursHasNoSettings() throws {
        let world = FakeWorld()
        for name in ["eth0", "eth9"] {
            let failure = #expect(throws: Failure.self) { try world.edges.settings(of: name) }
            #expect(failure?.kind == (name == "eth9" ? .noInterface : .notLoaded))
        }
        world.kernel.programs[FakeWorld.eth0] = FakeProgram(id: 9, mode: .native, isEdge: false)
        #expect(throws: Failure.self) { try world.edges.settings(of: "eth0") }
    }
}
