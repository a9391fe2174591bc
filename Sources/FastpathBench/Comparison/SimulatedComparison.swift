// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab

/// The comparison on a simulated network: a SIP server on a host with one interface, and behind it a phone, a trunk, and
/// whoever wants no good. The server is started anew for each phase.
public struct SimulatedComparison {
    /// How long the traffic of a phase lasts.
    public var duration = Duration.seconds(10)
    /// The name of the lab.
    public var name = "compare"
    /// What runs the server with AF_XDP under it: words before its command line, and their environment; nil: the phase
    /// is left out.
    public var launcher: (words: [String], environment: [String: String])?

    /// REGISTERs a second of the phone, each with its answer.
    public static let phoneRate = 50
    /// OPTIONS a second of the trunk.
    public static let trunkRate = 20
    /// Frames a second of the bad traffic, of each of its four kinds.
    public static let badRate = 1_000
    /// INVITEs a second that a stranger may send, with as many at once.
    public static let strangersLimit = 10
    /// The interface with the edge.
    public static let interface = "sip0"

    private static let server = IPPrefix.address(10, 98, 0, 1)
    private static let phone = IPPrefix.address(10, 98, 0, 2)
    private static let trunk = IPPrefix.address(10, 98, 0, 3)
    // RFC 2544's network for benchmarks.
    private static let scanner = IPPrefix.address(198, 18, 0, 1)
    private static let blocked = IPPrefix.address(198, 18, 1, 1)
    private static let stranger = IPPrefix.address(198, 18, 2, 1)

    public init() {}

    /// Carrier, with a limit.
    public static var settings: FilterSettings {
        var settings = FilterSettings.carrier
        settings.limits[.invite] = RateLimit(strangersLimit, per: .second, burst: strangersLimit, scope: .source)
        return settings
    }

    public enum Event: Sendable {
        case began(Comparison.Phase)
        /// Of the traffic of the phase.
        case passed(Duration)
    }

    /// Measures all phases. `mode`: how the edge is attached, asked in the namespace of the host. Throws on Ctrl-C too;
    /// nothing is left in any case.
    public func run(
        edge: some EdgeUnderTest, mode: () throws(Failure) -> XDPMode?, events: (Event) -> Void
    ) throws(Failure) -> [Comparison.Measurement] {
        try edge.purge()
        defer { try? edge.purge() }
        return try Laboratory.with(named: name) { (laboratory) throws(Failure) in
            let network = try Network(laboratory)
            var measurements = [try measure(.baseline, network, events)]
            try network.host.perform { () throws(Failure) in try edge.attach(Self.interface) }
            defer { try? network.host.perform { () throws(Failure) in try edge.detach(Self.interface) } }
            try edge.block([IPPrefix(ipv4: Self.blocked)])
            try edge.allow([IPPrefix(ipv4: Self.trunk)])
            let counters = { () throws(Failure) in try edge.counters() }
            let attached = try network.host.perform(mode)
            measurements.append(try measure(.edge, network, events, mode: attached, counters))
            if launcher != nil {
                measurements.append(try measure(.sockets, network, events, mode: attached, counters))
            }
            try network.host.perform { () throws(Failure) in try edge.detach(Self.interface) }
            measurements.append(try measure(.after, network, events))
            return measurements
        }
    }

    private struct Network {
        let laboratory: Laboratory
        let host: LabHost
        let here: LabInterface
        let there: LabInterface

        init(_ laboratory: Laboratory) throws(Failure) {
            self.laboratory = laboratory
            host = try laboratory.addHost("edge")
            let peer = try laboratory.addHost("peer")
            (here, there) = try laboratory.connect(
                .init(host, interface, server), .init(peer, "eth0", phone))
            try peer.ip(["addr", "add", "\(IPPrefix(ipv4: trunk))/24", "dev", "eth0"])
            // Answers to whoever forged his address go out as well.
            try host.ip(["route", "add", "default", "via", "\(IPPrefix(ipv4: phone))"])
            // A NAPI poll with and without an XDP program: the same receive path in both cases.
            try here.setOffloads(["gro": true])
        }
    }

    private func measure(
        _ phase: Comparison.Phase, _ network: Network, _ events: (Event) -> Void, mode: XDPMode? = nil,
        _ counters: (() throws(Failure) -> Counters)? = nil
    ) throws(Failure) -> Comparison.Measurement {
        events(.began(phase))
        let launcher = phase == .sockets ? self.launcher : nil
        let server = try SIPServer(
            in: network.laboratory, on: network.host, address: Self.server, launcher: launcher?.words ?? [],
            environment: launcher?.environment ?? [:])
        defer { server.stop() }
        var sip: Comparison.SIP?
        var measurement = try network.host.perform { () throws(Failure) in
            try Comparison.measure(phase, on: network.here.name, mode: mode, counters: counters) { () throws(Failure) in
                sip = try traffic(network, server) { events(.passed($0)) }
            }
        }
        measurement.sip = sip
        return measurement
    }

    /// All of it at once, until the bad traffic is over and every good request has its answer or is given up.
    private func traffic(
        _ network: Network, _ server: SIPServer, progress: (Duration) -> Void
    ) throws(Failure) -> Comparison.SIP {
        let seconds = Int(duration / .seconds(1))
        let sipp = { (scenario: SIPpScenario, local: UInt32) in
            SIPp(
                scenario, on: network.there.host, local: (local, 5060), server: (server.address, server.port),
                user: "phone")
        }
        let frames = Self.frames(network)
        let count = Self.badRate * frames.count * seconds
        let cpu = server.cpuTime
        let start = ContinuousClock.now
        let bad = try Worker { (_) throws(Failure) in
            try RawSender(network.there).send(
                (0..<count).map { frames[$0 % frames.count] }, rate: Self.badRate * frames.count)
        }
        let phone = try sipp(.register, Self.phone).start(
            in: network.laboratory, count: Self.phoneRate * seconds, rate: Self.phoneRate)
        let trunk = try sipp(.options, Self.trunk).start(
            in: network.laboratory, count: Self.trunkRate * seconds, rate: Self.trunkRate)
        try Comparison.wait(duration, progress: progress)
        let sent = try bad.join()
        let percent = 100 * ((server.cpuTime - cpu) / (ContinuousClock.now - start))
        return Comparison.SIP(
            phone: try phone.finish(), trunk: try trunk.finish(), bad: sent.packets, serverPercent: percent)
    }

    /// A scanner's OPTIONS, junk, INVITEs of a blocked source, INVITEs of a stranger: one after the other.
    private static func frames(_ network: Network) -> [[UInt8]] {
        let server = Endpoint(network.here, port: 5060)
        let from = { (address: UInt32) in Endpoint(mac: network.there.mac, address: address, port: 5060) }
        return [
            Frame.udp(
                from: from(scanner), to: server,
                payload: SIPRequest.options(to: server, local: from(scanner), sequence: 1)),
            Frame.udp(from: from(scanner), to: server, payload: [UInt8](repeating: UInt8(ascii: "x"), count: 200)),
            Frame.udp(
                from: from(blocked), to: server,
                payload: SIPRequest.invite("nobody", at: server, local: from(blocked), sequence: 1)),
            Frame.udp(
                from: from(stranger), to: server,
                payload: SIPRequest.invite("nobody", at: server, local: from(stranger), sequence: 1)),
        ]
    }
}
