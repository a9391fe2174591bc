// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct CountersTests {
    @Test func theTotalIsTheSumOfAllReasons() {
        var counters = Counters()
        for (number, reason) in Reason.counted.enumerated() { counters[reason] = UInt64(1) << UInt64(8 * number) }
        #expect(counters.total == 0x01_01_01_01_01_01)
        #expect(Reason.counted.allSatisfy { counters[$0] > 0 })
    }

    @Test func sumsAndDifferencesAreByReason() {
        var earlier = Counters()
        earlier[.passed] = 10
        earlier[.blocked] = 5
        var later = earlier
        later[.passed] = 14
        later[.malformed] = 1
        let sum = earlier + later
        #expect((sum[.passed], sum[.blocked], sum[.malformed], sum[.redirected]) == (24, 10, 1, 0))
        let difference = later - earlier
        #expect((difference[.passed], difference[.blocked], difference[.malformed]) == (4, 0, 1))
        #expect(difference.total == 5)
    }

    @Test func aCounterThatWentBackCountsFromZero() {
        var earlier = Counters()
        earlier[.passed] = 1_000
        var later = Counters()
        later[.passed] = 3
        #expect((later - earlier)[.passed] == 3)
    }

    @Test func countersWithoutPacketsAreEqual() {
        var zeroed = Counters()
        zeroed[.blocked] = 1
        zeroed[.blocked] = 0
        #expect(zeroed == Counters())
    }
}
