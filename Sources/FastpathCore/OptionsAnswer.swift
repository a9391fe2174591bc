// SPDX-License-Identifier: Apache-2.0

/// The answer to OPTIONS outside of dialogs: 200, which says that somebody is here (RFC 3261 section 11.2). Without state:
/// the same request gets the same answer (section 8.2.7). Nothing is allocated.
public struct OptionsAnswer: Sendable {
    /// What became of a request.
    public enum Result: Hashable, Sendable {
        /// So many bytes were written, for this port of the source.
        case answer(Int, port: UInt16)
        /// Another method, or no request.
        case notOptions
        /// OPTIONS that is not well-formed.
        case malformed
        /// OPTIONS that asks for what is not done: an extension (Require), an answer to elsewhere (maddr).
        case unsupported
        /// The answer does not fit.
        case tooLong
    }

    /// Makes tags that nobody foresees.
    private let secret: UInt64

    public init(secret: UInt64) { self.secret = secret }

    /// Writes the answer to `request`, which came from `source`, into `room`.
    public func write(
        to request: UnsafeRawBufferPointer, from source: UDPEndpoint, into room: UnsafeMutableRawBufferPointer
    ) -> Result {
        guard SIPMethod(of: request) == .options || isOptionsBehindEmptyLines(request) else { return .notOptions }
        guard let headers = SIPRequestHeaders(request), let top = headers.value(.via),
            let via = TopVia(headers, top)
        else { return .malformed }
        if headers.requires || via.hasMulticastAddress { return .unsupported }
        var writer = ByteWriter(room)
        writer.add("SIP/2.0 200 OK\r\n")
        var isTop = true
        for index in 0..<headers.count {
            let (field, line, value) = headers[index]
            switch field {
            case .via where isTop:
                isTop = false
                writer.add("Via: ")
                via.write(headers, from: source, rest: value.upperBound, to: &writer)
            case .to where !headers.hasTag(value):
                writer.add(request, line)
                writer.add(";tag=")
                writer.addHexadecimal(tag(headers))
            default: writer.add(request, line)
            }
            writer.add("\r\n")
        }
        writer.add("Allow: OPTIONS\r\nContent-Length: 0\r\n\r\n")
        guard !writer.isFull else { return .tooLong }
        return .answer(writer.count, port: via.hasResponsePort ? source.port : via.port)
    }

    private func isOptionsBehindEmptyLines(_ request: UnsafeRawBufferPointer) -> Bool {
        guard let start = request.firstIndex(where: { $0 != 0x0d && $0 != 0x0a }) else { return false }
        return SIPMethod(of: UnsafeRawBufferPointer(rebasing: request[start...])) == .options
    }

    /// Of what makes requests different (FNV-1a with a secret start, mixed as SplitMix64 does).
    private func tag(_ headers: SIPRequestHeaders) -> UInt64 {
        var hash = secret ^ 0xcbf2_9ce4_8422_2325
        for index in 0..<headers.count where headers[index].field != .via && headers[index].field != .to {
            for place in headers[index].value { hash = (hash ^ UInt64(headers.bytes[place])) &* 0x100_0000_01b3 }
        }
        hash = (hash ^ (hash >> 30)) &* 0xbf58_476d_1ce4_e5b9
        hash = (hash ^ (hash >> 27)) &* 0x94d0_49bb_1331_11eb
        return hash ^ (hash >> 31)
    }
}

/// The topmost value of Via: who sent the request, and where the answer goes (RFC 3261 section 18.2, RFC 3581).
private struct TopVia {
    /// The protocol, the address and the port, as they stand there.
    private var sentBy: Range<Int>
    /// The address alone.
    private var host: Range<Int>
    /// From the first semicolon on, up to the next value's comma or the field's end.
    private var parameters: Range<Int>
    /// 5060 where none is named.
    var port: UInt16 = 5060
    /// Does the sender ask for the answer at the port that it sends from (RFC 3581)?
    var hasResponsePort = false
    var hasMulticastAddress = false

    /// `SIP/2.0/UDP host[:port][;name[=value]]…`; nil for anything else.
    init?(_ headers: SIPRequestHeaders, _ value: Range<Int>) {
        let bytes = headers.bytes
        var place = value.lowerBound
        func skipBlanks() { while place < value.upperBound, SIPRequestHeaders.isBlank(bytes[place]) { place += 1 } }
        func word() -> Range<Int> {
            skipBlanks()
            let start = place
            while place < value.upperBound, bytes[place] > 0x20, !",;:/".utf8.contains(bytes[place]) { place += 1 }
            defer { skipBlanks() }
            return start..<place
        }
        func takes(_ byte: UInt8) -> Bool {
            guard place < value.upperBound, bytes[place] == byte else { return false }
            place += 1
            return true
        }
        guard bytes.isWord("sip", word()), takes(0x2f), bytes.isWord("2.0", word()), takes(0x2f),
            bytes.isWord("udp", word())
        else { return nil }
        skipBlanks()
        let start = place
        if takes(0x5b) {
            while place < value.upperBound, bytes[place] != 0x5d { place += 1 }
            guard takes(0x5d) else { return nil }
            host = start..<place
            skipBlanks()
        } else {
            host = word()
        }
        guard !host.isEmpty else { return nil }
        if takes(0x3a) {
            let digits = word()
            guard let number = Self.port(bytes, digits) else { return nil }
            port = number
        }
        sentBy = value.lowerBound..<place
        guard place == value.upperBound || bytes[place] == 0x3b || bytes[place] == 0x2c else { return nil }
        var end = place
        var isQuoted = false
        while end < value.upperBound, isQuoted || bytes[end] != 0x2c {
            if bytes[end] == 0x22 { isQuoted.toggle() } else if isQuoted, bytes[end] == 0x5c { end += 1 }
            end += 1
        }
        guard !isQuoted, end <= value.upperBound else { return nil }
        parameters = place..<end
        forEachParameter(headers) { name, _ in
            if bytes.isWord("rport", name) { hasResponsePort = true }
            if bytes.isWord("maddr", name) { hasMulticastAddress = true }
        }
    }

    private static func port(_ bytes: UnsafeRawBufferPointer, _ digits: Range<Int>) -> UInt16? {
        guard (1...5).contains(digits.count) else { return nil }
        var number = 0
        for place in digits {
            guard bytes[place] >= 0x30, bytes[place] <= 0x39 else { return nil }
            number = number * 10 + Int(bytes[place] - 0x30)
        }
        return number == 0 ? nil : UInt16(exactly: number)
    }

    /// `body` gets each name, and the whole parameter without its semicolon.
    private func forEachParameter(_ headers: SIPRequestHeaders, _ body: (Range<Int>, Range<Int>) -> Void) {
        let bytes = headers.bytes
        var place = parameters.lowerBound
        while place < parameters.upperBound {
            let start = place + 1
            place = start
            var isQuoted = false
            while place < parameters.upperBound, isQuoted || bytes[place] != 0x3b {
                if bytes[place] == 0x22 { isQuoted.toggle() } else if isQuoted, bytes[place] == 0x5c { place += 1 }
                place += 1
            }
            place = min(place, parameters.upperBound)
            let whole = headers.trimmed(start..<place)
            let end = whole.first { bytes[$0] == 0x3d || bytes[$0] <= 0x20 } ?? whole.upperBound
            body(whole.lowerBound..<end, whole)
        }
    }

    /// With the address that the request came from, where it asks for that or named another one, and with the port, where
    /// it asks for that. `rest`: the end of the field's value.
    func write(_ headers: SIPRequestHeaders, from source: UDPEndpoint, rest: Int, to writer: inout ByteWriter) {
        let bytes = headers.bytes
        writer.add(bytes, headers.trimmed(sentBy))
        forEachParameter(headers) { name, whole in
            // What a client says of itself here is not so until a server has seen it.
            if bytes.isWord("received", name) { return }
            writer.add(";")
            if bytes.isWord("rport", name) {
                writer.add("rport=")
                writer.add(number: UInt32(source.port))
            } else {
                writer.add(bytes, whole)
            }
        }
        let before = writer.count
        writer.add(";received=")
        let start = writer.count
        writer.add(source.address)
        if !hasResponsePort, writer.isSame(start..<writer.count, bytes, host) { writer.count = before }
        writer.add(bytes, parameters.upperBound..<rest)
    }
}

/// Writes into memory of others, as far as it goes.
struct ByteWriter {
    private let room: UnsafeMutableRawBufferPointer
    var count = 0
    /// Something did not fit.
    private(set) var isFull = false

    init(_ room: UnsafeMutableRawBufferPointer) { self.room = room }

    mutating func add(byte: UInt8) {
        guard count < room.count else {
            isFull = true
            return
        }
        room[count] = byte
        count += 1
    }

    mutating func add(_ text: StaticString) {
        for index in 0..<text.utf8CodeUnitCount { add(byte: text.utf8Start[index]) }
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) {
        for place in range { add(byte: bytes[place]) }
    }

    mutating func add(number: UInt32) {
        if number >= 10 { add(number: number / 10) }
        add(byte: UInt8(0x30 + number % 10))
    }

    mutating func addHexadecimal(_ number: UInt64, digits: Int = 16) {
        for digit in (0..<digits).reversed() {
            let value = UInt8(truncatingIfNeeded: number >> UInt64(4 * digit)) & 15
            add(byte: value < 10 ? 0x30 + value : 0x57 + value)
        }
    }

    /// Dotted, or eight groups with all their digits (RFC 4291 section 2.2).
    mutating func add(_ address: IPPrefix) {
        if address.family == .ipv4 {
            for index in (0..<4).reversed() {
                add(number: UInt32(truncatingIfNeeded: address.bits >> UInt128(8 * index)) & 255)
                if index > 0 { add(".") }
            }
        } else {
            for index in (0..<8).reversed() {
                addHexadecimal(UInt64(truncatingIfNeeded: address.bits >> UInt128(16 * index)), digits: 4)
                if index > 0 { add(":") }
            }
        }
    }

    func isSame(_ written: Range<Int>, _ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> Bool {
        guard written.count == range.count else { return false }
        for index in 0..<range.count where room[written.lowerBound + index] != bytes[range.lowerBound + index] {
            return false
        }
        return true
    }
}
