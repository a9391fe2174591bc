// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// What the kernel has counted of an interface, of UDP in its network namespace, and of the machine's CPUs.
public struct HostFigures: Hashable, Sendable {
    /// Received by the interface, before any XDP program; driver by driver this differs a little.
    public var packets: UInt64 = 0
    public var bytes: UInt64 = 0
    /// That the interface had no room for.
    public var dropped: UInt64 = 0
    /// Datagrams that reached a socket (`InDatagrams`, IPv4 and IPv6 together, as the others).
    public var datagrams: UInt64 = 0
    /// Datagrams that did not for want of room or a good checksum (`InErrors`).
    public var datagramErrors: UInt64 = 0
    /// Of these: the socket's buffer was full (`RcvbufErrors`).
    public var bufferErrors: UInt64 = 0
    /// Nobody listened (`NoPorts`).
    public var noPort: UInt64 = 0
    /// CPU time in all, in clock ticks of all CPUs.
    public var ticks: UInt64 = 0
    public var idleTicks: UInt64 = 0
    /// In soft interrupts, where packets are received.
    public var softirqTicks: UInt64 = 0

    /// Of an interface of the caller's network namespace, now.
    public static func read(interface: String) throws(Failure) -> HostFigures {
        var figures = HostFigures()
        guard figures.addInterface(text(try readFile("/proc/thread-self/net/dev")), interface) else {
            throw Failure(
                .noInterface, tried: "read an interface's statistics", on: interface,
                because: "this network namespace has none of that name", next: "`ip -br link` lists them.")
        }
        figures.addUDP(text(try readFile("/proc/thread-self/net/snmp")))
        // Absent where the kernel was booted without IPv6.
        figures.addUDP6(text((try? readFile("/proc/thread-self/net/snmp6")) ?? []))
        figures.addCPU(text(try readFile("/proc/stat")))
        return figures
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    public init() {}

    /// A line is `name: ` and eight numbers received: bytes, packets, errors, dropped … (proc(5)).
    mutating func addInterface(_ table: String, _ name: String) -> Bool {
        for line in table.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].drop(while: { $0 == " " }) == name else { continue }
            let numbers = parts[1].split(separator: " ").compactMap { UInt64($0) }
            guard numbers.count >= 8 else { return false }
            (bytes, packets, dropped) = (numbers[0], numbers[1], numbers[3])
            return true
        }
        return false
    }

    /// A line of names that begins with `Udp:`, and one of numbers.
    mutating func addUDP(_ table: String) {
        let lines = table.split(separator: "\n").filter { $0.hasPrefix("Udp: ") }.map { $0.split(separator: " ") }
        guard lines.count == 2 else { return }
        for (name, number) in zip(lines[0], lines[1]) { add(name, UInt64(number) ?? 0) }
    }

    /// A name and a number a line: `Udp6InDatagrams 7`.
    mutating func addUDP6(_ table: String) {
        for line in table.split(separator: "\n") where line.hasPrefix("Udp6") {
            let parts = line.dropFirst(4).split(separator: " ")
            if parts.count == 2 { add(parts[0], UInt64(parts[1]) ?? 0) }
        }
    }

    private mutating func add(_ name: Substring, _ number: UInt64) {
        switch name {
        case "InDatagrams": datagrams += number
        case "InErrors": datagramErrors += number
        case "RcvbufErrors": bufferErrors += number
        case "NoPorts": noPort += number
        default: break
        }
    }

    /// The first line: user, nice, system, idle, iowait, irq, softirq, steal; what guests use is in user already.
    mutating func addCPU(_ table: String) {
        guard let line = table.split(separator: "\n").first(where: { $0.hasPrefix("cpu ") }) else { return }
        let numbers = line.split(separator: " ").dropFirst().prefix(8).compactMap { UInt64($0) }
        guard numbers.count == 8 else { return }
        ticks = numbers.reduce(0, +)
        idleTicks = numbers[3] + numbers[4]
        softirqTicks = numbers[6]
    }

    /// What came since `earlier`; a number that went back began anew.
    public static func - (later: HostFigures, earlier: HostFigures) -> HostFigures {
        var difference = HostFigures()
        for field in all {
            let (now, before) = (later[keyPath: field], earlier[keyPath: field])
            difference[keyPath: field] = now >= before ? now - before : now
        }
        return difference
    }

    private static var all: [WritableKeyPath<HostFigures, UInt64>] {
        [
            \.packets, \.bytes, \.dropped, \.datagrams, \.datagramErrors, \.bufferErrors, \.noPort, \.ticks,
            \.idleTicks,
            \.softirqTicks,
        ]
    }

    /// Of all CPU time, 0...100.
    public var softirqPercent: Double { percent(softirqTicks) }
    /// The share of CPU time that was not idle, 0...100.
    public var busyPercent: Double { ticks == 0 ? 0 : 100 - percent(idleTicks) }

    private func percent(_ part: UInt64) -> Double { ticks == 0 ? 0 : 100 * Double(part) / Double(ticks) }
}
