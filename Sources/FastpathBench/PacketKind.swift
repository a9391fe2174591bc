// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathLab

/// A kind of packet whose cost is measured.
public enum PacketKind: String, CaseIterable, Hashable, Sendable {
    case notSIP = "not_sip"
    case blocked
    case optionsStranger = "options_stranger"
    case optionsAllowed = "options_allowed"
    case invite
    case register
    case response
    case keepalive
    case junkShort = "junk_short"
    case junkLong = "junk_long"
    case nearMiss = "near_miss"
    case lateVersion = "late_version"
    case shortRegister = "short_register"
    case headerOptions = "header_options"
    case cutFrame = "cut_frame"
    case shortLength = "short_length"
    case laterBuffer = "later_buffer"

    /// Who sends it.
    enum Source {
        case stranger
        case blocked
        case allowed
    }

    var source: Source {
        switch self {
        case .blocked: .blocked
        case .optionsAllowed: .allowed
        default: .stranger
        }
    }

    /// What the edge must make of it; checked in every round.
    var reason: Reason {
        switch self {
        case .notSIP, .shortLength: .ignored
        case .blocked: .blocked
        case .optionsStranger: .optionsDropped
        case .junkLong, .nearMiss, .shortRegister: .malformed
        default: .passed
        }
    }

    /// What the floor's one look-up finds: the edge's first look-up finds the same.
    public enum FloorLookup: String, Hashable, Sendable {
        case hit
        case miss
        /// It has dismissed the packet before.
        case none
    }

    public var floorLookup: FloorLookup {
        switch self {
        case .blocked: .hit
        case .notSIP: .none
        default: .miss
        }
    }

    /// The floor cannot see into later buffers at all: there is nothing to compare with.
    public var hasGoal: Bool { self != .laterBuffer }

    /// Bytes in the frame's first buffer; nil: all.
    func linear(_ frame: [UInt8]) -> Int? { self == .laterBuffer ? Frame.payloadOffset : nil }

    public var label: String {
        switch self {
        case .notSIP: "another UDP port"
        case .blocked: "blocked source"
        case .optionsStranger: "OPTIONS, stranger"
        case .optionsAllowed: "OPTIONS, allowed"
        case .invite: "INVITE"
        case .register: "REGISTER"
        case .response: "response"
        case .keepalive: "keepalive (CR LF CR LF)"
        case .junkShort: "junk, 12 bytes"
        case .junkLong: "junk, 600 bytes"
        case .nearMiss: "near misses of SIP/2.0"
        case .lateVersion: "SIP/2.0 at the last place"
        case .shortRegister: "REGISTER, cut short"
        case .headerOptions: "INVITE, 40 bytes of IP options"
        case .cutFrame: "INVITE, frame cut at 40 bytes"
        case .shortLength: "UDP length below 8"
        case .laterBuffer: "INVITE in a second buffer"
        }
    }
}

extension PacketKind {
    private static let server = Endpoint(
        mac: MACAddress(of: 0x0a62_0001), address: 0x0a62_0001, port: 5060)

    /// A frame of this kind. `source`: IPv4, host byte order. `number` makes requests differ.
    func frame(from source: UInt32, number: Int, _ random: inout SeededGenerator) -> [UInt8] {
        let server = Self.server
        let local = Endpoint(mac: MACAddress(of: source), address: source, port: 5060)
        func datagram(_ payload: [UInt8]) -> [UInt8] { Frame.udp(from: local, to: server, payload: payload) }
        func invite() -> [UInt8] { SIPRequest.invite("alice", at: server, local: local, sequence: number) }

        switch self {
        case .notSIP:
            let rtp = Endpoint(mac: server.mac, address: server.address, port: 16_384)
            return Frame.udp(from: local, to: rtp, payload: random.bytes(172))
        case .blocked, .register:
            return datagram(SIPRequest.register(to: server, local: local, sequence: number))
        case .optionsStranger, .optionsAllowed:
            return datagram(SIPRequest.options(to: server, local: local, sequence: number))
        case .invite, .laterBuffer: return datagram(invite())
        case .response: return datagram(Self.response(to: local, number))
        case .keepalive: return datagram(Array("\r\n\r\n".utf8))
        case .junkShort: return datagram(random.bytes(12))
        case .junkLong: return datagram(random.bytes(600))
        // From byte 6 on an S wherever the search probes, "SIP/" behind it, and a 1 for the 0 at the end.
        case .nearMiss: return datagram(Array(("INVITE" + String(repeating: "SIP/2.1", count: 60)).utf8))
        case .lateVersion:
            return datagram(Self.request(versionAt: FirstLine.lastVersion, from: local, to: server, number))
        case .shortRegister: return datagram(Array("REGISTER sip:x".utf8))
        case .headerOptions: return Self.withOptions(datagram(invite()))
        case .cutFrame: return Array(datagram(invite())[..<(Frame.payloadOffset + 40)])
        case .shortLength:
            var frame = datagram(invite())
            // The length in the UDP header: 7.
            frame.replaceSubrange(Frame.payloadOffset - 4..<Frame.payloadOffset - 2, with: [0, 7])
            return frame
        }
    }

    private enum FirstLine {
        /// The last place where `SIP/2.0` counts.
        static let lastVersion = 57
    }

    private static func response(to local: Endpoint, _ number: Int) -> [UInt8] {
        let request = String(decoding: SIPRequest.register(to: server, local: local, sequence: number), as: UTF8.self)
        let headers = request.drop { $0 != "\r\n" }
        return Array(("SIP/2.0 200 OK" + headers).utf8)
    }

    private static func request(versionAt place: Int, from local: Endpoint, to server: Endpoint, _ number: Int)
        -> [UInt8]
    {
        let start = "INVITE sip:", end = "@10.98.0.1 "
        let user = String(repeating: "a", count: place - start.count - end.count)
        return SIPRequest.make(
            "INVITE", uri: "sip:\(user)@10.98.0.1", local: local, sequence: number)
    }

    /// With as many IP options as fit (RFC 791: no operation); the header's checksum is not mended, for nobody looks.
    private static func withOptions(_ frame: [UInt8]) -> [UInt8] {
        let headersEnd = Frame.ethernetLength + Frame.ipv4Length
        var frame = frame
        frame[Frame.ethernetLength] = 0x4f
        let length = UInt16(frame.count - Frame.ethernetLength + 40)
        frame[Frame.ethernetLength + 2] = UInt8(length >> 8)
        frame[Frame.ethernetLength + 3] = UInt8(truncatingIfNeeded: length)
        frame.insert(contentsOf: repeatElement(1, count: 40), at: headersEnd)
        return frame
    }
}

extension SeededGenerator {
    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }
}
