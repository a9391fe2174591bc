// SPDX-License-Identifier: Apache-2.0

/// A picture (SVG 1.1) of rectangles, lines and texts, readable on a light and on a dark page. The same content makes the
/// same bytes.
struct SVG {
    /// What a part is drawn as: a class of the style sheet.
    enum Style: String {
        case title, label, note, axis, grid
        /// Text that ends at its place.
        case end
        /// Text whose middle is at its place.
        case middle
    }

    /// The colour of a series: `s0` to `s3` of the style sheet.
    static func series(_ number: Int) -> String { "s\(number % 4)" }

    let width: Double
    let height: Double
    private let title: String
    private var body = ""

    /// `title`: what the picture shows, for readers that do not see it.
    init(width: Double, height: Double, title: String) {
        self.width = width
        self.height = height
        self.title = title
    }

    mutating func rectangle(x: Double, y: Double, width: Double, height: Double, _ series: String) {
        body += "<rect x=\"\(number(x))\" y=\"\(number(y))\" width=\"\(number(width))\" height=\"\(number(height))\" "
        body += "rx=\"2\" class=\"\(series)\"/>\n"
    }

    mutating func line(from start: (x: Double, y: Double), to end: (x: Double, y: Double), _ style: Style) {
        body += "<line x1=\"\(number(start.x))\" y1=\"\(number(start.y))\" x2=\"\(number(end.x))\" "
        body += "y2=\"\(number(end.y))\" class=\"\(style.rawValue)\"/>\n"
    }

    /// A line through `points`, with a mark at each.
    mutating func curve(_ points: [(x: Double, y: Double)], _ series: String) {
        let path = points.map { "\(number($0.x)),\(number($0.y))" }.joined(separator: " ")
        body += "<polyline points=\"\(path)\" class=\"curve \(series)\"/>\n"
        for point in points {
            body += "<circle cx=\"\(number(point.x))\" cy=\"\(number(point.y))\" r=\"4\" class=\"\(series)\"/>\n"
        }
    }

    mutating func text(_ text: String, x: Double, y: Double, _ styles: Style...) {
        let classes = styles.map(\.rawValue).joined(separator: " ")
        body += "<text x=\"\(number(x))\" y=\"\(number(y))\" class=\"\(classes)\">\(Self.escaped(text))</text>\n"
    }

    /// The whole file.
    var source: String {
        """
        <svg xmlns="http://www.w3.org/2000/svg" width="\(number(width))" height="\(number(height))" \
        viewBox="0 0 \(number(width)) \(number(height))" role="img">
        <title>\(Self.escaped(title))</title>
        <style>
        \(Self.style)
        </style>
        <rect width="\(number(width))" height="\(number(height))" class="page"/>
        \(body)</svg>

        """
    }

    /// The page is painted, so that text is never dark on dark, whatever is around the picture.
    private static let style = """
        text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328 }
        .page { fill: #ffffff }
        .title { font-size: 15px; font-weight: 600 }
        .note { font-size: 12px; fill: #59636e }
        .end { text-anchor: end }
        .middle { text-anchor: middle }
        .axis { stroke: #59636e; stroke-width: 1 }
        .grid { stroke: #d1d9e0; stroke-width: 1 }
        .s0 { fill: #0969da; stroke: #0969da } .s1 { fill: #bc4c00; stroke: #bc4c00 }
        .s2 { fill: #1a7f37; stroke: #1a7f37 } .s3 { fill: #8250df; stroke: #8250df }
        rect { stroke: none !important }
        .curve { fill: none !important; stroke-width: 2.5; stroke-linejoin: round }
        @media (prefers-color-scheme: dark) {
        text { fill: #f0f6fc }
        .page { fill: #0d1117 }
        .note { fill: #9198a1 }
        .axis { stroke: #9198a1 }
        .grid { stroke: #3d444d }
        .s0 { fill: #4493f8; stroke: #4493f8 } .s1 { fill: #f0883e; stroke: #f0883e }
        .s2 { fill: #3fb950; stroke: #3fb950 } .s3 { fill: #ab7df8; stroke: #ab7df8 }
        }
        """

    /// To a tenth: no eye sees more.
    private func number(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        let sign = tenths < 0 ? "-" : ""
        let (whole, part) = abs(tenths).quotientAndRemainder(dividingBy: 10)
        return sign + String(whole) + (part == 0 ? "" : ".\(part)")
    }

    /// XML 1.0, section 2.4.
    static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            default: result.append(character)
            }
        }
    }
}
