// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// SIP requests (RFC 3261) as datagrams, small and well-formed.
public enum SIPRequest {
    /// One request outside a dialog.
    /// - Parameters:
    ///   - method: in capitals.
    ///   - uri: the Request-URI.
    ///   - local: the sender: Via, Contact and Call-ID name it.
    ///   - sequence: makes branch, tag and Call-ID different from those of other numbers.
    ///   - headers: further lines, without line ends.
    public static func make(
        _ method: String, uri: String, local: Endpoint, sequence: Int, headers: [String] = [], body: String = ""
    ) -> [UInt8] {
        let host = "\(IPPrefix(ipv4: local.address)):\(local.port)"
        var lines = [
            "\(method) \(uri) SIP/2.0",
            "Via: SIP/2.0/UDP \(host);branch=z9hG4bK-\(method)-\(sequence);rport",
            "Max-Forwards: 70",
            "From: <sip:lab@\(host)>;tag=\(sequence)",
            "To: <\(uri)>",
            "Call-ID: \(method)-\(sequence)@\(host)",
            "CSeq: 1 \(method)",
            "Contact: <sip:lab@\(host)>",
        ]
        lines += headers
        lines.append("Content-Length: \(body.utf8.count)")
        return Array((lines.joined(separator: "\r\n") + "\r\n\r\n" + body).utf8)
    }

    /// OPTIONS to the server itself, a scanner's question.
    public static func options(to server: Endpoint, local: Endpoint, sequence: Int) -> [UInt8] {
        make("OPTIONS", uri: "sip:\(IPPrefix(ipv4: server.address))", local: local, sequence: sequence)
    }

    /// REGISTER of the user `lab`.
    public static func register(to server: Endpoint, local: Endpoint, sequence: Int) -> [UInt8] {
        make(
            "REGISTER", uri: "sip:\(IPPrefix(ipv4: server.address))", local: local, sequence: sequence,
            headers: ["Expires: 60"])
    }

    /// INVITE to `user` at the server.
    public static func invite(_ user: String, at server: Endpoint, local: Endpoint, sequence: Int) -> [UInt8] {
        let address = IPPrefix(ipv4: local.address)
        let body = """
            v=0\r
            o=lab 1 1 IN IP4 \(address)\r
            s=-\r
            c=IN IP4 \(address)\r
            t=0 0\r
            m=audio 6000 RTP/AVP 0\r

            """
        return make(
            "INVITE", uri: "sip:\(user)@\(IPPrefix(ipv4: server.address))", local: local, sequence: sequence,
            headers: ["Content-Type: application/sdp"], body: body)
    }

    /// The same request, `length` bytes long: a header that nobody reads takes up the difference. Nil where there is
    /// no room for it (it takes ten bytes).
    public static func padded(_ request: [UInt8], to length: Int) -> [UInt8]? {
        if request.count == length { return request }
        let name = Array("X-Pad: ".utf8)
        let filler = length - request.count - name.count - 2
        guard filler >= 1, let end = endOfHeaders(request) else { return nil }
        return request[..<end] + name + [UInt8](repeating: UInt8(ascii: "x"), count: filler) + [13, 10]
            + request[end...]
    }

    /// Eight bytes of the Via branch, at an even offset, that a flood may number (``LiveFlood/stamp``): requests with
    /// different branches are different transactions (RFC 3261 section 17.2.3). The request is as ``make`` built it,
    /// with `sequence` of at least nine digits.
    public static func branchStamp(_ request: [UInt8]) -> Int? {
        let cookie = Array(";branch=z9hG4bK-".utf8)
        guard let start = request.indices.first(where: { request[$0...].starts(with: cookie) }),
            let end = request[(start + 1)...].firstIndex(where: { $0 == UInt8(ascii: ";") || $0 == 13 })
        else { return nil }
        let place = (end - 8) & ~1
        return place >= start + cookie.count ? place : nil
    }

    /// Where the empty line starts.
    private static func endOfHeaders(_ request: [UInt8]) -> Int? {
        (0..<max(0, request.count - 3)).first { Array(request[$0..<$0 + 4]) == [13, 10, 13, 10] }.map { $0 + 2 }
    }
}
