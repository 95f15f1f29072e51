// FigureText: figures for people, in the unit that keeps them short, and texts made safe for HTML.

enum FigureText {
    /// A value of a chart.
    static func text(_ value: Double, _ unit: ChartUnit) -> String {
        switch unit {
        case .bytesPerSecond: scaled(value, 1024, ["B/s", "KiB/s", "MiB/s", "GiB/s"])
        case .requestsPerSecond:
            value >= 10_000 ? "\(digits(value / 1000)) k/s" : "\(digits(value))/s"
        case .microseconds: time(value)
        case .count: value >= 10_000 ? "\(digits(value / 1000)) k" : digits(value)
        }
    }

    /// A time in microseconds.
    static func time(_ microseconds: Double) -> String {
        switch microseconds {
        case 0: "0"
        case ..<1000: "\(digits(microseconds)) µs"
        case ..<1_000_000: "\(digits(microseconds / 1000)) ms"
        case ..<600_000_000: "\(digits(microseconds / 1_000_000)) s"
        default: "\(digits(microseconds / 60_000_000)) min"
        }
    }

    private static func scaled(_ value: Double, _ step: Double, _ units: [String]) -> String {
        var value = value
        var unit = 0
        while value >= step, unit < units.count - 1 {
            value /= step
            unit += 1
        }
        return "\(digits(value)) \(units[unit])"
    }

    /// Three digits that count, without zeros at the end.
    static func digits(_ value: Double) -> String {
        guard value < 1e15 else { return "\(value)" }
        let decimals = value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3
        return fixed(value, decimals: decimals)
    }

    /// With at most `decimals` decimals, without zeros at the end.
    static func fixed(_ value: Double, decimals: Int) -> String {
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let rounded = Int64((value.magnitude * scale).rounded())
        let fraction = String(rounded % Int64(scale))
        var text = String(repeating: "0", count: max(0, decimals - fraction.count)) + fraction
        while text.hasSuffix("0") { text.removeLast() }
        let whole = "\(rounded / Int64(scale))"
        let sign = value < 0 && rounded != 0 ? "-" : ""
        return sign + (decimals == 0 || text.isEmpty ? whole : "\(whole).\(text)")
    }

    /// For text and attributes of HTML and SVG.
    static func escaped(_ text: String) -> String {
        var result = ""
        for character in text {
            switch character {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            default: result.append(character)
            }
        }
        return result
    }
}
