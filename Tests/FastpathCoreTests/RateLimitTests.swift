// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@Suite struct RateLimitTests {
    @Test(arguments: [
        ("5/s:20", "5/s:20"), ("5/s", "5/s:5"), ("30/m", "30/m:1"), ("1/h:3", "1/h:3"), ("10000/s:1", "10000/s:1"),
        ("1/s:86401", "1/s:86401"), ("1/h:25", "1/h:25"),
    ])
    func whatIsReadIsWritten(text: String, written: String) {
        #expect(RateLimit(text, scope: .source)?.description == written)
    }

    @Test(arguments: [
        "", "5", "5/", "/s", "5/d", "5/s:", "5/s:0", "0/s", "-5/s:2", "+5/s", "5/s:2:3", "5/s/s", "10001/s",
        "1/s:86402",
        "1/h:26", "5.5/s", "99999999999999999999/s", "5/s:99999999999999999999", "5/ s",
    ])
    func whatTheProgramCannotKeepIsRefused(text: String) {
        #expect(RateLimit(text, scope: .source) == nil)
    }

    @Test func theBudgetMayBeFaster() {
        #expect(RateLimit("1000000/s:10000", scope: .budget) != nil)
        #expect(RateLimit("1000000/s:10000", scope: .source) == nil)
    }

    @Test(arguments: [RateLimit.Scope.source, .budget])
    func whatAProgramHoldsIsReadBack(scope: RateLimit.Scope) throws {
        for count in Array(1...200) + [333, 997, 1_000, 5_000, 9_999] {
            for unit in RateLimit.Unit.allCases {
                guard let limit = RateLimit(count, per: unit, burst: 3, scope: scope) else { continue }
                let abi = limit.abi(scope)
                let read = try #require(RateLimit(abi: abi, scope: scope))
                #expect(read.abi(scope).interval == abi.interval && read.burst == 3)
            }
        }
    }

    @Test func thePaceIsRight() throws {
        let limit = try #require(RateLimit("5/s:20", scope: .source))
        #expect(limit.abi(.source).interval == 200_000 && limit.abi(.source).tolerance == 19 * 200_000)
        let budget = try #require(RateLimit("2000/s:4000", scope: .budget))
        #expect(budget.abi(.budget).interval == 512_000)
    }
}
