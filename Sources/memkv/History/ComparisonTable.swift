// ComparisonTable: a comparison for people: what was compared, a row a measurement, the verdict
// last.

import History

extension RunComparison.Line {
    /// "server processor time: put, 1 MiB, 4 in flight over 2 connections".
    var name: String { "\(quantity): \(subject.isEmpty ? "all together" : subject)" }
}

enum ComparisonTable {
    static func text(
        of comparison: RunComparison, _ sideA: [(number: RunNumber, record: RunRecord)],
        _ sideB: [(number: RunNumber, record: RunRecord)]
    ) -> String {
        "A: \(side(sideA))\nB: \(side(sideB))\n" + text(of: comparison)
    }

    static func text(of comparison: RunComparison) -> String {
        let confidence = BenchTable.digits(comparison.confidence * 100)
        let headings = ["", "of", "A", "B", "B is", "\(confidence) % sure", "verdict"]
        let rows = (comparison.measurements + comparison.quantities).map(row)
        let method =
            comparison.isPaired
            ? "compared round by round: they were measured in turns" : "compared by their medians"
        return
            ([TextTable.text([headings] + rows), method]
            + comparison.notes.map { "note: \($0)" }
            + ["verdict: \(sentence(comparison.verdict))"]).joined(separator: "\n")
    }

    private static func sentence(_ verdict: Verdict) -> String {
        switch verdict {
        case .faster: "B is faster"
        case .slower: "B is slower"
        case .noDifference, .tooNoisy: verdict.description
        }
    }

    private static func side(_ runs: [(number: RunNumber, record: RunRecord)]) -> String {
        runs.map { number, record in
            let facts = record.facts
            let program = [
                HistoryTable.commit(facts.program, digits: 10), facts.program.buildKind ?? "",
                facts.configuration["memkvd"] ?? "",
            ].filter { !$0.isEmpty }.joined(separator: ", ")
            return "run \(number), \(facts.scenario), \(facts.startedAt)"
                + (program.isEmpty ? "" : ", \(program)")
        }.joined(separator: "; ")
    }

    private static func row(_ line: RunComparison.Line) -> [String] {
        [
            line.quantity, line.subject.isEmpty ? "all together" : line.subject,
            line.medianA.map { HistoryFigure.text($0, unit: line.unit) } ?? "",
            line.medianB.map { HistoryFigure.text($0, unit: line.unit) } ?? "",
            change(line.slowdown.estimate) + (line.slowdown.estimate < 1 ? " faster" : " slower"),
            "\(signed(line.slowdown.low)) to \(signed(line.slowdown.high)) %",
            line.verdict.description,
        ]
    }

    /// A factor as percent, without a sign.
    private static func change(_ factor: Double) -> String {
        BenchTable.digits(abs(factor - 1) * 100) + " %"
    }

    /// A factor as percent: above 0 is slower.
    private static func signed(_ factor: Double) -> String {
        (factor < 1 ? "-" : "+") + BenchTable.digits(abs(factor - 1) * 100)
    }
}
