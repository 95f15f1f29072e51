// HistoryTable: recorded runs for people: a line a run, or all of one.

import History

enum HistoryTable {
    static func list(_ runs: [(number: RunNumber, facts: RunFacts)]) -> String {
        let headings = [
            "run", "when", "kind", "scenario", "seed", "commit", "build", "took", "verdict",
        ]
        let rows = runs.map { number, facts in
            [
                "\(number)", facts.startedAt, facts.kind.rawValue, facts.scenario,
                "\(facts.seed)", commit(facts.program, digits: 10),
                facts.program.buildKind ?? "", duration(facts.realMicroseconds),
                facts.verdict.rawValue,
            ]
        }
        return TextTable.text([headings] + rows)
    }

    static func one(_ number: RunNumber, _ record: RunRecord) -> String {
        let facts = record.facts
        var rows = [
            ["run", "\(number), \(facts.kind.rawValue)"], ["when", facts.startedAt],
            ["scenario", facts.scenario], ["seed", "\(facts.seed)"],
            ["verdict", facts.verdict.rawValue],
        ]
        let optional: [(String, String?)] = [
            ("first violation", facts.firstViolation), ("fingerprint", facts.fingerprint),
            ("simulated time", facts.virtualMicroseconds.map(duration)),
            ("real time", duration(facts.realMicroseconds)),
            ("commit", commit(facts.program, digits: 40)),
            ("version", facts.program.version), ("toolchain", facts.program.toolchain),
            ("build", facts.program.buildKind), ("kernel", facts.machine.kernel),
            ("processor", facts.machine.processor), ("device", facts.machine.device),
            ("scenario's hash", facts.scenarioHash), ("measured in turns", facts.pairing),
        ]
        rows += optional.compactMap { name, value in value.map { [name, $0] } }
        rows += facts.configuration.sorted { $0.key < $1.key }.map { [$0.key, $0.value] }
        rows += record.totals.sorted { $0.key < $1.key }.map { [$0.key, amount($0.value)] }
        var parts = [TextTable.text(rows)]
        if !record.spans.isEmpty { parts.append(TextTable.text(spans(record.spans))) }
        if !record.series.isEmpty { parts.append(TextTable.text(series(record.series))) }
        return parts.joined(separator: "\n\n")
    }

    private static func spans(_ spans: [RunSpan]) -> [[String]] {
        [["", "whose", "what", "from", "to"]]
            + spans.map { span in
                [
                    span.lane, span.subject, span.label, duration(span.fromMicroseconds),
                    span.toMicroseconds.map(duration) ?? "the end",
                ]
            }
    }

    private static func series(_ series: [RunSeries]) -> [[String]] {
        [["", "of", "samples", "least", "median", "most"]]
            + series.map { series in
                let sorted = series.samples.map(\.value).sorted()
                func shown(_ share: Double) -> String {
                    guard let last = sorted.indices.last else { return "" }
                    let place = Int((Double(last) * share).rounded())
                    return HistoryFigure.text(sorted[place], unit: series.unit)
                }
                return [
                    series.quantity, series.subject, "\(sorted.count)", shown(0), shown(0.5),
                    shown(1),
                ]
            }
    }

    /// The first digits, with an asterisk where files differ from it.
    static func commit(_ program: RunProgram, digits: Int) -> String {
        guard let commit = program.commit else { return "" }
        return String(commit.prefix(digits)) + (program.isDirty == true ? "*" : "")
    }

    /// A count as a whole number.
    static func amount(_ value: Double) -> String {
        value == value.rounded() && abs(value) < 1e15 ? "\(Int64(value))" : "\(value)"
    }

    private static func duration(_ microseconds: UInt64) -> String {
        BenchTable.duration(microseconds.multipliedReportingOverflow(by: 1000).partialValue)
    }
}

/// A figure in the unit that people read.
enum HistoryFigure {
    static func text(_ value: Double, unit: String) -> String {
        switch unit {
        case "bytes/s": BenchTable.digits(value / Double(1 << 20)) + " MiB/s"
        case "ns": BenchTable.duration(UInt64(max(0, value).rounded()))
        case "µs": BenchTable.duration(UInt64(max(0, value * 1000).rounded()))
        case "": BenchTable.digits(max(0, value))
        default: BenchTable.digits(max(0, value)) + " \(unit)"
        }
    }
}

/// Rows in columns of equal width.
enum TextTable {
    static func text(_ rows: [[String]]) -> String {
        let columns = rows.map(\.count).max() ?? 0
        let widths = (0..<columns).map { column in
            rows.compactMap { $0.indices.contains(column) ? $0[column].count : nil }.max() ?? 0
        }
        return rows.map { row in
            row.enumerated().map { column, cell in
                column == row.count - 1
                    ? cell : cell + String(repeating: " ", count: widths[column] - cell.count)
            }.joined(separator: "  ")
        }.joined(separator: "\n")
    }
}
