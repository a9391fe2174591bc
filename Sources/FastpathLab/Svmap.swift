// SPDX-License-Identifier: Apache-2.0
import FastpathCore
import FastpathKernel

/// SIPVicious' svmap: a real scanner that asks every address for a SIP server with OPTIONS.
public enum Svmap {
    /// A device that answered.
    public struct Finding: Hashable, Sendable {
        /// `ADDRESS:PORT`
        public var device: String
        public var userAgent: String
    }

    /// Scans `targets` (addresses, ranges, as svmap has them) from `host`.
    public static func scan(_ targets: [String], from host: LabHost, in laboratory: Laboratory) throws(Failure)
        -> [Finding]
    {
        let outcome = try Shell.outcome(
            of: ["svmap"] + targets, in: host.namespace, timeout: .seconds(20), environment: ["HOME": laboratory.folder]
        )
        guard outcome.exit == .code(0) else {
            throw Failure(
                tried: "scan with svmap", on: targets.joined(separator: " "), because: "it ended with \(outcome.exit)",
                next: "Read what it said below.", details: outcome.output + outcome.errors)
        }
        return findings(in: outcome.output)
    }

    /// Reads its table, of which each row is `| ADDRESS:PORT | USER AGENT |`; it prints none where it found nothing.
    static func findings(in output: String) -> [Finding] {
        output.split(separator: "\n").compactMap { line in
            let cells = line.split(separator: "|").map { $0.drop { $0 == " " } }
            guard line.hasPrefix("|"), cells.count >= 2, cells[0].first?.isNumber == true else { return nil }
            return Finding(device: trimmed(cells[0]), userAgent: trimmed(cells[1]))
        }
    }

    private static func trimmed(_ cell: Substring) -> String {
        var cell = cell
        while cell.last == " " { cell.removeLast() }
        return String(cell)
    }
}
