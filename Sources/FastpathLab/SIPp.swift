// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import Glibc

/// A SIPp process that plays a scenario against a server, from a host of a lab.
public struct SIPp: Sendable {
    public var scenario: SIPpScenario
    public var host: LabHost
    /// The address and port that it speaks from; host byte order.
    public var local: (address: UInt32, port: UInt16)
    /// Host byte order.
    public var server: (address: UInt32, port: UInt16)
    /// The user that is called or registered.
    public var user: String
    /// How long a call waits for an answer before it counts as failed.
    public var patience: Duration = .seconds(4)

    public init(
        _ scenario: SIPpScenario, on host: LabHost, local: (address: UInt32, port: UInt16),
        server: (address: UInt32, port: UInt16), user: String = "callee"
    ) {
        self.scenario = scenario
        self.host = host
        self.local = local
        self.server = server
        self.user = user
    }

    /// A process under way.
    public struct Run: Sendable {
        let child: Child
        let folder: String
        let timeout: Duration

        /// Waits for its end and reads what it measured. Throws where it did not end in time or said nothing.
        public func finish() throws(Failure) -> SIPpReport {
            let exit = try child.wait(timeout: timeout)
            child.end()
            return try report(exit)
        }

        /// What it has measured so far: SIPp writes each second.
        public var soFar: SIPpReport? {
            guard let statistics = File.text("\(folder)/statistics.csv") else { return nil }
            return SIPpReport(statistics: statistics, messages: File.text("\(folder)/messages.log") ?? "")
        }

        /// Ends it: for a scenario that answers for ever.
        public func end() { child.end() }

        private func report(_ exit: Child.Exit?) throws(Failure) -> SIPpReport {
            // 0: every call succeeded; 1: at least one failed; 97: the time was over; anything else is no measurement.
            let isMeasured = exit == nil || [0, 1, 97].contains { exit == .code($0) }
            if isMeasured, let report = soFar { return report }
            throw Failure(
                tried: "run SIPp", on: child.command,
                because: "it ended with \(exit.map { "\($0)" } ?? "nothing") and left no figures",
                next: "Read what it said below.",
                details: File.text("\(folder)/errors.log"))
        }
    }

    /// Starts `count` calls, `rate` a second (`.answer`: waits for calls, for ever).
    public func start(in laboratory: Laboratory, count: Int = 1, rate: Int = 10) throws(Failure) -> Run {
        let folder = "\(laboratory.folder)/sipp-\(scenario.rawValue)-\(host.name)-\(local.port)"
        try Shell.run(["rm", "-rf", "--", folder])
        try check(mkdir(folder, 0o700), "make a folder", on: folder)
        try File.write(scenario.xml, to: "\(folder)/scenario.xml")
        // Calls, the last one's patience, its BYE's patience, and a moment to start and end.
        let timeout = Duration.seconds(Double(count) / Double(rate)) + patience * 2 + .seconds(2)
        var arguments = ["env", "--chdir", folder, "sipp", "-sf", "scenario.xml"]
        arguments += ["-i", "\(IPPrefix(ipv4: local.address))", "-p", "\(local.port)", "-s", user, "-nostdin", "-nd"]
        arguments += ["-key", "contact", "\(IPPrefix(ipv4: local.address)):5060", "-skip_rlimit", "-timer_resol", "1"]
        arguments += ["-trace_stat", "-stf", "statistics.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"]
        if scenario != .answer {
            arguments += [
                "-trace_shortmsg", "-shortmessage_file", "messages.log", "-recv_timeout",
                "\(Int(patience / .milliseconds(1)))",
            ]
            arguments += [
                "-m", "\(count)", "-r", "\(rate)", "-l", "\(max(10, count))", "-timeout",
                "\(Int(timeout / .seconds(1)))s",
            ]
        }
        arguments.append("\(IPPrefix(ipv4: server.address)):\(server.port)")
        let child = try laboratory.start(arguments, label: "sipp-\(scenario.rawValue)-\(host.name)", on: host)
        return Run(child: child, folder: folder, timeout: timeout + .seconds(5))
    }

    /// Plays it to the end.
    public func run(in laboratory: Laboratory, count: Int = 1, rate: Int = 10) throws(Failure) -> SIPpReport {
        try start(in: laboratory, count: count, rate: rate).finish()
    }
}

/// What SIPp measured.
public struct SIPpReport: Hashable, Sendable {
    /// Calls begun.
    public var attempted: Int
    /// Calls whose first request got its 200.
    public var answered: Int
    /// Calls that went through their scenario to the end.
    public var completed: Int
    /// Calls that SIPp gave up.
    public var failed: Int
    /// Requests sent again for want of an answer.
    public var retransmissions: Int
    /// From the first transmission to the 200, of the answered calls, shortest first.
    public var responseTimes: [Duration]

    /// The share of calls that were answered, 0...100; 0 without calls.
    public var answeredPercent: Double { attempted == 0 ? 0 : 100 * Double(answered) / Double(attempted) }

    /// The time that `share` (0...1) of the answered calls did not exceed (nearest rank); nil where there were none.
    public func percentile(_ share: Double) -> Duration? {
        guard !responseTimes.isEmpty else { return nil }
        let rank = Int((share * Double(responseTimes.count)).rounded(.up))
        return responseTimes[min(max(rank, 1), responseTimes.count) - 1]
    }

    /// Reads `-trace_stat` (a head line, then a line a second, `(C)` for cumulated) and `-trace_shortmsg` (a line a
    /// message). Nil where the statistics have no line yet. SIPp's own response times come from a clock that ticks
    /// every 4 ms; the message trace has microseconds.
    public init?(statistics: String, messages: String) {
        let lines = statistics.split(separator: "\n")
        guard let head = lines.first, let last = lines.last, lines.count >= 2 else { return nil }
        let names = head.split(separator: ";", omittingEmptySubsequences: false)
        let values = last.split(separator: ";", omittingEmptySubsequences: false)
        func value(_ name: String) -> Int? {
            guard let index = names.firstIndex(where: { $0 == name }), index < values.count else { return nil }
            return Int(values[index])
        }
        guard let attempted = value("TotalCallCreated"), let completed = value("SuccessfulCall(C)"),
            let failed = value("FailedCall(C)"), let retransmissions = value("Retransmissions(C)")
        else { return nil }
        self.completed = completed
        self.failed = failed
        self.retransmissions = retransmissions
        let traced = Self.trace(messages)
        // The statistics are up to a second old, the trace is not.
        self.attempted = max(attempted, traced.calls)
        responseTimes = traced.times.sorted()
        answered = traced.times.count
    }

    /// A line is date, time, seconds since 1970, S or R, Call-ID, CSeq, first line, with tabs between them.
    private static func trace(_ messages: String) -> (calls: Int, times: [Duration]) {
        /// By Call-ID: the CSeq of the first request and when it was sent; nil once it was answered.
        var open: [Substring: (sequence: Substring, sent: Double)?] = [:]
        var times: [Duration] = []
        for line in messages.split(separator: "\n") {
            let fields = line.split(separator: "\t")
            guard fields.count == 7, let time = Double(fields[2]) else { continue }
            let call = fields[4]
            if fields[3] == "S" {
                if open[call] == nil { open[call] = (fields[5], time) }
            } else if let request = open[call] ?? nil, request.sequence == fields[5], fields[6].hasPrefix("SIP/2.0 200")
            {
                times.append(.microseconds(Int(((time - request.sent) * 1e6).rounded())))
                open[call] = .some(nil)
            }
        }
        return (open.count, times)
    }
}
