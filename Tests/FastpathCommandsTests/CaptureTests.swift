// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Testing

@testable import FastpathCommands

/// Captures, built byte by byte.
enum Fixture {
    /// `count` low bytes of a number, in one order or the other.
    static func bytes(_ value: Int, _ count: Int, bigEndian: Bool) -> [UInt8] {
        let little = (0..<count).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) }
        return bigEndian ? little.reversed() : little
    }

    /// A libpcap file (draft-ietf-opsawg-pcap). `packets`: bytes in the file, bytes on the wire.
    static func pcap(
        linkType: Int, packets: [(data: [UInt8], length: Int)], bigEndian: Bool = false, nanoseconds: Bool = false
    ) -> [UInt8] {
        let put = { (value: Int, count: Int) in bytes(value, count, bigEndian: bigEndian) }
        var file = put(nanoseconds ? 0xa1b2_3c4d : 0xa1b2_c3d4, 4) + put(2, 2) + put(4, 2)
        file += put(0, 4) + put(0, 4) + put(262_144, 4) + put(linkType, 4)
        for (number, packet) in packets.enumerated() {
            file += put(1_700_000_000 + number, 4) + put(500, 4) + put(packet.data.count, 4) + put(packet.length, 4)
            file += packet.data
        }
        return file
    }

    /// A pcapng file (draft-ietf-opsawg-pcapng): section header, one interface a link type, enhanced packets on the last.
    static func pcapng(linkTypes: [Int], packets: [(data: [UInt8], length: Int)]) -> [UInt8] {
        let put = { (value: Int, count: Int) in bytes(value, count, bigEndian: false) }
        let block = { (type: Int, body: [UInt8]) in
            put(type, 4) + put(12 + body.count, 4) + body + put(12 + body.count, 4)
        }
        var file = block(0x0a0d_0d0a, put(0x1a2b_3c4d, 4) + put(1, 2) + put(0, 2) + [UInt8](repeating: 0xff, count: 8))
        for linkType in linkTypes { file += block(1, put(linkType, 2) + put(0, 2) + put(262_144, 4)) }
        for packet in packets {
            // Microseconds since 1970, high half first.
            let time = 1_700_000_000_000_500
            let padding = [UInt8](repeating: 0, count: (4 - packet.data.count % 4) % 4)
            file += block(
                6,
                put(linkTypes.count - 1, 4) + put(time >> 32, 4) + put(time & 0xffff_ffff, 4)
                    + put(packet.data.count, 4)
                    + put(packet.length, 4) + packet.data + padding)
        }
        return file
    }

    /// UDP from 192.0.2.1:5061 to 10.99.0.1:5060.
    static func datagram(_ payload: String) -> [UInt8] {
        let udp =
            bytes(5061, 2, bigEndian: true) + bytes(5060, 2, bigEndian: true)
            + bytes(8 + payload.utf8.count, 2, bigEndian: true) + [0, 0] + Array(payload.utf8)
        return [0x45, 0] + bytes(20 + udp.count, 2, bigEndian: true) + [
            0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 10, 99, 0, 1,
        ] + udp
    }

    static let ethernetHeader: [UInt8] = [2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x08, 0x00]
    /// Packet type 0, ARPHRD_ETHER, six bytes of address, IPv4.
    static let cookedHeader: [UInt8] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0, 0x08, 0x00]
    /// IPv4, reserved, ifindex 3, ARPHRD_ETHER, packet type 0, six bytes of address.
    static let cooked2Header: [UInt8] = [0x08, 0x00, 0, 0, 0, 0, 0, 3, 0, 1, 0, 6, 2, 0, 0, 0, 0, 2, 0, 0]

    static let options = datagram("OPTIONS sip:10.99.0.1 SIP/2.0\r\nVia: x\r\n\r\n")
    /// As the driver would hand the cooked ones over.
    static let withoutAddresses = [UInt8](repeating: 0, count: 12) + [0x08, 0x00] + options
}

/// A file that is gone when the test is over.
func withFile<Result>(_ content: [UInt8], _ body: (String) throws -> Result) throws -> Result {
    var template = Array("/tmp/vos-fastpath-test-XXXXXX".utf8CString)
    let descriptor = mkstemp(&template)
    try #require(descriptor >= 0)
    let path = String(decoding: template.dropLast().map(UInt8.init(bitPattern:)), as: UTF8.self)
    defer { unlink(path) }
    try #require(write(descriptor, content, content.count) == content.count)
    close(descriptor)
    return try body(path)
}

func packets(in file: [UInt8]) throws -> [CapturedPacket] {
    try withFile(file) { path in
        let capture = try CaptureFile(path: path)
        var packets: [CapturedPacket] = []
        while let packet = try capture.next() { packets.append(packet) }
        return packets
    }
}

@Suite struct CaptureTests {
    private let ethernet = Fixture.ethernetHeader + Fixture.options

    @Test(arguments: [false, true], [false, true])
    func pcapOfEitherByteOrderAndPrecision(bigEndian: Bool, nanoseconds: Bool) throws {
        let file = Fixture.pcap(
            linkType: 1, packets: [(ethernet, ethernet.count), (ethernet, ethernet.count)], bigEndian: bigEndian,
            nanoseconds: nanoseconds)
        let packets = try packets(in: file)
        #expect(packets.map(\.number) == [1, 2])
        #expect(packets.map(\.frame) == [ethernet, ethernet])
        #expect(packets.map(\.isTruncated) == [false, false])
        #expect(packets[1].time == 1_700_000_001_000_000_000 + (nanoseconds ? 500 : 500_000))
    }

    @Test func pcapng() throws {
        let packets = try packets(in: Fixture.pcapng(linkTypes: [1], packets: [(ethernet, ethernet.count)]))
        #expect(packets.map(\.frame) == [ethernet])
        #expect(packets.first?.time == 1_700_000_000_000_500_000)
    }

    @Test(arguments: [(113, Fixture.cookedHeader), (276, Fixture.cooked2Header)])
    func cookedHeadersBecomeEthernet(linkType: Int, header: [UInt8]) throws {
        let data = header + Fixture.options
        let packets = try packets(in: Fixture.pcap(linkType: linkType, packets: [(data, data.count)]))
        #expect(packets.map(\.frame) == [Fixture.withoutAddresses])
    }

    @Test(arguments: [(1, 13), (113, 15), (276, 19)])
    func aHeaderThatTheCaptureCutGivesNoFrame(linkType: Int, length: Int) throws {
        let data = [UInt8](repeating: 1, count: length)
        let packets = try packets(in: Fixture.pcap(linkType: linkType, packets: [(data, 200)]))
        #expect(packets.map(\.frame) == [[]])
        #expect(packets.map(\.isTruncated) == [true])
    }

    @Test func packetsThatTheCaptureCut() throws {
        let file = Fixture.pcap(linkType: 1, packets: [(Array(ethernet.prefix(40)), ethernet.count)])
        let packets = try packets(in: file)
        #expect(packets.map(\.isTruncated) == [true])
        #expect(packets.map(\.capturedLength) == [40])
        #expect(packets.map(\.originalLength) == [ethernet.count])
    }

    @Test(arguments: [(101, "RAW"), (127, "IEEE802_11_RADIO"), (0, "NULL")])
    func otherHeadersAreRefusedByName(linkType: Int, name: String) throws {
        let error = try #require(throws: Failure.self) {
            try packets(in: Fixture.pcap(linkType: linkType, packets: []))
        }
        #expect(error.reason.contains("type \(name) "))
        #expect(!error.subject.isEmpty && !error.next.isEmpty)
    }

    @Test(arguments: [[], [1, 2, 3], Array("192.0.2.1\n192.0.2.2\n a file of addresses, no capture\n".utf8)])
    func whatIsNoCapture(content: [UInt8]) throws {
        let error = try #require(throws: Failure.self) { try packets(in: content) }
        #expect(error.tried == "open the capture")
        #expect(!error.reason.contains("/tmp/"))
    }

    @Test func aFileThatEndsInThePacket() throws {
        let whole = Fixture.pcap(linkType: 1, packets: [(ethernet, ethernet.count), (ethernet, ethernet.count)])
        let error = try #require(throws: Failure.self) { try packets(in: whole.dropLast(5)) }
        #expect(error.reason.hasPrefix("after 1 packet: "))
    }

    @Test func aCaptureOfSeveralLinkTypes() throws {
        let error = try #require(throws: Failure.self) {
            try packets(in: Fixture.pcapng(linkTypes: [1, 113], packets: [(ethernet, ethernet.count)]))
        }
        #expect(error.tried == "read the capture")
    }

    @Test func aFileThatIsNotThere() throws {
        let error = try #require(throws: Failure.self) { try CaptureFile(path: "/nonexistent/x.pcap") }
        #expect(error.subject == "/nonexistent/x.pcap")
        #expect(error.reason == "No such file or directory")
    }
}

@Suite struct FrameSummaryTests {
    @Test func sipOverUDP() {
        let summary = FrameSummary(Fixture.ethernetHeader + Fixture.options)
        #expect(summary.text == "192.0.2.1:5061 > 10.99.0.1:5060 UDP")
        #expect(summary.firstLine == "OPTIONS sip:10.99.0.1 SIP/2.0")
        #expect(summary.source?.description == "192.0.2.1")
    }

    @Test func aLongOrHostileFirstLine() {
        let long = FrameSummary(Fixture.ethernetHeader + Fixture.datagram(String(repeating: "A", count: 100)))
        #expect(long.firstLine == String(repeating: "A", count: 60))
        let hostile = FrameSummary(Fixture.ethernetHeader + Fixture.datagram("\u{1b}]0;x\u{7}"))
        #expect(hostile.firstLine == ".]0;x.")
    }

    @Test func laterFragmentsHaveNoPorts() {
        var frame = Fixture.ethernetHeader + Fixture.options
        frame[20] = 0x00
        frame[21] = 0xb9
        #expect(FrameSummary(frame).text == "192.0.2.1 > 10.99.0.1 UDP fragment")
    }

    @Test(arguments: [
        (0x0806, "ARP"), (0x86dd, "IPv6, header cut short or damaged"), (0x8100, "IEEE 802.3 frame vlan 0"),
        (0x88cc, "Ethernet type 0x88cc"), (0x0026, "IEEE 802.3 frame"),
    ])
    func otherTypes(type: Int, name: String) {
        let frame =
            [UInt8](repeating: 0, count: 12) + Fixture.bytes(type, 2, bigEndian: true)
            + [UInt8](repeating: 0, count: 46)
        #expect(FrameSummary(frame).text == name)
        #expect(FrameSummary(frame).source == nil)
    }

    @Test func everyLengthIsRead() {
        let frame = Fixture.ethernetHeader + Fixture.options
        for length in 0...frame.count { _ = FrameSummary(Array(frame.prefix(length))) }
        // An IP header that claims more than there is.
        var claiming = frame
        claiming[14] = 0x4f
        #expect(FrameSummary(Array(claiming.prefix(40))).sourcePort == nil)
    }
}

@Suite struct ExplanationTests {
    private let ethernet = Fixture.ethernetHeader + Fixture.options

    /// A judge that drops what is longer than 60 bytes, and cannot run what is longer than 300.
    private func explain(
        _ file: [UInt8], json: Bool = false, limit: Int? = nil, wouldBe: Reason? = nil, unfiltered: FilterSwitch? = nil
    ) throws -> (status: Outcome, out: String, err: String) {
        try withFile(file) { path in
            let recorder = Recorder()
            let output = recorder.output()
            output.isJSON = json
            let capture = try CaptureFile(path: path)
            let status = try Explanation(output: output, limit: limit).run(capture) { (packet) throws(Failure) in
                let frame = packet.frame
                #expect(frame.count >= 14 && packet.time > 0)
                if frame.count > 300 {
                    throw Failure(
                        tried: "run the program", on: "\(frame.count) bytes", because: "too long", next: "Leave it out."
                    )
                }
                return ProgramInstance.Judgement(
                    frame.count > 60 && wouldBe == nil ? .optionsDropped : .passed, wouldBe: wouldBe,
                    unfiltered: unfiltered)
            }
            output.flush()
            return (status, recorder.out, recorder.err)
        }
    }

    @Test func jsonLines() throws {
        let file = Fixture.pcap(
            linkType: 1,
            packets: [(ethernet, ethernet.count), (Array(ethernet.prefix(44)), ethernet.count), ([1, 2, 3], 90)])
        let result = try explain(file, json: true)
        #expect(result.status == .done)
        #expect(
            result.out == """
                {"packet":1,"verdict":"DROP","reason":"options_dropped","source":"192.0.2.1"}
                {"packet":2,"verdict":"PASS","reason":"passed","source":"192.0.2.1","truncated":true}
                {"packet":3,"verdict":"PASS","reason":"ignored","source":null,"truncated":true}

                """)
    }

    @Test func textForPeople() throws {
        let file = Fixture.pcap(
            linkType: 1, packets: [(ethernet, ethernet.count), (Array(ethernet.prefix(44)), ethernet.count)])
        let result = try explain(file)
        #expect(
            result.out == """
                #1  192.0.2.1:5061 > 10.99.0.1:5060 UDP  OPTIONS sip:10.99.0.1 SIP/2.0
                    DROP options_dropped: \(Reason.optionsDropped.sentence)
                #2  192.0.2.1:5061 > 10.99.0.1:5060 UDP  OP
                    PASS passed: \(Reason.passed.sentence)
                    truncated: the capture holds 44 of \(ethernet.count) bytes, and the verdict is for those.

                PACKETS  VERDICT  REASON
                      1  DROP     options_dropped
                      1  PASS     passed
                2 packets, 1 truncated

                """)
    }

    @Test func rulesInDryRunAndSwitchesThatAreOffAreTold() throws {
        let file = Fixture.pcap(linkType: 1, packets: [(ethernet, ethernet.count)])
        let json = try explain(file, json: true, wouldBe: .malformed, unfiltered: .vlan).out
        #expect(
            json == #"{"packet":1,"verdict":"PASS","reason":"passed","source":"192.0.2.1","would_be":"malformed","#
                + #""unfiltered":"vlan"}"# + "\n")
        let text = try explain(file, wouldBe: .malformed, unfiltered: .ports).out
        #expect(text.contains("    would be dropped: malformed (dry run): \(Reason.malformed.sentence)\n"))
        #expect(text.contains("    passed unfiltered: it goes to other ports; filter them with --port"))
        #expect(text.contains("      1  dry run  malformed\n"))
    }

    @Test func entriesOfTheCommandLineGoWhereProgramsLook() throws {
        let network = try IPPrefix("192.0.2.0/24"), six = try IPPrefix("2001:db8::/48"), one = try IPPrefix("192.0.2.1")
        let carrier = try ExplainLists([.block: [network], .allow: [one], .trust: [six]], .carrier)
        #expect(carrier.inMaps.isEmpty)
        #expect(
            carrier.inTable == [
                PolicyTableChange(network, .block), PolicyTableChange(one, .allow), PolicyTableChange(six, .trust),
            ])
        let classic = try ExplainLists([.block: [one], .allow: [one]], .classic)
        #expect(classic.inTable.isEmpty && classic.inMaps[.block] == [one] && classic.inMaps[.allow] == [one])
        for (kind, prefix) in [(PolicyKind.block, network), (.allow, six), (.trust, one)] {
            let failure = #expect(throws: Failure.self) { try ExplainLists([kind: [prefix]], .classic) }
            #expect(failure?.kind == .usage && failure?.next.contains("--switch policy=on") == true)
        }
    }

    @Test func theLimitIsKept() throws {
        let file = Fixture.pcap(linkType: 1, packets: Array(repeating: (ethernet, ethernet.count), count: 5))
        #expect(try explain(file, json: true, limit: 2).out.split(separator: "\n").count == 2)
    }

    @Test func aPacketThatCannotBeRunIsNamedAndTheOthersAnswered() throws {
        let long = ethernet + [UInt8](repeating: 0, count: 300)
        let file = Fixture.pcap(linkType: 1, packets: [(long, long.count), (ethernet, ethernet.count)])
        let result = try explain(file, json: true)
        #expect(result.status == .failed)
        #expect(result.err.hasPrefix("warning: packet 1: cannot run the program"))
        #expect(result.out == #"{"packet":2,"verdict":"DROP","reason":"options_dropped","source":"192.0.2.1"}"# + "\n")
    }
}
