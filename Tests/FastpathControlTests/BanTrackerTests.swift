// SPDX-License-Identifier: Apache-2.0
import FastpathControl
import FastpathCore
import Testing

@Suite struct BanTrackerTests {
    private let source = IPPrefix(ipv4: 0xc000_0201)
    private let second: UInt64 = 1_000_000

    @Test func whoStaysOverItsLimitIsBannedOnce() {
        var tracker = BanTracker(BanRule(after: 10, length: 3_600))
        var banned: [UInt64] = []
        for tick in UInt64(0)..<25 where tracker.note(source, at: tick * second) == source { banned.append(tick) }
        #expect(banned == [10, 21], "and counted anew after that")
    }

    @Test func aPauseBeginsAnew() {
        var tracker = BanTracker(BanRule(after: 10, length: 3_600))
        for tick in UInt64(0)..<10 { #expect(tracker.note(source, at: tick * second) == nil) }
        #expect(tracker.note(source, at: 12 * second) == nil, "three seconds of silence")
        for tick in UInt64(13)..<22 { #expect(tracker.note(source, at: tick * second) == nil) }
        #expect(tracker.note(source, at: 22 * second) == source)
    }

    @Test func atOnceIsAtOnce() {
        var tracker = BanTracker(BanRule(after: 0, length: 60))
        #expect(tracker.note(source, at: 5) == source)
    }

    @Test func anIPv6SourceIsItsNetwork() throws {
        var tracker = BanTracker(BanRule(after: 1, length: 60))
        #expect(tracker.note(try IPPrefix("2001:db8::1"), at: 0) == nil)
        #expect(tracker.note(try IPPrefix("2001:db8::2"), at: second) == (try IPPrefix("2001:db8::/64")))
        #expect(tracker.note(try IPPrefix("2001:db8:0:1::1"), at: second) == nil)
    }

    @Test func forgedSourcesNeitherStayNorPushOutOneThatDoes() {
        var tracker = BanTracker(BanRule(after: 3, length: 60))
        var banned: [IPPrefix] = []
        for step in UInt64(0)..<200_000 {
            let time = step * 20
            if let found = tracker.note(IPPrefix(ipv4: UInt32(truncatingIfNeeded: 0x0a00_0000 + step)), at: time) {
                banned.append(found)
            }
            if step % 1_000 == 0, let found = tracker.note(source, at: time) { banned.append(found) }
        }
        #expect(banned == [source])
    }
}
