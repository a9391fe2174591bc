// SPDX-License-Identifier: Apache-2.0

/// A SIP request, read as far as a stateless answer needs (RFC 3261 section 8.2.6): where its parts are. Nothing is copied
/// or allocated.
struct SIPRequestHeaders {
    /// The header fields that a response takes over.
    enum Field: CaseIterable {
        case via, from, to, callID, cseq
    }

    let bytes: UnsafeRawBufferPointer
    /// The method, in the first line.
    let method: Range<Int>
    /// The fields in their order, with the lines that continue them: from the name on, without the line's end.
    private var places = InlineArray<40, (field: Field, line: Range<Int>, value: Range<Int>)>(
        repeating: (.via, 0..<0, 0..<0))
    private(set) var count = 0
    /// Is there a Require field (RFC 3261 section 8.2.2.3)?
    private(set) var requires = false

    subscript(index: Int) -> (field: Field, line: Range<Int>, value: Range<Int>) { places[index] }

    /// The value of a field that is there once; the topmost of Via.
    func value(_ field: Field) -> Range<Int>? {
        for index in 0..<count where places[index].field == field { return places[index].value }
        return nil
    }

    /// Nil for what is no request of SIP/2.0 with a whole header: one Via at least, and From, To, Call-ID and CSeq once.
    init?(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        var start = 0
        // Section 7.5: empty lines before the start line are nothing.
        while start < bytes.count, bytes[start] == 0x0d || bytes[start] == 0x0a { start += 1 }
        guard let first = Self.line(in: bytes, from: start),
            let blank = first.content.first(where: { bytes[$0] == 0x20 }), blank > start,
            bytes.holds(" SIP/2.0", endingAt: first.content.upperBound),
            first.content.upperBound - 8 > blank + 1
        else { return nil }
        for place in blank + 1..<first.content.upperBound - 8 where bytes[place] <= 0x20 { return nil }
        method = start..<blank
        var next = first.next
        while true {
            guard let line = Self.line(in: bytes, from: next) else { return nil }
            if line.content.isEmpty { break }
            var whole = line
            // Section 7.3.1: a line that begins with a blank continues the one before.
            while whole.next < bytes.count, bytes[whole.next] == 0x20 || bytes[whole.next] == 0x09 {
                guard let more = Self.line(in: bytes, from: whole.next) else { return nil }
                whole = (line.content.lowerBound..<more.content.upperBound, more.next)
            }
            guard add(whole.content) else { return nil }
            next = whole.next
        }
        var seen = (0, 0, 0, 0, 0)
        for index in 0..<count {
            switch places[index].field {
            case .via: seen.0 += 1
            case .from: seen.1 += 1
            case .to: seen.2 += 1
            case .callID: seen.3 += 1
            case .cseq: seen.4 += 1
            }
        }
        guard seen.0 >= 1, seen.1 == 1, seen.2 == 1, seen.3 == 1, seen.4 == 1, isCSeqRight else { return nil }
    }

    /// A line from `start` on, without its end; nil where it has none. A lone LF ends a line too, as servers have it; a
    /// CR or NUL within one is an attempt to have it read in two ways.
    private static func line(
        in bytes: UnsafeRawBufferPointer, from start: Int
    ) -> (content: Range<Int>, next: Int)? {
        var place = start
        while place < bytes.count {
            if bytes[place] == 0x0a { return (start..<place, place + 1) }
            if bytes[place] == 0x0d {
                guard place + 1 < bytes.count, bytes[place + 1] == 0x0a else { return nil }
                return (start..<place, place + 2)
            }
            if bytes[place] == 0 { return nil }
            place += 1
        }
        return nil
    }

    /// False for what is no header field, for an empty one that must not be, and where there are too many.
    private mutating func add(_ line: Range<Int>) -> Bool {
        guard let colon = line.first(where: { bytes[$0] == 0x3a }), colon > line.lowerBound else { return false }
        let name = trimmed(line.lowerBound..<colon)
        guard let field = field(name) else {
            if bytes.isWord("require", name) { requires = true }
            return true
        }
        let value = trimmed(colon + 1..<line.upperBound)
        guard !value.isEmpty, count < places.count else { return false }
        places[count] = (field, line, value)
        count += 1
        return true
    }

    /// By its name, or its short form (section 7.3.3).
    private func field(_ name: Range<Int>) -> Field? {
        if bytes.isWord("via", name) || bytes.isWord("v", name) { return .via }
        if bytes.isWord("from", name) || bytes.isWord("f", name) { return .from }
        if bytes.isWord("to", name) || bytes.isWord("t", name) { return .to }
        if bytes.isWord("call-id", name) || bytes.isWord("i", name) { return .callID }
        return bytes.isWord("cseq", name) ? .cseq : nil
    }

    /// A number of 31 bits and the request's method (section 8.1.1.5).
    private var isCSeqRight: Bool {
        guard let value = value(.cseq) else { return false }
        var place = value.lowerBound
        var number: UInt64 = 0
        while place < value.upperBound, bytes[place] >= 0x30, bytes[place] <= 0x39, number < 1 << 31 {
            number = number * 10 + UInt64(bytes[place] - 0x30)
            place += 1
        }
        guard place > value.lowerBound, number < 1 << 31 else { return false }
        let word = trimmed(place..<value.upperBound)
        guard word.lowerBound > place, word.count == method.count else { return false }
        for offset in 0..<word.count where bytes[word.lowerBound + offset] != bytes[method.lowerBound + offset] {
            return false
        }
        return true
    }

    /// Has the value of To or From a tag (section 20.39)? Only behind the address: not in a name or a URI.
    func hasTag(_ value: Range<Int>) -> Bool {
        var isInName = false, isInURI = false
        var place = value.lowerBound
        while place < value.upperBound {
            let byte = bytes[place]
            if isInName {
                if byte == 0x5c { place += 1 } else if byte == 0x22 { isInName = false }
            } else if isInURI {
                if byte == 0x3e { isInURI = false }
            } else if byte == 0x22 {
                isInName = true
            } else if byte == 0x3c {
                isInURI = true
            } else if byte == 0x3b {
                let rest = trimmed(place + 1..<value.upperBound)
                if rest.count > 4, bytes.isWord("tag", rest.lowerBound..<rest.lowerBound + 3),
                    bytes[rest.lowerBound + 3] == 0x3d || bytes[rest.lowerBound + 3] <= 0x20
                {
                    return true
                }
            }
            place += 1
        }
        return false
    }

    /// Without blanks and ends of lines on both sides.
    func trimmed(_ range: Range<Int>) -> Range<Int> {
        var (start, end) = (range.lowerBound, range.upperBound)
        while start < end, Self.isBlank(bytes[start]) { start += 1 }
        while end > start, Self.isBlank(bytes[end - 1]) { end -= 1 }
        return start..<end
    }

    static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 || byte == 0x0d || byte == 0x0a }
}

extension UnsafeRawBufferPointer {
    /// Is it these bytes from the start on?
    func begins(with word: StaticString) -> Bool {
        count >= word.utf8CodeUnitCount && holds(word, endingAt: word.utf8CodeUnitCount)
    }

    /// `end` must not be beyond the bytes.
    func holds(_ word: StaticString, endingAt end: Int) -> Bool {
        let length = word.utf8CodeUnitCount
        guard end >= length else { return false }
        for index in 0..<length where self[end - length + index] != word.utf8Start[index] { return false }
        return true
    }

    /// The same word, whatever the case of its letters? `word` is in small ones.
    func isWord(_ word: StaticString, _ range: Range<Int>) -> Bool {
        guard range.count == word.utf8CodeUnitCount else { return false }
        for index in 0..<range.count {
            let byte = self[range.lowerBound + index]
            let small = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte
            if small != word.utf8Start[index] { return false }
        }
        return true
    }
}
