// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Testing

@testable import FastpathCommands

@Suite struct PreloadEnvironmentTests {
    private static let library = "/opt/fast/libvosfastpath.so"

    private static func interface(
        _ name: String, pinned: Bool? = true, program: Bool = true, bond: Bool = false
    ) -> PreloadFacts.Interface {
        .init(name: name, isPinned: pinned, hasProgram: program, isBondMaster: bond)
    }

    private let good = PreloadFacts(
        interfaces: [interface("lo", pinned: false, program: false), interface("eth0"), interface("eth1")],
        canMakeSockets: true, hasBPFFileSystem: true)

    private func make(
        _ facts: PreloadFacts, environment: [String: String] = [:], _ change: (inout PreloadRequest) -> Void = { _ in }
    ) throws(Failure) -> PreloadEnvironment {
        var request = PreloadRequest(library: Self.library)
        change(&request)
        return try PreloadEnvironment(request, facts) { environment[$0] }
    }

    @Test func withoutAWordItTakesAllInterfacesWithAnEdge() throws {
        let plan = try make(good)
        #expect(plan.variables == ["LD_PRELOAD": Self.library, "VOS_FASTPATH_INTERFACES": "eth0,eth1"])
        #expect(plan.warnings.isEmpty)
    }

    @Test func whatIsAskedForIsSet() throws {
        let instance = try Instance(named: "second")
        let plan = try make(good) {
            $0.interfaces = ["eth1", "eth1"]
            $0.ports = [5080, 5060, 5080]
            $0.log = "/var/log/short.log"
            $0.transmits = true
            $0.instance = instance
        }
        #expect(
            plan.variables == [
                "LD_PRELOAD": Self.library, "VOS_FASTPATH_INTERFACES": "eth1", "VOS_FASTPATH_PORTS": "5060,5080",
                "VOS_FASTPATH_LOG": "/var/log/short.log", "VOS_FASTPATH_TX": "1", "VOS_FASTPATH_INSTANCE": "second",
            ])
    }

    /// `--instance ""` under VOS_FASTPATH_INSTANCE=other: the library must look where the command looked.
    @Test func theDefaultInstanceOverrulesAVariable() throws {
        let plan = try make(good, environment: ["VOS_FASTPATH_INSTANCE": "other"])
        #expect(plan.variables["VOS_FASTPATH_INSTANCE"] == "")
    }

    @Test func oursIsTheFirstToBePreloaded() throws {
        let plan = try make(good, environment: ["LD_PRELOAD": "/a.so /b.so:\(Self.library)"])
        #expect(plan.variables["LD_PRELOAD"] == "\(Self.library):/a.so:/b.so")
    }

    @Test func aPathThatTheLoaderWouldCutIsRefused() {
        #expect(throws: Failure.self) { try make(good) { $0.library = "/opt/a b/libvosfastpath.so" } }
    }

    private static let refused: [(String, Failure.Kind, String, PreloadFacts.Interface)] = [
        ("eth9", .noInterface, "ip -br link", interface("eth0")),
        ("eth0", .notLoaded, "vos-fastpath up eth0", interface("eth0", pinned: false, program: false)),
        ("eth0", .notLoaded, "vos-fastpath up eth0", interface("eth0", pinned: false, program: true)),
        ("eth0", .notLoaded, "vos-fastpath up eth0", interface("eth0", pinned: true, program: false)),
    ]

    @Test(arguments: refused.indices)
    func anInterfaceWithoutAnEdgeIsRefused(index: Int) throws {
        let (name, kind, next, interface) = Self.refused[index]
        let facts = PreloadFacts(interfaces: [interface], canMakeSockets: true, hasBPFFileSystem: true)
        let failure = try #require(throws: Failure.self) { try make(facts) { $0.interfaces = [name] } }
        #expect(failure.kind == kind && failure.subject == name)
        #expect(failure.next.contains(next), "\(failure)")
    }

    @Test func noEdgeAtAllIsRefusedForTheInstance() throws {
        let facts = PreloadFacts(interfaces: [good.interfaces[0]], canMakeSockets: true, hasBPFFileSystem: true)
        let instance = try Instance(named: "second")
        let failure = try #require(throws: Failure.self) { try make(facts) { $0.instance = instance } }
        #expect(failure.kind == .notLoaded)
        #expect(failure.next == "Attach the edge first: vos-fastpath up IFACE --instance second")
    }

    @Test func aHiddenFileSystemIsNamed() throws {
        let facts = PreloadFacts(interfaces: [good.interfaces[0]], canMakeSockets: true, hasBPFFileSystem: false)
        let failure = try #require(throws: Failure.self) { try make(facts) }
        #expect(failure.kind == .unsupported && failure.next.contains("nsenter"))
    }

    /// The pins are root's: nothing is known, and nothing refused but what does not exist.
    @Test func withoutPrivilegesItWarnsAndGoesOn() throws {
        let facts = PreloadFacts(
            interfaces: [Self.interface("eth0", pinned: nil)], canMakeSockets: false, hasBPFFileSystem: true)
        let plan = try make(facts)
        #expect(plan.variables == ["LD_PRELOAD": Self.library])
        #expect(plan.warnings.count == 1 && plan.warnings[0].contains("CAP_NET_RAW"))
        #expect(try make(facts) { $0.interfaces = ["eth0"] }.variables["VOS_FASTPATH_INTERFACES"] == "eth0")
        #expect(throws: Failure.self) { try make(facts) { $0.interfaces = ["eth9"] } }
    }

    @Test func aBondIsWarnedOf() throws {
        let facts = PreloadFacts(
            interfaces: [Self.interface("bond0", bond: true), Self.interface("eth1")], canMakeSockets: true,
            hasBPFFileSystem: true)
        #expect(try make(facts).warnings.map { $0.hasPrefix("bond0 is a bond") } == [true])
        #expect(try make(facts) { $0.interfaces = ["eth1"] }.warnings.isEmpty)
    }
}

@Suite struct PreloadLibraryTests {
    @Test func itsPlacesInOrder() {
        #expect(
            PreloadLibrary.places(beside: "/usr/local/bin/vos-fastpath") == [
                "/usr/local/bin/libvosfastpath.so", "/usr/local/lib/vos-fastpath/libvosfastpath.so",
                "/usr/lib/vos-fastpath/libvosfastpath.so",
            ])
    }

    @Test func whereItIsMissingThePlacesAreNamed() throws {
        let failure = try #require(throws: Failure.self) {
            try PreloadLibrary.find(named: nil, command: "/nonexistent/bin/vos-fastpath")
        }
        #expect(failure.reason.contains("/nonexistent/lib/vos-fastpath/libvosfastpath.so"))
        #expect(failure.next.contains("VOS_FASTPATH_LIBRARY="))
    }

    /// Whoever names it means that one.
    @Test func aNamedOneThatIsMissingIsNotReplaced() throws {
        let failure = try #require(throws: Failure.self) {
            try PreloadLibrary.find(named: "/nonexistent/x.so", command: "/usr/bin/vos-fastpath")
        }
        #expect(failure.subject == "/nonexistent/x.so" && failure.reason.contains("No such file"))
        #expect(try PreloadLibrary.find(named: "/dev/../dev/null", command: "/") == "/dev/null")
    }
}

@Suite struct ExecutableTests {
    @Test func itIsFoundAsExecvpFindsIt() throws {
        #expect(try Executable("sh", search: "/nonexistent:/bin").path == "/bin/sh")
        #expect(try Executable("/bin/sh", search: nil).path == "/bin/sh")
        #expect(try Executable("sh", search: nil).path == "/bin/sh")
    }

    @Test(arguments: [
        ("sh", "PATH"), ("/nonexistent", "no such file"), ("/proc/version", "may execute"), ("/etc", "may execute"),
    ])
    func whatIsNoProgramIsSaid(name: String, words: String) throws {
        let failure = try #require(throws: Failure.self) { try Executable(name, search: "/etc") }
        #expect(failure.reason.contains(words), "\(failure)")
    }

    /// A file with 64 bytes of ELF header and one program header of a type.
    private func elf(_ type: UInt8, programHeader: UInt8) -> [UInt8] {
        var head: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1] + [UInt8](repeating: 0, count: 113)
        head[16] = type
        head[32] = 64
        head[54] = 56
        head[56] = 1
        head[64] = programHeader
        return head
    }

    @Test func aStaticProgramIsToldFromOthers() throws {
        #expect(Executable.isStatic(elf(2, programHeader: 1)))
        #expect(Executable.isStatic(elf(3, programHeader: 1)))
        #expect(!Executable.isStatic(elf(3, programHeader: 3)))
        #expect(!Executable.isStatic(Array(elf(2, programHeader: 1).prefix(100))))
        #expect(!Executable.isStatic(Array("#!/bin/sh\n".utf8) + [UInt8](repeating: 10, count: 200)))
        #expect(!Executable.isStatic([]))
        #expect(try Executable("sh", search: nil).refusal() == nil)
    }

    @Test func aSetUserProgramIsRefused() throws {
        let path = "/tmp/fastpath-exec-test-\(getpid())"
        let file = open(path, O_CREAT | O_WRONLY, 0o755)
        #expect(write(file, "#!/bin/sh\n", 10) == 10)
        close(file)
        defer { unlink(path) }
        #expect(try Executable(path, search: nil).refusal() == nil)
        // Set-uid to somebody else takes root to make.
        guard geteuid() == 0 else { return }
        #expect(chown(path, 65_534, 65_534) == 0 && chmod(path, 0o4755) == 0)
        #expect(try Executable(path, search: nil).refusal()?.contains("set-uid to user 65534") == true)
        #expect(chmod(path, 0o2755) == 0)
        #expect(try Executable(path, search: nil).refusal()?.contains("set-gid to group 65534") == true)
        #expect(chmod(path, 0o755) == 0)
        #expect(try Executable(path, search: nil).refusal() == nil)
    }
}

@Suite struct ExecCommandTests {
    @Test func theLogsPlaceIsWhole() throws {
        #expect(try Exec.place("off") == "off" && Exec.place("stderr") == "stderr" && Exec.place("/x") == "/x")
        #expect(try Exec.place("x.log").hasPrefix("/") && Exec.place("x.log").hasSuffix("/x.log"))
    }

    /// What stands behind `--` is the server's, also what looks like an option of ours.
    @Test func everythingBehindTheMarkIsTheServers() throws {
        let parsed = try #require(
            try VosFastpath.parseAsRoot(["exec", "--port", "5080", "--", "kamailio", "--help", "--", "-f", "x"])
                as? Exec)
        #expect(parsed.command == ["kamailio", "--help", "--", "-f", "x"])
        #expect(parsed.port == [5080] && parsed.interface.isEmpty)
    }
}
