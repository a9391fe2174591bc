// SPDX-License-Identifier: Apache-2.0
import CSQLite
import FastpathCore
import Glibc

/// An open database file. SQLite's C API, with its result codes turned into ``Failure``s.
final class SQLiteConnection {
    fileprivate let handle: OpaquePointer
    let path: String
    private let busyTimeout: Int32

    /// Opens a file that is there. `busyTimeout` in milliseconds: how long to wait for another process.
    init(opening path: String, busyTimeout: Int32) throws(Failure) {
        var handle: OpaquePointer?
        let code = sqlite3_open_v2(
            path, &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nil)
        guard let handle, code == SQLITE_OK else {
            let failure = SQLiteConnection.failure(code, handle, tried: "open the record", path: path)
            sqlite3_close_v2(handle)
            throw failure
        }
        self.handle = handle
        self.path = path
        self.busyTimeout = busyTimeout
        sqlite3_busy_timeout(handle, busyTimeout)
        keepLogShort()
    }

    deinit { sqlite3_close_v2(handle) }

    /// More pages than this in the write-ahead log (4 KB each) are moved into the file with the commit. The next
    /// command reads what is left, so it must not be much.
    private static let logPages: Int32 = 128

    /// SQLite's own way is to empty and remove the log when the last one closes the file, for the next command to make
    /// it anew: five flushes of the disk for a single address, where one does.
    private func keepLogShort() {
        _ = fastpath_sqlite_keep_log_on_close(handle)
        let emptyLog: @convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, UnsafePointer<CChar>?, Int32) -> Int32 =
            {
                context, database, _, pages in
                guard let context, pages >= SQLiteConnection.logPages else { return SQLITE_OK }
                let connection = Unmanaged<SQLiteConnection>.fromOpaque(context).takeUnretainedValue()
                // Nobody waits for a slow reader: the next commit tries again.
                sqlite3_busy_timeout(database, 0)
                sqlite3_wal_checkpoint_v2(database, nil, SQLITE_CHECKPOINT_TRUNCATE, nil, nil)
                sqlite3_busy_timeout(database, connection.busyTimeout)
                return SQLITE_OK
            }
        sqlite3_wal_hook(handle, emptyLog, Unmanaged.passUnretained(self).toOpaque())
    }

    /// Runs statements that return nothing of interest.
    func execute(_ sql: String, to tried: String) throws(Failure) {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw failure(code, tried: tried) }
    }

    /// The number that a statement returns in its first row and column.
    func number(_ sql: String, to tried: String) throws(Failure) -> Int64 {
        let statement = try SQLiteStatement(sql, on: self, to: tried)
        return try statement.step() ? statement.integer(0) : 0
    }

    /// Rows that the last statement inserted, changed or removed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    /// Runs `body` in a transaction that holds the write lock from its start. It is undone when `body` throws, and
    /// durable when this returns.
    func transaction(to tried: String, _ body: () throws(Failure) -> Void) throws(Failure) {
        try execute("BEGIN IMMEDIATE", to: tried)
        do {
            try body()
            try execute("COMMIT", to: tried)
        } catch {
            // After some errors SQLite has rolled back by itself; then this one fails, and nothing is lost by it.
            sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
            throw error
        }
    }

    func failure(_ code: Int32, tried: String) -> Failure {
        Self.failure(code, handle, tried: tried, path: path)
    }

    private static func failure(_ code: Int32, _ handle: OpaquePointer?, tried: String, path: String) -> Failure {
        let text = String(cString: handle.map { sqlite3_errmsg($0) } ?? sqlite3_errstr(code))
        let systemError = handle.map { sqlite3_system_errno($0) } ?? 0
        // The low byte is the primary result code, the rest says more.
        switch code & 0xff {
        case SQLITE_CORRUPT, SQLITE_NOTADB:
            return .damagedRecord(tried: tried, path: path, because: text)
        case SQLITE_BUSY, SQLITE_LOCKED:
            return Failure(
                .busy, tried: tried, on: path, because: "another process is writing to it (\(text))",
                next: "Try again when it is done.")
        case SQLITE_FULL:
            return Failure(
                .system(errno: ENOSPC), tried: tried, on: path, because: text, next: "Make room on its file system.")
        case SQLITE_PERM, SQLITE_AUTH, SQLITE_READONLY:
            return Failure(.notRoot, tried: tried, on: path, because: text, next: "Run it as root.")
        case SQLITE_CANTOPEN where systemError == EACCES || systemError == EPERM:
            return Failure(.notRoot, tried: tried, on: path, because: text, next: "Run it as root.")
        default:
            let reason = systemError == 0 ? text : "\(text): \(String(cString: strerror(systemError)))"
            return Failure(
                systemError == 0 ? .other : .system(errno: systemError), tried: tried, on: path,
                because: "\(reason) (SQLite result \(code))", next: "Check the file, its folder and their file system.")
        }
    }
}

extension Failure {
    /// The file cannot be read as the record. It is left as it is: it may hold what nothing else does.
    static func damagedRecord(tried: String, path: String, because reason: String) -> Failure {
        Failure(
            tried: tried, on: path, because: "the file is damaged or no policy record: \(reason)",
            next: "Move it and its -wal file away (mv \(path) \(path).damaged) and run the command again: the lists in "
                + "the kernel stay in force, and `list` shows them as written by hand. Or put a backup in its place.")
    }
}

/// A compiled statement. Parameters count from 1, columns from 0, as in SQLite.
final class SQLiteStatement {
    private let handle: OpaquePointer
    private let connection: SQLiteConnection
    private let tried: String
    /// Where bound addresses lie: SQLite reads them when the statement runs.
    private let address = UnsafeMutableRawPointer.allocate(byteCount: 16, alignment: 16)

    init(_ sql: String, on connection: SQLiteConnection, to tried: String) throws(Failure) {
        var handle: OpaquePointer?
        let code = sqlite3_prepare_v2(connection.handle, sql, -1, &handle, nil)
        guard let handle, code == SQLITE_OK else { throw connection.failure(code, tried: tried) }
        self.handle = handle
        self.connection = connection
        self.tried = tried
    }

    deinit {
        sqlite3_finalize(handle)
        address.deallocate()
    }

    /// Moves to the next row; false when there is none.
    func step() throws(Failure) -> Bool {
        let code = sqlite3_step(handle)
        switch code {
        case SQLITE_ROW: return true
        case SQLITE_DONE: return false
        default: throw connection.failure(code, tried: tried)
        }
    }

    /// Runs it to its end and makes it ready for the next run; what is bound stays bound.
    func run() throws(Failure) {
        defer { sqlite3_reset(handle) }
        while try step() {}
    }

    /// Makes it ready for the next run.
    func reset() { sqlite3_reset(handle) }

    func bind(_ number: Int64, at parameter: Int32) { sqlite3_bind_int64(handle, parameter, number) }

    /// SQLite keeps a copy.
    func bind(_ text: String, at parameter: Int32) {
        let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)  // SQLITE_TRANSIENT
        sqlite3_bind_text(handle, parameter, text, Int32(text.utf8.count), copied)
    }

    func bindNull(at parameter: Int32) { sqlite3_bind_null(handle, parameter) }

    /// `text` must live as long as the program.
    func bind(_ text: StaticString, at parameter: Int32) {
        sqlite3_bind_text(
            handle, parameter, UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self),
            Int32(text.utf8CodeUnitCount), nil)
    }

    /// The address in network byte order, 4 or 16 bytes, at `parameter`; its length at the next one.
    /// One prefix a statement: they share a buffer.
    func bind(_ prefix: IPPrefix, at parameter: Int32) {
        switch prefix.family {
        case .ipv4:
            address.storeBytes(of: UInt32(truncatingIfNeeded: prefix.bits).bigEndian, as: UInt32.self)
            sqlite3_bind_blob(handle, parameter, address, 4, nil)
        case .ipv6:
            address.storeBytes(of: prefix.bits.bigEndian, as: UInt128.self)
            sqlite3_bind_blob(handle, parameter, address, 16, nil)
        }
        sqlite3_bind_int(handle, parameter + 1, Int32(prefix.length))
    }

    func integer(_ column: Int32) -> Int64 { sqlite3_column_int64(handle, column) }

    func isNull(_ column: Int32) -> Bool { sqlite3_column_type(handle, column) == SQLITE_NULL }

    func text(_ column: Int32) -> String {
        guard let text = sqlite3_column_text(handle, column) else { return "" }
        return String(cString: text)
    }

    /// Does the column hold this text?
    func isText(_ text: StaticString, _ column: Int32) -> Bool {
        guard let held = sqlite3_column_text(handle, column) else { return false }
        let length = Int(sqlite3_column_bytes(handle, column))
        return length == text.utf8CodeUnitCount && memcmp(held, text.utf8Start, length) == 0
    }

    /// The prefix whose address is at `column` and whose length is at the next one; nil where they are none.
    func prefix(_ column: Int32) -> IPPrefix? {
        guard let bytes = sqlite3_column_blob(handle, column) else { return nil }
        let length = Int(sqlite3_column_int(handle, column + 1))
        switch sqlite3_column_bytes(handle, column) {
        case 4 where (0...32).contains(length):
            let bits = UInt32(bigEndian: bytes.loadUnaligned(as: UInt32.self))
            return IPPrefix(family: .ipv4, bits: UInt128(bits), length: length)
        case 16 where (0...128).contains(length):
            return IPPrefix(
                family: .ipv6, bits: UInt128(bigEndian: bytes.loadUnaligned(as: UInt128.self)), length: length)
        default:
            return nil
        }
    }
}
