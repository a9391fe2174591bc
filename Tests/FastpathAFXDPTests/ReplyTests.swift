// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab
import Testing

@testable import FastpathAFXDP

/// Answers in place, by frames alone: no root, no sockets.
@Suite struct ReplyTests {
    private static let local = Endpoint(mac: MACAddress(of: 0xc000_0209), address: 0xc000_0209, port: 40_000)
    private static let server = Endpoint(mac: MACAddress(of: 0xc000_0201), address: 0xc000_0201, port: 5060)
    private static let request = Frame.udp(from: local, to: server, payload: Array("OPTIONS".utf8))

    private func parse(_ frame: [UInt8], checks: Bool = true) throws -> Datagram {
        guard case .datagram(let datagram) = frame.withUnsafeBytes({ Datagram.parse($0, checks: checks) }) else {
            struct NotOne: Error {}
            throw NotOne()
        }
        return datagram
    }

    private func reply(to request: [UInt8], _ payload: [UInt8], port: UInt16? = nil) throws -> [UInt8] {
        let datagram = try parse(request, checks: false)
        // What was in the frame before must not shine through.
        var reply = [UInt8](repeating: 0xa5, count: datagram.replyHeaderLength) + payload
        request.withUnsafeBytes { request in
            reply.withUnsafeMutableBytes {
                datagram.writeReplyHeaders(to: $0, request: request, payloadLength: payload.count, port: port)
            }
        }
        return reply
    }

    @Test("addresses and ports are exchanged, checksums right, for every length of a payload", arguments: [nil, 5061])
    func ipv4(_ port: UInt16?) throws {
        for length in 1...64 {
            let payload = (0..<length).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            let frame = try reply(to: Self.request, payload, port: port)
            let answer = try parse(frame)
            #expect(
                Array(frame[0..<6]) == Array(Self.request[6..<12]) && Array(frame[6..<12]) == Array(Self.request[0..<6])
            )
            #expect(answer.source.high == 0xc000_0201 && answer.destination.high == 0xc000_0209)
            #expect(answer.sourcePort == 5060 && answer.destinationPort == port ?? 40_000)
            #expect(!answer.isChecksumPartial && answer.hopLimit == 64)
            #expect(Array(frame[answer.payload...]) == payload && answer.payloadLength == length)
        }
    }

    @Test("tags of VLANs stay, options of IP do not")
    func tagsAndOptions() throws {
        var tagged = Self.request
        tagged.insert(contentsOf: [0x81, 0x00, 0x20, 0x07], at: 12)
        let answer = try reply(to: tagged, [1, 2, 3])
        #expect(Array(answer[12..<18]) == [0x81, 0x00, 0x20, 0x07, 0x08, 0x00])
        #expect(try parse(answer).payloadLength == 3)

        var long = Self.request
        long.insert(contentsOf: [1, 1, 1, 1], at: 34)
        long[14] = 0x46
        long[17] += 4
        let short = try reply(to: long, [1, 2, 3])
        #expect(short[14] == 0x45 && short.count == 14 + 20 + 8 + 3)
        #expect(try parse(short).destination.high == 0xc000_0209)
    }

    @Test func ipv6() throws {
        let source: [UInt8] = [0x20, 0x01, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [9]
        let destination: [UInt8] = [0x20, 0x01, 0x0d, 0xb8] + Array(repeating: 0, count: 11) + [1]
        let head = Array(Self.request[0..<12]) + [0x86, 0xdd, 0x60, 0, 0, 0, 0, 12, 17, 9]
        let request = head + source + destination + [0x9c, 0x40, 0x13, 0xc4, 0, 12, 0, 0, 1, 2, 3, 4]
        let answer = try parse(reply(to: request, [7, 8, 9]))
        #expect(answer.source.prefix == (try IPPrefix("2001:db8::1")) && answer.sourcePort == 5060)
        #expect(answer.destination.prefix == (try IPPrefix("2001:db8::9")) && answer.destinationPort == 40_000)
        #expect(answer.payloadLength == 3 && answer.hopLimit == 64)
        #expect(try isAnswerable(request))
    }

    private func isAnswerable(_ frame: [UInt8]) throws -> Bool {
        let datagram = try parse(frame, checks: false)
        return frame.withUnsafeBytes { datagram.isAnswerable($0) }
    }

    @Test("nothing answers what was sent to many, or by nobody")
    func answerable() throws {
        #expect(try isAnswerable(Self.request))
        let changes: [(Int, [UInt8])] = [
            // Ethernet: all, a group, a group asks.
            (0, [0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), (0, [0x01]), (6, [0x03]),
            (26, [0, 0, 0, 0]), (26, [255, 255, 255, 255]), (26, [224, 0, 1, 75]),  // the source
            (30, [255, 255, 255, 255]), (30, [224, 0, 1, 75]), (34, [0, 0]),  // the destination; port 0
        ]
        for (place, bytes) in changes {
            var frame = Self.request
            frame.replaceSubrange(place..<place + bytes.count, with: bytes)
            #expect(try !isAnswerable(frame), "\(place): \(bytes)")
        }
    }
}
