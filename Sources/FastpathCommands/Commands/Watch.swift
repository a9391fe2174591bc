// SPDX-License-Identifier: Apache-2.0
import ArgumentParser
import FastpathControl
import FastpathCore
import FastpathKernel
import FastpathLab

struct Watch: EdgeCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Show decisions as they are made: what was dropped, from whom, and why.",
        discussion: """
            A sample: at most --rate a second, and of those one in --every. What is left out is counted, and no packet \
            is ever held up. Without --reason, all that is dropped, or would be in dry run. Ctrl-C ends.

            With --ban 10s:1h, a source that stays over its limit for ten seconds is blocked for an hour, in the set \
            'bans', as long as this command runs; what it blocked ends by itself. A source without a packet over its \
            limit for two seconds begins anew. What is not banned: trusted sources and addresses of this host.

            With --json, one line a decision.

            Examples:
              vos-fastpath watch
              vos-fastpath watch --reason options_dropped --source 192.0.2.0/24
              vos-fastpath watch --reason rate_limited --ban 10s:1h
            """)

    @OptionGroup var common: CommonOptions

    @Option(
        help: ArgumentHelp(
            "Only this reason: \(Reason.counted.map(\.name).joined(separator: ", ")). May be repeated.",
            valueName: "reason"))
    var reason: [String] = []

    @Option(help: ArgumentHelp("Only sources in this prefix. May be repeated.", valueName: "prefix"))
    var source: [String] = []

    @Option(help: ArgumentHelp("One decision in so many, on each CPU.", valueName: "n"))
    var every = 1

    @Option(help: ArgumentHelp("At most so many decisions a second.", valueName: "n"))
    var rate = 100

    @Option(help: ArgumentHelp("End after so many decisions.", valueName: "n"))
    var count: Int?

    @Option(
        help: ArgumentHelp("Block who stays over its limit: after how long, and for how long.", valueName: "after:for"),
        transform: BanChoice.init)
    var ban: BanChoice?

    @Argument(help: "The interface (default: all that filter).", completion: .interfaces)
    var iface: String?

    func validate() throws {
        if every < 1 || rate < 1 || count ?? 1 < 1 {
            throw ValidationError("--every, --rate and --count must be 1 or more")
        }
    }

    /// Bytes of a frame: its headers, however many, and what a person reads of a payload.
    private static let length = 256

    func run(_ context: Context) throws(Failure) -> Outcome {
        let prefixes = try source.map { (text) throws(Failure) in try IPPrefix(text) }
        let reasons = try SampleChoice(reason).reasons
        Interruption.install()
        var stream = try SampleStream(context, interface: iface, request(reasons))
        var banisher = ban.map { Banisher($0, context) }
        var shown = 0
        while !Interruption.isRequested, context.output.writeError == 0, shown < count ?? .max {
            for named in try stream.next() {
                let summary = FrameSummary(named.sample.frame)
                try banisher?.see(named.sample, from: summary.source)
                guard reasons.contains(named.sample.wouldBe ?? named.sample.reason) else { continue }
                guard
                    prefixes.isEmpty
                        || summary.source.map({ source in prefixes.contains { $0.covers(source) } }) == true
                else { continue }
                show(named, summary, context.output)
                shown += 1
                if shown == count { break }
            }
            context.output.flush()
        }
        if stream.lost > 0 {
            context.output.note("\(Format.plural(Int(stream.lost), "decision")) came too fast to be shown")
        }
        return .done
    }

    /// Whoever bans looks at all that is over its limit, as far as that is possible.
    private func request(_ reasons: Set<Reason>) -> SampleRequest {
        guard ban != nil else {
            return SampleRequest(reasons: reasons, every: every, perSecond: rate, length: Self.length)
        }
        return SampleRequest(
            reasons: reasons.union([.rateLimited]), every: every, perSecond: max(rate, 10_000), length: Self.length)
    }

    private func show(_ named: NamedSample, _ summary: FrameSummary, _ output: Output) {
        let sample = named.sample
        let time = wallTime(ofBootMicroseconds: sample.time)
        guard !output.isJSON else {
            output.json([
                "time": .string(Timestamp.utc(time / 1_000_000_000)), "interface": .string(named.interface),
                "queue": .number(Int(sample.queue)), "verdict": .string(sample.reason.verdict.name),
                "reason": .string(sample.reason.name), "would_be": .optional(sample.wouldBe?.name),
                "source": .optional(summary.source?.description), "source_port": .optionalNumber(summary.sourcePort),
                "destination_port": .optionalNumber(summary.destinationPort), "length": .number(sample.length),
                "first_line": .optional(summary.firstLine),
            ])
            return
        }
        let clock = Timestamp.local(time / 1_000_000_000).suffix(8)
        let verdict = sample.wouldBe ?? sample.reason
        let mark = sample.wouldBe == nil ? "" : " (dry run)"
        output.line(
            Styled("\(clock) \(named.interface)  ", .faint), Styled(verdict.name, verdict.verdict.style),
            Styled(mark, .yellow),
            Styled("  \(summary.text)  \(sample.length) bytes"),
            Styled(summary.firstLine.map { "  " + $0 } ?? "", .cyan))
    }
}

extension JSONValue {
    static func optionalNumber(_ number: UInt16?) -> JSONValue { number.map { .number(Int($0)) } ?? .null }
}
