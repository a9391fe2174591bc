// SPDX-License-Identifier: Apache-2.0

/// What a SIP message is, by its first bytes: for counts, so without a look at the rest.
public enum SIPMethod: UInt8, CaseIterable, Hashable, Sendable {
    case register, invite, ack, bye, cancel, options, prack, subscribe, notify, publish, info, refer, message, update
    /// A response, whatever its status.
    case response
    /// No more than CR, LF, SP, TAB and NUL.
    case keepalive
    /// Another method, or no SIP.
    case other

    /// For programs: `invite`, `response`.
    public var name: String { "\(self)" }

    /// Allocates nothing. Methods are compared as they are: RFC 3261 section 7.1 has them in capitals.
    public init(of payload: UnsafeRawBufferPointer) {
        guard payload.contains(where: { $0 > 0x20 || ($0 != 0 && $0 < 0x20 && !Self.isBlank($0)) }) else {
            self = .keepalive
            return
        }
        self = .other
        for (word, method) in Self.words where payload.begins(with: word) { self = method }
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x0a || byte == 0x0d || byte == 0x09 }

    private static let words: [(StaticString, SIPMethod)] = [
        ("REGISTER ", .register), ("INVITE ", .invite), ("ACK ", .ack), ("BYE ", .bye), ("CANCEL ", .cancel),
        ("OPTIONS ", .options), ("PRACK ", .prack), ("SUBSCRIBE ", .subscribe), ("NOTIFY ", .notify),
        ("PUBLISH ", .publish), ("INFO ", .info), ("REFER ", .refer), ("MESSAGE ", .message), ("UPDATE ", .update),
        ("SIP/", .response),
    ]
}
