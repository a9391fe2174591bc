// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// Limits of strangers: the loaded program and the reference filter, with a clock of the test's. Needs root.
@Suite(.serialized) struct LimitTests {
    private func row(_ limits: [RequestClass: String], budget: String? = nil, policy: [String] = []) throws -> FrameRow
    {
        var row = FrameRow(name: "limits")
        row.settings = .carrier
        for (requests, text) in limits {
            let limit = try #require(RateLimit(text, scope: .source))
            row.settings.limits[requests] = limit
        }
        if let budget {
            let limit = try #require(RateLimit(budget, scope: .budget))
            row.settings.budget = limit
        }
        let kinds: [Substring: PolicyKinds] = ["allow": .allow, "trust": .trust, "block": .block]
        row.policy = try policy.map { text in
            let words = text.split(separator: " ")
            return PolicyTableChange(try IPPrefix(String(words[1])), try #require(kinds[words[0]]))
        }
        return row
    }

    private func frame(_ text: String, from source: UInt32 = 0xc000_0201) -> [UInt8] {
        var frame = sipFrame(Array("\(text) sip:a@192.0.2.2 SIP/2.0\r\n".utf8))
        withUnsafeBytes(of: source.bigEndian) { frame.replaceSubrange(26..<30, with: $0) }
        return frame
    }

    /// How many of so many frames pass.
    private func passed(_ count: Int, _ frame: [UInt8], _ twin: Twin) throws -> Int {
        var passed = 0
        for _ in 0..<count where try twin.agree(on: frame).reason == .passed { passed += 1 }
        return passed
    }

    @Test("a burst, then the rate; each class by itself, each source by itself")
    func rate() throws {
        let twin = try Twin(row([.register: "2/s:5", .invite: "30/m:1"]))
        #expect(try passed(10, frame("REGISTER"), twin) == 5)
        #expect(try passed(10, frame("INVITE"), twin) == 1)
        #expect(try passed(10, frame("SUBSCRIBE"), twin) == 10, "no limit for others")
        #expect(try passed(10, frame("REGISTER", from: 0xc000_0202), twin) == 5)
        let start = twin.reference.now
        twin.setTime(start + 499_999)
        #expect(try passed(3, frame("REGISTER"), twin) == 0)
        twin.setTime(start + 500_000)
        #expect(try passed(3, frame("REGISTER"), twin) == 1)
        twin.setTime(start + 1_999_999)
        #expect(try passed(10, frame("REGISTER"), twin) == 2)
        #expect(try passed(3, frame("INVITE"), twin) == 0)
        twin.setTime(start + 2_000_000)
        #expect(try passed(3, frame("INVITE"), twin) == 1)
        // After a long silence the burst, and no more.
        twin.setTime(start + 10_000_000_000)
        #expect(try passed(20, frame("REGISTER"), twin) == 5)
    }

    @Test("as servers read it, a method in other letters is the same method")
    func evasion() throws {
        let twin = try Twin(row([.register: "1/s:2", .invite: "1/s:2", .other: "1/s:4"]))
        #expect(try passed(2, frame("register"), twin) + passed(2, frame("REGISTER"), twin) == 2)
        #expect(try passed(2, frame("\r\n\r\nINVITE"), twin) + passed(2, frame("invite\t"), twin) == 2)
        #expect(try passed(8, frame("INVITED"), twin) == 4)
    }

    @Test("trusted and allowed sources and responses have no limit; a keepalive is one of the others")
    func exempt() throws {
        let twin = try Twin(
            row(
                [.register: "1/s:1", .invite: "1/s:1", .other: "1/s:3"], budget: "1/s:100",
                policy: ["trust 192.0.2.1", "allow 198.51.100.0/24", "block 203.0.113.0/24"]))
        #expect(try passed(20, frame("INVITE"), twin) == 20)
        #expect(try passed(20, frame("INVITE", from: 0xc633_6401), twin) == 20)
        #expect(try passed(20, frame("INVITE", from: 0xcb00_7101), twin) == 0)
        var response = sipFrame(Array("SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP\r\n".utf8))
        response[29] = 9
        #expect(try passed(20, response, twin) == 20)
        var keepalive = sipFrame(Array("\r\n\r\n".utf8))
        keepalive[29] = 9
        #expect(try passed(20, keepalive, twin) == 3)
        keepalive = sipFrame([])
        keepalive[29] = 10
        #expect(try passed(20, keepalive, twin) == 3)
        // None of the exempt used up what strangers have together.
        var listed = try row([:], budget: "1/s:10")
        listed.allowed = [IPPrefix(ipv4: 0xc000_0207)]
        let other = try Twin(listed)
        #expect(try passed(20, frame("INVITE", from: 0xc000_0207), other) == 20)
        #expect(try passed(20, frame("INVITE"), other) == 10)
    }

    @Test("IPv6: a /64 is one source")
    func ipv6() throws {
        let twin = try Twin(row([.invite: "1/s:4"]))
        var frame = sipFrame6(Array("INVITE sip:a@192.0.2.2 SIP/2.0\r\n".utf8))
        var count = 0
        for host in UInt8(0)..<20 {
            frame[37] = host
            count += try passed(1, frame, twin)
        }
        #expect(count == 4)
        frame[29] = 1
        #expect(try passed(20, frame, twin) == 4)
    }

    @Test("what is dropped otherwise is not counted against a source, nor against the budget")
    func others() throws {
        let twin = try Twin(row([.other: "1/s:2"], budget: "1/s:4"))
        #expect(try passed(20, sipFrame(Array("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".utf8)), twin) == 0)
        #expect(try passed(20, frame("OPTIONS"), twin) == 0)
        #expect(try passed(20, frame("MESSAGE"), twin) == 2)
        // What a source's limit drops is not taken from the budget.
        #expect(try passed(20, frame("INVITE", from: 1), twin) == 2)
        #expect(try passed(20, frame("INVITE", from: 2), twin) == 0)
        twin.setTime(twin.reference.now + 3_000_000)
        #expect(try passed(20, frame("INVITE", from: 3), twin) == 3)
    }

    @Test("forged sources: the budget holds, however many")
    func budget() throws {
        let twin = try Twin(row([.invite: "5/s:10"], budget: "1000/s:200"))
        var count = 0
        for source in UInt32(0)..<20_000 {
            if source % 2 == 0 { twin.setTime(twin.reference.now + 20) }
            count += try passed(1, frame("INVITE", from: source &* 2_654_435_761), twin)
        }
        // 0.2 s went by: 200 at once, and one a millisecond, the last of which is just not due.
        #expect(count == 399)
    }

    @Test("in dry run nothing is dropped, and all is counted")
    func dryRun() throws {
        var row = try row([.invite: "1/s:3"])
        row.settings.dryRun = [.rateLimited]
        let twin = try Twin(row)
        #expect(try passed(10, frame("INVITE"), twin) == 10)
        let notes = try EdgeNotesReader(twin.program.program).read()
        #expect(notes.dryRun == [.rateLimited: 7])
    }

    /// 100 000 sources over their limit, in 16 384 lines of four places: a source that comes anew must have its burst. The
    /// chance that one of 20 000 has not is below 20 000 / 2^22, half a percent, and then one packet of it is missing.
    @Test("a flood from many sources takes nothing from a source that keeps its limit")
    func innocents() throws {
        var limits = try row([.invite: "1/m:2"])
        limits.now = 5_000_000_000
        let twin = try Twin(limits)
        for source in UInt32(0)..<100_000 {
            let attack = frame("INVITE", from: 0x0a00_0000 + source)
            for _ in 0..<2 { _ = try attack.withUnsafeBytes { try TestRun.run(twin.program.program, frame: $0) } }
        }
        var punished = 0
        for source in UInt32(0)..<20_000 {
            let innocent = frame("INVITE", from: 0xc612_0000 + source)
            for _ in 0..<2 {
                let result = try innocent.withUnsafeBytes { try TestRun.run(twin.program.program, frame: $0) }
                if result.action != Verdict.pass.rawValue { punished += 1 }
            }
        }
        #expect(punished <= 2)
    }

    @Test("a time of long ago is no debt: the clock's 40 bits go round after 12 days")
    func wrap() throws {
        let twin = try Twin(row([.invite: "1/h:1"]))
        for step in 0..<60 {
            twin.setTime(5_000_000_000 + UInt64(step) * 36_000_000_000)
            #expect(try passed(2, frame("INVITE"), twin) == 1, "step \(step)")
        }
    }

    @Test("random traffic at random times: no difference")
    func differential() throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("limits: seed \(seed)")
        var random = SplitMix64(state: seed)
        for _ in 0..<8 {
            let rates = ["1/s:1", "5/s:20", "100/s:10", "30/m:3", "1000/s:1"]
            var limits: [RequestClass: String] = [:]
            for requests in RequestClass.allCases where Bool.random(using: &random) {
                limits[requests] = rates.randomElement(using: &random)
            }
            let budget = [nil, "20/s:40", "3000/s:1", "50000/s:100"].randomElement(using: &random) ?? nil
            let twin = try Twin(row(limits, budget: budget, policy: ["allow 192.0.2.3", "trust 192.0.2.4"]))
            for _ in 0..<5_000 {
                twin.setTime(twin.reference.now + UInt64.random(in: 0...40_000, using: &random))
                let method =
                    ["INVITE", "REGISTER", "ACK", "OPTIONS", "SIP/2.0 200"].randomElement(using: &random) ?? ""
                try twin.agree(on: frame(method, from: 0xc000_0200 + UInt32.random(in: 0..<12, using: &random)))
            }
        }
    }
}
