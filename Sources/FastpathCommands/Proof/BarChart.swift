// SPDX-License-Identifier: Apache-2.0

/// Bars from left to right, in groups: a row for each thing that was measured, a bar in it for each series.
struct BarChart {
    struct Row {
        var label: String
        /// One for each series; nil: not measured.
        var values: [Double?]
    }

    var title: String
    var unit: String
    /// Digits behind the point of the numbers at the bars.
    var places: Int
    var series: [String]
    var rows: [Row]

    private static let width = 860.0
    /// For the number behind the longest bar.
    private static let margin = 70.0
    private static let bar = 12.0
    private static let gap = 9.0

    /// Where the bars begin: no letter is much wider than this on average.
    private var left: Double { 26 + 7.3 * Double(rows.map(\.label.count).max() ?? 0) }
    private var top: Double { series.count > 1 ? 66 : 46 }

    var svg: SVG {
        let (left, top, right) = (left, top, Self.width - Self.margin)
        let heights = rows.map { Double(max(1, $0.values.count { $0 != nil })) * Self.bar + Self.gap }
        let bottom = top + heights.reduce(0, +)
        var svg = SVG(width: Self.width, height: bottom + 34, title: title)
        svg.text(title, x: 16, y: 26, .title)
        drawLegend(&svg)
        let scale = Scale(upTo: rows.flatMap { $0.values.compactMap { $0 } }.max() ?? 1)
        func x(_ value: Double) -> Double { left + (right - left) * max(0, value) / scale.top }
        for tick in scale.ticks {
            svg.line(from: (x(tick), top - 6), to: (x(tick), bottom), tick == 0 ? .axis : .grid)
            svg.text(Format.decimal(tick, places: scale.places), x: x(tick), y: bottom + 16, .note, .middle)
        }
        svg.text(unit, x: Self.width - 16, y: bottom + 16, .note, .end)
        var y = top
        for (row, height) in zip(rows, heights) {
            let middle = y + (height - Self.gap) / 2
            svg.text(row.label, x: left - 10, y: middle + 4.5, .label, .end)
            var place = y
            for (number, value) in row.values.enumerated() {
                guard let value else { continue }
                svg.rectangle(
                    x: left, y: place + 1, width: max(1, x(value) - left), height: Self.bar - 2, SVG.series(number))
                svg.text(Format.decimal(value, places: places), x: x(value) + 6, y: place + Self.bar - 2, .note)
                place += Self.bar
            }
            y += height
        }
        return svg
    }

    private func drawLegend(_ svg: inout SVG) {
        guard series.count > 1 else { return }
        var x = 16.0
        for (number, name) in series.enumerated() {
            svg.rectangle(x: x, y: 37, width: 12, height: 12, SVG.series(number))
            svg.text(name, x: x + 18, y: 47.5, .note)
            x += 42 + 7 * Double(name.count)
        }
    }
}

/// An axis from 0 to a round number, with four to six parts.
struct Scale {
    var top: Double
    var ticks: [Double]
    /// Digits behind the point that the ticks need.
    var places: Int

    init(upTo value: Double) {
        var power = 1.0, places = 0
        let value = value.isFinite && value > 0 ? value : 1
        while power * 10 <= value { power *= 10 }
        while power > value, places < 6 {
            power /= 10
            places += 1
        }
        let steps = [0.2, 0.25, 0.5, 1, 2].map { $0 * power }
        let step = steps.first { value / $0 <= 6 } ?? 2 * power
        let count = Int((value / step).rounded(.up))
        top = step * Double(count)
        ticks = (0...count).map { step * Double($0) }
        if step < power { places += step == 0.25 * power ? 2 : 1 }
        self.places = power >= 10 && places <= 1 || power >= 100 ? 0 : places
    }
}
