// SPDX-License-Identifier: Apache-2.0
import CLinux
import FastpathCore
import Glibc

/// The files under /proc and /sys that tuning reads and writes. Tests give folders of their own.
public struct TunedHost: Sendable {
    public var proc = "/proc"
    public var sys = "/sys"

    public init(proc: String = "/proc", sys: String = "/sys") {
        self.proc = proc
        self.sys = sys
    }

    /// The kernel's name for this boot: process ids and settings of another one mean nothing.
    public func bootID() -> String { line("\(proc)/sys/kernel/random/boot_id") ?? "" }

    // MARK: Busy polling

    /// A setting of net.core, in microseconds.
    public func busyPolling(_ setting: BusyPollSetting) throws(Failure) -> Int {
        guard let value = line(path(of: setting)).flatMap({ Int($0) }) else {
            throw Failure(
                .unsupported, tried: "read \(setting.key)", on: path(of: setting),
                because: "there is none: no CONFIG_NET_RX_BUSY_POLL in the kernel, or not the host's own network",
                next: "Run it on the host itself, outside of containers and network namespaces.")
        }
        return value
    }

    public func setBusyPolling(_ setting: BusyPollSetting, to microseconds: Int) throws(Failure) {
        let path = path(of: setting)
        let tried = "set \(setting.key) to \(microseconds)"
        let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
        if descriptor < 0, [EACCES, EPERM, EROFS].contains(errno) {
            throw Failure(
                .notRoot, tried: tried, on: path, because: errorText(errno), next: "Run it as root, on the host itself."
            )
        }
        let file = FileDescriptor(try check(descriptor, tried, on: path, next: "Check that /proc/sys can be written."))
        var text = "\(microseconds)\n"
        let written = text.withUTF8 { write(file.rawValue, $0.baseAddress, $0.count) }
        try check(written, tried, on: path, next: "Give a number that the kernel takes.")
    }

    private func path(of setting: BusyPollSetting) -> String { "\(proc)/sys/net/core/\(setting.rawValue)" }

    // MARK: CPUs

    public func topology() throws(Failure) -> Topology {
        let path = "\(sys)/devices/system/cpu/online"
        guard let online = line(path).flatMap({ CPUSet(list: $0) }) else {
            throw Failure(
                .unsupported, tried: "see which CPUs run", on: path, because: "there is no list of CPUs",
                next: "Mount sysfs: mount -t sysfs sysfs /sys")
        }
        var rest = online
        var domains: [CacheDomain] = []
        while let first = rest.cpus.first {
            let (level, shared) = lastCache(of: first)
            let cpus = shared.map { $0.intersection(rest) } ?? rest
            // A machine that says nothing of caches is one domain; one that contradicts itself still comes to an end.
            let domain = cpus.contains(first) ? cpus : CPUSet([first])
            domains.append(CacheDomain(cpus: domain, level: level, node: node(of: first)))
            rest = rest.subtracting(domain)
        }
        return Topology(online: online, domains: domains)
    }

    /// The last level of cache that a CPU has, and who shares it.
    private func lastCache(of cpu: Int) -> (level: Int?, shared: CPUSet?) {
        let folder = "\(sys)/devices/system/cpu/cpu\(cpu)/cache"
        var last: (level: Int?, shared: CPUSet?) = (nil, nil)
        for name in namesInFolder(folder) where name.hasPrefix("index") {
            guard let level = line("\(folder)/\(name)/level").flatMap({ Int($0) }),
                let shared = line("\(folder)/\(name)/shared_cpu_list").flatMap({ CPUSet(list: $0) }),
                level > last.level ?? 0
            else { continue }
            last = (level, shared)
        }
        return last
    }

    private func node(of cpu: Int) -> Int? {
        namesInFolder("\(sys)/devices/system/cpu/cpu\(cpu)").lazy
            .filter { $0.hasPrefix("node") }.compactMap { Int($0.dropFirst(4)) }.first
    }

    // MARK: Interrupts

    public func interfaces() -> [String] { namesInFolder("\(sys)/class/net").sorted() }

    /// The interrupts of an interface's device, in order of their numbers. Empty where it has none, as a veth.
    public func interrupts(of interface: String) throws(Failure) -> [QueueInterrupt] {
        guard !interface.isEmpty, !interface.contains("/"), access("\(sys)/class/net/\(interface)", F_OK) == 0 else {
            throw Failure(
                .noInterface, tried: "find the interface", on: interface,
                because: "this network namespace has none of that name", next: "`ip -br link` lists them.")
        }
        let device = "\(sys)/class/net/\(interface)/device"
        // Of a virtio device the bus above it has them.
        var numbers =
            ["\(device)/msi_irqs", "\(device)/../msi_irqs"].lazy
            .map { namesInFolder($0).compactMap { Int($0) } }.first { !$0.isEmpty } ?? []
        let used = usedInterrupts()
        if numbers.isEmpty {
            let names = [interface, lastName(ofLink: device)].compactMap { $0 }
            numbers = used.filter { row in names.contains { Self.isAction(row.value, of: $0) } }.map(\.key)
        } else if !used.isEmpty {
            numbers.removeAll { used[$0] == nil }
        }
        return numbers.sorted().compactMap { number in
            let folder = "\(proc)/irq/\(number)"
            let lists = ["effective_affinity_list", "smp_affinity_list"].lazy
            guard let cpus = lists.compactMap({ line("\(folder)/\($0)").flatMap { CPUSet(list: $0) } }).first else {
                return nil
            }
            return QueueInterrupt(number: number, cpus: cpus)
        }
    }

    /// Of proc(5)'s interrupts: the numbers that somebody handles, with who.
    private func usedInterrupts() -> [Int: String] {
        guard let content = try? readFile("\(proc)/interrupts") else { return [:] }
        var used: [Int: String] = [:]
        for line in String(decoding: content, as: UTF8.self).split(separator: "\n").dropFirst() {
            let words = line.split(separator: " ", omittingEmptySubsequences: true)
            guard let head = words.first, head.hasSuffix(":"), let number = Int(head.dropLast()), words.count > 1
            else { continue }
            used[number] = words.dropFirst().joined(separator: " ")
        }
        return used
    }

    /// Is one of the words `NAME`, or `NAME-rx-0`, `NAME.1`, `NAME:…`, `driver@NAME`? Not `eth01` for `eth0`.
    static func isAction(_ text: String, of name: String) -> Bool {
        text.split(whereSeparator: { $0 == " " || $0 == "," || $0 == "@" }).contains { word in
            guard word.hasPrefix(name) else { return false }
            guard let next = word.dropFirst(name.count).first else { return true }
            return next == "-" || next == "." || next == ":"
        }
    }

    private func lastName(ofLink path: String) -> String? {
        var target = [CChar](repeating: 0, count: 4_096)
        let length = readlink(path, &target, target.count)
        guard length > 0 else { return nil }
        let text = String(decoding: target[..<length].map(UInt8.init(bitPattern:)), as: UTF8.self)
        return text.split(separator: "/").last.map(String.init)
    }

    /// The first line of a small file, without blanks at its end.
    func line(_ path: String) -> String? {
        guard let content = try? readFile(path) else { return nil }
        let line = content.prefix { $0 != UInt8(ascii: "\n") }
        return String(decoding: line, as: UTF8.self)
    }
}
