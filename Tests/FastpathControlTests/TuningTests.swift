// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Testing

@testable import FastpathControl

@Suite struct BusyPollingTests {
    private let root: TunedRoot

    init() throws {
        root = try TunedRoot()
        try root.addBusyPolling(poll: 3, read: 4)
    }

    private func now() throws -> [String] {
        try ["busy_poll", "busy_read"].map { try root.read("proc/sys/net/core/\($0)") }
    }

    @Test func whatWasFirstIsPutBack() throws {
        let changes = try root.tuning().setBusyPolling([.poll: 50, .read: 60], dryRun: false)
        #expect(changes.map(\.before) == [3, 4])
        #expect(try now() == ["50\n", "60\n"])
        _ = try root.tuning().setBusyPolling([.poll: 0], dryRun: false)
        #expect(try now() == ["0\n", "60\n"])
        #expect(try root.record.read().settings == [.poll: 3, .read: 4])
        let restored = try root.tuning().restoreBusyPolling(dryRun: false)
        #expect(restored.map(\.after) == [3, 4])
        #expect(try now() == ["3\n", "4\n"])
        #expect(try root.tuning().restoreBusyPolling(dryRun: false).isEmpty)
        #expect(access(root.record.path, F_OK) != 0, "a record without a line is gone")
    }

    @Test func aDryRunChangesAndRemembersNothing() throws {
        #expect(try root.tuning().setBusyPolling([.read: 50], dryRun: true).map(\.after) == [50])
        #expect(try now() == ["3\n", "4\n"])
        #expect(try root.record.read().isEmpty)
        _ = try root.tuning().setBusyPolling([.read: 50], dryRun: false)
        #expect(try root.tuning().restoreBusyPolling(dryRun: true).map(\.before) == [50])
        #expect(try now() == ["3\n", "50\n"])
        #expect(try root.record.read().settings == [.read: 4])
    }

    @Test func withoutTheSettingNothingIsChanged() throws {
        unlink("\(root.path)/proc/sys/net/core/busy_read")
        let failure = #expect(throws: Failure.self) {
            try root.tuning().setBusyPolling([.poll: 50, .read: 50], dryRun: false)
        }
        #expect(failure?.kind == .unsupported)
        #expect(try root.read("proc/sys/net/core/busy_poll") == "3\n")
        #expect(try root.record.read().isEmpty)
    }

    @Test func whatAnEarlierBootRememberedIsVoid() throws {
        _ = try root.tuning().setBusyPolling([.poll: 50], dryRun: false)
        try root.write("boot-2\n", to: "proc/sys/kernel/random/boot_id")
        #expect(try root.record.read().isEmpty)
        #expect(try root.tuning().restoreBusyPolling(dryRun: false).isEmpty)
        _ = try root.tuning().setBusyPolling([.poll: 60], dryRun: false)
        #expect(try root.record.read().settings == [.poll: 50])
    }

    @Test(arguments: ["nonsense", "boot", "busy_poll x", "busy_poll -1", "thread 1 2 3", "thread 1 2 3 9-1", "other 1"])
    func aRecordThatMakesNoSenseIsNamed(line: String) throws {
        try root.write("boot boot-1\n\(line)\n", to: "state/tuning")
        let failure = #expect(throws: Failure.self) { try root.record.read() }
        #expect(failure?.subject == root.record.path)
        #expect(throws: Failure.self) { try root.tuning().setBusyPolling([.poll: 50], dryRun: false) }
        #expect(try now() == ["3\n", "4\n"])
    }

    @Test func theRecordIsReadBackAsWritten() throws {
        var state = TuningState(boot: "boot-1")
        state.settings = [.poll: 1, .read: 2]
        state.threads[ThreadID(process: 7, thread: 8, start: 9)] = CPUSet([0, 2, 3])
        #expect(TuningState(text: state.text) == state)
        #expect(state.text.hasPrefix("# "))
        try root.record.change { $0 = state }
        #expect(try root.record.read() == state)
        #expect(namesInFolder("\(root.path)/state") == ["tuning"], "no half of it is left")
        var status = stat()
        try #require(stat(root.record.path, &status) == 0)
        #expect(status.st_mode & 0o777 == 0o600)
    }
}

@Suite struct ChoiceOfCPUsTests {
    private let root: TunedRoot

    init() throws {
        root = try TunedRoot()
        try root.addCPUs(online: "0-7", domains: ["0-3", "4-7"])
        try root.write("", to: "sys/class/net/eth0/mtu")
    }

    private struct Choice: Equatable {
        var cpus: String
        var reason: PinReason

        init(_ cpus: String, _ reason: PinReason) {
            self.cpus = cpus
            self.reason = reason
        }
    }

    private func cpus(_ wish: PinWish) throws -> Choice {
        let (cpus, reason) = try root.tuning().cpus(for: wish)
        return Choice(cpus.description, reason)
    }

    @Test func theDomainOfANICsInterrupts() throws {
        for number in 40...43 {
            try root.write("", to: "sys/class/net/eth0/device/msi_irqs/\(number)")
            try root.addInterrupt(number, cpus: number < 42 ? "\(number - 36)" : number == 42 ? "6" : "1")
        }
        let found = try cpus(PinWish(interface: "eth0"))
        #expect(found == Choice("4-7", .interrupts(3, interface: "eth0")))
        #expect(try cpus(PinWish()) == Choice("0-3", .domain(interface: nil)))
        #expect(try cpus(PinWish(cpus: CPUSet([1, 6]))) == Choice("1,6", .asked))
    }

    @Test func interruptsByTheirNames() throws {
        for number in 30...34 { try root.addInterrupt(number, cpus: "5") }
        try root.write(
            """
                       CPU0       CPU1
             30:          1          2   PCI-MSI 1-edge      eth0-TxRx-0
             31:          1          2   PCI-MSI 2-edge      eth01-TxRx-0
             32:          1          2   PCI-MSI 3-edge      mlx5_comp1@eth0
             33:          1          2   PCI-MSI 3-edge      eth0
             34:          1          2   PCI-MSI 3-edge      xeth0
            LOC:          1          2   Local timer interrupts

            """, to: "proc/interrupts")
        #expect(try root.host.interrupts(of: "eth0").map(\.number) == [30, 32, 33])
    }

    @Test func interruptsOfAVirtualDevice() throws {
        // The link leads to the device; its own interrupts are a folder above.
        try root.write("", to: "sys/devices/pci/virtio0/uevent")
        try root.link("sys/class/net/eth0/device", to: "../../../devices/pci/virtio0")
        try root.addInterrupt(30, cpus: "6")
        try root.write("   CPU0\n 30:  1  virtio0-input.0\n", to: "proc/interrupts")
        #expect(try root.host.interrupts(of: "eth0") == [QueueInterrupt(number: 30, cpus: CPUSet([6]))])
        try root.write("", to: "sys/devices/pci/msi_irqs/30")
        try root.write("", to: "sys/devices/pci/msi_irqs/31")
        #expect(try root.host.interrupts(of: "eth0").map(\.number) == [30], "31 has nobody who handles it")
    }

    @Test func whereNoInterruptsAreToBeSeen() throws {
        #expect(try cpus(PinWish(interface: "eth0")) == Choice("0-3", .domain(interface: "eth0")))
        for name in ["eth1", "", "../net/eth0"] {
            let failure = #expect(throws: Failure.self) { try cpus(PinWish(interface: name)) }
            #expect(failure?.kind == .noInterface)
        }
    }

    @Test func thePreferredOnesWhereTheyAllRun() throws {
        #expect(try cpus(PinWish(preferred: CPUSet(4...7))) == Choice("4-7", .preferred))
        #expect(try cpus(PinWish(preferred: CPUSet(6...9))) == Choice("0-3", .domain(interface: nil)))
    }

    @Test func aCPUThatDoesNotRunIsNamed() throws {
        let failure = #expect(throws: Failure.self) { try cpus(PinWish(cpus: CPUSet([3, 8, 100]))) }
        #expect(failure?.reason.hasSuffix(": 8,100") == true)
    }

    @Test(arguments: [
        ("0-3", ["0-3"], ["0-3"]), ("0-5", ["0-2", "3-5"], ["0-2", "3-5"]), ("0-2", [], ["0-2"]),
        ("0-15", ["0-3,8-11", "4-7,12-15"], ["0-3,8-11", "4-7,12-15"]), ("0,2", ["0-3"], ["0,2"]),
        // CPU 1 says nothing of a cache.
        ("0-1", ["0"], ["0", "1"]),
    ])
    func domains(online: String, shared: [String], domains: [String]) throws {
        let root = try TunedRoot()
        try root.addCPUs(online: online, domains: shared)
        let found = try root.host.topology()
        #expect(found.domains.map(\.cpus.description) == domains)
        #expect(found.domains.first?.level == (shared.isEmpty ? nil : 3))
    }

    @Test func withoutSysfsItSaysSo() throws {
        let failure = #expect(throws: Failure.self) { try TunedRoot().host.topology() }
        #expect(failure?.kind == .unsupported)
    }
}

@Suite struct PinningTests {
    private let root: TunedRoot

    init() throws {
        root = try TunedRoot()
        try root.addProcess("opensips", [100, 101, 102])
        try root.addProcess("kamailio", [200])
        try root.addProcess("bash", [300])
    }

    @Test func processesByTheirNames() throws {
        #expect(try root.tuning().processes(named: Tuning.servers) == [100, 200])
        let failure = #expect(throws: Failure.self) { try root.tuning().processes(named: ["asterisk"]) }
        #expect(failure?.kind == .other)
        try root.tuning().requireProcesses([100, 300])
        #expect(throws: Failure.self) { try root.tuning().requireProcesses([100, 101]) }
    }

    @Test func everyThreadIsMovedAndGetsItsOwnBack() throws {
        try root.addThread(102, of: 100, cpus: "2")
        let report = try root.tuning().pin([100, 200], to: CPUSet([4, 5]), dryRun: false)
        #expect(report.pinned.map(\.process) == [100, 200])
        #expect(
            report.pinned.first == PinnedProcess(process: 100, threads: 3, before: CPUSet(0...7), now: CPUSet(4...5)))
        #expect(root.moves.map(\.thread) == [100, 101, 102, 200])
        // Once more: what was first stays remembered.
        _ = try root.tuning().pin([100], to: CPUSet([6]), dryRun: false)
        // A thread of later gets what the first had.
        try root.addThread(103, of: 100, cpus: "6")
        let undone = try root.tuning().unpin([100], dryRun: false)
        #expect(undone.pinned.map(\.now.description) == ["0-7"])
        #expect([100, 101, 102, 103].map { root.cpus(of: $0, in: 100) } == ["0-7", "0-7", "2", "0-7"])
        #expect(root.cpus(of: 200, in: 200) == "4-5")
        #expect(try root.tuning().unpin([], dryRun: false).pinned.map(\.process) == [200])
        #expect(try root.record.read().isEmpty)
    }

    @Test func threadsThatAreMadeMeanwhileAreMovedToo() throws {
        root.beforeMove = { [root] thread in
            if thread == 101 { try root.addThread(104, of: 100, cpus: "0-7") }
        }
        _ = try root.tuning().pin([100], to: CPUSet([4]), dryRun: false)
        #expect(root.moves.map(\.thread) == [100, 101, 102, 104])
        root.beforeMove = { _ in }
    }

    /// Cut off in the middle, the way back is open.
    @Test func whatWasBeforeIsRememberedFirst() throws {
        var remembered: [Int] = []
        root.beforeMove = { [root] _ in remembered.append(try root.record.read().threads.count) }
        _ = try root.tuning().pin([100, 200], to: CPUSet([4]), dryRun: false)
        #expect(remembered == [4, 4, 4, 4])
        _ = try root.tuning().unpin([], dryRun: false)
        #expect(remembered.suffix(4) == [4, 4, 4, 4])
        root.beforeMove = { _ in }
    }

    @Test func aDryRunMovesAndRemembersNothing() throws {
        let report = try root.tuning().pin([100], to: CPUSet([4]), dryRun: true)
        #expect(report.pinned == [PinnedProcess(process: 100, threads: 3, before: CPUSet(0...7), now: CPUSet([4]))])
        #expect(root.moves.isEmpty)
        #expect(try root.record.read().isEmpty)
        _ = try root.tuning().pin([100], to: CPUSet([4]), dryRun: false)
        let undone = try root.tuning().unpin([], dryRun: true)
        #expect(undone.pinned.map(\.now.description) == ["0-7"])
        #expect(root.cpus(of: 100, in: 100) == "4")
        #expect(try root.record.read().threads.count == 3)
    }

    @Test func oneThatCannotBeMovedIsToldAndTheOthersAre() throws {
        root.refusals = [100: EPERM, 101: ESRCH]
        let report = try root.tuning().pin([100, 200], to: CPUSet([4]), dryRun: false)
        #expect(report.pinned.map(\.process) == [200])
        #expect(report.failed.map(\.kind) == [.system(errno: EPERM)])
        #expect(report.failed.first?.subject.contains("process 100") == true)
        // A thread that ended in the middle of it is no failure.
        root.refusals = [101: ESRCH]
        #expect(try root.tuning().pin([100], to: CPUSet([4]), dryRun: false).failed.isEmpty)
        root.refusals = [200: EPERM]
        #expect(try root.tuning().unpin([], dryRun: false).failed.count == 1)
        #expect(try root.record.read().threads.keys.map(\.process) == [200], "what failed stays remembered")
    }

    @Test func aProcessThatEndedIsForgottenAndNeverALaterOneMoved() throws {
        _ = try root.tuning().pin([100, 200], to: CPUSet([4]), dryRun: false)
        root.removeProcess(100)
        root.removeProcess(200)
        try root.addProcess("bash", [200], cpus: "1", start: 2_000)
        let undone = try root.tuning().unpin([], dryRun: false)
        #expect(undone.pinned.isEmpty && undone.failed.isEmpty)
        #expect(root.cpus(of: 200, in: 200) == "1")
        #expect(try root.record.read().isEmpty)
        #expect(throws: Failure.self) { try root.tuning().unpin([200], dryRun: false) }
    }

    @Test func report() throws {
        try root.addCPUs(online: "0-7", domains: ["0-3", "4-7"])
        try root.addBusyPolling(poll: 50, read: 0)
        try root.write("", to: "sys/class/net/lo/mtu")
        try root.write("", to: "sys/class/net/eth0/device/msi_irqs/40")
        try root.addInterrupt(40, cpus: "4")
        _ = try root.tuning().pin([200], to: CPUSet([4]), dryRun: false)
        let report = try root.tuning().report(of: nil)
        #expect(report.interfaces.map(\.name) == ["eth0"])
        #expect(report.topology.domains.map(\.node) == [0, 1])
        #expect(report.settings.map(\.now) == [50, 0])
        #expect(report.servers.map(\.process) == [100, 200])
        #expect(report.servers.map(\.cpus.description) == ["0-7", "4"])
        #expect(report.servers.map { $0.before?.description } == [nil, "0-7"])
        #expect(try root.tuning().report(of: "lo").interfaces.map(\.name) == ["lo"])
        #expect(throws: Failure.self) { try root.tuning().report(of: "eth9") }
    }
}
