// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// A host of a lab: a network namespace.
public struct LabHost: Hashable, Sendable {
    /// Its name in the lab.
    public let name: String
    public let namespace: NetworkNamespace

    public init(name: String, namespace: NetworkNamespace) {
        self.name = name
        self.namespace = namespace
    }

    /// One end of a veth pair to be made.
    public struct Port: Sendable {
        public var host: LabHost
        public var interface: String
        /// Host byte order.
        public var address: UInt32
        /// Of the network, in bits.
        public var prefixLength: Int
        /// Queues for receiving and as many for sending; nil: as the driver has it.
        public var queues: Int?

        public init(
            _ host: LabHost, _ interface: String, _ address: UInt32, prefixLength: Int = 24, queues: Int? = nil
        ) {
            self.queues = queues
            self.host = host
            self.interface = interface
            self.address = address
            self.prefixLength = prefixLength
        }
    }

    /// Runs `body` in the host's namespace, on this thread.
    public func perform<Result>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        try namespace.perform(body)
    }

    /// Runs ip(8) in the host.
    @discardableResult
    public func ip(_ arguments: [String]) throws(Failure) -> String {
        try Shell.run(["ip"] + arguments, in: namespace)
    }

    /// Sets a parameter of the host's network: `path` below /proc/sys, which shows the caller's namespace.
    public func setKernelParameter(_ path: String, _ value: String) throws(Failure) {
        try perform { () throws(Failure) in try File.write(value, to: "/proc/sys/\(path)") }
    }
}

/// An interface of a lab.
public struct LabInterface: Hashable, Sendable {
    public let host: LabHost
    public let name: String
    /// ifindex, unique in the host.
    public let index: UInt32
    public let mac: MACAddress
    /// Host byte order.
    public let address: UInt32

    /// Packets since the interface was made, as /proc/net/dev counts them.
    public struct Statistics: Hashable, Sendable {
        public var received: UInt64
        public var sent: UInt64
        /// Packets that did not leave: on a veth, that the peer's ring had no room for.
        public var sendDropped: UInt64

        public static func - (later: Statistics, earlier: Statistics) -> Statistics {
            Statistics(
                received: later.received - earlier.received, sent: later.sent - earlier.sent,
                sendDropped: later.sendDropped - earlier.sendDropped)
        }
    }

    public func statistics() throws(Failure) -> Statistics {
        let text = try host.perform { () throws(Failure) in File.text("/proc/thread-self/net/dev") ?? "" }
        guard let statistics = Self.parseStatistics(text, of: name) else {
            throw Failure(
                .noInterface, tried: "read an interface's statistics", on: name,
                because: "\(host.name) has no such interface",
                next: "Build the lab anew.")
        }
        return statistics
    }

    /// A line is `name: ` and eight numbers received, eight sent (proc(5)).
    static func parseStatistics(_ text: String, of name: String) -> Statistics? {
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2, parts[0].drop(while: { $0 == " " }) == name else { continue }
            let numbers = parts[1].split(separator: " ").compactMap { UInt64($0) }
            guard numbers.count == 16 else { return nil }
            return Statistics(received: numbers[1], sent: numbers[9], sendDropped: numbers[11])
        }
        return nil
    }

    /// Sets offloads: `["gro": true]` gives a veth its NAPI poll, without which it receives no redirected frames;
    /// `["tx-udp-segmentation": false]` and the like, as `ethtool -K` knows them.
    public func setOffloads(_ features: [String: Bool]) throws(Failure) {
        let arguments = features.sorted { $0.key < $1.key }.flatMap { [$0.key, $0.value ? "on" : "off"] }
        try Shell.run(["ethtool", "-K", name] + arguments, in: host.namespace)
    }
}

/// A pair of interfaces, each the other's wire (veth(4)).
enum VethPair {
    static func create(_ first: LabHost.Port, _ second: LabHost.Port) throws(Failure) -> (LabInterface, LabInterface) {
        try create(first)
        do throws(Failure) {
            return try configure(first, second)
        } catch {
            _ = try? first.host.ip(["link", "del", first.interface])
            throw error
        }

        func create(_ port: LabHost.Port) throws(Failure) {
            var arguments = ["link", "add", first.interface, "address", "\(MACAddress(of: first.address))"]
            arguments += queues(first) + ["type", "veth"]
            arguments += ["peer", "name", second.interface, "address", "\(MACAddress(of: second.address))"]
            arguments += queues(second)
            if let namespace = second.host.namespace.name { arguments += ["netns", namespace] }
            try port.host.ip(arguments)
        }

        func queues(_ port: LabHost.Port) -> [String] {
            port.queues.map { ["numtxqueues", "\($0)", "numrxqueues", "\($0)"] } ?? []
        }
    }

    /// Addresses, neighbours, up; may be repeated.
    static func configure(
        _ first: LabHost.Port, _ second: LabHost.Port
    ) throws(Failure) -> (LabInterface, LabInterface) {
        for (port, peer) in [(first, second), (second, first)] {
            let address = "\(IPPrefix(ipv4: port.address))/\(port.prefixLength)"
            try port.host.ip(["link", "set", port.interface, "address", "\(MACAddress(of: port.address))"])
            try port.host.ip(["addr", "replace", address, "dev", port.interface])
            try port.host.ip(["link", "set", port.interface, "up"])
            // For good: a flood must not push the neighbour out of the table.
            try port.host.ip([
                "neigh", "replace", "\(IPPrefix(ipv4: peer.address))", "lladdr", "\(MACAddress(of: peer.address))",
                "dev",
                port.interface, "nud", "permanent",
            ])
        }
        return (try interface(first), try interface(second))
    }

    static func interface(_ port: LabHost.Port) throws(Failure) -> LabInterface {
        let index = try port.host.perform { () throws(Failure) in if_nametoindex(port.interface) }
        guard index != 0 else {
            throw Failure(
                .noInterface, tried: "find an interface", on: port.interface,
                because: "\(port.host.name) has none of that name",
                next: "Build the lab anew.")
        }
        return LabInterface(
            host: port.host, name: port.interface, index: index, mac: MACAddress(of: port.address),
            address: port.address)
    }
}
