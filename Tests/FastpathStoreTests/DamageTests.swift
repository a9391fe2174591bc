// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathStore
import Glibc
import Testing

private let one = PolicyEntry(kind: .block, prefix: IPPrefix(ipv4: 0xc000_0201), origin: .operatorCommand, added: 1)
private let other = PolicyEntry(kind: .block, prefix: IPPrefix(ipv4: 0xc000_0202), origin: .importFile, added: 2)

/// Several processes, processes that die, files that are not what they should be.
@Suite struct DamageTests {
    let folder: TemporaryFolder
    let path: String

    init() throws {
        folder = try TemporaryFolder()
        path = folder.databasePath
    }

    private func database(busyTimeout: Int32 = 100) -> PolicyDatabase {
        PolicyDatabase(at: path, busyTimeout: busyTimeout)
    }

    // MARK: Two at a time

    @Test func oneSeesWhatTheOtherWrote() throws {
        let (first, second) = (database(), database())
        try first.insert([one]) { _ in }
        #expect(try second.entries(.block) == [one])
        try second.insert([other]) { _ in }
        #expect(try first.entries(.block) == [one, other])
    }

    @Test func aWriterThatWaitsInVainSaysSo() throws {
        try database().insert([one]) { _ in }
        let holder = try RawDatabase(path)
        try holder.execute("BEGIN IMMEDIATE")
        let failure = #expect(throws: Failure.self) { try database().insert([other]) { _ in } }
        #expect(failure?.kind == .busy)
        // A reader does not wait.
        #expect(try database().entries(.block) == [one])
        try holder.execute("ROLLBACK")
        try database().insert([other]) { _ in }
        #expect(try database().count(.block) == 2)
    }

    // MARK: Cut off

    @Test func whatWasNotCommittedNeverWas() throws {
        try database().insert([one]) { _ in }
        do {
            let dying = try RawDatabase(path)
            try dying.execute("BEGIN IMMEDIATE; DELETE FROM entry; UPDATE capacity SET entries = 1")
        }
        #expect(try database().entries(.block) == [one])
    }

    /// The WAL of a process that died is there, with a torn last record.
    @Test func aTornWriteIsForgotten() throws {
        let writer = database()
        try writer.insert([one]) { _ in }
        let whole = try content(of: path + "-wal")
        try writer.insert([other]) { _ in }
        let longer = try content(of: path + "-wal")
        // What a kill leaves: the files as they are, nobody closes them. So they are copied while open.
        let copy = folder.path + "/copy.db"
        for (suffix, bytes) in [
            ("", try content(of: path)), ("-wal", Array(longer.prefix((whole.count + longer.count) / 2))),
        ] {
            let file = open(copy + suffix, O_WRONLY | O_CREAT, 0o600)
            try #require(write(file, bytes, bytes.count) == bytes.count)
            close(file)
        }
        #expect(longer.count > whole.count)
        let survivor = PolicyDatabase(at: copy)
        #expect(try survivor.entries(.block) == [one])
        try survivor.insert([other]) { _ in }
        #expect(try survivor.count(.block) == 2)
    }

    @Test func anEmptyFileIsSetUp() throws {
        mkdir(folder.path + "/state", 0o700)
        close(open(path, O_WRONLY | O_CREAT, 0o600))
        #expect(try database().entries(.block).isEmpty)
        try database().insert([one]) { _ in }
        #expect(try database().entries(.block) == [one])
    }

    // MARK: Not what it should be

    /// The failure of every way in, and that the file was left as it was.
    private func expectRefusal(
        because part: String, kind: Failure.Kind, sourceLocation: SourceLocation = #_sourceLocation
    )
        throws
    {
        let before = try content(of: path)
        let attempts: [() throws -> Void] = [
            { _ = try database().entries(.block) }, { try database().insert([one]) { _ in } },
            { try database().remove([one.prefix], from: .block) }, { try database().purge() },
        ]
        for attempt in attempts {
            let failure = #expect(throws: Failure.self, sourceLocation: sourceLocation) { try attempt() }
            #expect(failure?.kind == kind, sourceLocation: sourceLocation)
            #expect(failure?.subject == path, sourceLocation: sourceLocation)
            #expect(failure?.reason.contains(part) == true, "\(failure as Any)", sourceLocation: sourceLocation)
            #expect(failure?.next.isEmpty == false, sourceLocation: sourceLocation)
        }
        #expect(try content(of: path) == before, sourceLocation: sourceLocation)
    }

    @Test func aFileThatIsNoDatabaseIsRefused() throws {
        mkdir(folder.path + "/state", 0o700)
        let file = open(path, O_WRONLY | O_CREAT, 0o600)
        let text = String(repeating: "192.0.2.1\n", count: 1_000)
        #expect(write(file, text, text.utf8.count) == text.utf8.count)
        close(file)
        try expectRefusal(because: "not a database", kind: .other)
    }

    @Test func aDamagedPageIsReported() throws {
        do {
            let writer = database()
            try writer.insert(
                (0..<5_000).map {
                    PolicyEntry(kind: .block, prefix: IPPrefix(ipv4: $0), origin: .importFile, added: 1)
                }
            ) { _ in }
        }
        // What is still in the log would be read from there.
        try RawDatabase(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        // Page 1 is the header and the schema: all others are lost.
        let size = try content(of: path).count
        try overwrite(path, at: 4_096, with: [UInt8](repeating: 0xa5, count: size - 4_096))
        let failure = #expect(throws: Failure.self) { try database().entries(.block) }
        #expect(failure?.kind == .other)
        #expect(failure?.reason.contains("damaged") == true)
        #expect(failure?.next.contains("mv \(path)") == true)
        #expect(throws: Failure.self) { try database().insert([one]) { _ in } }
        #expect(try content(of: path).count == size)
    }

    @Test func aRowThatMakesNoSenseIsReported() throws {
        try database().insert([one]) { _ in }
        try RawDatabase(path).execute("UPDATE entry SET origin = 'nobody'")
        let failure = #expect(throws: Failure.self) { try database().entries(.block) }
        #expect(failure?.reason.contains("damaged") == true)
    }

    @Test func aDatabaseOfAnotherProgramIsRefused() throws {
        mkdir(folder.path + "/state", 0o700)
        try RawDatabase(path).execute("CREATE TABLE entry (kind TEXT)")
        try expectRefusal(because: "another program", kind: .other)
    }

    @Test func aNewerVersionIsRefused() throws {
        try database().insert([one]) { _ in }
        try RawDatabase(path).execute("PRAGMA user_version = 99")
        try expectRefusal(because: "newer", kind: .unsupported)
    }

    @Test func aFolderInItsPlaceIsRefused() throws {
        mkdir(folder.path + "/state", 0o700)
        mkdir(path, 0o700)
        #expect(throws: Failure.self) { try database().entries(.block) }
        #expect(throws: Failure.self) { try database().insert([one]) { _ in } }
        rmdir(path)
    }
}
