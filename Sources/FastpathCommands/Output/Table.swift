// SPDX-License-Identifier: Apache-2.0

/// Rows under a head, in columns as wide as their widest cell.
struct Table {
    enum Alignment {
        case left
        case right
    }

    struct Column {
        var title: String
        var alignment: Alignment

        static func left(_ title: String) -> Column { Column(title: title, alignment: .left) }
        /// For numbers.
        static func right(_ title: String) -> Column { Column(title: title, alignment: .right) }
    }

    var columns: [Column]
    private(set) var rows: [[Styled]] = []
    /// Blanks before the first column.
    var indent = 0

    init(_ columns: [Column], indent: Int = 0) {
        self.columns = columns
        self.indent = indent
    }

    /// Missing cells at the end are empty.
    mutating func add(_ cells: [Styled]) {
        precondition(cells.count <= columns.count, "more cells than columns")
        rows.append(cells + Array(repeating: "", count: columns.count - cells.count))
    }

    /// One string a line, no blanks at the end. Without titles there is no head line.
    func lines(colour: Bool) -> [String] {
        let widths = columns.indices.map { index in
            rows.reduce(columns[index].title.count) { max($0, $1[index].text.count) }
        }
        let hasHead = columns.contains { !$0.title.isEmpty }
        let head = hasHead ? [columns.map { Styled($0.title, .bold) }] : []
        return (head + rows).map { line($0, widths: widths, colour: colour) }
    }

    private func line(_ cells: [Styled], widths: [Int], colour: Bool) -> String {
        var text = ""
        var pending = indent
        for (index, cell) in cells.enumerated() {
            let fill = widths[index] - cell.text.count
            if columns[index].alignment == .right { pending += fill }
            if !cell.text.isEmpty {
                text += String(repeating: " ", count: pending) + cell.rendered(colour: colour)
                pending = 0
            } else {
                pending += columns[index].alignment == .right ? 0 : widths[index]
            }
            if columns[index].alignment == .left && !cell.text.isEmpty { pending += fill }
            pending += 2
        }
        return text
    }
}

/// Numbers as people read them.
enum Format {
    /// Digits in groups of three: `1,234,567`.
    static func count(_ value: some BinaryInteger) -> String {
        var digits = ""
        for (index, digit) in String(value.magnitude).reversed().enumerated() {
            if index > 0 && index % 3 == 0 { digits.append(",") }
            digits.append(digit)
        }
        return (value < 0 ? "-" : "") + String(digits.reversed())
    }

    /// `places` digits behind the point, rounded half away from zero.
    static func decimal(_ value: Double, places: Int) -> String {
        guard value.isFinite, abs(value) < 1e15 else { return "-" }
        let scale = (0..<places).reduce(1) { power, _ in power * 10 }
        let scaled = Int64((abs(value) * Double(scale)).rounded())
        let (whole, part) = scaled.quotientAndRemainder(dividingBy: Int64(scale))
        let sign = value < 0 && scaled != 0 ? "-" : ""
        guard places > 0 else { return sign + count(whole) }
        let fraction = String(part)
        return sign + count(whole) + "." + String(repeating: "0", count: places - fraction.count) + fraction
    }

    /// `1 MB` and up, of 1,048,576 bytes each, rounded up.
    static func megabytes(_ bytes: Int) -> String { "\(count((bytes + (1 << 20) - 1) >> 20)) MB" }

    /// A rate per second: `0`, `12.5`, `980`, `12.3 k`, `1.42 M`.
    static func rate(_ perSecond: Double) -> String {
        switch perSecond {
        case ..<0.05: "0"
        case ..<99.95: decimal(perSecond, places: 1)
        case ..<9_999.5: decimal(perSecond, places: 0)
        case ..<999_950: decimal(perSecond / 1_000, places: 1) + " k"
        default: decimal(perSecond / 1_000_000, places: 2) + " M"
        }
    }

    /// One noun with its number: `1 address`, `2 addresses`.
    static func plural(_ number: Int, _ singular: String, _ plural: String? = nil) -> String {
        "\(count(number)) \(number == 1 ? singular : plural ?? singular + "s")"
    }

    /// A bar of up to `width` cells, in eighths of a cell where blocks can be shown. `share` is from 0 to 1.
    static func bar(_ share: Double, width: Int, unicode: Bool) -> String {
        guard unicode else {
            return String(repeating: "#", count: Int((min(max(share, 0), 1) * Double(width)).rounded()))
        }
        let eighths = Int((min(max(share, 0), 1) * Double(width * 8)).rounded())
        let parts = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"]
        return String(repeating: "█", count: eighths / 8) + parts[eighths % 8]
    }
}

/// Text that came from outside (a packet, a file) with nothing in it that a terminal would act on.
func printable(_ bytes: some Sequence<UInt8>) -> String {
    String(decoding: bytes.map { (0x20...0x7e).contains($0) ? $0 : UInt8(ascii: ".") }, as: Unicode.ASCII.self)
}
