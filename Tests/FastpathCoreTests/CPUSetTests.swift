// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct CPUSetTests {
    @Test(arguments: [
        ("0-2,6", [0, 1, 2, 6], "0-2,6"), ("08", [8], "8"), ("3,1,2,1", [1, 2, 3], "1-3"), ("5-5", [5], "5"),
        ("8191", [8191], "8191"), ("0,2", [0, 2], "0,2"),
    ])
    func lists(text: String, cpus: [Int], written: String) throws {
        let set = try #require(CPUSet(list: text))
        #expect(set.cpus == cpus)
        #expect(set.description == written)
    }

    @Test(arguments: [
        "", "1-", "-1", "1--2", "1-2-3", "1,,2", ",", "2-1", "0x1", "1 2", "8192", "123456", "+1", "١", "all", "1\n",
    ])
    func whatIsNoList(text: String) {
        #expect(CPUSet(list: text) == nil)
    }

    @Test func sets() {
        let set = CPUSet([7, 4, 5, 6])
        #expect(set.subtracting(CPUSet([5, 9])).description == "4,6-7")
        #expect(set.intersection(CPUSet(6...9)).description == "6-7")
        #expect(CPUSet([]).description == "")
        #expect(CPUSet([]).isEmpty)
    }
}

@Suite struct TopologyTests {
    private let topology = Topology(
        online: CPUSet(0..<12),
        domains: [0..<4, 4..<8, 8..<12].map { CacheDomain(cpus: CPUSet($0), level: 3) })

    private func interrupts(_ cpus: [Int]...) -> [QueueInterrupt] {
        cpus.enumerated().map { QueueInterrupt(number: 40 + $0, cpus: CPUSet($1)) }
    }

    @Test func theDomainThatTakesMostInterrupts() {
        #expect(topology.domain(for: interrupts([0], [4], [9], [5])).cpus.description == "4-7")
        // Of equal ones the first.
        #expect(topology.domain(for: interrupts([9], [5])).cpus.description == "4-7")
        // One that goes anywhere says nothing.
        #expect(topology.domain(for: interrupts(Array(0..<12), [8])).cpus.description == "8-11")
    }

    @Test func withoutInterruptsTheLargest() {
        #expect(topology.domain(for: []).cpus.description == "0-3")
        var uneven = topology
        uneven.domains[0].cpus = CPUSet([0, 1])
        #expect(uneven.domain(for: []).cpus.description == "4-7")
        // Interrupts of CPUs that do not run.
        #expect(uneven.domain(for: interrupts([20])).cpus.description == "4-7")
    }
}
