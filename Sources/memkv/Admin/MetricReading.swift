// MetricReading: one answer of /v1/metrics, as far as memkv needs it.
//
// Lines that are none are passed over: a newer server may say more.

/// The values of one server.
struct MetricReading {
    /// By name with labels, as the server writes them.
    let values: [String: Double]

    init(_ text: String) {
        var values: [String: Double] = [:]
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " "),
                let value = Double(line[line.index(after: space)...])
            else { continue }
            values[String(line[..<space])] = value
        }
        self.values = values
    }

    /// A metric's value, summed over its labels.
    func sum(_ name: String) -> Double {
        values.reduce(0) { sum, entry in
            let isOfIt = entry.key == name || entry.key.hasPrefix(name + "{")
            return isOfIt ? sum + entry.value : sum
        }
    }

    /// The label of the sample that is 1: `healthy` of `memkv_health{status="healthy"} 1`.
    func word(_ name: String, label: String) -> String? {
        let start = "\(name){\(label)=\""
        return values.first { $0.key.hasPrefix(start) && $0.value == 1 }.map {
            String($0.key.dropFirst(start.count).prefix { $0 != "\"" })
        }
    }
}

extension AdminAnswer {
    /// The body, if it is that of a server that has metrics.
    func metricsText() throws(CommandFailure) -> String {
        guard statusCode == 200 else {
            throw CommandFailure(
                .refused, "\(server) answered /v1/metrics with HTTP \(statusCode)")
        }
        let text = String(decoding: body, as: UTF8.self)
        guard text.hasPrefix("# HELP ") else {
            throw CommandFailure(
                .damaged, "\(server) answered /v1/metrics with something else than metrics")
        }
        return text
    }
}
