// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Glibc
import Testing

@Suite final class FileLockTests {
    private let folder: String
    private let path: String

    init() throws {
        var template = Array("/tmp/fastpath-lock.XXXXXX".utf8CString)
        folder = String(cString: try #require(mkdtemp(&template)))
        path = folder + "/edge.lock"
    }

    deinit {
        unlink(path)
        rmdir(folder)
    }

    private var content: String {
        get throws {
            let file = open(path, O_RDONLY)
            try #require(file >= 0)
            defer { close(file) }
            var buffer = [UInt8](repeating: 0, count: 256)
            return String(decoding: buffer[..<read(file, &buffer, buffer.count)], as: UTF8.self)
        }
    }

    private func leave(_ text: String) throws {
        let file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        try #require(write(file, text, text.utf8.count) == text.utf8.count)
        close(file)
    }

    private func interrupted(_ operation: String = "block add") throws -> String? {
        try FileLock(at: path).withLock(for: operation) { (interrupted) throws(Failure) in interrupted }
    }

    @Test func theFileNamesTheOperationWhileItRuns() throws {
        var during = ""
        try FileLock(at: path).withLock(for: "up eth0") { _ in during = (try? content) ?? "" }
        #expect(during == "up eth0 \(getpid())\n")
        #expect(try content == "")
        var status = stat()
        #expect(stat(path, &status) == 0 && status.st_mode & 0o777 == 0o600)
    }

    @Test func aSecondCommandWaitsAndThenNamesTheHolder() throws {
        let path = path
        try FileLock(at: path).withLock(for: "block import") { (_) throws(Failure) in
            let failure = #expect(throws: Failure.self) {
                try FileLock(at: path, timeout: 60).withLock(for: "block add") { _ in }
            }
            #expect(failure?.kind == .busy)
            #expect(failure?.reason.contains("`block import`, process \(getpid()),") == true)
        }
        // Free again, and nothing was left by the one that waited in vain.
        #expect(try interrupted() == nil)
    }

    @Test func waitingEndsWhenTheHolderIsDone() throws {
        let holder = open(path, O_RDWR | O_CREAT, 0o600)
        try #require(flock(holder, LOCK_EX) == 0)
        let thread = try #require(Releaser.start(holder, after: 60_000))
        #expect(try FileLock(at: path, timeout: 10_000).withLock(for: "up eth0") { _ in 7 } == 7)
        pthread_join(thread, nil)
    }

    @Test(arguments: [("block import 4711\n", "block import"), ("up eth0 4711\n", "up eth0"), ("nonsense", "nonsense")])
    func whoComesAfterACrashLearnsOfIt(line: String, operation: String) throws {
        try leave(line)
        #expect(try interrupted() == operation)
        #expect(try interrupted() == nil)
    }

    @Test func aCrashIsNotForgottenByAnOperationThatFails() throws {
        try leave("block import 4711\n")
        let failure = Failure(tried: "x", on: "y", because: "z", next: "w")
        for _ in 0..<2 {
            #expect(throws: failure) {
                try FileLock(at: path).withLock(for: "block add") { (_) throws(Failure) in throw failure }
            }
        }
        #expect(try interrupted() == "block import")
    }

    @Test func aFailureInGoodOrderLeavesNothing() throws {
        let failure = Failure(tried: "x", on: "y", because: "z", next: "w")
        #expect(throws: failure) {
            try FileLock(at: path).withLock(for: "block add") { (_) throws(Failure) in throw failure }
        }
        #expect(try interrupted() == nil)
    }

    @Test func whatCouldNotBeTakenBackIsRememberedLikeACrash() throws {
        try leave("block import 4711\n")
        var failure = Failure(tried: "x", on: "y", because: "z", next: "w")
        failure.isHalfDone = true
        #expect(throws: failure) {
            try FileLock(at: path).withLock(for: "up eth0") { (_) throws(Failure) in throw failure }
        }
        #expect(try content == "up eth0 \(getpid())\n")
        #expect(try interrupted() == "up eth0")
    }

    // MARK: Readers

    @Test func readersShareAndLeaveNothing() throws {
        let path = path
        #expect(try FileLock(at: path).whileReading { $0 } == nil)
        #expect(access(path, F_OK) != 0, "a reader makes no file")
        try leave("block import 4711\n")
        try FileLock(at: path).whileReading { (first) throws(Failure) in
            #expect(first == nil)
            #expect(try FileLock(at: path, patience: 0).whileReading { $0 } == nil)
            // Who changes something waits for readers.
            let failure = #expect(throws: Failure.self) {
                try FileLock(at: path, timeout: 40).withLock(for: "up eth0") { _ in }
            }
            #expect(failure?.kind == .busy)
        }
        #expect(try interrupted() == "block import", "a reader does not take the mark away")
    }

    @Test func aReaderWaitsForTheOneWhoChangesSomething() throws {
        let holder = open(path, O_RDWR | O_CREAT, 0o600)
        try #require(flock(holder, LOCK_EX) == 0)
        let thread = try #require(Releaser.start(holder, after: 60_000))
        #expect(try FileLock(at: path, patience: 10_000).whileReading { $0 } == nil)
        pthread_join(thread, nil)
    }

    @Test func aReaderDoesNotWaitForEver() throws {
        let path = path
        try FileLock(at: path).withLock(for: "block import") { (_) throws(Failure) in
            let start = ContinuousClock.now
            let changing = try FileLock(at: path, patience: 60).whileReading { $0 }
            #expect(changing == "`block import`, process \(getpid()),")
            #expect(ContinuousClock.now - start < .seconds(10))
        }
    }

    @Test func aFileThatCannotBeMadeIsAnError() {
        let failure = #expect(throws: Failure.self) {
            try FileLock(at: folder + "/none/edge.lock").withLock(for: "up eth0") { _ in }
        }
        #expect(failure?.kind == .system(errno: ENOENT))
    }

    @Test func aLinkIsNotFollowed() throws {
        let target = folder + "/target"
        close(open(target, O_WRONLY | O_CREAT, 0o600))
        symlink(target, path)
        defer { unlink(target) }
        #expect(throws: Failure.self) { try FileLock(at: path).withLock(for: "up eth0") { _ in } }
    }
}

/// Lets a lock go from another thread after a while.
private enum Releaser {
    static func start(_ file: Int32, after microseconds: UInt32) -> pthread_t? {
        var thread = pthread_t()
        let argument = UnsafeMutablePointer<(Int32, UInt32)>.allocate(capacity: 1)
        argument.initialize(to: (file, microseconds))
        let result = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                let (file, microseconds) = argument.assumingMemoryBound(to: (Int32, UInt32).self).pointee
                usleep(microseconds)
                close(file)
                argument.deallocate()
                return nil
            }, argument)
        return result == 0 ? thread : nil
    }
}
