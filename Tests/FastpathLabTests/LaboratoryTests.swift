// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Testing

@testable import FastpathLab

/// Labs for real, as root.
@Suite(.serialized) struct LaboratoryTests {
    /// Two hosts; the first one's interface receives redirected frames.
    private struct Pair {
        let laboratory: Laboratory
        let near: LabInterface
        let far: LabInterface
        var nearEndpoint: Endpoint { Endpoint(near, port: 5060) }
        var farEndpoint: Endpoint { Endpoint(far, port: 5060) }

        init(_ name: String) throws {
            laboratory = try Laboratory(named: name)
            let near = try laboratory.addHost("near")
            let far = try laboratory.addHost("far")
            (self.near, self.far) = try laboratory.connect(
                .init(near, "v-far", IPPrefix.address(10, 98, 1, 1)), .init(far, "eth0", IPPrefix.address(10, 98, 1, 2))
            )
            try self.near.setOffloads(["gro": true])
        }

        func register(_ number: Int) -> [UInt8] {
            SIPRequest.register(to: nearEndpoint, local: farEndpoint, sequence: number)
        }
    }

    @Test func nothingIsLeft() throws {
        let pair = try Pair("test-left")
        let folder = pair.laboratory.folder
        let child = try pair.laboratory.start(["sleep", "60"], label: "sleep", on: pair.far.host)
        #expect(Laboratory.remains(of: "test-left").count == 2)
        pair.laboratory.tearDown()
        #expect(Laboratory.remains(of: "test-left").isEmpty)
        #expect(child.exitStatus == .signal(SIGKILL))
        #expect(!File.exists(folder))
        pair.laboratory.tearDown()
    }

    @Test func oneLabOfAName() throws {
        let pair = try Pair("test-twice")
        let failure = #expect(throws: Failure.self) { try Laboratory(named: "test-twice") }
        #expect(failure?.kind == .busy)
        // A lab whose name begins alike is another one.
        let other = try Laboratory(named: "test-twice-more")
        _ = try other.addHost("x")
        pair.laboratory.tearDown()
        #expect(Laboratory.remains(of: "test-twice-more").count == 1)
        other.tearDown()
        #expect(Laboratory.remains(of: "test-twice-more").isEmpty)
    }

    /// A namespace with a process in it, of a lab that nobody holds: what SIGKILL leaves.
    @Test func leftoversOfAKilledLabGo() throws {
        let folder = "/run/vos-fastpath-lab/test-killed"
        try Shell.run(["mkdir", "-p", folder])
        try File.write("", to: "\(folder)/lock")
        let host = try LabNamespace.make("fastpath-test-killed.host", host: "host")
        let child = try Child.start(["sleep", "60"], in: host.namespace)
        #expect(Laboratory.remains(of: "test-killed").count == 1)
        let other = try Laboratory(named: "test-after")
        defer { other.tearDown() }
        #expect(Laboratory.remains(of: "test-killed").isEmpty)
        #expect(try child.wait(timeout: .seconds(5)) == .signal(SIGKILL))
        #expect(!File.exists(folder))
    }

    @Test func rawFramesArriveExactly() throws {
        let pair = try Pair("test-raw")
        let receiver = try DatagramReceiver(on: pair.near.host, port: 5060)
        let payloads = (0..<2000).map(pair.register)
        let sent = try RawSender(pair.far).send(
            payloads.map { Frame.udp(from: pair.farEndpoint, to: pair.nearEndpoint, payload: $0) })
        #expect(sent.packets + sent.refused == 2000)
        let heard = receiver.receive(timeout: .milliseconds(100))
        #expect(heard.count == sent.packets)
        #expect(Set(heard.map(\.payload)).isSubset(of: payloads))
        #expect(Set(heard.map(\.source)) == [pair.far.address])
    }

    @Test func segmentsArriveAsDatagrams() throws {
        let pair = try Pair("test-gso")
        let receiver = try DatagramReceiver(on: pair.near.host, port: 5060)
        let payloads = SegmentedMix.payloads(to: pair.nearEndpoint, local: pair.farEndpoint)
        try DatagramSender(on: pair.far.host, to: pair.near.address, port: 5060).sendSegmented(payloads)
        #expect(receiver.receive(timeout: .milliseconds(100)).map(\.payload) == payloads)
    }

    @Test func datagramFloodKeepsItsRateAndCount() throws {
        let pair = try Pair("test-dgram")
        let receiver = try DatagramReceiver(on: pair.near.host, port: 5060)
        let sender = try DatagramSender(on: pair.far.host, to: pair.near.address, port: 5060)
        let sent = try sender.flood(pair.register(1), SendLimits(count: 3000, duration: .seconds(5), rate: 10_000))
        #expect(sent.packets == 3000)
        #expect((9_000...10_500).contains(sent.rate))
        #expect(receiver.receive(timeout: .milliseconds(100)).count == 3000)
    }

    /// The stack behind drops a frame whose checksum is wrong, so what is heard had right ones: with every source and
    /// every number.
    @Test func liveFloodIsExactAndRight() throws {
        let pair = try Pair("test-live")
        let receiver = try DatagramReceiver(on: pair.near.host, port: 5060, bufferBytes: 64 << 20)
        let payload = SIPRequest.invite(
            "callee", at: pair.nearEndpoint, local: pair.farEndpoint, sequence: 1_000_000_000)
        let stamp = try #require(SIPRequest.branchStamp(payload))
        let flood = LiveFlood(
            from: pair.far, frame: Frame.udp(from: pair.farEndpoint, to: pair.nearEndpoint, payload: payload),
            firstSource: IPPrefix.address(10, 98, 1, 2), sourceCount: 100, stamp: stamp, cpu: 0)
        let sent = try flood.start(SendLimits(count: 5000, duration: .seconds(10), rate: 20_000)).join()
        #expect(sent.packets == 5000)
        #expect(sent.refused == 0)
        let heard = receiver.receive(timeout: .milliseconds(100))
        #expect(heard.count == 5000)
        let stamps = heard.map { String(decoding: $0.payload[stamp..<stamp + 8], as: UTF8.self) }
        #expect(
            stamps
                == (0..<5000).map { number in
                    let digits = String(number, radix: 16)
                    return String(repeating: "0", count: 8 - digits.count) + digits
                })
        #expect(heard.map(\.source) == (0..<5000).map { IPPrefix.address(10, 98, 1, 2) + UInt32($0 % 100) })
        let others = heard.map { Array($0.payload[..<stamp] + $0.payload[(stamp + 8)...]) }
        #expect(Set(others) == [Array(payload[..<stamp] + payload[(stamp + 8)...])])
    }

    @Test func liveFloodWithoutARateIsFastAndCounted() throws {
        let pair = try Pair("test-fast")
        let frame = Frame.udp(from: pair.farEndpoint, to: pair.nearEndpoint, payload: pair.register(1))
        let flood = LiveFlood(from: pair.far, frame: frame, firstSource: pair.far.address)
        let before = try pair.near.statistics()
        let sent = try flood.run(SendLimits(count: 300_000, duration: .seconds(10)))
        #expect(sent.packets + sent.refused == 300_000)
        #expect(Int(try (pair.near.statistics() - before).received) == sent.packets)
        // A twentieth of what it does on an idle core.
        #expect(sent.rate > 100_000)
    }

    @Test func liveFloodEndsInTime() throws {
        let pair = try Pair("test-bound")
        let frame = Frame.udp(from: pair.farEndpoint, to: pair.nearEndpoint, payload: pair.register(1))
        let flood = LiveFlood(from: pair.far, frame: frame, firstSource: pair.far.address)
        let sent = try flood.run(SendLimits(count: .max, duration: .milliseconds(200)))
        #expect(sent.packets > 0)
        #expect(sent.duration < .seconds(2))
        #expect(throws: Failure.self) {
            var odd = flood
            odd.stamp = 3
            _ = try odd.run(SendLimits(count: 1))
        }
    }

    @Test func sshSessionsRunOnTheHost() throws {
        let pair = try Pair("test-ssh")
        let server = try SSHServer(
            in: pair.laboratory, on: pair.near.host, address: pair.near.address, environment: ["LAB_MARK": "here"])
        let address = "\(IPPrefix(ipv4: server.address))"
        let far = pair.far.host.namespace
        #expect(
            try Shell.run(
                ["ssh"] + server.options + [address, "echo $LAB_MARK; ip -o link show v-far | wc -l"], in: far)
                == "here\n1\n")
        #expect(try Shell.outcome(of: ["ssh"] + server.options + [address, "exit 7"], in: far).exit == .code(7))
        let copied = "\(pair.laboratory.folder)/copied"
        try Shell.run(["scp", "-q"] + server.options + ["/proc/sys/kernel/ostype", "\(address):\(copied)"], in: far)
        #expect(File.text(copied) == "Linux\n")
    }

    /// Without an edge everything gets through: the positive control of every test that finds nothing.
    @Test func callsAndScanThroughTheServer() throws {
        let laboratory = try Laboratory(named: "test-sip")
        let network = try SIPNetwork(in: laboratory)
        try network.startCallee()
        let before = network.server.cpuTime
        let calls = try network.sipp(.call, on: .phone, port: 5060).run(in: laboratory, count: 100, rate: 50)
        #expect(calls.attempted == 100)
        #expect(calls.answered == 100)
        #expect(calls.completed == 100)
        #expect(calls.failed == 0)
        let median = try #require(calls.percentile(0.5))
        #expect(median > .zero && median < .seconds(1))
        #expect(network.server.cpuTime > before)
        #expect(try network.sipp(.options, on: .trunk, port: 5060).run(in: laboratory, count: 3).answered == 3)
        #expect(try network.scan().map(\.device) == ["10.98.0.1:5060"])
        // Nobody of that name.
        let failed = try network.sipp(.call, on: .phone, port: 5062, user: "nobody").run(in: laboratory, count: 2)
        #expect(failed.answered == 0)
        #expect(failed.failed == 2)
        laboratory.tearDown()
        #expect(Laboratory.remains(of: "test-sip").isEmpty)
    }
}
