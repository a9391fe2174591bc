// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// Runs the packets of a capture through the program and says what became of each.
struct Explanation {
    /// Gives the program's answer for a frame of at least 14 bytes.
    typealias Judge = ([UInt8]) throws(Failure) -> (Verdict, Reason)

    var output: Output
    /// At most so many packets; nil for all.
    var limit: Int?

    /// Kernels refuse to run a program on less than an Ethernet header.
    static let shortestFrame = 14

    /// `.failed` where a packet could not be run; the others are answered all the same.
    func run(_ capture: CaptureFile, judge: Judge) throws(Failure) -> Outcome {
        var tally: [Reason: Int] = [:]
        var packets = 0
        var truncated = 0
        var unjudged = 0
        while packets < limit ?? .max, output.writeError == 0, let packet = try capture.next() {
            packets += 1
            truncated += packet.isTruncated ? 1 : 0
            do throws(Failure) {
                let (verdict, reason) = try answer(packet, judge)
                tally[reason, default: 0] += 1
                show(packet, verdict, reason)
            } catch {
                unjudged += 1
                output.warning("packet \(packet.number): \(error)")
            }
        }
        if !output.isJSON { showTally(tally, packets: packets, truncated: truncated, unjudged: unjudged) }
        return unjudged == 0 ? .done : .failed
    }

    private func answer(_ packet: CapturedPacket, _ judge: Judge) throws(Failure) -> (Verdict, Reason) {
        guard packet.frame.count >= Self.shortestFrame else { return (.pass, .ignored) }
        return try judge(packet.frame)
    }

    private func show(_ packet: CapturedPacket, _ verdict: Verdict, _ reason: Reason) {
        let summary = FrameSummary(packet.frame)
        guard !output.isJSON else {
            var record: [JSONValue.Member] = [
                .init(key: "packet", value: .number(packet.number)),
                .init(key: "verdict", value: .string(verdict.name)),
                .init(key: "reason", value: .string(reason.name)),
                .init(key: "source", value: .optional(summary.source?.description)),
            ]
            if packet.isTruncated { record.append(.init(key: "truncated", value: true)) }
            output.json(.object(record))
            return
        }
        let line = summary.firstLine.map { "  " + $0 } ?? ""
        output.line(Styled("#\(packet.number)", .bold), Styled("  \(summary.text)"), Styled(line, .cyan))
        output.line("    ", Styled(verdict.name, verdict.style), Styled(" \(reason.name): \(reason.sentence)"))
        if packet.isTruncated {
            output.line(
                Styled("    truncated:", .yellow),
                Styled(
                    " the capture holds \(packet.capturedLength) of \(packet.originalLength) bytes, and the verdict is "
                        + "for those."))
        }
    }

    private func showTally(_ tally: [Reason: Int], packets: Int, truncated: Int, unjudged: Int) {
        var table = Table([.right("PACKETS"), .left("VERDICT"), .left("REASON")])
        for reason in Reason.all {
            guard let number = tally[reason] else { continue }
            table.add([
                Styled(Format.count(number)), Styled(reason.verdict.name, reason.verdict.style), Styled(reason.name),
            ])
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
