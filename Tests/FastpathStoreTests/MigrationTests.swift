// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathStore
import Glibc
import Testing

/// Files of earlier versions, made as those made them.
@Suite struct MigrationTests {
    private static let first = """
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
        INSERT INTO entry VALUES ('block', x'c0000201', 32, 'command', 100), ('block', x'0a000000', 32, 'import', 200),
            ('allow', x'c0000207', 32, 'adopted', 300);
        INSERT INTO capacity VALUES ('block', 4096);
        PRAGMA application_id = 1987015526;
        """

    private static let second = """
        CREATE TABLE tally (
            kind TEXT NOT NULL PRIMARY KEY,
            entries INTEGER NOT NULL CHECK (entries >= 0)
        ) STRICT, WITHOUT ROWID;
        INSERT INTO tally SELECT kind, count(*) FROM entry GROUP BY kind;
        """

    @Test(arguments: [1, 2])
    func theEntriesOfAnEarlierVersionAreKept(version: Int) throws {
        let folder = try TemporaryFolder()
        // Makes the folder and an empty file.
        try PolicyDatabase(at: folder.databasePath).setCapacity(1, of: .allow)
        for suffix in ["", "-wal", "-shm"] { unlink(folder.databasePath + suffix) }
        let file = try RawDatabase(folder.databasePath)
        try file.execute("PRAGMA journal_mode = WAL;" + Self.first + (version > 1 ? Self.second : ""))
        try file.execute("PRAGMA user_version = \(version)")

        for _ in 0..<2 {
            let database = PolicyDatabase(at: folder.databasePath)
            #expect(
                try database.entries(.block) == [
                    PolicyEntry(kind: .block, prefix: IPPrefix("10.0.0.0"), origin: .importFile, added: 200),
                    PolicyEntry(kind: .block, prefix: IPPrefix("192.0.2.1"), origin: .operatorCommand, added: 100),
                ])
            #expect(
                try database.entries(.allow) == [
                    PolicyEntry(kind: .allow, prefix: IPPrefix("192.0.2.7"), origin: .adopted, added: 300)
                ])
            #expect(try database.count(.block) == 2 && database.count(.allow) == 1 && database.count(.trust) == 0)
            #expect(try database.capacity(.block) == 4_096)
            #expect(try database.expired(at: .max).isEmpty)
        }
        let database = PolicyDatabase(at: folder.databasePath)
        let added = PolicyEntry(
            kind: .trust, prefix: try IPPrefix("2001:db8::/32"), origin: .operatorCommand, added: 1, expiry: 2,
            set: "trunks", comment: "carrier A")
        try database.insert([added])
        #expect(try database.entries(.trust) == [added] && database.count(.trust) == 1)
        try database.remove([IPPrefix("10.0.0.0")], from: .block)
        #expect(try database.count(.block) == 1)
    }
}
