// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// Two hosts joined by a veth pair, and real packets over it.
struct Wire {
    let laboratory: Laboratory
    let here: LabInterface
    let there: LabInterface
    private let receiver: DatagramReceiver

    static let command = "/bin/vos-fastpath"
    static let object = "/sip_logic.bpf.o"

    struct Wrong: Error, CustomStringConvertible {
        var description: String
    }

    private static func with<Answer>(_ body: (Wire) throws -> Answer) throws -> Answer {
        let laboratory = try Laboratory(named: "kernel")
        defer { laboratory.tearDown() }
        return try body(Wire(laboratory))
    }

    private init(_ laboratory: Laboratory) throws {
        self.laboratory = laboratory
        let edge = try laboratory.addHost("edge")
        let peer = try laboratory.addHost("peer")
        (here, there) = try laboratory.connect(
            .init(edge, "sip0", 0x0a61_0101), .init(peer, "eth0", 0x0a61_0102))
        receiver = try DatagramReceiver(on: edge, port: 5060)
    }

    // MARK: Checks

    /// Our loader, the driver's hook, packets; and nothing on the interface afterwards.
    static func native(_ profile: String) throws -> Check.Result {
        try with { wire in
            try wire.requireUnfiltered()
            let instance = try ProgramInstance(
                blocked: [IPPrefix(ipv4: blockedAddress)], settings: Check.settings(profile))
            try wire.perform { () throws(Failure) in
                try XDP.attach(instance.program, to: wire.here.index, mode: .native, replacing: nil)
            }
            try wire.requireMode(.native)
            try wire.requireFiltered()
            let counted = try instance.counters()
            // `requireFiltered` sends one of each.
            for reason in Reason.counted {
                let wanted: UInt64 = [.blocked, .optionsDropped, .malformed, .passed].contains(reason) ? 1 : 0
                try require(counted[reason] == wanted, "\(reason) is \(counted[reason]), not \(wanted)")
            }
            try wire.perform { () throws(Failure) in
                try XDP.detach(instance.program, from: wire.here.index, mode: .native)
            }
            try wire.requireMode(nil)
            try wire.requireUnfiltered()
            return .passed("4 packets, 2 ways")
        }
    }

    /// The object as `ip link` loads it, without us.
    static func rawObject() throws -> Check.Result {
        try with { wire in
            try wire.here.host.ip(["link", "set", "dev", wire.here.name, "xdpdrv", "obj", object, "sec", "xdp"])
            try wire.requireMode(.native)
            // The lists are empty: a blocked source is a stranger.
            try wire.requireHeard(["INVITE", "INVITE from a blocked source"])
            try wire.here.host.ip(["link", "set", "dev", wire.here.name, "xdpdrv", "off"])
            try wire.requireMode(nil)
            try wire.requireUnfiltered()
            return .passed("ip link set … xdpdrv obj … sec xdp")
        }
    }

    /// `up`, `block add`, `down` of the command, in both profiles.
    static func commands() throws -> Check.Result {
        guard !kernelIsOlder(than: Host.oldestKernel) else {
            let refused = try Shell.outcome(of: [command, "status"])
            try require(
                refused.exit != .code(0) && refused.errors.contains("older than Linux"),
                "the command does not say that the kernel is too old: \(refused.errors)")
            return .impossible(
                "the commands need Linux \(Host.oldestKernel.major).\(Host.oldestKernel.minor), and say so")
        }
        return try with { wire in
            for profile in ["classic", "carrier"] {
                try wire.run(["up", wire.here.name, "--profile", profile, "--mode", "native"])
                try wire.run(["block", "add", "\(IPPrefix(ipv4: blockedAddress))"])
                try wire.requireMode(.native)
                try wire.requireFiltered()
                try wire.run(["down", wire.here.name, "--purge"])
                try wire.requireMode(nil)
                try require(access("/sys/fs/bpf/vos-fastpath", F_OK) != 0, "pins are left")
                try wire.requireUnfiltered()
            }
            return .passed("up, block add, down --purge, 2 profiles")
        }
    }

    /// MTU 9000: native where the kernel has frames of several buffers, a clear word where it has not.
    static func jumbo() throws -> Check.Result {
        guard !kernelIsOlder(than: Host.oldestKernel) else {
            return .impossible("the commands need Linux \(Host.oldestKernel.major).\(Host.oldestKernel.minor)")
        }
        return try with { wire in
            for end in [wire.here, wire.there] { try end.host.ip(["link", "set", end.name, "mtu", "9000"]) }
            if kernelIsOlder(than: (5, 18)) {
                let outcome = try Shell.outcome(
                    of: [command, "up", wire.here.name, "--mode", "native"], in: wire.here.host.namespace)
                try require(outcome.exit != .code(0), "native at MTU 9000 before Linux 5.18")
                return .impossible("frames of several buffers came with Linux 5.18; `up` says so")
            }
            try wire.run(["up", wire.here.name, "--mode", "native"])
            try wire.run(["block", "add", "\(IPPrefix(ipv4: blockedAddress))"])
            try wire.requireMode(.native)
            try wire.requireFiltered(padding: 8000)
            try wire.run(["down", wire.here.name, "--purge"])
            return .passed("MTU 9000, payloads of 8 000 bytes")
        }
    }

    // MARK: Packets

    private static let blockedAddress = UInt32(0x0a61_0142)

    /// What is sent, in this order, the last as a sign that all before it were dealt with.
    private func payloads(padding: Int) -> [(name: String, source: UInt32, payload: [UInt8])] {
        let server = Endpoint(here, port: 5060)
        let local = Endpoint(there, port: 5060)
        let tail = [UInt8](repeating: 0x20, count: padding)
        return [
            (
                "INVITE from a blocked source", Self.blockedAddress,
                SIPRequest.invite("a", at: server, local: local, sequence: 1) + tail
            ),
            ("OPTIONS", there.address, SIPRequest.options(to: server, local: local, sequence: 2) + tail),
            ("junk", there.address, [UInt8](repeating: 0x41, count: 100) + tail),
            ("INVITE", there.address, SIPRequest.invite("b", at: server, local: local, sequence: 3) + tail),
        ]
    }

    private func requireUnfiltered() throws {
        try requireHeard(["INVITE from a blocked source", "OPTIONS", "junk", "INVITE"])
    }

    private func requireFiltered(padding: Int = 0) throws { try requireHeard(["INVITE"], padding: padding) }

    /// Sends one of each and requires that just these arrive.
    private func requireHeard(_ wanted: Set<String>, padding: Int = 0) throws {
        let payloads = payloads(padding: padding)
        _ = receiver.receive(timeout: .zero)
        let frames = payloads.map { sent in
            var local = Endpoint(there, port: 5060)
            local.address = sent.source
            return Frame.udp(from: local, to: Endpoint(here, port: 5060), payload: sent.payload)
        }
        let sent = try RawSender(there).send(frames)
        try require(sent.refused == 0, "the wire had no room")
        var heard: Set<String> = []
        let end = ContinuousClock.now + .seconds(10)
        while !heard.contains("INVITE"), ContinuousClock.now < end {
            for datagram in receiver.receive(timeout: .milliseconds(20)) {
                heard.formUnion(payloads.filter { $0.payload == datagram.payload }.map(\.name))
            }
        }
        try require(heard == wanted, "arrived: \(heard.sorted()), not \(wanted.sorted())")
    }

    private func requireMode(_ wanted: XDPMode?) throws {
        let mode = try perform { () throws(Failure) in
            try LinkTable.read().first { $0.index == here.index }?.program?.mode
        }
        try require(mode == wanted, "the kernel says \(mode?.rawValue ?? "none"), not \(wanted?.rawValue ?? "none")")
    }

    private func perform<Answer>(_ body: () throws(Failure) -> Answer) throws(Failure) -> Answer {
        try here.host.perform(body)
    }

    private func run(_ arguments: [String]) throws {
        try Shell.run([Self.command] + arguments, in: here.host.namespace, timeout: .seconds(60))
    }
}

func require(_ condition: Bool, _ text: @autoclosure () -> String) throws {
    guard condition else { throw Wire.Wrong(description: text()) }
}
