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

    private static let columns = "address, length, policy_set, origin, added, expiry, comment"

    /// Every entry of a kind, in order of address; with `set`, those of one set only.
    public func entries(_ kind: PolicyKind, in set: String? = nil) throws(Failure) -> [PolicyEntry] {
        guard let connection = try connection(makingFile: false) else { return [] }
        let tried = "read the \(kind.listName)"
        let sets = try setNames(on: connection)
        guard let set else {
            let rows = try SQLiteStatement(
                "SELECT \(Self.columns) FROM entry WHERE kind = ?", on: connection, to: tried)
            rows.bind(kind.column, at: 1)
            return try entries(kind, of: rows, sets, tried)
        }
        guard let number = sets.first(where: { $0.value == set })?.key else { return [] }
        let rows = try SQLiteStatement(
            "SELECT \(Self.columns) FROM entry WHERE kind = ? AND policy_set = ?", on: connection, to: tried)
        rows.bind(kind.column, at: 1)
        rows.bind(number, at: 2)
        return try entries(kind, of: rows, sets, tried)
    }

    /// The entries of `prefixes`, of all sets, unsorted.
    public func entries(_ kind: PolicyKind, of prefixes: [IPPrefix]) throws(Failure) -> [PolicyEntry] {
        guard !prefixes.isEmpty, let connection = try connection(makingFile: false) else { return [] }
        // One look-up costs about as much as reading ten rows in order.
        if prefixes.count > Self.manyPrefixes, try count(kind) < prefixes.count * 10 {
            let entries = try entries(kind)
            if entries.isEmpty { return [] }
            let wanted = Set(prefixes)
            return entries.filter { wanted.contains($0.prefix) }
        }
        let tried = "search the \(kind.listName)"
        let sets = try setNames(on: connection)
        let rows = try SQLiteStatement(
            "SELECT \(Self.columns) FROM entry WHERE kind = ? AND address = ? AND length = ?", on: connection,
            to: tried)
        rows.bind(kind.column, at: 1)
        var found: [PolicyEntry] = []
        for prefix in prefixes.count > 1 ? Array(Set(prefixes)) : prefixes {
            rows.bind(prefix, at: 2)
            found += try entries(kind, of: rows, sets, tried)
            rows.reset()
        }
        return found
    }

    private static let manyPrefixes = 256

    /// What has expired at a second since 1970-01-01 UTC, of all kinds and sets.
    public func expired(at now: Int64) throws(Failure) -> [PolicyEntry] {
        guard let connection = try connection(makingFile: false) else { return [] }
        let tried = "search for what has expired"
        let sets = try setNames(on: connection)
        var expired: [PolicyEntry] = []
        for kind in PolicyKind.allCases {
            let rows = try SQLiteStatement(
                "SELECT \(Self.columns) FROM entry INDEXED BY entry_expiry WHERE expiry <= ? AND kind = ?",
                on: connection, to: tried)
            rows.bind(now, at: 1)
            rows.bind(kind.column, at: 2)
            expired += try entries(kind, of: rows, sets, tried)
        }
        return expired
    }

    private func entries(
        _ kind: PolicyKind, of rows: SQLiteStatement, _ sets: [Int64: String], _ tried: String
    ) throws(Failure) -> [PolicyEntry] {
        var entries: [PolicyEntry] = []
        while try rows.step() {
            guard let prefix = rows.prefix(0), let set = sets[rows.integer(2)], let origin = Origin(row: rows, 3) else {
                throw .damagedRecord(tried: tried, path: path, because: "row \(entries.count + 1) makes no sense")
            }
            entries.append(
                PolicyEntry(
                    kind: kind, prefix: prefix, origin: origin, added: rows.integer(4),
                    expiry: rows.isNull(5) ? nil : rows.integer(5), set: set,
                    comment: rows.isNull(6) ? nil : rows.text(6)))
        }
        return entries
    }

    private func setNames(on connection: SQLiteConnection) throws(Failure) -> [Int64: String] {
        let rows = try SQLiteStatement("SELECT id, name FROM policy_set", on: connection, to: "read the sets")
        var names: [Int64: String] = [:]
        while try rows.step() { names[rows.integer(0)] = rows.text(1) }
        return names
    }

    /// How many entries there are. What is in several sets counts in each.
    public func count(_ kind: PolicyKind) throws(Failure) -> Int { try sets(kind).reduce(0) { $0 + $1.entries } }

    /// The sets of a kind that have entries, in order of name; the one without a name first.
    public func sets(_ kind: PolicyKind) throws(Failure) -> [(name: String, entries: Int)] {
        guard let connection = try connection(makingFile: false) else { return [] }
        let rows = try SQLiteStatement(
            """
            SELECT name, entries FROM tally JOIN policy_set ON policy_set = id WHERE kind = ? AND entries > 0
            ORDER BY name
            """, on: connection, to: "count the \(kind.listName)")
        rows.bind(kind.column, at: 1)
        var sets: [(name: String, entries: Int)] = []
        while try rows.step() { sets.append((rows.text(0), Int(rows.integer(1)))) }
        return sets
    }

    /// How many entries are prefixes or IPv6: what no public map can hold.
    public func countOfNoAddresses(_ kind: PolicyKind) throws(Failure) -> Int {
        guard let connection = try connection(makingFile: false) else { return 0 }
        let row = try SQLiteStatement(
            "SELECT count(*) FROM entry WHERE kind = ? AND (length < 32 OR length(address) = 16)", on: connection,
            to: "count the \(kind.listName)")
        row.bind(kind.column, at: 1)
        return try row.step() ? Int(row.integer(0)) : 0
    }

    /// The capacity that an operator asked for: of a kind's public map, or without a kind of the policy table. Or nil.
    public func capacity(_ kind: PolicyKind?) throws(Failure) -> Int? {
        guard let connection = try connection(makingFile: false) else { return nil }
        let row = try SQLiteStatement(
            "SELECT entries FROM capacity WHERE kind = ?", on: connection, to: "read the capacity")
        row.bind(kind?.column ?? Self.tableColumn, at: 1)
        return try row.step() ? Int(row.integer(0)) : nil
    }

    private static let tableColumn: StaticString = "policy"

    // MARK: Writing

    /// Removes the entries of `removing` and adds those of `putting`, in one transaction: durable when this returns. What
    /// is put where its set has the prefix already takes its place, but keeps its origin and the time of its addition.
    /// `progress` gets the number of `putting` that is done.
    public func change(
        removing: [PolicyEntry], putting: [PolicyEntry], progress: (Int) -> Void
    ) throws(Failure) {
        if removing.isEmpty && putting.isEmpty { return }
        guard let connection = try connection(makingFile: !putting.isEmpty) else { return }
        let tried = "record a change of \(removing.count + putting.count) entries"
        try connection.transaction(to: tried) { () throws(Failure) in
            var numbers = SetNumbers(connection, try setNames(on: connection))
            var tally: [Tally: Int] = [:]
            try remove(removing, &numbers, &tally, on: connection, to: tried)
            try put(putting, &numbers, &tally, on: connection, to: tried, progress)
            for (row, change) in tally where change != 0 { try add(change, to: row, on: connection, to: tried) }
        }
        progress(putting.count)
    }

    /// Which number of entries a change moves.
    private struct Tally: Hashable {
        var kind: PolicyKind
        var set: Int64
    }

    private func remove(
        _ entries: [PolicyEntry], _ numbers: inout SetNumbers, _ tally: inout [Tally: Int],
        on connection: SQLiteConnection, to tried: String
    ) throws(Failure) {
        if entries.isEmpty { return }
        let deletion = try SQLiteStatement(
            "DELETE FROM entry WHERE kind = ? AND address = ? AND length = ? AND policy_set = ?", on: connection,
            to: tried)
        for index in Self.tableOrder(entries.lazy.map(\.prefix)) {
            let row = Tally(kind: entries[index].kind, set: try numbers.number(of: entries[index].set))
            deletion.bind(row.kind.column, at: 1)
            deletion.bind(entries[index].prefix, at: 2)
            deletion.bind(row.set, at: 4)
            try deletion.run()
            tally[row, default: 0] -= connection.changes
        }
    }

    private func put(
        _ entries: [PolicyEntry], _ numbers: inout SetNumbers, _ tally: inout [Tally: Int],
        on connection: SQLiteConnection, to tried: String, _ progress: (Int) -> Void
    ) throws(Failure) {
        if entries.isEmpty { return }
        let insertion = try SQLiteStatement(
            """
            INSERT INTO entry (kind, address, length, policy_set, origin, added, expiry, comment)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
            """, on: connection, to: tried)
        let update = try SQLiteStatement(
            "UPDATE entry SET expiry = ?5, comment = ?6 WHERE kind = ?1 AND address = ?2 AND length = ?3 AND policy_set = ?4",
            on: connection, to: tried)
        for (done, index) in Self.tableOrder(entries.lazy.map(\.prefix)).enumerated() {
            let entry = entries[index]
            let row = Tally(kind: entry.kind, set: try numbers.number(of: entry.set))
            insertion.bind(row.kind.column, at: 1)
            insertion.bind(entry.prefix, at: 2)
            insertion.bind(row.set, at: 4)
            insertion.bind(entry.origin.column, at: 5)
            insertion.bind(entry.added, at: 6)
            insertion.bind(entry.expiry, entry.comment, at: 7)
            try insertion.run()
            if connection.changes > 0 {
                tally[row, default: 0] += 1
            } else {
                update.bind(row.kind.column, at: 1)
                update.bind(entry.prefix, at: 2)
                update.bind(row.set, at: 4)
                update.bind(entry.expiry, entry.comment, at: 5)
                try update.run()
            }
            if done % 16_384 == 16_383 { progress(done + 1) }
        }
    }

    /// In the transaction that changed the list.
    private func add(
        _ count: Int, to tally: Tally, on connection: SQLiteConnection, to tried: String
    ) throws(Failure) {
        // In two steps: a negative number breaks the table's rule before the conflict is seen.
        let row = try SQLiteStatement(
            "INSERT INTO tally (kind, policy_set, entries) VALUES (?, ?, 0) ON CONFLICT DO NOTHING", on: connection,
            to: tried)
        row.bind(tally.kind.column, at: 1)
        row.bind(tally.set, at: 2)
        try row.run()
        let change = try SQLiteStatement(
            "UPDATE tally SET entries = entries + ?3 WHERE kind = ?1 AND policy_set = ?2", on: connection, to: tried)
        change.bind(tally.kind.column, at: 1)
        change.bind(tally.set, at: 2)
        change.bind(Int64(count), at: 3)
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

    /// `capacity` must be above zero. Without a kind it is that of the policy table.
    public func setCapacity(_ capacity: Int, of kind: PolicyKind?) throws(Failure) {
        guard let connection = try connection(makingFile: true) else { return }
        let tried = "record a capacity"
        let change = try SQLiteStatement(
            "INSERT INTO capacity (kind, entries) VALUES (?, ?) ON CONFLICT DO UPDATE SET entries = excluded.entries",
            on: connection, to: tried)
        change.bind(kind?.column ?? Self.tableColumn, at: 1)
        change.bind(Int64(capacity), at: 2)
        try change.run()
    }

    /// Forgets every entry, set and capacity, and gives the room back to the file system.
    public func purge() throws(Failure) {
        guard let connection = try connection(makingFile: false) else { return }
        try connection.transaction(to: "empty the record") { () throws(Failure) in
            try connection.execute(
                "DELETE FROM entry; DELETE FROM tally; DELETE FROM capacity; DELETE FROM policy_set WHERE id != 0",
                to: "empty the record")
        }
        try connection.execute("VACUUM", to: "shrink the record")
    }
}

/// The numbers of sets by their names; one that is new gets its number where it is asked for.
private struct SetNumbers {
    private let connection: SQLiteConnection
    private var numbers: [String: Int64] = [:]
    /// Most entries are of the same set as the one before.
    private var last: (name: String, number: Int64) = ("", 0)

    init(_ connection: SQLiteConnection, _ names: [Int64: String]) {
        self.connection = connection
        for (number, name) in names { numbers[name] = number }
    }

    mutating func number(of name: String) throws(Failure) -> Int64 {
        if name == last.name { return last.number }
        if numbers[name] == nil { numbers[name] = try make(name) }
        last = (name, numbers[name] ?? 0)
        return last.number
    }

    private func make(_ name: String) throws(Failure) -> Int64 {
        let insertion = try SQLiteStatement(
            "INSERT INTO policy_set (name) VALUES (?) RETURNING id", on: connection, to: "record a set")
        insertion.bind(name, at: 1)
        let number = try insertion.step() ? insertion.integer(0) : 0
        // To its end: SQLite does not promise the row before.
        while try insertion.step() {}
        return number
    }
}

extension SQLiteStatement {
    /// The expiry at `parameter`, the comment at the next one.
    fileprivate func bind(_ expiry: Int64?, _ comment: String?, at parameter: Int32) {
        if let expiry { bind(expiry, at: parameter) } else { bindNull(at: parameter) }
        if let comment { bind(comment, at: parameter + 1) } else { bindNull(at: parameter + 1) }
    }
}

extension PolicyKind {
    /// How the record spells it; a text that SQLite need not copy.
    fileprivate var column: StaticString {
        switch self {
        case .block: "block"
        case .allow: "allow"
        case .trust: "trust"
        }
    }
}

extension Origin {
    /// Nil where the column holds none. Text is compared, not made: a million rows have three of them.
    fileprivate init?(row: SQLiteStatement, _ column: Int32) {
        for origin in [Origin.importFile, .operatorCommand, .adopted, .ban] where row.isText(origin.column, column) {
            self = origin
            return
        }
        return nil
    }

    /// How the record spells it; a text that SQLite need not copy.
    fileprivate var column: StaticString {
        switch self {
        case .operatorCommand: "command"
        case .importFile: "import"
        case .adopted: "adopted"
        case .ban: "ban"
        }
    }
}
