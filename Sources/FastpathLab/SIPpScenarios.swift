// SPDX-License-Identifier: Apache-2.0

/// What a SIPp process plays.
public enum SIPpScenario: String, Sendable, CaseIterable {
    /// REGISTER of a user.
    case register
    /// OPTIONS to the server, answered 200.
    case options
    /// A call to a user: INVITE, 200, ACK, a moment, BYE, 200.
    case call
    /// The one who is called: rings and answers at once.
    case answer

    /// The scenario file. The user is SIPp's `-s`, the registered contact its key `contact`.
    var xml: String {
        let steps =
            switch self {
            case .register: Self.registerSteps
            case .options: Self.optionsSteps
            case .call: Self.callSteps
            case .answer: Self.answerSteps
            }
        return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"\(rawValue)\">\n\(steps)\n</scenario>\n"
    }

    // The response time is counted from the first transmission (start_rtd) to the 200 (rtd). Requests are
    // sent again after T1 = 500 ms, then at doubled intervals (RFC 3261 section 17.1).

    private static let registerSteps = """
        <send retrans="500" start_rtd="1"><![CDATA[
        REGISTER sip:[remote_ip] SIP/2.0
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
        Max-Forwards: 70
        From: <sip:[service]@[remote_ip]>;tag=[pid]-[call_number]
        To: <sip:[service]@[remote_ip]>
        Call-ID: [call_id]
        CSeq: 1 REGISTER
        Contact: <sip:[service]@[contact]>
        Expires: 3600
        Content-Length: 0

        ]]></send>
        <recv response="200" rtd="1"/>
        """

    private static let optionsSteps = """
        <send retrans="500" start_rtd="1"><![CDATA[
        OPTIONS sip:[remote_ip] SIP/2.0
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
        Max-Forwards: 70
        From: <sip:[service]@[local_ip]>;tag=[pid]-[call_number]
        To: <sip:[remote_ip]>
        Call-ID: [call_id]
        CSeq: 1 OPTIONS
        Content-Length: 0

        ]]></send>
        <recv response="200" rtd="1"/>
        """

    private static let callSteps = """
        <send retrans="500" start_rtd="1"><![CDATA[
        INVITE sip:[service]@[remote_ip] SIP/2.0
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
        Max-Forwards: 70
        From: <sip:caller@[local_ip]>;tag=[pid]-[call_number]
        To: <sip:[service]@[remote_ip]>
        Call-ID: [call_id]
        CSeq: 1 INVITE
        Contact: <sip:caller@[local_ip]:[local_port]>
        Content-Type: application/sdp
        Content-Length: [len]

        v=0
        o=caller 1 1 IN IP4 [local_ip]
        s=-
        c=IN IP4 [local_ip]
        t=0 0
        m=audio 6000 RTP/AVP 0

        ]]></send>
        <recv response="100" optional="true"/>
        <recv response="180" optional="true"/>
        <recv response="200" rtd="1" rrs="true"/>
        <send><![CDATA[
        \(withinCall("ACK", 1))
        ]]></send>
        <pause milliseconds="200"/>
        <send retrans="500"><![CDATA[
        \(withinCall("BYE", 2))
        ]]></send>
        <recv response="200"/>
        """

    /// The caller's request within the dialog of a call, with the empty line behind its header.
    private static func withinCall(_ method: String, _ number: Int) -> String {
        """
        \(method) [next_url] SIP/2.0
        Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
        Max-Forwards: 70
        [routes]
        From: <sip:caller@[local_ip]>;tag=[pid]-[call_number]
        To: <sip:[service]@[remote_ip]>[peer_tag_param]
        Call-ID: [call_id]
        CSeq: \(number) \(method)
        Content-Length: 0

        """
    }

    private static let answerSteps = """
        <recv request="INVITE"/>
        <send><![CDATA[
        SIP/2.0 180 Ringing
        [last_Via:]
        [last_Record-Route:]
        [last_From:]
        [last_To:];tag=[pid]-[call_number]
        [last_Call-ID:]
        [last_CSeq:]
        Contact: <sip:[local_ip]:[local_port]>
        Content-Length: 0

        ]]></send>
        <send retrans="500"><![CDATA[
        SIP/2.0 200 OK
        [last_Via:]
        [last_Record-Route:]
        [last_From:]
        [last_To:];tag=[pid]-[call_number]
        [last_Call-ID:]
        [last_CSeq:]
        Contact: <sip:[local_ip]:[local_port]>
        Content-Type: application/sdp
        Content-Length: [len]

        v=0
        o=callee 1 1 IN IP4 [local_ip]
        s=-
        c=IN IP4 [local_ip]
        t=0 0
        m=audio 6002 RTP/AVP 0

        ]]></send>
        <recv request="ACK"/>
        <recv request="BYE"/>
        <send><![CDATA[
        SIP/2.0 200 OK
        [last_Via:]
        [last_From:]
        [last_To:]
        [last_Call-ID:]
        [last_CSeq:]
        Content-Length: 0

        ]]></send>
        """
}
