// SPDX-License-Identifier: Apache-2.0
import CFastpathABI

/// The rules of the packet program once more, in plain Swift and written for the reader: the oracle that every
/// packet test compares the loaded program with. Its state is the limits'.
public struct ReferenceFilter: Sendable {
    public var settings: FilterSettings
    /// Sources in `blocked_ips`, host byte order.
    public var blocked: Set<UInt32>
    /// Sources in `allowed_ips`, host byte order.
    public var allowed: Set<UInt32>
    /// The policy table. Changes without an expiry are no entries.
    public var policy: [PolicyTableChange]
    /// Does `xsks_map` hold a socket for the receive queue?
    public var hasSocket: Bool
    /// What the one who reads that socket has registered; nil: nothing.
    public var consumer: RegisteredConsumer?
    /// The boot-time clock, in microseconds.
    public var now: UInt64 = 0

    private var limits = ReferenceLimits()

    /// What becomes of a frame.
    public struct Judgement: Hashable, Sendable {
        public var reason: Reason
        /// The first rule in dry run that would have dropped it.
        public var wouldBe: Reason?
        /// The switch that is off, so that it is none of the filter's business, and it is SIP all the same.
        public var unfiltered: FilterSwitch?
        /// Why the consumer of the queue's socket did not get it.
        public var refusal: RegisteredConsumer.Refusal?

        public init(
            _ reason: Reason, wouldBe: Reason? = nil, unfiltered: FilterSwitch? = nil,
            refusal: RegisteredConsumer.Refusal? = nil
        ) {
            self.reason = reason
            self.wouldBe = wouldBe
            self.unfiltered = unfiltered
            self.refusal = refusal
        }
    }

    public init(
        settings: FilterSettings = .classic, blocked: Set<UInt32> = [], allowed: Set<UInt32> = [],
        policy: [PolicyTableChange] = [], hasSocket: Bool = false
    ) {
        self.settings = settings
        self.blocked = blocked
        self.allowed = allowed
        self.policy = policy
        self.hasSocket = hasSocket
    }

    /// What becomes of an Ethernet frame, and why. Counts it where there are limits.
    public mutating func judge(_ frame: some RandomAccessCollection<UInt8>) -> Judgement {
        let parsed = ParsedFrame(ethernet: Array(frame), settings)
        var judgement = Judgement(.ignored)
        switch parsed {
        case .other(let off): judgement.unfiltered = off
        case .fragment(let source):
            if settings.isOn(.fragments), isBlocked(source), drops(.blocked, &judgement) { judgement.reason = .blocked }
        case .excessive(let source):
            if isBlocked(source), drops(.blocked, &judgement) {
                judgement.reason = .blocked
            } else if settings.isOn(.evasion), drops(.malformed, &judgement) {
                judgement.reason = .malformed
            }
        case .datagram(let datagram):
            judgement.reason = judge(datagram, &judgement)
            if judgement.reason == .redirected, settings.isOn(.consumers), let consumer {
                judgement.refusal = consumer.refusal(of: datagram.destination, length: frame.count, now: now)
                if judgement.refusal != nil { judgement.reason = .passed }
            }
        }
        return judgement
    }

    /// Is a packet dropped that a rule finds guilty? In dry run the first such rule is remembered instead.
    private func drops(_ rule: Reason, _ judgement: inout Judgement) -> Bool {
        guard settings.dryRun.contains(rule) else { return true }
        judgement.wouldBe = judgement.wouldBe ?? rule
        return false
    }

    private mutating func judge(_ datagram: SIPDatagram, _ judgement: inout Judgement) -> Reason {
        let source = datagram.source
        if isBlocked(source), drops(.blocked, &judgement) { return .blocked }
        if !kinds(of: source).contains(.trust) {
            if settings.isOn(.evasion), datagram.sourcePort == 0, drops(.malformed, &judgement) { return .malformed }
            if let reason = reasonToDrop(datagram, &judgement) { return reason }
            if !isAllowed(source), let requests = requestClass(of: datagram),
                limits.isExceeded(by: source, requests, now: now, settings), drops(.rateLimited, &judgement)
            {
                return .rateLimited
            }
        }
        let waitsForOthers = settings.isOn(.fragments) && datagram.isFragment
        return hasSocket && !waitsForOthers ? .redirected : .passed
    }

    /// Of all live entries of the policy table that cover it.
    private func kinds(of source: SourceAddress) -> PolicyKinds {
        guard settings.isOn(.policy) else { return [] }
        let second = UInt32(now / 1_000_000)
        return policy.reduce(into: []) { kinds, entry in
            guard let expiry = entry.expiry, expiry.isLive(at: second), entry.prefix.covers(source.prefix) else {
                return
            }
            kinds.formUnion(entry.kind)
        }
    }

    private func isIn(_ publicMap: Set<UInt32>, _ source: SourceAddress) -> Bool {
        guard settings.hasLiveMaps, case .ipv4(let address) = source else { return false }
        return publicMap.contains(address)
    }

    private func isBlocked(_ source: SourceAddress) -> Bool {
        let kinds = kinds(of: source)
        return !kinds.contains(.trust) && (kinds.contains(.block) || isIn(blocked, source))
    }

    private func isAllowed(_ source: SourceAddress) -> Bool {
        kinds(of: source).contains(.allow) || isIn(allowed, source)
    }

    // MARK: The payload

    /// Nil where the payload is good.
    private func reasonToDrop(_ datagram: SIPDatagram, _ judgement: inout Judgement) -> Reason? {
        switch startLine(of: datagram) {
        case .none: return nil
        case .hidden: return drops(.malformed, &judgement) ? .malformed : nil
        case .found(let payload):
            if begins(payload, with: Self.options), !isAllowed(datagram.source), drops(.optionsDropped, &judgement) {
                return .optionsDropped
            }
            return isMalformed(payload) && drops(.malformed, &judgement) ? .malformed : nil
        }
    }

    /// What the rules look at.
    private enum StartLine {
        /// Nothing: a keepalive, or too short.
        case none
        /// Somebody hides it.
        case hidden
        case found(ArraySlice<UInt8>)
    }

    private func startLine(of datagram: SIPDatagram) -> StartLine {
        var payload = datagram.payload
        let cutsMethod = settings.isOn(.evasion) && datagram.isFragment
        if payload.count < Self.options.count { return cutsMethod ? .hidden : .none }

        if settings.isOn(.keepalives), Self.isSTUN(payload) { return .none }
        let blanks = payload.prefix(while: Self.blanks.contains).count
        let isAllBlank = blanks == payload.count && blanks <= Int(FASTPATH_BLANK_LIMIT)
        if settings.isOn(.keepalives), isAllBlank, !cutsMethod { return .none }
        if settings.isOn(.evasion) {
            if blanks > Int(FASTPATH_BLANK_LIMIT) { return .hidden }
            payload = payload.dropFirst(blanks)
            if payload.count < Self.options.count { return cutsMethod ? .hidden : .none }
        }
        return .found(payload)
    }

    private func isMalformed(_ startLine: ArraySlice<UInt8>) -> Bool {
        if startLine.count < Int(FASTPATH_SHORT_PAYLOAD) { return begins(startLine, with: Self.register) }
        return !isResponse(startLine) && !showsVersion(startLine)
    }

    private func isResponse(_ startLine: ArraySlice<UInt8>) -> Bool {
        startLine.starts(with: Self.version)
            || settings.isOn(.versions) && Self.isAnyVersion(startLine.prefix(Self.version.count))
    }

    /// Nil for a response, which has no limit.
    private func requestClass(of datagram: SIPDatagram) -> RequestClass? {
        guard case .found(let startLine) = startLine(of: datagram) else { return .other }
        if isResponse(startLine) { return nil }
        if begins(startLine, with: Self.register) { return .register }
        return begins(startLine, with: Self.invite) ? .invite : .other
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
    private static let invite = Array("INVITE ".utf8)
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
