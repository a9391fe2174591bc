// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathControl

/// Named sets, expiry, comments, and what is refused.
@Suite struct SetTests {
    let world = FakeWorld()

    init() throws { try world.up("eth0", settings: .carrier) }

    private var table: FakeTable { get throws { try #require(world.kernel.table) } }

    private func list(_ lines: String...) -> AddressList {
        AddressList(parsing: Array(lines.joined(separator: "\n").utf8))
    }

    private func replace(
        _ set: String, _ file: AddressList, force: Bool = false, expiry: Int64? = nil
    ) throws -> ImportReport {
        try world.policy.replace(
            file, of: .block, EntryOptions(set: set, expiry: expiry, origin: .importFile, force: force), now: 100
        ) { _ in }
    }

    private func blocked() throws -> [String] { try table.prefixes(.block).sorted().map(\.description) }

    // MARK: Replacing

    @Test func aSetIsReplacedAtOneMoment() throws {
        try world.block(address(1))
        let first = try replace("feed", list("10.0.0.0/8", "192.0.2.1", "198.51.100.1"))
        #expect((first.added, first.removed, first.alreadyThere) == (3, 0, 0))
        try table.hits[.init(prefix: IPPrefix("10.0.0.0/8"), kind: .block)] = (4, 9)
        world.faults.reset()
        let report = try replace("feed", list("10.0.0.0/8", "2001:db8::/32"))
        #expect((report.added, report.removed, report.alreadyThere) == (1, 2, 1))
        // One transaction, one change of the table.
        #expect(
            try world.faults.steps == ["record 1 and remove 2 from the record", "apply 4 to table \(try table.id)"])
        #expect(try blocked() == ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"])
        #expect(try table.hits[.init(prefix: IPPrefix("10.0.0.0/8"), kind: .block)]?.count == 4)
        #expect(try world.policy.sets(.block).map(\.name) == ["feed"])
        #expect(try world.policy.sets(.block).map(\.entries) == [2])
    }

    @Test func otherSetsAndKindsAreUntouched() throws {
        _ = try replace("one", list("192.0.2.1", "192.0.2.2"))
        _ = try replace("two", list("192.0.2.2", "192.0.2.3"))
        _ = try world.policy.add([address(2)], to: .allow, EntryOptions(set: "one"), now: 1)
        _ = try replace("one", list("192.0.2.9"))
        #expect(try blocked() == ["192.0.2.2", "192.0.2.3", "192.0.2.9"])
        #expect(try table.prefixes(.allow) == [address(2)])
        #expect(try world.policy.list(.block, set: "two", now: 1).prefixes == [address(2), address(3)])
    }

    @Test func theListWithoutASetIsReplacedToo() throws {
        try world.block(address(1), address(2))
        _ = try replace("feed", list("192.0.2.8"))
        let report = try replace("", list("192.0.2.2", "192.0.2.3"))
        #expect((report.added, report.removed, report.alreadyThere) == (1, 1, 1))
        #expect(try blocked() == ["192.0.2.2", "192.0.2.3", "192.0.2.8"])
    }

    @Test func classicInterfacesGetTheNewBeforeTheyLoseTheOld() throws {
        try world.up("eth1", capacities: [.block: 8], settings: .classic)
        _ = try replace("feed", list("192.0.2.1", "192.0.2.2"))
        world.faults.reset()
        _ = try replace("feed", list("192.0.2.2", "192.0.2.3", "10.0.0.0/8"))
        #expect(world.blocked == [address(2), address(3)])
        #expect(
            world.faults.steps.map { $0.split(separator: " ").prefix(2).joined(separator: " ") } == [
                "record 2", "insert 1", "remove 1", "remove 1", "apply 4",
            ])
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) {
            try replace(
                "feed",
                list("192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15", "192.0.2.16", "192.0.2.17"))
        }
        #expect(failure?.kind == .mapFull(capacity: 8) && failure?.next.contains("--blocked-capacity 16") == true)
        #expect(world.snapshot == before)
    }

    @Test func anEmptyFileEmptiesOnlyWhenForced() throws {
        _ = try replace("feed", list("192.0.2.1"))
        let before = world.snapshot
        let failure = #expect(throws: Failure.self) { try replace("feed", list("# nothing")) }
        #expect(failure?.kind == .usage && world.snapshot == before)
        #expect(try replace("feed", list("# nothing"), force: true).removed == 1)
        #expect(try blocked().isEmpty)
        #expect(try replace("feed", list("# nothing")).removed == 0)
    }

    @Test func aWrongNameIsRefused() throws {
        for name in ["a b", "ä", String(repeating: "x", count: 65), "a/b"] {
            #expect(throws: Failure.self) { try replace(name, list("192.0.2.1")) }
        }
    }

    // MARK: Removing

    @Test func whatAnotherSetHasStaysInForce() throws {
        try world.block(address(1))
        _ = try replace("feed", list("192.0.2.1", "192.0.2.2"))
        let one = try world.policy.remove([address(1), address(7)], from: .block, set: "feed", now: 1)
        #expect(one.removed == [address(1)] && one.stillThere == [address(1)] && one.notThere == [address(7)])
        #expect(try blocked() == ["192.0.2.1", "192.0.2.2"])
        let all = try world.policy.remove([address(1)], from: .block, now: 1)
        #expect(all.removed == [address(1)] && all.stillThere.isEmpty)
        #expect(try blocked() == ["192.0.2.2"])
        let set = try world.policy.remove(nil, from: .block, set: "feed", now: 1)
        #expect(try set.removed == [address(2)] && blocked().isEmpty)
    }

    @Test func withASetWhatIsByHandStays() throws {
        try world.up("eth1", settings: .classic)
        world.kernel.shared[.block]?.writeByHand(address(5))
        _ = try replace("feed", list("192.0.2.1"))
        let report = try world.policy.remove([address(5)], from: .block, set: "feed", now: 1)
        #expect(report.notThere == [address(5)] && world.blocked == [address(1), address(5)])
        #expect(try world.policy.list(.block, set: "feed", now: 1).rows.map(\.prefix) == [address(1)])
    }

    // MARK: Expiry and comments

    @Test func anExpiryIsTheKernelsBusiness() throws {
        let now = Moment(wall: 1_000_000, boot: 500)
        let options = EntryOptions(expiry: 1_000_060, comment: "scanner")
        _ = try world.policy.add([address(1)], to: .block, options, now: now)
        #expect(try table.expiry(address(1)) == .second(560))
        let row = try #require(try world.policy.list(.block, now: now).rows.first)
        #expect(row.expiry == 1_000_060 && row.comment == "scanner" && row.state == .inForce)
        let later = Moment(wall: 1_000_060, boot: 560)
        #expect(try world.policy.list(.block, now: later).rows.map(\.state) == [.expired])
        #expect(try world.policy.list(.block, now: later).prefixes.isEmpty)
        #expect(try world.edges.status(now: later).policy.map(\.expired) == [1, 0, 0])
        #expect(try world.edges.status(now: later).oddities.isEmpty)
        // Any change drops it.
        _ = try world.policy.add([address(2)], to: .allow, now: later)
        #expect(try world.recordedBlocked.isEmpty && blocked().isEmpty)
    }

    @Test func theLatestExpiryOfAllSetsCounts() throws {
        _ = try world.policy.add([address(1)], to: .block, EntryOptions(set: "a", expiry: 200), now: 100)
        _ = try world.policy.add([address(1)], to: .block, EntryOptions(set: "b", expiry: 300), now: 100)
        #expect(try table.expiry(address(1)) == .second(300))
        _ = try world.policy.add([address(1)], to: .block, EntryOptions(set: "a", expiry: 250), now: 100)
        #expect(try table.expiry(address(1)) == .second(300))
        _ = try world.policy.add([address(2)], to: .block, now: 260)
        #expect(try table.expiry(address(1)) == .second(300) && world.record.count(.block) == 2)
        _ = try world.policy.add([address(1)], to: .block, now: 270)
        #expect(try table.expiry(address(1)) == .never)
        try world.up("eth0", settings: .carrier)
        #expect(try table.expiry(address(1)) == .never && world.record.count(.block) == 2)
    }

    @Test func anAdditionSaysWhatItChanged() throws {
        let first = try world.policy.add([address(1)], to: .block, EntryOptions(expiry: 200, comment: "x"), now: 100)
        #expect(first.added == [address(1)])
        let again = try world.policy.add([address(1)], to: .block, EntryOptions(expiry: 200), now: 100)
        #expect(again.alreadyThere == [address(1)] && again.changed.isEmpty)
        let forGood = try world.policy.add([address(1)], to: .block, now: 150)
        #expect(forGood.changed == [address(1)])
        #expect(world.record.entries(.block).map(\.comment) == ["x"] && world.record.entries(.block)[0].added == 100)
    }

    @Test func onClassicInterfacesTheNextChangeEndsIt() throws {
        try world.up("eth1", settings: .classic)
        _ = try world.policy.add([address(1)], to: .block, EntryOptions(expiry: 600), now: 550)
        #expect(world.blocked == [address(1)])
        _ = try world.policy.remove([address(7)], from: .allow, now: 600)
        #expect(world.blocked.isEmpty && world.recordedBlocked.isEmpty)
        #expect(try world.policy.list(.block, now: 600).rows.isEmpty)
    }

    @Test func commentsAreShortLines() throws {
        for comment in ["a\nb", String(repeating: "x", count: 257), "\u{1b}[2J"] {
            let failure = #expect(throws: Failure.self) {
                try world.policy.add([address(1)], to: .block, EntryOptions(comment: comment), now: 1)
            }
            #expect(failure?.kind == .usage)
        }
    }

    // MARK: Refusals

    @Test func whatWouldBlockTheWrongIsRefused() throws {
        world.kernel.addresses = [try IPPrefix("203.0.113.7"), try IPPrefix("2001:db8:1::7")]
        _ = try world.policy.add([try IPPrefix("198.51.100.0/24")], to: .trust, now: 1)
        let before = world.snapshot
        let cases: [(String, Refusal)] = [
            ("198.51.100.7", .trusted(try IPPrefix("198.51.100.0/24"))),
            ("198.51.0.0/16", .trusted(try IPPrefix("198.51.100.0/24"))),
            ("203.0.113.7", .own(try IPPrefix("203.0.113.7"))), ("203.0.113.0/24", .own(try IPPrefix("203.0.113.7"))),
            ("2001:db8::/32", .own(try IPPrefix("2001:db8:1::7"))),
            ("8.0.0.0/7", .share(1.0 / 128, allowed: 1.0 / 256)), ("2a00::/10", .share(1.0 / 128, allowed: 1.0 / 256)),
            ("::/0", .share(8, allowed: 1.0 / 256)),
        ]
        for (text, refusal) in cases {
            let failure = #expect(throws: Failure.self) {
                try world.policy.add([address(1), IPPrefix(text)], to: .block, now: 1)
            }
            #expect(failure?.kind == .usage && failure?.subject == text)
            #expect(try failure?.reason == refusal.reason(for: IPPrefix(text)) + "; nothing was changed")
        }
        #expect(world.snapshot == before)
        let file = AddressList(parsing: Array(("192.0.2.1\n" + cases.map { "\($0.0)\n" }.joined()).utf8))
        let report = try world.policy.importList(file, into: .block, now: 1) { _ in }
        #expect(report.refused.map(\.number) == Array(2...9) && report.refused.map(\.refusal) == cases.map(\.1))
        #expect(try report.added == 1 && !report.isComplete && blocked() == ["192.0.2.1"])
        // Neither allow nor trust blocks anything.
        #expect(try world.policy.importList(file, into: .allow, now: 1) { _ in }.refused.isEmpty)
        #expect(
            try world.policy.importList(file, into: .block, EntryOptions(force: true), now: 1) { _ in }.added == 8)
    }

    @Test func whatIsExpiredIsNotTrusted() throws {
        _ = try world.policy.add([address(1)], to: .trust, EntryOptions(expiry: 200), now: 100)
        #expect(throws: Failure.self) { try world.block(address(1)) }
        #expect(try world.policy.add([address(1)], to: .block, now: 200).added == [address(1)])
    }

    @Test func privateLinesAreLeftOutAndCounted() throws {
        let file = list(
            "10.1.2.3", "192.168.0.0/24", "100.64.0.0/10", "127.0.0.1", "169.254.1.1", "224.0.0.1", "fe80::1",
            "fd00::/8",
            "ff02::1", "::1", "172.0.0.0/8", "192.0.2.1", "172.32.0.1")
        var options = EntryOptions(origin: .importFile)
        options.excludePrivate = true
        let report = try world.policy.importList(file, into: .block, options, now: 1) { _ in }
        #expect(report.leftOut == 10 && report.added == 2)
        #expect(
            try report.refused == [
                RefusedLine(
                    number: 11, prefix: try IPPrefix("172.0.0.0/8"),
                    refusal: .coversPrivate(try IPPrefix("172.16.0.0/12")))
            ])
        #expect(try blocked() == ["172.32.0.1", "192.0.2.1"])
        let added = try world.policy.add([IPPrefix("10.0.0.1"), address(2)], to: .block, options, now: 1)
        #expect(added.added == [address(2)] && added.leftOut == 1)
    }
}
