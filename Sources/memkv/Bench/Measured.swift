// Measured: a figure, or why there is none.
//
// Always holds: what wasn't measured is never a number: it travels, and is shown, with its reason.

/// A value that was measured, or one sentence on why it wasn't.
enum Measured<Value: Encodable & Sendable>: Encodable, Sendable {
    case value(Value)
    case notMeasured(String)

    private enum CodingKeys: CodingKey { case notMeasured }

    /// The figure as it is; otherwise an object, `{"not_measured": "why"}`.
    func encode(to encoder: any Encoder) throws {
        switch self {
        case .value(let value):
            var container = encoder.singleValueContainer()
            try container.encode(value)
        case .notMeasured(let reason):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encode(reason, forKey: .notMeasured)
        }
    }

    /// The figure; nil when there is none.
    var known: Value? {
        if case .value(let value) = self { value } else { nil }
    }

    var reason: String? {
        if case .notMeasured(let reason) = self { reason } else { nil }
    }
}

extension Measured: Equatable where Value: Equatable {}

extension Measured where Value == UInt64 {
    /// The sum, if all were measured; otherwise the first reason. Of nothing there is no sum.
    static func sum(_ parts: [Measured]) -> Measured {
        var total: UInt64 = 0
        for part in parts {
            switch part {
            case .value(let value): total += value
            case .notMeasured: return part
            }
        }
        return parts.isEmpty ? .notMeasured("there is nothing to measure") : .value(total)
    }

    /// What a counter has grown by since `earlier`.
    func since(_ earlier: Measured) -> Measured {
        switch (self, earlier) {
        case (.value(let now), .value(let then)):
            now >= then ? .value(now - then) : .notMeasured("the counter began anew meanwhile")
        case (.notMeasured(let reason), _), (_, .notMeasured(let reason)): .notMeasured(reason)
        }
    }
}

extension Measured where Value == UInt64 {
    func over(_ divisor: Double, _ otherwise: String) -> Measured<Double> {
        flatMap { divisor > 0 ? .value(Double($0) / divisor) : .notMeasured(otherwise) }
    }

    func flatMap(_ transform: (UInt64) -> Measured<Double>) -> Measured<Double> {
        switch self {
        case .value(let value): transform(value)
        case .notMeasured(let reason): .notMeasured(reason)
        }
    }
}
