// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathStore
import Glibc
import Testing

private func entry(
    _ text: String, _ kind: PolicyKind = .block, _ origin: Origin = .operatorCommand, added: Int64 = 1_000
) throws -> PolicyEntry {
    PolicyEntry(kind: kind, prefix: try IPPrefix(text), origin: origin, added: added)
}

extension PolicyDatabase {
    fileprivate func texts(_ kind: PolicyKind) throws -> [String] { try entries(kind).map(\.prefix.description) }
}

@Suite struct PolicyDatabaseTests {
    let folder: TemporaryFolder
    let database: PolicyDatabase

    init() throws {
        folder = try TemporaryFolder()
        database = PolicyDatabase(at: folder.databasePath)
    }

    @Test func readingLeavesNoTrace() throws {
        #expect(try database.entries(.block).isEmpty)
        #expect(try database.count(.allow) == 0)
        #expect(try database.contained([IPPrefix(ipv4: 1)], in: .block).isEmpty)
        #expect(try database.capacity(.block) == nil)
        try database.remove([IPPrefix(ipv4: 1)], from: .block)
        try database.purge()
        #expect(folder.names(in: folder.path).isEmpty)
    }

    @Test func entriesComeBackAsTheyWent() throws {
        let entries = try [
            entry("192.0.2.1"), entry("0.0.0.0", added: 0), entry("255.255.255.255", .block, .importFile, added: .max),
            entry("10.0.0.0/8", .block, .adopted, added: -5), entry("10.0.0.0"), entry("0.0.0.0/0"),
            entry("2001:db8::1"), entry("::"), entry("::/0"), entry("2001:db8::/32"), entry("::192.0.2.1"),
        ]
        let allowed = try [entry("192.0.2.1", .allow, .adopted)]
        try database.insert(entries + allowed)
        for database in [database, PolicyDatabase(at: folder.databasePath)] {
            #expect(try Set(database.entries(.block)) == Set(entries))
            #expect(try database.entries(.allow) == allowed)
            #expect(try database.count(.block) == entries.count)
        }
    }

    @Test func everyKindAndOriginHasItsName() throws {
        let origins: [Origin] = [.operatorCommand, .importFile, .adopted]
        for kind in PolicyKind.allCases {
            let entries = origins.enumerated().map {
                PolicyEntry(kind: kind, prefix: IPPrefix(ipv4: UInt32($0)), origin: $1, added: 1)
            }
            try database.insert(entries)
            #expect(try database.entries(kind) == entries)
        }
        let rows = try RawDatabase(folder.databasePath).texts("SELECT DISTINCT kind || ' ' || origin FROM entry")
        #expect(
            Set(rows) == Set(PolicyKind.allCases.flatMap { kind in origins.map { "\(kind.rawValue) \($0.rawValue)" } }))
    }

    @Test func whatIsPutAgainKeepsItsOriginAndGetsTheRest() throws {
        let first = try entry("192.0.2.1", .block, .operatorCommand, added: 1)
        try database.insert([first])
        var again = try entry("192.0.2.1", .block, .importFile, added: 2)
        (again.expiry, again.comment) = (77, "why")
        try database.insert([again, entry("192.0.2.2")])
        var after = first
        (after.expiry, after.comment) = (77, "why")
        #expect(try database.entries(.block).first == after)
        try database.insert([first])
        #expect(try database.entries(.block).first == first)
        #expect(try database.texts(.block) == ["192.0.2.1", "192.0.2.2"])
        #expect(try database.count(.block) == 2)
    }

    @Test func aPrefixMayBeInSeveralSets() throws {
        let prefix = try IPPrefix("192.0.2.0/24")
        let entries = ["", "feed", "FEED.2-x_"].map {
            PolicyEntry(
                kind: .block, prefix: prefix, origin: .importFile, added: 5, expiry: $0.isEmpty ? nil : 9, set: $0,
                comment: $0.isEmpty ? "it's \"quoted\" \u{fc}" : nil)
        }
        try database.insert(entries)
        for database in [database, PolicyDatabase(at: folder.databasePath)] {
            #expect(try Set(database.entries(.block)) == Set(entries))
            #expect(try database.entries(.block, in: "feed") == [entries[1]])
            #expect(try database.entries(.block, in: "other").isEmpty && database.entries(.allow, in: "feed").isEmpty)
            #expect(try Set(database.entries(.block, of: [prefix])) == Set(entries))
            #expect(try database.sets(.block).map(\.name) == ["", "FEED.2-x_", "feed"])
            #expect(try database.sets(.block).map(\.entries) == [1, 1, 1] && database.count(.block) == 3)
        }
        try database.change(removing: [entries[1]], putting: []) { _ in }
        #expect(try Set(database.entries(.block)) == [entries[0], entries[2]])
        #expect(try database.sets(.block).map(\.name) == ["", "FEED.2-x_"])
    }

    @Test func aChangeIsOneTransaction() throws {
        try database.insert([entry("10.0.0.1"), entry("10.0.0.2")])
        try database.change(removing: [entry("10.0.0.1")], putting: [entry("10.0.0.3"), entry("10.0.0.2", added: 9)]) {
            _ in
        }
        #expect(try database.texts(.block) == ["10.0.0.2", "10.0.0.3"] && database.count(.block) == 2)
        // What breaks a rule in its middle leaves nothing behind.
        try RawDatabase(folder.databasePath).execute(
            "CREATE TRIGGER no BEFORE INSERT ON entry WHEN new.comment = 'no' BEGIN SELECT RAISE(ABORT, 'no'); END")
        var bad = try entry("10.0.0.9")
        bad.comment = "no"
        #expect(throws: Failure.self) {
            try database.change(removing: [entry("10.0.0.2")], putting: [entry("10.0.0.8"), bad]) { _ in }
        }
        #expect(try database.texts(.block) == ["10.0.0.2", "10.0.0.3"] && database.count(.block) == 2)
    }

    @Test func whatExpiresIsFound() throws {
        var entries = try [
            entry("10.0.0.1"), entry("10.0.0.2"), entry("10.0.0.3", .trust), entry("2001:db8::/32", .allow),
        ]
        for (index, expiry) in [nil, Int64(100), 101, 50].enumerated() { entries[index].expiry = expiry }
        entries[3].set = "feed"
        try database.insert(entries)
        #expect(try database.expired(at: 49).isEmpty)
        #expect(try database.expired(at: 50) == [entries[3]])
        #expect(try Set(database.expired(at: 100)) == [entries[1], entries[3]])
        #expect(try Set(database.expired(at: 101)) == Set(entries[1...]))
    }

    @Test func whatNoPublicMapHoldsIsCounted() throws {
        try database.insert([
            entry("10.0.0.1"), entry("10.0.0.0/8"), entry("0.0.0.0/0"), entry("::1"), entry("::/0"),
            entry("10.0.0.0/31", .allow),
        ])
        #expect(try database.countOfNoAddresses(.block) == 4 && database.countOfNoAddresses(.allow) == 1)
    }

    /// The number is kept beside the list: it must be that of the rows after whatever was done.
    @Test func theCountIsThatOfTheRows() throws {
        func expectCounts(_ block: Int, _ allow: Int, sourceLocation: SourceLocation = #_sourceLocation) throws {
            let sql =
                "SELECT (SELECT count(*) FROM entry WHERE kind = 'block') || ' ' || (SELECT count(*) FROM entry WHERE kind = 'allow')"
            let rows = try RawDatabase(folder.databasePath).texts(sql)
            #expect(rows == ["\(block) \(allow)"], sourceLocation: sourceLocation)
            #expect(try database.count(.block) == block, sourceLocation: sourceLocation)
            #expect(try database.count(.allow) == allow, sourceLocation: sourceLocation)
        }
        try database.insert([entry("10.0.0.1"), entry("10.0.0.2", .allow), entry("10.0.0.3"), entry("10.0.0.1")])
        try expectCounts(2, 1)
        try database.insert([entry("10.0.0.1"), entry("10.0.0.4")])
        try expectCounts(3, 1)
        try database.remove([IPPrefix("10.0.0.4"), IPPrefix("10.9.9.9"), IPPrefix("10.0.0.4")], from: .block)
        try database.remove([IPPrefix("10.0.0.1")], from: .allow)
        try expectCounts(2, 1)
        try database.purge()
        try expectCounts(0, 0)
        try database.insert([entry("10.0.0.1", .allow)])
        try expectCounts(0, 1)
    }

    /// The next command reads the log from its start, so it must not grow; and a closed record keeps it.
    @Test func theLogStaysShort() throws {
        for number in 0..<400 as Range<UInt32> {
            try PolicyDatabase(at: folder.databasePath).insert([
                PolicyEntry(
                    kind: .block, prefix: IPPrefix(ipv4: number &* 0x9e37_79b9), origin: .operatorCommand, added: 1)
            ])
        }
        #expect(folder.names(in: folder.path + "/state").contains("policy.db-wal"))
        var size = stat()
        #expect(stat(folder.databasePath + "-wal", &size) == 0 && size.st_size < 200 * 4_096)
        #expect(try PolicyDatabase(at: folder.databasePath).count(.block) == 400)
    }

    @Test func removalTakesWhatIsMeantAlone() throws {
        try database.insert([entry("10.0.0.0"), entry("10.0.0.0/8"), entry("10.0.0.1"), entry("10.0.0.0", .allow)])
        try database.remove([IPPrefix("10.0.0.0"), IPPrefix("10.9.9.9")], from: .block)
        #expect(try database.texts(.block) == ["10.0.0.0/8", "10.0.0.1"])
        #expect(try database.texts(.allow) == ["10.0.0.0"])
    }

    /// Few are looked up one by one, many by reading the list: both ways must agree.
    @Test(arguments: [3, 2_000])
    func containedFindsThoseThatAreThere(count: Int) throws {
        let all = (0..<UInt32(count)).map { IPPrefix(ipv4: $0 &* 0x9e37_79b9) }
        let recorded = all.enumerated().filter { $0.offset % 3 != 0 }.map(\.element)
        try database.insert(recorded.map { PolicyEntry(kind: .block, prefix: $0, origin: .importFile, added: 1) })
        try database.insert([PolicyEntry(kind: .allow, prefix: all[0], origin: .importFile, added: 1)])
        #expect(try database.contained(all, in: .block) == Set(recorded))
        #expect(try database.contained(all, in: .allow) == [all[0]])
        #expect(try database.contained([], in: .block) == [])
    }

    @Test func progressRisesToTheEnd() throws {
        let entries = (0..<40_000).map {
            PolicyEntry(kind: .block, prefix: IPPrefix(ipv4: UInt32(40_000 - $0)), origin: .importFile, added: 1)
        }
        var steps: [Int] = []
        try database.insert(entries) { steps.append($0) }
        #expect(steps == steps.sorted() && steps.count >= 3 && steps.last == 40_000)
        #expect(try database.count(.block) == 40_000)
        #expect(try database.entries(.block).map(\.prefix) == entries.map(\.prefix).sorted())
        try database.remove(entries.map(\.prefix), from: .block)
        #expect(try database.count(.block) == 0)
    }

    @Test func capacities() throws {
        try database.setCapacity(4_096, of: .block)
        try database.setCapacity(8_192, of: .block)
        #expect(try database.capacity(.block) == 8_192)
        #expect(try database.capacity(.allow) == nil)
        try database.setCapacity(99, of: nil)
        #expect(try database.capacity(nil) == 99 && database.capacity(.block) == 8_192)
    }

    @Test func purgeForgetsEverything() throws {
        try database.insert(
            (1...20_000).map {
                PolicyEntry(kind: .block, prefix: IPPrefix(ipv4: $0), origin: .importFile, added: 1)
            })
        try database.setCapacity(65_536, of: .block)
        try database.purge()
        #expect(try database.entries(.block).isEmpty)
        #expect(try database.capacity(.block) == nil)
        try database.insert([entry("192.0.2.1")])
        #expect(try PolicyDatabase(at: folder.databasePath).texts(.block) == ["192.0.2.1"])
    }

    @Test func onlyItsOwnerCanReadIt() throws {
        let mask = umask(0)
        defer { umask(mask) }
        try database.insert([entry("192.0.2.1")])
        #expect(try mode(of: folder.path + "/state") == 0o700)
        for name in folder.names(in: folder.path + "/state") {
            #expect(try mode(of: "\(folder.path)/state/\(name)") == 0o600, "\(name)")
        }
    }
}
