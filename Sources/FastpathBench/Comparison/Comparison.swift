// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel
import FastpathLab
import Glibc

/// The same figures in each phase: without the edge, with it, and after it was taken off.
public enum Comparison {
    public enum Phase: String, CaseIterable, Sendable {
        case baseline
        /// With the edge, the server on the kernel's socket.
        case edge
        /// With the edge, and AF_XDP under the server.
        case sockets
        /// Taken off again.
        case after
    }

    /// One phase.
    public struct Measurement: Hashable, Sendable {
        public var phase: Phase
        /// How the program was attached; nil where there was none.
        public var mode: XDPMode?
        public var duration: Duration
        /// Of the phase alone, like the counters.
        public var host: HostFigures
        /// Nil where there was no program.
        public var counters: Counters?
        /// Nil where the traffic was not ours.
        public var sip: SIP?

        public init(
            phase: Phase, mode: XDPMode?, duration: Duration, host: HostFigures, counters: Counters? = nil,
            sip: SIP? = nil
        ) {
            self.phase = phase
            self.mode = mode
            self.duration = duration
            self.host = host
            self.counters = counters
            self.sip = sip
        }
    }

    /// What good peers and the server had of it.
    public struct SIP: Hashable, Sendable {
        /// A phone that registers.
        public var phone: SIPpReport
        /// OPTIONS of a trunk, which is allowed.
        public var trunk: SIPpReport
        /// Frames of the bad traffic that were sent.
        public var bad: Int
        /// Of one CPU, 0 and up.
        public var serverPercent: Double

        public init(phone: SIPpReport, trunk: SIPpReport, bad: Int, serverPercent: Double) {
            self.phone = phone
            self.trunk = trunk
            self.bad = bad
            self.serverPercent = serverPercent
        }
    }

    /// Takes the figures of a phase in the caller's network namespace while `body` makes traffic or waits for it.
    public static func measure(
        _ phase: Phase, on interface: String, mode: XDPMode?, counters: (() throws(Failure) -> Counters)?,
        _ body: () throws(Failure) -> Void
    ) throws(Failure) -> Measurement {
        let countersBefore = try counters?()
        let before = try HostFigures.read(interface: interface)
        let start = ContinuousClock.now
        try body()
        let duration = ContinuousClock.now - start
        let host = try HostFigures.read(interface: interface) - before
        var counted: Counters?
        if let counters, let countersBefore { counted = try counters() - countersBefore }
        return Measurement(phase: phase, mode: mode, duration: duration, host: host, counters: counted)
    }

    /// Waits, and tells `progress` the time that has passed, ten times a second. Throws where a signal asks to end.
    public static func wait(_ duration: Duration, progress: (Duration) -> Void) throws(Failure) {
        let start = ContinuousClock.now
        while true {
            let passed = ContinuousClock.now - start
            progress(min(passed, duration))
            if passed >= duration { return }
            try Interruption.check()
            usleep(UInt32(min(100_000, (duration - passed) / .microseconds(1))))
        }
    }
}
