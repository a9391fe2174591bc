// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Testing

@testable import FastpathCommands

@Suite struct HostCheckTests {
    private let good = HostFacts(
        release: "6.18.0", isTooOld: false, lacksSeveralBuffers: false, hasBTF: true, hasBPFFileSystem: true,
        isBPFFileSystemReadOnly: false, jit: 1, hasPrivileges: true, isRoot: true, lockdown: nil,
        lockedMemoryLimit: nil,
        listeners: [Listener(address: IPPrefix(ipv4: 0), inode: 1, process: "kamailio, pid 7")],
        configuration: .missing(path: "/etc/vos-fastpath/config.toml"))

    @Test func aGoodHost() {
        let findings = hostFindings(good)
        #expect(findings.map(\.grade) == Array(repeating: .ok, count: 8))
        #expect(findings.allSatisfy { $0.advice.isEmpty })
        #expect(findings.last?.detail == "any IPv4 address (kamailio, pid 7)")
    }

    private static let flaws: [(String, Finding.Grade, @Sendable (inout HostFacts) -> Void)] = [
        ("kernel", .fail, { $0.isTooOld = true }),
        ("kernel", .warn, { $0.lacksSeveralBuffers = true }),
        ("BTF", .fail, { $0.hasBTF = false }),
        ("bpffs", .fail, { $0.hasBPFFileSystem = false }),
        ("bpffs", .fail, { $0.isBPFFileSystemReadOnly = true }),
        ("JIT", .warn, { $0.jit = 0 }),
        ("JIT", .warn, { $0.jit = 2 }),
        ("JIT", .warn, { $0.jit = nil }),
        ("privileges", .fail, { $0.hasPrivileges = false }),
        (
            "privileges", .fail,
            {
                $0.hasPrivileges = false; $0.isRoot = false
            }
        ),
        ("privileges", .warn, { $0.lockdown = "confidentiality" }),
        (
            "config", .fail,
            {
                $0.configuration = .bad(
                    Failure(tried: "read", on: "config.toml, line 3", because: "bad", next: "Mend."))
            }
        ),
        ("UDP 5060", .warn, { $0.listeners = [] }),
        ("UDP 5060", .warn, { $0.listeners = [Listener(address: IPPrefix(ipv4: 0x7f00_0001), inode: 1)] }),
    ]

    @Test(arguments: flaws.indices)
    func eachFlawIsFoundAloneAndSaysWhatToDo(index: Int) {
        let (check, grade, spoil) = Self.flaws[index]
        var facts = good
        spoil(&facts)
        let bad = hostFindings(facts).filter { $0.grade != .ok }
        #expect(bad.map(\.check) == [check])
        #expect(bad.map(\.grade) == [grade])
        #expect(bad.allSatisfy { !$0.advice.isEmpty && !$0.detail.isEmpty })
    }
}

@Suite struct InterfaceCheckTests {
    private let good = InterfaceFacts(
        name: "eth9", isUp: true, mtu: 1500, driver: "ice", xdp: [.basic, .redirect, .zeroCopy], queues: 4,
        mostQueues: 8,
        processors: 4, activeFeatures: ["rx-gro", "rx-vlan-hw-parse"], uppers: [], looksThroughTags: false,
        programs: [])

    @Test func aGoodInterface() {
        let findings = interfaceFindings(good)
        #expect(findings.map(\.grade) == Array(repeating: .ok, count: 7))
        #expect(findings[1].detail == "ice: native XDP, redirect, AF_XDP zero copy")
    }

    private static let flaws: [(String, @Sendable (inout InterfaceFacts) -> Void)] = [
        ("link", { $0.isUp = false }),
        ("MTU", { $0.mtu = 9000 }),
        ("queues", { $0.queues = 2 }),
        (
            "queues",
            {
                $0.queues = 65; $0.mostQueues = 65; $0.processors = 128
            }
        ),
        ("GRO/LRO", { $0.activeFeatures = ["rx-lro"] }),
        ("GRO/LRO", { $0.activeFeatures = ["rx-gro", "rx-gro-hw"] }),
        ("GRO/LRO", { $0.activeFeatures = nil }),
        (
            "VLAN",
            {
                $0.uppers = ["eth9.100"]; $0.activeFeatures = ["rx-gro"]
            }
        ),
        ("XDP", { $0.programs = [.init(mode: .native, id: 5, name: "xdp_filter", isEdge: false)] }),
        ("XDP", { $0.programs = [.init(mode: .native, id: 5, name: nil, isEdge: nil)] }),
    ]

    @Test(arguments: flaws.indices)
    func eachFlawIsFoundAloneAndSaysWhatToDo(index: Int) {
        let (check, spoil) = Self.flaws[index]
        var facts = good
        spoil(&facts)
        let bad = interfaceFindings(facts).filter { $0.grade != .ok }
        #expect(bad.map(\.check) == [check])
        #expect(bad.allSatisfy { $0.grade == .warn && !$0.advice.isEmpty })
    }

    @Test func aDriverWithoutNativeModeIsWarnedOfTwice() {
        var facts = good
        facts.xdp = []
        #expect(interfaceFindings(facts).filter { $0.grade == .warn }.map(\.check) == ["driver", "GRO/LRO"])
    }

    @Test func whereTagsAreLookedThroughTheyAreNoFlaw() {
        var facts = good
        facts.uppers = ["eth9.100"]
        facts.activeFeatures = ["rx-gro"]
        facts.looksThroughTags = true
        #expect(interfaceFindings(facts).allSatisfy { $0.grade == .ok })
    }

    @Test func anEdgeThatIsAttachedIsFine() {
        var facts = good
        facts.programs = [.init(mode: .native, id: 7, name: "sip_xdp_prog", isEdge: true)]
        #expect(interfaceFindings(facts).last == .ok("XDP", "the edge is attached: sip_xdp_prog (id 7, native)"))
    }
}

@Suite struct ListenerTests {
    private let head =
        "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n"

    @Test func ipv4Table() {
        let table =
            head + """
                  10: 0100007F:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31415 2 ffff0 0
                  11: 00000000:13C5 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31416 2 ffff0 0
                  12: 0163000A:13C4 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 31417 2 ffff0 0
                  damaged

                """
        let found = Listener.parse(Array(table.utf8), family: .ipv4, port: 5060)
        #expect(found.map(\.address.description) == ["127.0.0.1", "10.0.99.1"])
        #expect(found.map(\.inode) == [31415, 31417])
        #expect(found.map(\.isLoopback) == [true, false])
    }

    @Test func ipv6Table() {
        let table =
            head + """
                  10: B80D0120000000000000000001000000:13C4 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 27 2 ff 0
                  11: 00000000000000000000000001000000:13C4 00000000000000000000000000000000:0000 07 0:0 00:0 0 0 0 28 2 ff 0

                """
        let found = Listener.parse(Array(table.utf8), family: .ipv6, port: 5060)
        #expect(found.map(\.address.description) == ["2001:db8::1", "::1"])
        #expect(found.map(\.isLoopback) == [false, true])
        #expect(found.map(\.inode) == [27, 28])
    }
}

@Suite struct DoctorCommandTests {
    /// On whatever host the tests run, with and without root.
    @Test func looksAtThisHostAndItsLoopback() throws {
        let result = run(["doctor", "lo", "--json"])
        let checks = try JSONValue(parsing: result.out)["checks"]?.elements ?? []
        #expect(
            checks.compactMap { $0["check"]?.text } == [
                "kernel", "BTF", "bpffs", "JIT", "memlock", "privileges", "config",
                "UDP 5060", "link", "driver", "MTU", "queues",
                "GRO/LRO", "VLAN", "XDP",
            ])
        let grades = checks.compactMap { $0["result"]?.text }
        #expect(Set(grades).isSubset(of: ["ok", "warn", "fail"]))
        #expect(result.status == (grades.contains("fail") ? .failed : .done))
        #expect(checks.first?["detail"]?.text?.contains(".") == true)
        #expect(result.err == "")
    }

    @Test func everyAdviceStandsBelowItsFinding() {
        let out = run(["doctor"]).out
        #expect(out.split(separator: "\n").last?.hasSuffix(" fail") == true)
        #expect(out.contains("kernel"))
    }
}
