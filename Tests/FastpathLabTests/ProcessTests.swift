// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc
import Testing

@testable import FastpathLab

@Suite struct ProcessTests {
    @Test func outputAndErrorsAreApart() throws {
        let outcome = try Shell.outcome(of: ["sh", "-c", "echo out; echo err >&2; exit 3"])
        #expect(outcome.output == "out\n")
        #expect(outcome.errors == "err\n")
        #expect(outcome.exit == .code(3))
    }

    @Test func moreThanAPipeHolds() throws {
        #expect(try Shell.run(["head", "-c", "3000000", "/dev/zero"]).utf8.count == 3_000_000)
    }

    @Test func failureSaysWhatTheCommandSaid() throws {
        let failure = #expect(throws: Failure.self) { try Shell.run(["sh", "-c", "echo no such thing >&2; exit 1"]) }
        #expect(failure?.reason == "no such thing")
    }

    @Test func timeoutEndsIt() throws {
        let start = ContinuousClock.now
        let failure = #expect(throws: Failure.self) { try Shell.run(["sleep", "60"], timeout: .milliseconds(200)) }
        #expect(failure?.kind == .system(errno: ETIMEDOUT))
        #expect(ContinuousClock.now - start < .seconds(5))
    }

    @Test func missingProgramIsNamed() throws {
        let failure = #expect(throws: Failure.self) { try Shell.run(["no-such-program"]) }
        #expect(failure?.kind == .unsupported)
        #expect(failure?.subject == "no-such-program")
    }

    @Test func childEnds() throws {
        let child = try Child.start(["sleep", "60"])
        #expect(try child.wait(timeout: .milliseconds(50)) == nil)
        child.end()
        #expect(child.exitStatus == .signal(SIGKILL))
        child.end()
        #expect(try Child.start(["sh", "-c", "exit 5"]).wait(timeout: .seconds(5)) == .code(5))
    }

    /// The whole tree of a contained child goes with it, a process that left its session and its parent included.
    @Test func containedTreeEnds() throws {
        let mark = "12345.\(getpid())"
        let child = try Child.start(["sh", "-c", "setsid sleep \(mark) & sleep 60"], contained: true)
        func sleepers() throws -> Int {
            try Shell.outcome(of: ["pgrep", "-fx", "sleep \(mark)"]).output.split(separator: "\n").count
        }
        #expect(try Wait.until(timeout: .seconds(5)) { (try? sleepers()) == 1 })
        child.end()
        #expect(try Wait.until(timeout: .seconds(5)) { (try? sleepers()) == 0 })
    }

    @Test func cpuTimeOfATree() throws {
        let child = try Child.start(["sh", "-c", "(while :; do :; done) & wait"], contained: true)
        defer { child.end() }
        #expect(try Wait.until(timeout: .seconds(10)) { ProcessTime.tree(of: child.pid) >= .milliseconds(100) })
    }

    @Test func workerReturnsThrowsAndStops() throws {
        #expect(try Worker { (_) throws(Failure) in 42 }.join() == 42)
        let failing = try Worker { (_) throws(Failure) -> Int in
            throw Failure(.busy, tried: "work", on: "it", because: "no", next: "Go.")
        }
        #expect(throws: Failure.self) { try failing.join() }
        let endless = try Worker { (isStopping) throws(Failure) in while !isStopping() { Wait.pause(.milliseconds(1)) }
        }
        #expect(!endless.isFinished)
        endless.stop()
        try endless.join()
        #expect(endless.isFinished)
    }

    @Test func cpuThatDoesNotExist() throws {
        let failure = #expect(throws: Failure.self) {
            try Worker { (_) throws(Failure) in try Thread.pin(toCPU: 1000) }.join()
        }
        #expect(failure?.kind == .system(errno: EINVAL))
    }
}
