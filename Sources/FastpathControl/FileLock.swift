// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// A lock that the kernel drops when its holder dies (flock), in a file that says who holds it.
///
/// The file's one line, "OPERATION PID", is written when the lock is taken and removed when the operation has ended.
/// Whoever takes the lock and finds a line there comes after an operation that did not come to its end.
public struct FileLock: ControlLock {
    private let path: String
    private let timeout: Int
    private let patience: Int

    /// Milliseconds that an operation waits where nobody says otherwise.
    public static let defaultTimeout = 30_000

    /// - Parameters:
    ///   - timeout: milliseconds that an operation waits for another one.
    ///   - patience: milliseconds that a reader waits, which then reads all the same.
    public init(at path: String, timeout: Int = defaultTimeout, patience: Int = 500) {
        self.path = path
        self.timeout = timeout
        self.patience = patience
    }

    public func withLock<Result>(
        for operation: String, _ body: (_ interrupted: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let tried = "lock the edge for `\(operation)`"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw failure(errno, tried: tried) }
        // Closing it unlocks it.
        defer { close(file) }
        guard try acquire(file, LOCK_EX, within: timeout, tried: tried) else {
            throw Failure(
                .busy, tried: tried, on: path,
                because: "\(holder(of: file)) holds it for longer than \(timeout / 1_000) s",
                next: "Wait until it is done, or end it.")
        }

        let mark = Mark(read: file)
        try write(Mark(operation: operation, process: getpid()).line, to: file, tried: tried)
        do throws(Failure) {
            let result = try body(mark?.operation)
            try write("", to: file, tried: tried)
            return result
        } catch {
            // Failed in good order, it leaves nothing behind; but what it found half-done may be so still.
            if !error.isHalfDone { try write(mark?.line ?? "", to: file, tried: tried) }
            throw error
        }
    }

    public func whileReading<Result>(
        _ body: (_ changing: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
        // Without the file nobody changes anything.
        if file < 0, errno == ENOENT { return try body(nil) }
        let tried = "lock the edge for reading"
        guard file >= 0 else { throw failure(errno, tried: tried) }
        defer { close(file) }
        let isQuiet = try acquire(file, LOCK_SH, within: patience, tried: tried)
        return try body(isQuiet ? nil : holder(of: file))
    }

    /// False where others hold it for all that time, in milliseconds.
    private func acquire(_ file: Int32, _ kind: Int32, within timeout: Int, tried: String) throws(Failure) -> Bool {
        let pause = 20
        for waited in stride(from: 0, through: timeout, by: pause) {
            if flock(file, kind | LOCK_NB) == 0 { return true }
            guard errno == EWOULDBLOCK || errno == EINTR else { throw failure(errno, tried: tried) }
            if waited + pause <= timeout { usleep(UInt32(pause * 1_000)) }
        }
        return false
    }

    /// For sentences.
    private func holder(of file: Int32) -> String {
        Mark(read: file).map { "`\($0.operation)`, process \($0.process)," } ?? "another command"
    }

    private func write(_ text: String, to file: Int32, tried: String) throws(Failure) {
        var text = text
        let written = text.withUTF8 { ftruncate(file, 0) == 0 ? pwrite(file, $0.baseAddress, $0.count, 0) : -1 }
        guard written == text.utf8.count else { throw failure(errno, tried: tried) }
    }

    private func failure(_ code: Int32, tried: String) -> Failure {
        let isRefused = code == EACCES || code == EPERM
        return Failure(
            isRefused ? .notRoot : .system(errno: code), tried: tried, on: path,
            because: String(cString: strerror(code)),
            next: isRefused ? "Run it as root." : "Check the path and its file system.")
    }
}

/// The line in the lock's file.
private struct Mark {
    var operation: String
    var process: Int32

    var line: String { "\(operation) \(process)\n" }

    init(operation: String, process: Int32) {
        self.operation = operation
        self.process = process
    }

    /// Nil where the file is empty. A line that makes no sense is an operation all the same.
    init?(read file: Int32) {
        var buffer = [UInt8](repeating: 0, count: 256)
        let count = pread(file, &buffer, buffer.count, 0)
        guard count > 0 else { return nil }
        let line = String(decoding: buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
        let space = line.lastIndex(of: " ") ?? line.endIndex
        operation = String(line[..<space])
        process = Int32(line[space...].dropFirst()) ?? 0
    }
}
