// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathLab

@Suite struct FrameTests {
    private let source = Endpoint(mac: MACAddress([2, 0, 10, 98, 1, 2]), address: 0x0a62_0102, port: 5070)
    private let destination = Endpoint(mac: MACAddress([2, 0, 10, 98, 1, 1]), address: 0x0a62_0101, port: 5060)

    /// RFC 1071, section 3: the example sums to ddf2 before it is inverted.
    @Test func checksumOfTheRFC() {
        let bytes: [UInt8] = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]
        #expect(InternetChecksum.fold(InternetChecksum.sum(bytes)) == 0xddf2)
        #expect(InternetChecksum.checksum(InternetChecksum.sum(bytes)) == 0x220d)
    }

    @Test func oddLastByteIsTheHighHalfOfAWord() {
        #expect(InternetChecksum.sum([0x12]) == 0x1200)
        #expect(InternetChecksum.sum([0x00, 0x01, 0x80]) == 0x8001)
    }

    @Test func headersAreWhereTheyBelong() {
        let frame = Frame.udp(from: source, to: destination, payload: Array("hello".utf8))
        #expect(Array(frame[0..<14]) == [2, 0, 10, 98, 1, 1, 2, 0, 10, 98, 1, 2, 0x08, 0x00])
        #expect(Array(frame[14..<24]) == [0x45, 0, 0, 33, 0, 0, 0x40, 0, 64, 17])
        #expect(Array(frame[26..<34]) == [10, 98, 1, 2, 10, 98, 1, 1])
        #expect(Array(frame[34..<40]) == [0x13, 0xce, 0x13, 0xc4, 0, 13])
        #expect(Array(frame[Frame.payloadOffset...]) == Array("hello".utf8))
    }

    @Test(arguments: [0, 1, 2, 5, 500]) func checksumsAreRight(length: Int) {
        let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 * 37 + 11) }
        let frame = Frame.udp(from: source, to: destination, payload: payload)
        // With its checksum, a header sums to ffff.
        #expect(InternetChecksum.fold(InternetChecksum.sum(frame[14..<34])) == 0xffff)
        let pseudoHeader = Array(frame[26..<34]) + [0, 17] + Array(frame[38..<40])
        #expect(
            InternetChecksum.fold(InternetChecksum.sum(pseudoHeader) + InternetChecksum.sum(frame[34...])) == 0xffff)
    }

    @Test func checksumOfZeroIsSentAsOnes() {
        // The payload that makes the sum ffff: its checksum would be 0, which means that there is none.
        let empty = Frame.udp(from: source, to: destination, payload: [0, 0])
        let checksum = Array(empty[40..<42])
        let frame = Frame.udp(from: source, to: destination, payload: checksum)
        #expect(Array(frame[40..<42]) == [0xff, 0xff])
    }

    @Test func macAddressOfAnAddress() {
        #expect("\(MACAddress(of: 0x0a63_0001))" == "02:00:0a:63:00:01")
    }

    @Test func requestsAreWellFormed() throws {
        let register = String(decoding: SIPRequest.register(to: destination, local: source, sequence: 7), as: UTF8.self)
        #expect(register.hasPrefix("REGISTER sip:10.98.1.1 SIP/2.0\r\n"))
        #expect(register.hasSuffix("Content-Length: 0\r\n\r\n"))
        let invite = String(
            decoding: SIPRequest.invite("bob", at: destination, local: source, sequence: 7), as: UTF8.self)
        #expect(invite.hasPrefix("INVITE sip:bob@10.98.1.1 SIP/2.0\r\n"))
        let parts = invite.split(separator: "\r\n\r\n", maxSplits: 1)
        #expect(parts.count == 2)
        #expect(invite.contains("Content-Length: \(try #require(parts.last).utf8.count)\r\n"))
    }

    @Test func paddingKeepsTheMessage() throws {
        let request = SIPRequest.options(to: destination, local: source, sequence: 1)
        let padded = try #require(SIPRequest.padded(request, to: request.count + 30))
        #expect(padded.count == request.count + 30)
        #expect(String(decoding: padded, as: UTF8.self).contains("\r\nX-Pad: xxxxxxxxxxxxxxxxxxxxx\r\n\r\n"))
        #expect(SIPRequest.padded(request, to: request.count) == request)
        #expect(SIPRequest.padded(request, to: request.count + 9) == nil)
    }

    @Test func segmentedMixIsTenOfOneLength() {
        let payloads = SegmentedMix.payloads(to: destination, local: source)
        #expect(payloads.count == 10)
        #expect(Set(payloads.map(\.count)).count == 1)
        #expect(payloads.map { $0.starts(with: Array("REGISTER ".utf8)) } == [true] + Array(repeating: false, count: 9))
    }

    @Test func branchStampLiesInTheBranch() throws {
        let request = SIPRequest.invite("bob", at: destination, local: source, sequence: 1_000_000_000)
        let stamp = try #require(SIPRequest.branchStamp(request))
        #expect(stamp % 2 == 0)
        var stamped = request
        stamped.replaceSubrange(stamp..<stamp + 8, with: Array("ABCDEFGH".utf8))
        #expect(String(decoding: stamped, as: UTF8.self).firstMatch(of: /branch=z9hG4bK-INVITE-\d*ABCDEFGH\d*;/) != nil)
    }
}
