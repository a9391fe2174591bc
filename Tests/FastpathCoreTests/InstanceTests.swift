// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct InstanceTests {
    @Test func theDefaultInstanceHasTheDocumentedPlaces() {
        let instance = Instance.default
        #expect(instance.pinRoot == "/sys/fs/bpf/vos-fastpath")
        #expect(instance.databasePath == "/var/lib/vos-fastpath/policy.db")
        #expect(instance.lockPath == "/run/vos-fastpath.lock")
        #expect(instance.tuningPath == "/var/lib/vos-fastpath/tuning")
        #expect(instance.configurationPath == "/etc/vos-fastpath/config.toml")
    }

    @Test func aNamedInstanceSharesNoPlaceWithAnother() throws {
        let instances = try [Instance.default, Instance(named: "demo"), Instance(named: "test-1")]
        for path in [\Instance.pinRoot, \.stateFolder, \.databasePath, \.lockPath, \.configurationPath] {
            #expect(Set(instances.map { $0[keyPath: path] }).count == instances.count)
        }
        // bpffs refuses names with dots.
        #expect(instances.allSatisfy { !$0.pinRoot.contains(".") })
        #expect(try Instance(named: "") == .default)
    }

    @Test(arguments: ["a.b", "../x", "a/b", "A", "ä", "a b", "a\0", String(repeating: "a", count: 33)])
    func refusesNamesThatAreNoPathComponent(name: String) {
        let failure = #expect(throws: Failure.self) { try Instance(named: name) }
        #expect(failure?.kind == .usage)
    }

    @Test func pinNamesGoBothWays() {
        let interface = InterfaceID(index: 7, namespace: 4_026_531_840)
        #expect(interface.pinName == "7-4026531840")
        #expect(InterfaceID(pinName: interface.pinName) == interface)
        for name in ["", "7", "7-", "-7", "7-8-9", "x-1", "7-1.2", "99999999999-1"] {
            #expect(InterfaceID(pinName: name) == nil)
        }
    }
}
