// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Testing

@Suite(.serialized) struct EngineTests {
    @Test func stressPasses() throws {
        var results: [Stress.PhaseResult] = []
        let edge = try KernelEdge(instance: "labtest")
        let isPassed = try settings.run(rounds: 2, edge: edge) {
            if case .finished(let result) = $0 { results.append(result) }
        }
        #expect(isPassed)
        #expect(results.map(\.phase) == Stress.Phase.allCases + Stress.Phase.allCases)
        #expect(results.flatMap(\.checks).filter { !$0.isPassed } == [])
        #expect(edge.remains() == [])
        #expect(Laboratory.remains(of: settings.name) == [])
    }

    /// An edge that only says that it blocked: the stress test must not pass.
    @Test func stressFailsWhereTheEdgeDoes() throws {
        struct Leaky: EdgeUnderTest {
            let edge: KernelEdge
            func attach(_ interface: String) throws(Failure) { try edge.attach(interface) }
            func detach(_ interface: String) throws(Failure) { try edge.detach(interface) }
            func block(_ sources: [IPPrefix]) throws(Failure) {}
            func unblock(_ sources: [IPPrefix]) throws(Failure) {}
            func allow(_ sources: [IPPrefix]) throws(Failure) { try edge.allow(sources) }
            func disallow(_ sources: [IPPrefix]) throws(Failure) { try edge.disallow(sources) }
            func counters() throws(Failure) -> Counters { try edge.counters() }
            func purge() throws(Failure) { try edge.purge() }
            func remains() -> [String] { edge.remains() }
        }
        var failed: [Stress.Phase] = []
        let isPassed = try settings.run(rounds: 1, edge: Leaky(edge: KernelEdge(instance: "labtest"))) {
            if case .finished(let result) = $0, !result.isPassed { failed.append(result.phase) }
        }
        #expect(!isPassed)
        #expect(failed == [.blocklist, .hammer])
    }

    /// The same traffic twice: the scanner finds the server, then nothing, and the flood stays out.
    @Test func demoShowsTheDifference() throws {
        var demo = Demo()
        demo.name = "test-demo"
        demo.duration = .seconds(4)
        let edge = try KernelEdge(instance: "labtest")
        let (without, with) = try demo.run(edge: edge) { _ in }
        #expect(without.findings.count == 1)
        #expect(with.findings.isEmpty)
        #expect(with.calls.attempted == 200)
        #expect(with.calls.answered == 200)
        #expect(with.trunk.answered == with.trunk.attempted && with.trunk.attempted > 0)
        #expect(without.flood.packets == with.flood.packets)
        let counters = try #require(with.counters)
        #expect(Int(counters[.blocked]) == with.flood.packets)
        #expect(counters[.optionsDropped] > 0)
        #expect(counters[.malformed] == 0)
        #expect(with.serverCPU < without.serverCPU)
        #expect(edge.remains() == [])
        #expect(Laboratory.remains(of: "test-demo") == [])
    }

    private var settings: Stress {
        var stress = Stress()
        stress.name = "test-stress"
        stress.volume = 300
        stress.redeploys = 5
        stress.hammerTime = .milliseconds(500)
        return stress
    }
}
