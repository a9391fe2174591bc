// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// A lock that the kernel drops when its holder dies (flock), in a file that says who holds it.
///
/// The file's one line, "OPERATION PID", is written when the lock is taken and removed when the operation has ended.
/// Whoever takes the lock and finds a line there comes after an operation that was cut off.
public struct FileLock: ControlLock {
    private let path: String
    private let timeout: Int

    /// `timeout`: milliseconds to wait for another command.
    public init(at path: String, timeout: Int = 30_000) {
        self.path = path
        self.timeout = timeout
    }

    public func withLock<Result>(
        for operation: String, _ body: (_ interrupted: String?) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        let tried = "lock the edge for `\(operation)`"
        let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw failure(errno, tried: tried) }
        // Closing it unlocks it.
        defer { close(file) }
        try acquire(file, tried: tried)

        let mark = Mark(read: file)
        try write(Mark(operation: operation, process: getpid()).line, to: file, tried: tried)
        do throws(Failure) {
            let result = try body(mark?.operation)
            try write("", to: file, tried: tried)
            return result
        } catch {
            // The operation failed in good order. But what it found cut off may be so still.
            try write(mark?.line ?? "", to: file, tried: tried)
            throw error
        }
    }

    private func acquire(_ file: Int32, tried: String) throws(Failure) {
        let pause = 20
        for waited in stride(from: 0, through: timeout, by: pause) {
            if flock(file, LOCK_EX | LOCK_NB) == 0 { return }
            guard errno == EWOULDBLOCK || errno == EINTR else { throw failure(errno, tried: tried) }
            if waited + pause <= timeout { usleep(UInt32(pause * 1_000)) }
        }
        let holder = Mark(read: file).map { "`\($0.operation)`, process \($0.process)," } ?? "another command"
        throw Failure(
            .busy, tried: tried, on: path, because: "\(holder) holds it for longer than \(timeout / 1_000) s",
            next: "Wait until it is done, or end it.")
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
