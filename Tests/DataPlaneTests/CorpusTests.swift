// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Support
import Testing

/// Profile `carrier` before real traffic: no good message is dropped, no evasion passes. Needs root.
@Suite(.serialized) struct CorpusTests {
    static let goodMessages = corpus("good")
    static let evasions = corpus("evasions")

    private static func corpus(_ name: String) -> [NamedPayload] {
        do {
            return try NamedPayload.read(path: fixturePath(name))
        } catch {
            preconditionFailure("\(error)")
        }
    }

    /// The ways a payload may come: as it is, behind VLAN tags, by IPv6, behind extension headers.
    private func frames(_ payload: NamedPayload) -> [[UInt8]] {
        let ipv4 = sipFrame(payload.bytes)
        let ipv6 = sipFrame6(payload.bytes)
        let tag: [UInt8] = [0x81, 0, 0, 100]
        let options: [UInt8] = [17, 0, 1, 4, 0, 0, 0, 0]
        let destination: [UInt8] = [60, 0, 1, 4, 0, 0, 0, 0]
        return [
            ipv4, ipv6, Array(ipv4[..<12]) + tag + ipv4[12...], Array(ipv4[..<12]) + tag + tag + ipv4[12...],
            Array(ipv6[..<12]) + tag + ipv6[12...], sipFrame6(payload.bytes, first: 60, extensions: options),
            sipFrame6(payload.bytes, first: 0, extensions: destination + options),
        ]
    }

    private func twin(hasSocket: Bool = false) throws -> Twin {
        var row = FrameRow(name: "corpus")
        row.settings = .carrier
        row.hasSocket = hasSocket
        return try Twin(row)
    }

    @Test("no good message is dropped", arguments: goodMessages)
    func goodMessage(_ payload: NamedPayload) throws {
        for hasSocket in [false, true] {
            let twin = try twin(hasSocket: hasSocket)
            for frame in frames(payload) {
                let wanted = hasSocket ? Reason.redirected : .passed
                #expect(twin.reference.judge(frame).reason == wanted)
                try twin.expect(wanted, of: frame)
                try twin.expect(wanted, of: frame, linear: min(frame.count, 80))
            }
        }
    }

    @Test("no evasion passes", arguments: evasions)
    func evasion(_ payload: NamedPayload) throws {
        let twin = try twin()
        for frame in frames(payload) {
            #expect(try twin.agree(on: frame).reason.verdict == .drop)
            try twin.agree(on: frame, linear: min(frame.count, 80))
        }
    }

    @Test("the corpora are what they say: classic drops some of the good, and passes some of the evasions")
    func control() throws {
        let twin = try Twin(FrameRow(name: "classic"))
        let dropped = Self.goodMessages.filter { twin.reference.judge(sipFrame($0.bytes)).reason.verdict == .drop }
        let passed = Self.evasions.filter { twin.reference.judge(sipFrame($0.bytes)).reason.verdict != .drop }
        #expect(dropped.count >= 10 && passed.count >= 10)
        for payload in Self.goodMessages + Self.evasions {
            try twin.agree(on: sipFrame(payload.bytes))
        }
    }
}
