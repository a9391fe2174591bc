// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// Runs the packets of a capture through the program and says what became of each.
struct Explanation {
    typealias Judgement = ProgramInstance.Judgement

    /// Gives the program's answer for a packet with a frame of at least 14 bytes.
    typealias Judge = (CapturedPacket) throws(Failure) -> Judgement

    var output: Output
    /// At most so many packets; nil for all.
    var limit: Int?

    /// Kernels refuse to run a program on less than an Ethernet header.
    static let shortestFrame = 14

    /// `.failed` where a packet could not be run; the others are answered all the same.
    func run(_ capture: CaptureFile, judge: Judge) throws(Failure) -> Outcome {
        var tally: [Reason: Int] = [:]
        var wouldBe: [Reason: Int] = [:]
        var packets = 0
        var truncated = 0
        var unjudged = 0
        while packets < limit ?? .max, output.writeError == 0, let packet = try capture.next() {
            packets += 1
            truncated += packet.isTruncated ? 1 : 0
            do throws(Failure) {
                let judgement = try answer(packet, judge)
                tally[judgement.reason, default: 0] += 1
                if let rule = judgement.wouldBe { wouldBe[rule, default: 0] += 1 }
                show(packet, judgement)
            } catch {
                unjudged += 1
                output.warning("packet \(packet.number): \(error)")
            }
        }
        if !output.isJSON { showTally(tally, wouldBe, packets: packets, truncated: truncated, unjudged: unjudged) }
        return unjudged == 0 ? .done : .failed
    }

    private func answer(_ packet: CapturedPacket, _ judge: Judge) throws(Failure) -> Judgement {
        guard packet.frame.count >= Self.shortestFrame else { return Judgement(.ignored) }
        return try judge(packet)
    }

    private func show(_ packet: CapturedPacket, _ judgement: Judgement) {
        let (verdict, reason) = (judgement.verdict, judgement.reason)
        let summary = FrameSummary(packet.frame)
        guard !output.isJSON else {
            var record: [JSONValue.Member] = [
                .init(key: "packet", value: .number(packet.number)),
                .init(key: "verdict", value: .string(verdict.name)),
                .init(key: "reason", value: .string(reason.name)),
                .init(key: "source", value: .optional(summary.source?.description)),
            ]
            if let rule = judgement.wouldBe { record.append(.init(key: "would_be", value: .string(rule.name))) }
            if let off = judgement.unfiltered { record.append(.init(key: "unfiltered", value: .string(off.name))) }
            if packet.isTruncated { record.append(.init(key: "truncated", value: true)) }
            output.json(.object(record))
            return
        }
        let line = summary.firstLine.map { "  " + $0 } ?? ""
        output.line(Styled("#\(packet.number)", .bold), Styled("  \(summary.text)"), Styled(line, .cyan))
        output.line("    ", Styled(verdict.name, verdict.style), Styled(" \(reason.name): \(reason.sentence)"))
        if let rule = judgement.wouldBe {
            output.line(Styled("    would be dropped: \(rule.name) (dry run)", .yellow), Styled(": \(rule.sentence)"))
        }
        if let off = judgement.unfiltered {
            output.line(Styled("    passed unfiltered:", .yellow), Styled(" \(EdgeNotes.remedy(off))"))
        }
        if packet.isTruncated {
            output.line(
                Styled("    truncated:", .yellow),
                Styled(
                    " the capture holds \(packet.capturedLength) of \(packet.originalLength) bytes, and the verdict is "
                        + "for those."))
        }
    }

    private func showTally(
        _ tally: [Reason: Int], _ wouldBe: [Reason: Int], packets: Int, truncated: Int, unjudged: Int
    ) {
        var table = Table([.right("PACKETS"), .left("VERDICT"), .left("REASON")])
        for reason in Reason.all {
            guard let number = tally[reason] else { continue }
            table.add([
                Styled(Format.count(number)), Styled(reason.verdict.name, reason.verdict.style), Styled(reason.name),
            ])
        }
        for reason in Reason.droppable {
            guard let number = wouldBe[reason] else { continue }
            table.add([Styled(Format.count(number)), Styled("dry run", .yellow), Styled(reason.name)])
        }
        if packets > 0 { output.line() }
        output.table(table)
        var total = Format.plural(packets, "packet")
        if truncated > 0 { total += ", \(Format.count(truncated)) truncated" }
        if unjudged > 0 { total += ", \(Format.count(unjudged)) could not be run" }
        output.line(total)
    }
}

extension Verdict {
    var style: Style {
        switch self {
        case .drop: .red
        case .pass: .green
        case .redirect: .cyan
        }
    }
}
