// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import Testing

@testable import FastpathBench

@Suite struct FigureTests {
    @Test func medianIsTheMiddle() {
        #expect(Figure("f", .nanoseconds, [9, 1, 4]).median == 4)
        #expect(Figure("f", .nanoseconds, [9, 1, 4, 6]).median == 5)
        #expect(Figure("f", .nanoseconds).median.isNaN)
    }

    /// The second round was disturbed: both figures doubled, their ratio did not.
    @Test func ratiosAreTakenRoundByRound() {
        let edge = Figure("edge", .nanoseconds, [40, 80, 42])
        let floor = Figure("floor", .nanoseconds, [20, 40, 20])
        let ratio = edge.over(floor, as: "ratio")
        #expect(ratio.samples == [2, 2, 2.1])
        #expect(ratio.unit == .ratio)
        #expect(edge.minus(floor, as: "net").samples == [20, 40, 22])
    }

    @Test func goalsLookAtTheMedian() {
        let figure = Figure("f", .ratio, [1, 1.35, 9])
        #expect(Goal(figure: figure, relation: .atMost, limit: 1.35, label: "").isMet)
        #expect(!Goal(figure: figure, relation: .atMost, limit: 1.34, label: "").isMet)
        #expect(Goal(figure: figure, relation: .atLeast, limit: 1.35, label: "").isMet)
        #expect(!Goal(figure: figure, relation: .atLeast, limit: 1.36, label: "").isMet)
        // What was not measured is not met.
        #expect(!Goal(figure: Figure("f", .ratio), relation: .atMost, limit: 1, label: "").isMet)
    }
}

@Suite struct PacketKindTests {
    /// The frames are of the kind that their name says, by the reference filter, whatever the source.
    @Test(arguments: PacketKind.allCases)
    func framesAreOfTheirKind(kind: PacketKind) {
        var random = SeededGenerator(seed: 7)
        let lists = BenchLists(&random)
        var filter = ReferenceFilter(blocked: Set(lists.blocked), allowed: Set(lists.allowed))
        for number in 0..<20 {
            let frame = kind.frame(from: lists.source(kind.source, &random), number: 100_000 + number, &random)
            #expect(filter.judge(frame).reason == kind.reason)
        }
    }

    @Test func listsHoldWhatTheySay() {
        var random = SeededGenerator(seed: 1)
        let lists = BenchLists(&random)
        #expect(Set(lists.blocked).count == 1_000 && Set(lists.allowed).count == 200)
        #expect(Set(lists.blocked).isDisjoint(with: lists.allowed))
        #expect(lists.blocked.contains(lists.source(.blocked, &random)))
        #expect(lists.allowed.contains(lists.source(.allowed, &random)))
    }

    @Test func sharesAreAHundred() {
        #expect(MixedCost.shares.reduce(0) { $0 + $1.percent } == 100)
    }

    @Test func theSameSeedGivesTheSame() {
        var first = SeededGenerator(seed: 5), second = SeededGenerator(seed: 5), other = SeededGenerator(seed: 6)
        #expect(first.bytes(16) == second.bytes(16))
        #expect(first.bytes(16) != other.bytes(16))
    }
}
