// ChartAxis: from values to places: which range is drawn, and which values are written beside it.

import Foundation

/// One axis of values, upwards.
struct ChartAxis {
    private enum Scale {
        /// From 0.
        case linear(top: Double)
        /// By powers of ten: where values differ so much that most would lie on the floor.
        case logarithmic(bottom: Double, top: Double)
    }

    private let scale: Scale
    let ticks: [Double]

    /// Values that differ by more are drawn by powers of ten.
    private static let linearRange = 30.0

    /// How many powers of ten lie between two ticks, where values are drawn by them.
    let powersOfTenApart: Int?

    init(values: [Double], unit: ChartUnit) {
        let most = values.max() ?? 0
        let least = values.filter { $0 > 0 }.min() ?? 0
        if unit == .microseconds, least > 0, most / least > Self.linearRange {
            let bottom = pow(10, floor(log10(least)))
            let top = pow(10, ceil(log10(most)))
            scale = .logarithmic(bottom: bottom, top: top)
            let decades = Int((log10(top) - log10(bottom)).rounded())
            let step = decades > 4 ? 2 : 1
            powersOfTenApart = step
            ticks = stride(from: 0, through: decades, by: step).map {
                bottom * pow(10, Double($0))
            }
        } else {
            let base = unit == .bytesPerSecond ? Self.binaryBase(most) : 1
            let step = Self.step(for: most / base, parts: 3) * base
            let top = max(step, (most / step).rounded(.up) * step)
            scale = .linear(top: top)
            powersOfTenApart = nil
            ticks = stride(from: 0, through: top * 1.001, by: step).map(\.self)
        }
    }

    /// 0 at the bottom, 1 at the top.
    func place(of value: Double) -> Double {
        switch scale {
        case .linear(let top): value / top
        case .logarithmic(let bottom, let top):
            value <= bottom ? 0 : log(value / bottom) / log(top / bottom)
        }
    }

    /// 1, 2 or 5 times a power of ten, so that about `parts` of them make `range`.
    static func step(for range: Double, parts: Int) -> Double {
        guard range > 0 else { return 1 }
        let raw = range / Double(parts)
        let power = pow(10, floor(log10(raw)))
        let factor = [1.0, 2, 5, 10].first { raw <= $0 * power * 1.0001 } ?? 10
        return factor * power
    }

    /// The largest of 1, KiB, MiB, GiB that isn't more than `value`.
    private static func binaryBase(_ value: Double) -> Double {
        var base = 1.0
        while base < 1_073_741_824, value >= base * 1024 { base *= 1024 }
        return base
    }
}
