// SPDX-License-Identifier: Apache-2.0
import Glibc

/// Something over a rate, on a scale of its logarithm: a curve for each series, with its name at its end.
struct CurveChart {
    struct Curve {
        var label: String
        /// In order of `x`, which is above 0.
        var points: [(x: Double, y: Double)]
    }

    var title: String
    var xLabel: String
    var yLabel: String
    var scale = Scale.percent
    var curves: [Curve]

    /// What the curves show.
    enum Scale {
        /// 0 to 100.
        case percent
        /// Of time, by its logarithm: from a tenth to ten thousand.
        case milliseconds

        fileprivate var ticks: [Double] {
            switch self {
            case .percent: [0, 20, 40, 60, 80, 100]
            case .milliseconds: [0.1, 1, 10, 100, 1_000, 10_000]
            }
        }

        /// 0 at the foot, 1 at the top.
        fileprivate func height(_ value: Double) -> Double {
            switch self {
            case .percent: min(max(value, 0), 100) / 100
            case .milliseconds: log(min(max(value, 0.1), 10_000) / 0.1) / log(100_000)
            }
        }
    }

    private static let width = 860.0
    private static let height = 420.0
    private static let left = 62.0
    /// Where the curves end: their names follow.
    private static let right = 680.0
    private static let top = 66.0
    private static let bottom = 360.0

    var svg: SVG {
        var svg = SVG(width: Self.width, height: Self.height, title: title)
        svg.text(title, x: 16, y: 26, .title)
        svg.text(yLabel, x: 16, y: 46, .note)
        for tick in scale.ticks {
            svg.line(from: (Self.left, y(tick)), to: (Self.right, y(tick)), tick == scale.ticks[0] ? .axis : .grid)
            svg.text(
                Format.decimal(tick, places: tick > 0 && tick < 1 ? 1 : 0), x: Self.left - 8, y: y(tick) + 4, .note,
                .end)
        }
        for rate in rates {
            svg.text(Format.decimal(rate, places: 0), x: x(rate), y: Self.bottom + 18, .note, .middle)
        }
        svg.text(xLabel, x: (Self.left + Self.right) / 2, y: Self.bottom + 40, .note, .middle)
        for (number, curve) in curves.enumerated() {
            svg.curve(curve.points.map { (x($0.x), y($0.y)) }, SVG.series(number))
        }
        for (number, place) in labelPlaces.enumerated() {
            svg.rectangle(x: Self.right + 12, y: place - 6, width: 12, height: 12, SVG.series(number))
            svg.text(curves[number].label, x: Self.right + 30, y: place + 4.5, .label)
        }
        return svg
    }

    /// Of all curves, each once.
    private var rates: [Double] { Set(curves.flatMap { $0.points.map(\.x) }).sorted() }

    private func x(_ rate: Double) -> Double {
        guard let first = rates.first, let last = rates.last, first < last else { return (Self.left + Self.right) / 2 }
        return Self.left + 12 + (Self.right - Self.left - 24) * log(rate / first) / log(last / first)
    }

    private func y(_ value: Double) -> Double { Self.bottom - (Self.bottom - Self.top) * scale.height(value) }

    /// Where the curves end, moved apart where the names would meet.
    private var labelPlaces: [Double] {
        let lineHeight = 18.0
        let ends = curves.map { y($0.points.last?.y ?? 0) }
        var places = ends
        var lowest = -Double.infinity
        for index in ends.indices.sorted(by: { (ends[$0], $0) < (ends[$1], $1) }) {
            places[index] = max(ends[index], lowest + lineHeight)
            lowest = places[index]
        }
        let excess = max(0, lowest - Self.bottom)
        return places.map { $0 - excess }
    }
}
