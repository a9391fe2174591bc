// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// The tables of the record, and how a file gets them.
enum PolicySchema {
    /// `PRAGMA application_id`: "vosf". Tells the record from other SQLite files.
    private static let applicationID: Int64 = 0x766f_7366

    /// The step at index N takes a file from version N to N + 1. A step that was released never changes.
    private static let migrations = [
        // Without rowid: the primary key is the table, so a million entries are stored once and in order.
        // Addresses are 4 or 16 bytes in network byte order, so IPv6 and prefixes need no other table.
        """
        CREATE TABLE entry (
            kind TEXT NOT NULL,
            address BLOB NOT NULL CHECK (length(address) IN (4, 16)),
            length INTEGER NOT NULL CHECK (length BETWEEN 0 AND 8 * length(address)),
            origin TEXT NOT NULL,
            added INTEGER NOT NULL,
            PRIMARY KEY (kind, address, length)
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE capacity (
            kind TEXT NOT NULL PRIMARY KEY,
            entries INTEGER NOT NULL CHECK (entries > 0)
        ) STRICT, WITHOUT ROWID;
        """,
        // How many entries a list has: to count a million of them takes longer than to add one.
        """
        CREATE TABLE tally (
            kind TEXT NOT NULL PRIMARY KEY,
            entries INTEGER NOT NULL CHECK (entries >= 0)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO tally SELECT kind, count(*) FROM entry GROUP BY kind;
        """,
        // Sets, expiry and comments. A set is a number, for a million entries repeat it; 0 has no name. What expires is
        // little, and found without reading the rest.
        """
        CREATE TABLE policy_set (
            id INTEGER PRIMARY KEY,
            name TEXT NOT NULL UNIQUE
        ) STRICT;
        INSERT INTO policy_set VALUES (0, '');
        ALTER TABLE entry RENAME TO entry_without_sets;
        CREATE TABLE entry (
            kind TEXT NOT NULL,
            address BLOB NOT NULL CHECK (length(address) IN (4, 16)),
            length INTEGER NOT NULL CHECK (length BETWEEN 0 AND 8 * length(address)),
            policy_set INTEGER NOT NULL,
            origin TEXT NOT NULL,
            added INTEGER NOT NULL,
            expiry INTEGER,
            comment TEXT,
            PRIMARY KEY (kind, address, length, policy_set)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO entry
            SELECT kind, address, length, 0, origin, added, NULL, NULL FROM entry_without_sets ORDER BY 1, 2, 3;
        DROP TABLE entry_without_sets;
        CREATE INDEX entry_expiry ON entry (expiry) WHERE expiry IS NOT NULL;
        ALTER TABLE tally RENAME TO tally_without_sets;
        CREATE TABLE tally (
            kind TEXT NOT NULL,
            policy_set INTEGER NOT NULL,
            entries INTEGER NOT NULL CHECK (entries >= 0),
            PRIMARY KEY (kind, policy_set)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO tally SELECT kind, 0, entries FROM tally_without_sets;
        DROP TABLE tally_without_sets;
        """,
    ]

    /// Brings an open file up to date. Refuses files of others and of newer versions.
    static func prepare(_ connection: SQLiteConnection) throws(Failure) {
        let tried = "open the record"
        if try isCurrent(connection, tried) { return }
        // The journal's mode is part of the file. It cannot change inside a transaction.
        try connection.execute("PRAGMA journal_mode = WAL", to: tried)
        try connection.transaction(to: tried) { () throws(Failure) in
            // Another process may have done it while this one waited for the lock.
            if try isCurrent(connection, tried) { return }
            let version = try connection.number("PRAGMA user_version", to: tried)
            for step in migrations[Int(version)...] { try connection.execute(step, to: "set up the record") }
            try connection.execute(
                "PRAGMA application_id = \(applicationID); PRAGMA user_version = \(migrations.count)", to: tried)
        }
    }

    private static func isCurrent(_ connection: SQLiteConnection, _ tried: String) throws(Failure) -> Bool {
        let application = try connection.number("PRAGMA application_id", to: tried)
        let version = try connection.number("PRAGMA user_version", to: tried)
        let tables = try connection.number("SELECT count(*) FROM sqlite_schema", to: tried)
        if application == 0, version == 0, tables == 0 { return false }
        guard application == applicationID, version > 0 else {
            throw .damagedRecord(tried: tried, path: connection.path, because: "it is a database of another program")
        }
        guard version <= migrations.count else {
            throw Failure(
                .unsupported, tried: tried, on: connection.path,
                because:
                    "it has version \(version), of a newer vos-fastpath; this one knows up to \(migrations.count)",
                next: "Use the newer vos-fastpath.")
        }
        return version == migrations.count
    }
}

/// Makes an empty file that only its owner can read, and its folder where it is missing. A file that is there stays.
func makePrivateFile(at path: String) throws(Failure) {
    if let slash = path.lastIndex(of: "/"), slash > path.startIndex {
        try makeFolder(String(path[..<slash]), mode: 0o700)
    }
    let file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw systemFailure(errno, tried: "make the record", on: path) }
    close(file)
}

/// `mode` is for the last folder; those above it, where missing, can be read by everyone.
private func makeFolder(_ path: String, mode: mode_t) throws(Failure) {
    if mkdir(path, mode) == 0 || errno == EEXIST { return }
    if errno == ENOENT, let slash = path.lastIndex(of: "/"), slash > path.startIndex {
        try makeFolder(String(path[..<slash]), mode: 0o755)
        if mkdir(path, mode) == 0 || errno == EEXIST { return }
    }
    throw systemFailure(errno, tried: "make the folder of the record", on: path)
}

func systemFailure(_ code: Int32, tried: String, on subject: String) -> Failure {
    let isRefused = code == EACCES || code == EPERM
    return Failure(
        isRefused ? .notRoot : .system(errno: code), tried: tried, on: subject,
        because: String(cString: strerror(code)),
        next: isRefused ? "Run it as root." : "Check the path and its file system.")
}
