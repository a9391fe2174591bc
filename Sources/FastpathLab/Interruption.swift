// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc
import Synchronization

/// Ctrl-C, SIGTERM and SIGHUP as a question to be asked: what the lab built is taken away in order, not cut off.
public enum Interruption {
    /// The signal's number, 0 before one came.
    private static let signalNumber = Atomic<Int32>(0)

    /// Installs the handlers. To be called once, by a command that builds a lab.
    public static func install() {
        _ = signalNumber.load(ordering: .relaxed)  // made before a handler needs it
        var action = sigaction()
        action.__sigaction_handler.sa_handler = { Interruption.signalNumber.store($0, ordering: .relaxed) }
        // Without SA_RESTART: a call that blocks comes back and the question is asked.
        for number in [SIGINT, SIGTERM, SIGHUP] { sigaction(number, &action, nil) }
    }

    /// Did such a signal come?
    public static var isRequested: Bool { signalNumber.load(ordering: .relaxed) != 0 }

    /// What the command exits with after it has cleaned up: 128 + the signal, as shells have it; nil without one.
    public static var exitCode: Int32? {
        let number = signalNumber.load(ordering: .relaxed)
        return number == 0 ? nil : 128 + number
    }

    /// Throws `.system(errno: EINTR)` where a signal came.
    public static func check() throws(Failure) {
        guard isRequested else { return }
        throw Failure(
            .system(errno: EINTR), tried: "go on", on: "signal \(signalNumber.load(ordering: .relaxed))",
            because: "it was interrupted", next: "Everything that was built is removed; start again.")
    }
}

/// Waiting, bounded and interruptible.
enum Wait {
    /// Sleeps; throws where a signal asks to end.
    static func sleep(_ duration: Duration) throws(Failure) {
        let end = ContinuousClock.now + duration
        repeat {
            try Interruption.check()
            pause(min(.milliseconds(20), end - .now))
        } while ContinuousClock.now < end
    }

    /// True as soon as `condition` holds; false after `timeout`. `interval`: the time between two looks.
    static func until(
        timeout: Duration, every interval: Duration = .milliseconds(5), _ condition: () throws(Failure) -> Bool
    ) throws(Failure) -> Bool {
        let end = ContinuousClock.now + timeout
        while true {
            if try condition() { return true }
            if ContinuousClock.now >= end { return false }
            try Interruption.check()
            pause(interval)
        }
    }

    /// Sleeps once, uninterrupted by the question, though a signal may cut it short.
    static func pause(_ duration: Duration) {
        guard duration > .zero else { return }
        let (seconds, attoseconds) = duration.components
        var time = timespec(tv_sec: Int(seconds), tv_nsec: Int(attoseconds / 1_000_000_000))
        nanosleep(&time, nil)
    }
}
