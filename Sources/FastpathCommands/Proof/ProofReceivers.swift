// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore

extension ProofPage {
    private static func receiveLabel(_ method: String) -> String { ReceiveMethod(rawValue: method)?.label ?? method }

    /// What a figure of a receiver is called, by the parts of its name: `afxdp.swift.1.over_c`.
    static func receiveTitle(_ parts: [String]) -> String {
        let what = parts[3].hasPrefix("over_") ? "over \(receiveLabel(String(parts[3].dropFirst(5))))" : parts[3]
        return "\(receiveLabel(parts[1])), \(Format.plural(Int(parts[2]) ?? 0, "worker")): \(what)"
    }

    /// CPU time and packets a second of each way to receive, by the number of workers.
    var receivers: String {
        let counts = ReceiveCost.workerCounts.filter { count in
            ReceiveMethod.allCases.contains { result.figure("afxdp.\($0.rawValue).\(count).cpu") != nil }
        }
        guard !counts.isEmpty else { return "" }
        var table = MarkdownTable(
            [.left("workers")] + counts.map { .right("CPU ns, \($0)") } + counts.map { .right("kpps, \($0)") }
                + [.left("goals")])
        for method in ReceiveMethod.allCases {
            let names = counts.map { "afxdp.\(method.rawValue).\($0)" }
            guard names.contains(where: { result.figure("\($0).cpu") != nil }) else { continue }
            table.add(
                [method.label] + names.map { cell("\($0).cpu", places: 0) }
                    + names.map { cell("\($0).rate", places: 0) }
                    + [verdict(names.flatMap { ["\($0).over_c", "\($0).over_recvfrom"] })])
        }
        return """
            ## Receiving

            CPU time of those who receive, user and system, a packet of 150,000 a second; and packets a second while one CPU \
            sends as fast as it can. Over a veth pair, so in copy mode. [AF_XDP](AF_XDP.md) says what that shows, and what not.


            """ + table.text
    }
}
