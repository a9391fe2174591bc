// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// The rules of the packet program once more, in plain Swift and written for the reader: the oracle that every
/// packet test compares the loaded program with.
public struct ReferenceFilter: Sendable {
    public var settings: FilterSettings
    /// Sources in `blocked_ips`, host byte order.
    public var blocked: Set<UInt32>
    /// Sources in `allowed_ips`, host byte order.
    public var allowed: Set<UInt32>
    /// Does `xsks_map` hold a socket for the receive queue?
    public var hasSocket: Bool

    public init(
        settings: FilterSettings = .classic, blocked: Set<UInt32> = [], allowed: Set<UInt32> = [],
        hasSocket: Bool = false
    ) {
        self.settings = settings
        self.blocked = blocked
        self.allowed = allowed
        self.hasSocket = hasSocket
    }

    /// What becomes of an Ethernet frame, and why.
    public func judge(_ frame: some RandomAccessCollection<UInt8>) -> Reason {
        switch ParsedFrame(ethernet: Array(frame), settings) {
        case .other: .ignored
        case .fragment(let source): settings.isOn(.fragments) && isBlocked(source) ? .blocked : .ignored
        case .excessive(let source):
            isBlocked(source) ? .blocked : settings.isOn(.evasion) ? .malformed : .ignored
        case .datagram(let datagram): judge(datagram)
        }
    }

    private func judge(_ datagram: SIPDatagram) -> Reason {
        if isBlocked(datagram.source) { return .blocked }
        if settings.isOn(.evasion), datagram.sourcePort == 0 { return .malformed }
        if let reason = reasonToDrop(datagram) { return reason }
        let waitsForOthers = settings.isOn(.fragments) && datagram.isFragment
        return hasSocket && !waitsForOthers ? .redirected : .passed
    }

    private func isBlocked(_ source: SourceAddress) -> Bool {
        if case .ipv4(let address) = source { blocked.contains(address) } else { false }
    }

    private func isAllowed(_ source: SourceAddress) -> Bool {
        if case .ipv4(let address) = source { allowed.contains(address) } else { false }
    }

    // MARK: The payload

    /// Nil where the payload is good.
    private func reasonToDrop(_ datagram: SIPDatagram) -> Reason? {
        var payload = datagram.payload
        let cutsMethod = settings.isOn(.evasion) && datagram.isFragment
        if payload.count < Self.options.count { return cutsMethod ? .malformed : nil }

        if settings.isOn(.keepalives), Self.isSTUN(payload) { return nil }
        let blanks = payload.prefix(while: Self.blanks.contains).count
        let isAllBlank = blanks == payload.count && blanks <= Int(FASTPATH_BLANK_LIMIT)
        if settings.isOn(.keepalives), isAllBlank, !cutsMethod { return nil }
        if settings.isOn(.evasion) {
            if blanks > Int(FASTPATH_BLANK_LIMIT) { return .malformed }
            payload = payload.dropFirst(blanks)
            if payload.count < Self.options.count { return cutsMethod ? .malformed : nil }
        }
        return reasonToDrop(startLine: payload, of: datagram.source)
    }

    private func reasonToDrop(startLine payload: ArraySlice<UInt8>, of source: SourceAddress) -> Reason? {
        if begins(payload, with: Self.options), !isAllowed(source) { return .optionsDropped }
        let startsAsResponse =
            payload.starts(with: Self.version)
            || settings.isOn(.versions) && Self.isAnyVersion(payload.prefix(Self.version.count))
        let isShort = payload.count < Int(FASTPATH_SHORT_PAYLOAD)
        if isShort { return begins(payload, with: Self.register) ? .malformed : nil }
        return startsAsResponse || showsVersion(payload) ? nil : .malformed
    }

    /// Is the method there, with the blank behind it? As servers read it, where evasion is looked for.
    private func begins(_ payload: ArraySlice<UInt8>, with method: [UInt8]) -> Bool {
        guard settings.isOn(.evasion) else { return payload.starts(with: method) }
        guard payload.count >= method.count else { return false }
        let word = payload.prefix(method.count)
        func upper(_ byte: UInt8) -> UInt8 { (0x61...0x7a).contains(byte) ? byte - 0x20 : byte }
        return word.dropLast().map(upper) == method.dropLast() && [0x20, 0x09].contains(word.last)
    }

    private func showsVersion(_ payload: ArraySlice<UInt8>) -> Bool {
        let lineFeed = UInt8(ascii: "\n")
        var place = payload.prefix(Int(FASTPATH_WINDOW_LENGTH))
        if settings.isOn(.firstLine) {
            place = payload.prefix(settings.firstLineLimit).prefix { $0 != lineFeed }
        }
        if Self.contains(Self.version, in: place) { return true }
        guard settings.isOn(.versions) else { return false }

        // Another version counts where a request line has it: at its end, which must be in sight.
        let limit = settings.isOn(.firstLine) ? settings.firstLineLimit : Int(FASTPATH_WINDOW_LENGTH)
        var line = payload.prefix(limit).prefix { $0 != lineFeed }
        guard line.count < limit || payload.count == limit else { return false }
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        return Self.isAnyVersion(line.suffix(Self.version.count))
    }

    private static let options = Array("OPTIONS ".utf8)
    private static let register = Array("REGISTER ".utf8)
    private static let version = Array("SIP/2.0".utf8)
    private static let blanks = Array("\r\n \t\0".utf8)

    private static func contains(_ needle: [UInt8], in haystack: ArraySlice<UInt8>) -> Bool {
        haystack.indices.contains { haystack[$0...].starts(with: needle) }
    }

    /// `SIP/x.y` with a digit each.
    private static func isAnyVersion(_ bytes: ArraySlice<UInt8>) -> Bool {
        let digits = UInt8(ascii: "0")...UInt8(ascii: "9")
        let word = Array(bytes)
        return word.count == version.count && word.starts(with: version.prefix(4)) && digits.contains(word[4])
            && word[5] == version[5] && digits.contains(word[6])
    }

    /// RFC 8489 section 5: a length of what follows the header, and the magic cookie.
    private static func isSTUN(_ payload: ArraySlice<UInt8>) -> Bool {
        let bytes = Array(payload.prefix(20))
        return bytes.count == 20 && bytes[0] & 0xc0 == 0 && bytes[4..<8] == [0x21, 0x12, 0xa4, 0x42]
            && Int(bytes[2]) << 8 | Int(bytes[3]) == payload.count - 20
    }
}
