// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct OptionsAnswerTests {
    private static let source = UDPEndpoint(IPPrefix(ipv4: 0xc000_0209), 40_000)

    private func answer(
        _ lines: [String], from source: UDPEndpoint = source, room: Int = 1_400, secret: UInt64 = 1
    ) -> (result: OptionsAnswer.Result, lines: [String]) {
        answer(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8), from: source, room: room, secret: secret)
    }

    private func answer(
        _ request: [UInt8], from source: UDPEndpoint = source, room: Int = 1_400, secret: UInt64 = 1
    ) -> (result: OptionsAnswer.Result, lines: [String]) {
        var bytes = [UInt8](repeating: 0, count: room)
        let result = request.withUnsafeBytes { request in
            bytes.withUnsafeMutableBytes { OptionsAnswer(secret: secret).write(to: request, from: source, into: $0) }
        }
        guard case .answer(let length, _) = result else { return (result, []) }
        let text = String(decoding: bytes[..<length], as: UTF8.self)
        #expect(text.hasSuffix("\r\n\r\n"))
        #expect(!text.replacing("\r\n", with: "").contains { $0 == "\r" || $0 == "\n" })
        return (result, text.split(separator: "\r\n").map(String.init))
    }

    private static let request = [
        "OPTIONS sip:edge.example.com SIP/2.0", "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1", "Max-Forwards: 70",
        "From: Alice <sip:alice@example.com>;tag=88", "To: <sip:edge.example.com>", "Call-ID: 1@192.0.2.9",
        "CSeq: 63 OPTIONS", "Contact: <sip:alice@192.0.2.9>", "Content-Length: 0",
    ]

    /// The request, one line another.
    private func request(_ name: String, _ line: String?...) -> [String] {
        Self.request.flatMap { $0.hasPrefix(name) ? line.compactMap { $0 } : [$0] }
    }

    @Test("RFC 3261 section 8.2.6: what a response takes over, and no more")
    func whole() throws {
        let (result, lines) = answer(Self.request)
        guard case .answer(_, port: 5062) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(lines.count == 8)
        #expect(
            lines[..<3] == [
                "SIP/2.0 200 OK", "Via: SIP/2.0/UDP 192.0.2.9:5062;branch=z9hG4bK1",
                "From: Alice <sip:alice@example.com>;tag=88",
            ])
        #expect(lines[3].hasPrefix("To: <sip:edge.example.com>;tag=") && lines[3].count == 31 + 16)
        #expect(
            lines[4...] == ["Call-ID: 1@192.0.2.9", "CSeq: 63 OPTIONS", "Allow: OPTIONS", "Content-Length: 0"])
    }

    @Test("the same request gets the same tag, another one or another secret another")
    func tag() {
        let first = answer(Self.request).lines[3]
        #expect(answer(Self.request).lines[3] == first)
        #expect(answer(Self.request, secret: 2).lines[3] != first)
        #expect(answer(request("CSeq", "CSeq: 64 OPTIONS")).lines[3] != first)
        let tagged = answer(request("To", "To: \"a;tag=1>\" <sip:e;tag=2>;x=1; TAG = 3")).lines[3]
        #expect(tagged == "To: \"a;tag=1>\" <sip:e;tag=2>;x=1; TAG = 3", "it has one")
        #expect(
            answer(request("To", "To: \"a;tag=1>\" <sip:e;tag=2>")).lines[3].hasPrefix(
                "To: \"a;tag=1>\" <sip:e;tag=2>;tag="))
    }

    static let vias: [(String, String, UInt16)] = [
        ("SIP/2.0/UDP 192.0.2.9", "SIP/2.0/UDP 192.0.2.9", 5060),
        (
            "SIP/2.0/UDP 192.0.2.9;rport;branch=1", "SIP/2.0/UDP 192.0.2.9;rport=40000;branch=1;received=192.0.2.9",
            40_000
        ),
        (
            "SIP/2.0/UDP pbx.example.com:5070;branch=1", "SIP/2.0/UDP pbx.example.com:5070;branch=1;received=192.0.2.9",
            5_070
        ),
        ("SIP/2.0/UDP 10.0.0.1:5070;RPort", "SIP/2.0/UDP 10.0.0.1:5070;rport=40000;received=192.0.2.9", 40_000),
        (
            "SIP / 2.0 / UDP  first: 4000;ttl=16 ;received=10.9.9.9",
            "SIP / 2.0 / UDP  first: 4000;ttl=16;received=192.0.2.9", 4_000
        ),
        (
            "SIP/2.0/UDP [2001:db8::9]:5066;a=\",;\"", "SIP/2.0/UDP [2001:db8::9]:5066;a=\",;\";received=192.0.2.9",
            5_066
        ),
        (
            "SIP/2.0/UDP a;rport;branch=1, SIP/2.0/UDP b;rport",
            "SIP/2.0/UDP a;rport=40000;branch=1;received=192.0.2.9, SIP/2.0/UDP b;rport", 40_000
        ),
    ]

    @Test(
        "RFC 3261 section 18.2.1 and RFC 3581: where the answer goes, and what the topmost Via says of it",
        arguments: vias)
    func via(_ via: String, _ expected: String, _ port: UInt16) {
        let (result, lines) = answer(request("Via", "Via: \(via)", "v: SIP/2.0/TCP later;rport"))
        guard case .answer(_, let to) = result else {
            Issue.record("\(result)")
            return
        }
        #expect(to == port)
        #expect(lines[1] == "Via: \(expected)")
        #expect(lines[2] == "v: SIP/2.0/TCP later;rport", "all of them, in order, the others as they are")
    }

    @Test("short names, other case, folded lines, empty lines before")
    func forms() {
        let lines = answer([
            "", "OPTIONS sip:e SIP/2.0", "v:SIP/2.0/UDP 192.0.2.9;branch=1", "f: <sip:a@b>", " ;tag=1", "t: <sip:e>",
            "I : 1@2", "cSEQ:\t1  OPTIONS",
        ]).lines
        #expect(lines[1] == "Via: SIP/2.0/UDP 192.0.2.9;branch=1" && lines[2] == "f: <sip:a@b>")
        #expect(lines[3] == " ;tag=1" && lines[4].hasPrefix("t: <sip:e>;tag="))
        #expect(lines[5] == "I : 1@2" && lines[6] == "cSEQ:\t1  OPTIONS")
    }

    @Test("the source's IPv6 address is told whole")
    func ipv6() throws {
        let source = UDPEndpoint(try IPPrefix("2001:db8::1"), 6_000)
        let line = answer(request("Via", "Via: SIP/2.0/UDP h;rport"), from: source).lines[1]
        #expect(line == "Via: SIP/2.0/UDP h;rport=6000;received=2001:0db8:0000:0000:0000:0000:0000:0001")
    }

    @Test("what is not whole gets no answer")
    func malformed() {
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            #expect(answer(request(name)).result == .malformed, "without \(name)")
            let line = Self.request.first { $0.hasPrefix(name) } ?? ""
            if name != "Via" { #expect(answer(request(name, line, line)).result == .malformed, "\(name) twice") }
            #expect(answer(request(name, "\(name):")).result == .malformed, "\(name) empty")
        }
        for lines in [
            request("CSeq", "CSeq: 63 INVITE"), request("CSeq", "CSeq: OPTIONS"),
            request("CSeq", "CSeq: 2147483648 OPTIONS"),
            request("CSeq", "CSeq: 1OPTIONS"), request("Via", "Via: SIP/2.0/TCP h"), request("Via", "Via: SIP/2.0/UDP"),
            request("Via", "Via: SIP/2.0/UDP h:0"), request("Via", "Via: SIP/2.0/UDP h:70000"),
            request("Via", "Via: SIP/2.0/UDP h;a=\"b"), request("Via", "Via: SIP/2.0/UDP [::1"),
            request("Max", "no field"), request("Max", "a\rb: c"), request("OPTIONS", "OPTIONS sip:e SIP/3.0"),
            request("OPTIONS", "OPTIONS  SIP/2.0"), request("OPTIONS", "OPTIONS a b SIP/2.0"),
            request("Via") + Array(repeating: "Via: SIP/2.0/UDP h", count: 41),
        ] {
            #expect(answer(lines).result == .malformed, "\(lines)")
        }
        let bytes = Array((Self.request.joined(separator: "\r\n") + "\r\n\r\n").utf8)
        for length in 0..<bytes.count {
            let result = answer(Array(bytes[..<length])).result
            #expect(result == (length < 8 ? .notOptions : .malformed), "cut at \(length)")
        }
    }

    @Test("what is not done, what is not OPTIONS, and what does not fit")
    func others() {
        #expect(answer(request("Max", "Require: 100rel")).result == .unsupported)
        #expect(answer(request("Via", "Via: SIP/2.0/UDP h;maddr=224.0.1.75")).result == .unsupported)
        #expect(answer(["INVITE sip:e SIP/2.0"] + Self.request.dropFirst()).result == .notOptions)
        #expect(answer(["SIP/2.0 200 OK"] + Self.request.dropFirst()).result == .notOptions)
        #expect(answer(["options sip:e SIP/2.0"] + Self.request.dropFirst()).result == .notOptions)
        #expect(answer([0x0d, 0x0a, 0x0d, 0x0a]).result == .notOptions)
        guard case .answer(let length, _) = answer(Self.request).result else {
            Issue.record("no answer")
            return
        }
        for room in 0..<length { #expect(answer(Self.request, room: room).result == .tooLong) }
        #expect(answer(Self.request, room: length).result == .answer(length, port: 5062))
    }
}

@Suite struct SIPMethodTests {
    @Test(arguments: [
        ("REGISTER sip:e SIP/2.0", SIPMethod.register), ("ACK a", .ack), ("SIP/2.0 200 OK", .response),
        ("\r\n\r\n", .keepalive),
        ("\0\0", .keepalive), ("", .keepalive), ("FOO a", .other), ("INVITE", .other), ("\u{1}", .other),
        ("invite a", .other),
        ("OPTIONS ", .options), ("UPDATE s", .update),
    ])
    func told(_ text: String, _ method: SIPMethod) {
        #expect(Array(text.utf8).withUnsafeBytes { SIPMethod(of: $0) } == method)
    }

    @Test func names() {
        #expect(SIPMethod.allCases.map(\.name).prefix(3) == ["register", "invite", "ack"])
        #expect(SIPMethod.allCases.enumerated().allSatisfy { Int($1.rawValue) == $0 })
    }
}
