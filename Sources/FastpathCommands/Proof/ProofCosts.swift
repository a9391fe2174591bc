// SPDX-License-Identifier: Apache-2.0
import FastpathCore

/// What switches and settings cost, in PROFILES.md.
extension ProofPage {
    static let costsBegin = "<!-- proof: costs -->"
    static let costsEnd = "<!-- end of proof -->"

    private static let costs: [(setting: String, figure: String, measured: String)] = [
        ("`vlan`", "carrier.vlan.more", "an INVITE behind one tag, over one without"),
        ("`ipv6`", "carrier.ipv6.more", "an INVITE by IPv6, over one by IPv4; 1,000 entries"),
        ("limits and budget", "carrier.limits.more", "an INVITE of a stranger, over one without limits"),
        ("`live_maps`", "carrier.live.more", "an INVITE of a stranger, over one with `live_maps = false`"),
        ("all of `carrier`", "carrier.mix.net", "mixed traffic, over a program that only drops; `live_maps = false`"),
    ]

    private var costTable: String {
        var table = MarkdownTable([.left("what"), .right("ns a packet"), .left("measured as")])
        for cost in Self.costs { table.add([cost.setting, cell(cost.figure), cost.measured]) }
        return table.text
    }

    /// The same document with the costs of this run between its marks; as it was where it has none.
    func withCosts(_ document: String) -> String {
        guard let begin = document.firstRange(of: Self.costsBegin + "\n"),
            let end = document[begin.upperBound...].firstRange(of: Self.costsEnd)
        else { return document }
        return String(document[..<begin.upperBound]) + costTable + "\n" + document[end.lowerBound...]
    }
}
