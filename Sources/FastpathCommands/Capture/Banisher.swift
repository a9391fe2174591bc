// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel

/// The value of `--ban`: `10s:1h`.
struct BanChoice: Hashable, Sendable {
    /// As it was written.
    var text: String
    var rule: BanRule

    init(_ text: String) throws {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, let after = Lifetime(argument: parts[0]), let length = Lifetime(argument: parts[1])
        else {
            throw ValidationError(
                "--ban takes AFTER:FOR, like 10s:1h, each a number and s, m, h, d or w; not '\(text)'")
        }
        self.text = text
        rule = BanRule(after: after.seconds, length: length.seconds)
    }
}

/// Blocks the sources that stay over their limit.
struct Banisher {
    private let choice: BanChoice
    private let context: Context
    private var tracker: BanTracker

    /// The set that the entries are in.
    static let set = "bans"

    init(_ choice: BanChoice, _ context: Context) {
        self.choice = choice
        self.context = context
        tracker = BanTracker(choice.rule)
    }

    /// Looks at a decision. A source that cannot be blocked is named, and the others are blocked all the same.
    mutating func see(_ sample: Sample, from source: IPPrefix?) throws(Failure) {
        let isDry = sample.wouldBe == .rateLimited
        guard sample.reason == .rateLimited || isDry, let source,
            let banned = tracker.note(source, at: sample.time)
        else { return }
        let sentence = "\(banned) stayed over its limit (\(choice.text))"
        guard !isDry else { return context.output.note("\(sentence): dry run, it is not blocked") }
        let now = moment()
        do throws(Failure) {
            _ = try context.policyControl().add(
                [banned], to: .block,
                EntryOptions(
                    set: Self.set, expiry: now.wall + choice.rule.length, comment: "over its limit", origin: .ban),
                now: now)
            context.output.note("\(sentence): blocked")
        } catch {
            context.output.warning("\(sentence), and cannot be blocked: \(error.reason)")
        }
    }
}
