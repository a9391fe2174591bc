// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Glibc

/// The record of the policy: an SQLite file that only root can read.
///
/// The file is made by the first write; until then the record is empty, so that reading leaves no trace. Several
/// processes may use it at a time: readers never wait, writers wait for each other. Every change is one transaction,
/// durable when the function returns (WAL, synchronous = FULL). A file that is damaged, or not ours, is never touched.
public final class PolicyDatabase {
    private let path: String
    private let busyTimeout: Int32
    private var openConnection: SQLiteConnection?

    /// Opens nothing yet. `busyTimeout`: milliseconds to wait for another process that writes.
    public init(at path: String, busyTimeout: Int32 = 5_000) {
        self.path = path
        self.busyTimeout = busyTimeout
    }

    /// The connection; nil where there is no file and none is to be made.
    private func connection(makingFile: Bool) throws(Failure) -> SQLiteConnection? {
        if let openConnection { return openConnection }
        if access(path, F_OK) != 0 {
            guard errno == ENOENT else { throw systemFailure(errno, tried: "open the record", on: path) }
            if !makingFile { return nil }
            try makePrivateFile(at: path)
        }
        let connection = try SQLiteConnection(opening: path, busyTimeout: busyTimeout)
        try PolicySchema.prepare(connection)
        try connection.execute("PRAGMA synchronous = FULL", to: "open the record")
        openConnection = connection
        return connection
    }

    // MARK: Reading

    /// Every entry of a list, in order of address.
    public func entries(_ kind: PolicyKind) throws(Failure) -> [PolicyEntry] {
        guard let connection = try connection(makingFile: false) else { return [] }
        let tried = "read the \(kind.listName)"
        let rows = try SQLiteStatement(
            "SELECT address, length, origin, added FROM entry WHERE kind = ?", on: connection, to: tried)
        rows.bind(kind.column, at: 1)
        var entries: [PolicyEntry] = []
        while try rows.step() {
            guard let prefix = rows.prefix(0), let origin = Origin(rawValue: rows.text(2)) else {
                throw .damagedRecord(tried: tried, path: path, because: "row \(entries.count + 1) makes no sense")
            }
            entries.append(PolicyEntry(kind: kind, prefix: prefix, origin: origin, added: rows.integer(3)))
        }
        return entries
    }

    public func count(_ kind: PolicyKind) throws(Failure) -> Int {
        guard let connection = try connection(makingFile: false) else { return 0 }
        let row = try SQLiteStatement(
            "SELECT entries FROM tally WHERE kind = ?", on: connection, to: "count the \(kind.listName)")
        row.bind(kind.column, at: 1)
        return try row.step() ? Int(row.integer(0)) : 0
    }

    /// Those of `prefixes` that are recorded.
    public func contained(_ prefixes: [IPPrefix], in kind: PolicyKind) throws(Failure) -> Set<IPPrefix> {
        guard let connection = try connection(makingFile: false) else { return [] }
        // One look-up costs about as much as reading ten rows in order.
        if prefixes.count > Self.manyPrefixes, try count(kind) < prefixes.count * 10 {
            return try containedByReadingAll(prefixes, in: kind, on: connection)
        }
        let row = try SQLiteStatement(
            "SELECT 1 FROM entry WHERE kind = ? AND address = ? AND length = ?", on: connection,
            to: "search the \(kind.listName)")
        row.bind(kind.column, at: 1)
        var found: Set<IPPrefix> = []
        for prefix in prefixes {
            row.bind(prefix, at: 2)
            if try row.step() { found.insert(prefix) }
            row.reset()
        }
        return found
    }

    private static let manyPrefixes = 256

    private func containedByReadingAll(
        _ prefixes: [IPPrefix], in kind: PolicyKind, on connection: SQLiteConnection
    ) throws(Failure) -> Set<IPPrefix> {
        let rows = try SQLiteStatement(
            "SELECT address, length FROM entry WHERE kind = ?", on: connection, to: "search the \(kind.listName)")
        rows.bind(kind.column, at: 1)
        var recorded: Set<IPPrefix> = []
        while try rows.step() {
            if let prefix = rows.prefix(0) { recorded.insert(prefix) }
        }
        return recorded.isEmpty ? [] : Set(prefixes.lazy.filter(recorded.contains))
    }

    /// The capacity that an operator asked for, or nil.
    public func capacity(_ kind: PolicyKind) throws(Failure) -> Int? {
        guard let connection = try connection(makingFile: false) else { return nil }
        let row = try SQLiteStatement(
            "SELECT entries FROM capacity WHERE kind = ?", on: connection,
            to: "read the capacity of the \(kind.listName)")
        row.bind(kind.column, at: 1)
        return try row.step() ? Int(row.integer(0)) : nil
    }

    // MARK: Writing

    /// Adds entries in one transaction. Entries that are there stay as they are. `progress` gets the number done.
    public func insert(_ entries: [PolicyEntry], progress: (Int) -> Void) throws(Failure) {
        guard !entries.isEmpty, let connection = try connection(makingFile: true) else { return }
        let tried = "record \(entries.count) entries"
        try connection.transaction(to: tried) { () throws(Failure) in
            let insertion = try SQLiteStatement(
                """
                INSERT INTO entry (kind, address, length, origin, added) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                """,
                on: connection, to: tried)
            let order = Self.tableOrder(entries.lazy.map(\.prefix))
            var done = 0
            for kind in PolicyKind.allCases where entries.contains(where: { $0.kind == kind }) {
                insertion.bind(kind.column, at: 1)
                let before = connection.totalChanges
                for index in order where entries[index].kind == kind {
                    let entry = entries[index]
                    insertion.bind(entry.prefix, at: 2)
                    insertion.bind(entry.origin.column, at: 4)
                    insertion.bind(entry.added, at: 5)
                    try insertion.run()
                    done += 1
                    if done % 16_384 == 0 { progress(done) }
                }
                try addToTally(connection.totalChanges - before, of: kind, on: connection, to: tried)
            }
        }
        progress(entries.count)
    }

    /// Removes entries in one transaction; those that are not there are passed over.
    public func remove(_ prefixes: [IPPrefix], from kind: PolicyKind) throws(Failure) {
        guard !prefixes.isEmpty, let connection = try connection(makingFile: false) else { return }
        let tried = "remove \(prefixes.count) entries from the \(kind.listName)"
        try connection.transaction(to: tried) { () throws(Failure) in
            let deletion = try SQLiteStatement(
                "DELETE FROM entry WHERE kind = ? AND address = ? AND length = ?", on: connection, to: tried)
            deletion.bind(kind.column, at: 1)
            let before = connection.totalChanges
            for index in Self.tableOrder(prefixes) {
                deletion.bind(prefixes[index], at: 2)
                try deletion.run()
            }
            try addToTally(before - connection.totalChanges, of: kind, on: connection, to: tried)
        }
    }

    /// In the transaction that changed the list.
    private func addToTally(
        _ count: Int, of kind: PolicyKind, on connection: SQLiteConnection, to tried: String
    ) throws(Failure) {
        if count == 0 { return }
        // In two steps: a negative number breaks the table's rule before the conflict is seen.
        let row = try SQLiteStatement(
            "INSERT INTO tally (kind, entries) VALUES (?, 0) ON CONFLICT DO NOTHING", on: connection, to: tried)
        row.bind(kind.column, at: 1)
        try row.run()
        let change = try SQLiteStatement(
            "UPDATE tally SET entries = entries + ?2 WHERE kind = ?1", on: connection, to: tried)
        change.bind(kind.column, at: 1)
        change.bind(Int64(count), at: 2)
        try change.run()
    }

    /// The indices of `prefixes` in about the order of the table, where a million changes touch one page after the
    /// other instead of any of them: several times as fast. About is enough, so the first 64 bits are.
    private static func tableOrder(_ prefixes: some Collection<IPPrefix>) -> [Int] {
        let keys = prefixes.enumerated().map { (index, prefix) in
            (index: index, bits: UInt64(truncatingIfNeeded: prefix.family == .ipv4 ? prefix.bits : prefix.bits >> 64))
        }
        return keys.sorted { $0.bits < $1.bits }.map(\.index)
    }

    /// `capacity` must be above zero.
    public func setCapacity(_ capacity: Int, of kind: PolicyKind) throws(Failure) {
        guard let connection = try connection(makingFile: true) else { return }
        let tried = "record the capacity of the \(kind.listName)"
        let change = try SQLiteStatement(
            "INSERT INTO capacity (kind, entries) VALUES (?, ?) ON CONFLICT DO UPDATE SET entries = excluded.entries",
            on: connection, to: tried)
        change.bind(kind.column, at: 1)
        change.bind(Int64(capacity), at: 2)
        try change.run()
    }

    /// Forgets every entry and capacity, and gives the room back to the file system.
    public func purge() throws(Failure) {
        guard let connection = try connection(makingFile: false) else { return }
        try connection.transaction(to: "empty the record") { () throws(Failure) in
            try connection.execute("DELETE FROM entry; DELETE FROM tally; DELETE FROM capacity", to: "empty the record")
        }
        try connection.execute("VACUUM", to: "shrink the record")
    }
}

extension PolicyKind {
    /// How the record spells it; a text that SQLite need not copy.
    fileprivate var column: StaticString {
        switch self {
        case .block: "block"
        case .allow: "allow"
        }
    }
}

extension Origin {
    /// How the record spells it; a text that SQLite need not copy.
    fileprivate var column: StaticString {
        switch self {
        case .operatorCommand: "command"
        case .importFile: "import"
        case .adopted: "adopted"
        }
    }
}
