// Exposition: metrics in the text format that Prometheus reads, version 0.0.4.
//
// Always holds: every family is written, with HELP and TYPE, also when it has no samples yet; a
// histogram's buckets are cumulative and its count is that of its last bucket. Bounds are powers of
// two of a microsecond, or of one for sizes; see Docs/operate/monitoring.md.

internal import Engine

/// What a metric is.
enum MetricKind: String, Sendable { case counter, gauge, histogram }

/// Which of the bounds a histogram shows, and in which unit.
struct HistogramScale: Sendable {
    /// Exponents of two: the smallest and the largest finite bound.
    let exponents: ClosedRange<Int>
    /// How many of the recorded unit make one of the shown.
    let unitsPerOne: Double

    /// From 16 microseconds to 67 seconds: requests.
    static let requests = HistogramScale(exponents: 4...26, unitsPerOne: 1)
    /// From 8 microseconds to 33 seconds: what a drive does.
    static let drives = HistogramScale(exponents: 3...25, unitsPerOne: 1)
    /// From 1 microsecond to 16 seconds: what often takes no time.
    static let waits = HistogramScale(exponents: 0...24, unitsPerOne: 1)
    /// From 1 to 4096.
    static let sizes = HistogramScale(exponents: 0...12, unitsPerOne: 1)

    /// The same bounds, in seconds.
    var inSeconds: HistogramScale {
        HistogramScale(exponents: exponents, unitsPerOne: 1_000_000)
    }
}

/// One value of a family.
struct MetricSample: Sendable {
    enum Value: Sendable {
        case whole(UInt64)
        case real(Double)
        case histogram(HistogramSnapshot, HistogramScale)
    }
    typealias Label = (name: String, value: String)

    let labels: [Label]
    let value: Value
}

/// A metric: its name, what it says, and where its values come from.
struct MetricFamily: Sendable {
    let name: String
    let kind: MetricKind
    let help: String
    let samples: @Sendable (ServerReading) -> [MetricSample]
}

extension MetricFamily {
    static func counter(
        _ name: String, _ help: String, _ value: @escaping @Sendable (ServerReading) -> UInt64
    ) -> MetricFamily { one(name, .counter, help, value) }

    static func gauge(
        _ name: String, _ help: String, _ value: @escaping @Sendable (ServerReading) -> UInt64
    ) -> MetricFamily { one(name, .gauge, help, value) }

    static func histogram(
        _ name: String, _ help: String, _ scale: HistogramScale, _ timing: ShardTiming
    ) -> MetricFamily {
        MetricFamily(name: name, kind: .histogram, help: help) { reading in
            [MetricSample(labels: [], value: .histogram(reading.histogram(timing), scale))]
        }
    }

    /// A family with a label: one sample for each value of it.
    static func labelled(
        _ name: String, _ kind: MetricKind, _ help: String, by label: String,
        _ values: @escaping @Sendable (ServerReading) -> [(String, UInt64)]
    ) -> MetricFamily {
        MetricFamily(name: name, kind: kind, help: help) { reading in
            values(reading).map { MetricSample(labels: [(label, $0.0)], value: .whole($0.1)) }
        }
    }

    private static func one(
        _ name: String, _ kind: MetricKind, _ help: String,
        _ value: @escaping @Sendable (ServerReading) -> UInt64
    ) -> MetricFamily {
        MetricFamily(name: name, kind: kind, help: help) { reading in
            [MetricSample(labels: [], value: .whole(value(reading)))]
        }
    }
}

enum Exposition {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// All metrics there are.
    static let families: [MetricFamily] =
        RequestMetrics.families + RDMAMetrics.families + DeviceMetrics.families
        + MemoryMetrics.families + PipelineMetrics.families + TransportMetrics.families
        + ServerMetrics.families

    static func text(of reading: ServerReading) -> String {
        var text = ""
        for family in families {
            text += "# HELP \(family.name) \(family.help)\n# TYPE \(family.name) "
            text += "\(family.kind.rawValue)\n"
            for sample in family.samples(reading) { write(sample, of: family.name, to: &text) }
        }
        return text
    }

    private static func write(_ sample: MetricSample, of name: String, to text: inout String) {
        let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value))\"" }
            .joined(separator: ",")
        let braced = labels.isEmpty ? "" : "{\(labels)}"
        switch sample.value {
        case .whole(let value): text += "\(name)\(braced) \(value)\n"
        case .real(let value): text += "\(name)\(braced) \(value)\n"
        case .histogram(let histogram, let scale):
            let before = labels.isEmpty ? "" : labels + ","
            var seen: UInt64 = 0
            for (index, count) in histogram.buckets.enumerated() {
                seen += count
                guard scale.exponents.contains(index),
                    let bound = HistogramLayout.upperBound(ofBucket: index)
                else { continue }
                text += "\(name)_bucket{\(before)le=\"\(scaled(bound, scale))\"} \(seen)\n"
            }
            text += "\(name)_bucket{\(before)le=\"+Inf\"} \(seen)\n"
            text += "\(name)_sum\(braced) \(scaled(histogram.sum, scale))\n"
            text += "\(name)_count\(braced) \(seen)\n"
        }
    }

    private static func scaled(_ value: UInt64, _ scale: HistogramScale) -> String {
        scale.unitsPerOne == 1 ? String(value) : String(Double(value) / scale.unitsPerOne)
    }

    /// Label values: backslash, quote and line feed are escaped, nothing else.
    private static func escaped(_ text: String) -> String {
        var escaped = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": escaped += "\\\\"
            case "\"": escaped += "\\\""
            case "\n": escaped += "\\n"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}
