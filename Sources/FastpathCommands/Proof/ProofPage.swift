// SPDX-License-Identifier: Apache-2.0
import FastpathBench
import FastpathCore

/// docs/PROOF.md and its pictures, made from what a bench wrote down. The same figures make the same bytes.
struct ProofPage {
    let result: BenchResult
    /// Where the pictures are, seen from the page.
    static let folder = "pictures"

    struct Picture {
        /// Of the file, without its folder.
        var name: String
        /// Nil where its figures are missing.
        var svg: SVG?
        /// What is missing then.
        var needs: String
    }

    /// In their order on the page.
    var pictures: [Picture] { [carrierPicture, dropPicture, curvePicture] }

    var markdown: String {
        let sections = [
            head, goals, packets, classic, policy, drops, receivers, servers, floods, commands, missing,
        ]
        return sections.filter { !$0.isEmpty }.joined(separator: "\n\n") + "\n"
    }

    private var head: String {
        var text = """
            # Proof

            Made by `make proof` from the figures of `make bench`; not written by hand. [BENCHMARKS](BENCHMARKS.md) says how \
            each figure is measured, and how to read it: compare within one run.

            \(result.processor), \(result.cores) cores, Linux \(result.kernel), load \
            \(result.load.map { Format.decimal($0, places: 2) }.joined(separator: " ")) before; measured on CPU \
            \(result.cpu), seed \(result.seed), \(result.started), \(Format.decimal(result.seconds, places: 0)) s; \
            vos-fastpath \(result.version).

            Figures are medians of rounds, minima in brackets.
            """
        if result.isQuick { text += " **This was a quick run: a look, not a measurement.**" }
        return text
    }

    private var goals: String {
        guard !result.goals.isEmpty else { return "## Goals\n\nNone was measured." }
        let missed = result.goals.filter { !$0.isMet }
        let met = result.goals.filter(\.isMet)
        var text = "## Goals\n\n\(met.count) of \(result.goals.count) met, \(missed.count) missed."
        if !missed.isEmpty { text += "\n\n### Missed\n\n" + table(of: missed) }
        if !met.isEmpty { text += "\n\n### Met\n\n" + table(of: met) }
        return text
    }

    private func table(of goals: [BenchResult.Goal]) -> String {
        var table = MarkdownTable([.left("what"), .right("measured"), .right("goal"), .left("figure")])
        for goal in goals {
            let unit = result.figure(goal.figure)?.unit
            table.add([
                Self.title(of: goal.figure), number(goal.value, unit),
                "\(goal.isAtMost ? "≤" : "≥") \(number(goal.limit, unit))", "`\(goal.figure)`",
            ])
        }
        return table.text
    }

    /// Pictures that are not there, and why.
    private var missing: String {
        let missing = pictures.filter { $0.svg == nil }
        guard !missing.isEmpty else { return "" }
        return "## Left out\n\n"
            + missing.map { "- `\($0.name).svg`: this run did not measure \($0.needs)." }.joined(separator: "\n")
    }

    func image(_ picture: Picture, _ words: String) -> String {
        picture.svg == nil ? "" : "![\(words)](\(Self.folder)/\(picture.name).svg)\n\n"
    }

    // MARK: Numbers

    /// A median, and the minimum in brackets; "–" where it was not measured.
    func cell(_ name: String, places: Int = 1) -> String {
        guard let figure = result.figure(name) else { return "–" }
        return "\(Format.decimal(figure.median, places: places)) (\(Format.decimal(figure.minimum, places: places)))"
    }

    /// What the goals say of figures: all of them met, or which are missed.
    func verdict(_ names: [String]) -> String {
        let goals = names.compactMap(result.goal)
        guard !goals.isEmpty else { return "" }
        let missed = goals.filter { !$0.isMet }
        return missed.isEmpty ? "met" : "**missed** " + missed.map { limit($0) }.joined(separator: ", ")
    }

    private func limit(_ goal: BenchResult.Goal) -> String {
        "\(goal.isAtMost ? "≤" : "≥") \(number(goal.limit, result.figure(goal.figure)?.unit))"
    }

    /// With its unit, and no digit too many.
    func number(_ value: Double, _ unit: String?) -> String {
        let places = abs(value) < 1 ? 3 : abs(value) < 10 ? 2 : 1
        var text = Format.decimal(value, places: places)
        while text.contains("."), text.hasSuffix("0") { text.removeLast() }
        if text.hasSuffix(".") { text.removeLast() }
        guard let unit, unit != FastpathBench.Unit.ratio.rawValue else { return text }
        return "\(text) \(unit)"
    }

    // MARK: Words

    /// What a kind of packet is called.
    static func packetLabel(_ name: String) -> String {
        if let kind = PacketKind(rawValue: name) { return kind.label }
        return name.split(separator: "_").map { word in
            let upper = word.uppercased()
            return ["VLAN", "INVITE"].contains(upper) ? upper : word == "ipv6" ? "IPv6" : String(word)
        }.joined(separator: " ")
    }

    /// What a figure is of, for a person.
    static func title(of figure: String) -> String {
        let parts = figure.split(separator: ".").map(String.init)
        switch parts.first {
        case "packet" where parts.count == 3: return "classic: \(packetLabel(parts[1])), \(parts[2])"
        case "carrier" where parts.count == 3:
            return parts[2] == "more"
                ? "carrier: \(packetLabel(parts[1])), more"
                : "carrier: \(packetLabel(parts[1])), \(variantLabel(parts[2]))"
        case "calls" where parts.count == 6:
            return "\(floodLabel(parts[1])), \(meansLabel(parts[2])): \(parts[4]) \(parts[5])"
        case "afxdp" where parts.count == 4: return receiveTitle(parts)
        case "servers" where parts.count >= 3: return serverTitle(parts)
        case "drop" where parts.count == 3:
            return "\(DropMethod(rawValue: parts[1])?.label ?? parts[1]), \(parts[2])".replacing("_", with: " ")
        default: return parts.joined(separator: " ").replacing("_", with: " ")
        }
    }

    static func variantLabel(_ name: String) -> String {
        switch name {
        case "frozen": "1,000 entries"
        case "million": "1,000,000 entries"
        case "live": "1,000, live maps"
        case "limited": "1,000, limits"
        case "long": "first lines of 512"
        default: name.replacing("_", with: " ")
        }
    }

    static func floodLabel(_ name: String) -> String { FloodCalls.Flood(rawValue: name)?.label ?? name }
    static func meansLabel(_ name: String) -> String { FloodCalls.Means(rawValue: name)?.label ?? name }
    static func guardLabel(_ name: String) -> String { FloodGuard(rawValue: name)?.label ?? name }
}

/// A table of Markdown.
struct MarkdownTable {
    enum Column {
        case left(String)
        case right(String)
    }

    private(set) var text: String

    init(_ columns: [Column]) {
        text = "|"
        var rule = "|"
        for column in columns {
            switch column {
            case .left(let head): (text, rule) = (text + " \(head) |", rule + "---|")
            case .right(let head): (text, rule) = (text + " \(head) |", rule + "---:|")
            }
        }
        text += "\n" + rule
    }

    mutating func add(_ cells: [String]) {
        text += "\n|" + cells.map { " \($0.replacing("|", with: "\\|")) |" }.joined()
    }
}
