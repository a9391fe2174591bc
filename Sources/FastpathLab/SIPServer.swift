// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc
import Synchronization

/// Debian's Kamailio on a host of a lab: a registrar that keeps its users in memory, and a proxy that relays calls
/// between them.
public final class SIPServer: Sendable {
    public let host: LabHost
    /// Host byte order.
    public let address: UInt32
    public let port: UInt16

    private let process: Mutex<Child>
    private let start: @Sendable ([String: String]) throws(Failure) -> Child
    private let environment: [String: String]
    private let log: String

    /// Starts it and waits until it answers. `workers` is how many processes receive; `launcher`: words before its own
    /// command line, of a program that becomes the server.
    public init(
        in laboratory: Laboratory, on host: LabHost, address: UInt32, port: UInt16 = 5060, workers: Int = 2,
        launcher: [String] = [], environment: [String: String] = [:]
    ) throws(Failure) {
        self.host = host
        self.address = address
        self.port = port
        let folder = "\(laboratory.folder)/kamailio"
        mkdir(folder, 0o700)
        let path = "\(folder)/kamailio.cfg"
        try File.write(Self.configuration(address: address, port: port, workers: workers), to: path)
        log = "\(laboratory.folder)/kamailio.log"
        self.environment = environment
        start = { [laboratory] (environment) throws(Failure) in
            try laboratory.start(
                // In the foreground with its workers (-DD), errors to the log (-E), sockets and core files in the lab's folder.
                launcher + ["kamailio", "-DD", "-E", "-f", path, "-w", folder, "-Y", folder, "-m", "64", "-M", "8"],
                label: "kamailio", on: host, contained: true, environment: environment)
        }
        process = Mutex(try start(environment))
        try waitUntilAnswering()
    }

    /// Ends it, where it still runs, and starts it anew, in another environment where one is given; waits until it answers.
    /// What was registered is forgotten.
    public func restart(environment: [String: String]? = nil) throws(Failure) {
        stop()
        let fresh = try start(environment ?? self.environment)
        process.withLock { $0 = fresh }
        try waitUntilAnswering()
    }

    /// CPU time that it and its workers have used.
    public var cpuTime: Duration { ProcessTime.tree(of: process.withLock { $0.pid }) }

    public var isRunning: Bool { process.withLock { $0.exitStatus == nil } }

    /// Ends it, with its workers. To be called as often as one likes.
    public func stop() { process.withLock { $0.end() } }

    private func waitUntilAnswering() throws(Failure) {
        let answered = try Wait.until(timeout: .seconds(10), every: .milliseconds(20)) { () throws(Failure) in
            guard isRunning else { return true }
            return try SIPProbe.isAnswering(address, port: port, from: host, timeout: .milliseconds(50))
        }
        guard answered, isRunning else {
            throw Failure(
                tried: "start the SIP server", on: "kamailio on \(host.name)",
                because: isRunning ? "it does not answer OPTIONS" : "it ended at once",
                next: "Read what it said below.",
                details: File.text(log))
        }
    }

    static func configuration(address: UInt32, port: UInt16, workers: Int) -> String {
        """
        #!KAMAILIO
        # A registrar and proxy for a lab: nobody has to authenticate, nothing is kept on disk.
        debug=-2
        log_stderror=yes
        children=\(workers)
        disable_tcp=yes
        dns=no
        rev_dns=no
        auto_aliases=no
        listen=udp:\(IPPrefix(ipv4: address)):\(port)

        loadmodule "sl.so"
        loadmodule "tm.so"
        loadmodule "rr.so"
        loadmodule "pv.so"
        loadmodule "maxfwd.so"
        loadmodule "siputils.so"
        loadmodule "textops.so"
        loadmodule "usrloc.so"
        loadmodule "registrar.so"
        modparam("usrloc", "db_mode", 0)

        request_route {
            if (!mf_process_maxfwd_header("10")) {
                sl_send_reply("483", "Too Many Hops");
                exit;
            }
            # Within a dialog: the way that Record-Route fixed.
            if (has_totag()) {
                if (loose_route() || (is_method("ACK") && t_check_trans())) {
                    t_relay();
                    exit;
                }
                if (!is_method("ACK")) sl_send_reply("404", "Not Here");
                exit;
            }
            if (is_method("CANCEL")) {
                if (t_check_trans()) t_relay();
                exit;
            }
            if (is_method("ACK")) exit;
            t_check_trans();

            if (is_method("OPTIONS") && uri == myself) {
                sl_send_reply("200", "OK");
                exit;
            }
            if (is_method("REGISTER")) {
                save("location");
                exit;
            }
            if (is_method("INVITE")) record_route();
            if (!lookup("location")) {
                sl_send_reply("404", "Not Found");
                exit;
            }
            t_relay();
        }

        """
    }
}

/// The question whether a SIP server is there.
public enum SIPProbe {
    /// Sends one OPTIONS from `host` and waits for any SIP answer. Address in host byte order.
    public static func isAnswering(_ address: UInt32, port: UInt16, from host: LabHost, timeout: Duration)
        throws(Failure) -> Bool
    {
        let sender = try DatagramSender(on: host, to: address, port: port)
        let local = try sender.localEndpoint()
        let server = Endpoint(mac: MACAddress(of: address), address: address, port: port)
        try sender.send([
            SIPRequest.options(to: server, local: local, sequence: Int(ContinuousClock.now.hashValue & 0xffff))
        ])
        guard let answer = sender.receive(timeout: timeout) else { return false }
        return answer.starts(with: Array("SIP/2.0 ".utf8))
    }
}
