// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// The documented simulation: a peer in a namespace `sip-sim`, joined to this machine by a veth pair that exists for
/// nothing else. The only part of the lab that reaches into the machine's own namespace.
public enum Simulation {
    public static let namespaceName = "sip-sim"
    /// On this machine; the edge is attached here.
    public static let hostInterface = "veth-sip"
    /// In the namespace.
    public static let peerInterface = "veth-sim"
    /// Host byte order.
    public static let hostAddress = IPPrefix.address(10, 99, 0, 1)
    /// Host byte order.
    public static let peerAddress = IPPrefix.address(10, 99, 0, 2)

    /// What ``send(count:)`` sent, exactly.
    public struct Report: Hashable, Sendable {
        public var options: Int
        public var registers: Int
    }

    /// Builds it, or completes it where a part is missing; what is right already stays as it is, an attached program
    /// included. Returns this machine's end. A failure leaves nothing.
    public static func setUp() throws(Failure) -> LabInterface {
        try requireRoot()
        let isThere = isNamespaceThere && if_nametoindex(hostInterface) != 0 && hasPeer
        if !isThere { try tearDown() }
        do throws(Failure) {
            if !isThere { _ = try LabNamespace.make(namespaceName, host: namespaceName) }
            let (host, peer) = try ports()
            return try isThere ? VethPair.configure(host, peer).0 : VethPair.create(host, peer).0
        } catch {
            try? tearDown()
            throw error
        }
    }

    /// Sends `count` OPTIONS and `count` REGISTER from the peer to this machine's UDP port 5060, as whole frames. What
    /// the interface refuses is sent again, so that exactly these numbers arrive.
    public static func send(count: Int) throws(Failure) -> Report {
        try requireRoot()
        guard isNamespaceThere, hasPeer else {
            throw Failure(
                .noInterface, tried: "send from the simulated peer", on: namespaceName,
                because: "the simulation is not set up",
                next: "Run `vos-fastpath lab up`, or scripts/sip_sim_setup.sh.")
        }
        let peer = try VethPair.interface(ports().peer)
        let local = Endpoint(peer, port: 5060)
        let server = Endpoint(mac: MACAddress(of: hostAddress), address: hostAddress, port: 5060)
        let sender = try RawSender(peer)
        func send(_ request: (Int) -> [UInt8]) throws(Failure) -> Int {
            var sent = 0
            while sent < count {
                // In portions: a frame is some hundred bytes.
                let numbers = sent..<min(count, sent + 10_000)
                sent += try sender.send(numbers.map { Frame.udp(from: local, to: server, payload: request($0)) })
                    .packets
                try Interruption.check()
            }
            return sent
        }
        return Report(
            options: try send { SIPRequest.options(to: server, local: local, sequence: $0) },
            registers: try send { SIPRequest.register(to: server, local: local, sequence: $0) })
    }

    /// Removes everything; nothing happens where nothing is there.
    public static func tearDown() throws(Failure) {
        try requireRoot()
        if if_nametoindex(hostInterface) != 0 { try Shell.run(["ip", "link", "del", hostInterface]) }
        if isNamespaceThere { LabNamespace.remove(namespaceName) }
        guard !isNamespaceThere else {
            throw Failure(
                tried: "remove the simulation", on: namespaceName, because: "the namespace is still there",
                next: "Run `ip netns del \(namespaceName)` to see why.")
        }
    }

    private static var isNamespaceThere: Bool { File.exists("/run/netns/\(namespaceName)") }

    private static var hasPeer: Bool {
        guard let namespace = try? NetworkNamespace.named(namespaceName) else { return false }
        let index = try? namespace.perform { () throws(Failure) in if_nametoindex(peerInterface) }
        return index ?? 0 != 0
    }

    private static func ports() throws(Failure) -> (host: LabHost.Port, peer: LabHost.Port) {
        let host = LabHost(name: "this machine", namespace: try .current())
        let peer = LabHost(name: namespaceName, namespace: try .named(namespaceName))
        return (.init(host, hostInterface, hostAddress), .init(peer, peerInterface, peerAddress))
    }

    private static func requireRoot() throws(Failure) {
        guard geteuid() == 0 else {
            throw Failure(
                .notRoot, tried: "build the simulation", on: "user \(geteuid())",
                because: "network namespaces take root",
                next: "Run it with sudo.")
        }
    }
}
