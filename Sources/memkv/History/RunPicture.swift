// RunPicture: a recorded simulation as the page draws it: which rows there are, in which order,
// what they are called and what their colours mean.

import History
import Timeline

enum RunPicture {
    /// The lanes and quantities that are drawn, as the record of a simulation names them.
    enum Lane {
        static let fault = "fault"
        static let health = "health"
        static let server = "server"
        static let drive = "drive"
    }

    enum Quantity {
        static let throughput = "throughput"
        static let latency = "time of a request"
        static let underWay = "requests under way"
        static let queue = "queue depth"
        static let blocks = "blocks stored"
    }

    static func html(of record: RunRecord) -> String { TimelinePage.html(of: picture(of: record)) }

    static func picture(of record: RunRecord) -> TimelineRun {
        let facts = record.facts
        let end = facts.virtualMicroseconds ?? 0
        var run = TimelineRun(
            title: "\(facts.scenario), seed \(facts.seed)", introduction: facts.about ?? "",
            verdict: verdict(of: record), verdictTone: tone(of: facts.verdict),
            endMicroseconds: end)
        run.faults = lanes(in: record, [Lane.fault], end: end)
        run.lanes = lanes(in: record, [Lane.health, Lane.server, Lane.drive], end: end)
        run.charts = charts(of: record)
        run.reading =
            "When the last fault has ended and the work is done, everything must converge: the "
            + "server is started anew unless it is healthy, and every key is read back."
        run.totals = record.totals.sorted { $0.key < $1.key }.map {
            TimelineRun.Fact($0.key, HistoryTable.amount($0.value))
        }
        run.facts = self.facts(of: facts)
        return run
    }

    // MARK: Words

    private static func verdict(of record: RunRecord) -> TimelineRun.Fact {
        switch record.facts.verdict {
        case .passed:
            TimelineRun.Fact(
                "Passed.",
                "Nobody got a wrong byte, nothing acknowledged was lost, and every request "
                    + "ended in time.")
        case .violated:
            TimelineRun.Fact("Violated.", record.facts.firstViolation ?? "")
        case .belowMinimum:
            TimelineRun.Fact(
                "Below the minimum.",
                "Nothing was wrong, and too little happened to prove anything. "
                    + (record.facts.firstViolation ?? ""))
        case .measured: TimelineRun.Fact("Measured.", "")
        }
    }

    private static func tone(of verdict: RunVerdict) -> TimelineRun.Tone {
        switch verdict {
        case .passed, .measured: .good
        case .violated: .bad
        case .belowMinimum: .warning
        }
    }

    /// By the words that stores use for their health, their drives' states and their own.
    private static func tone(of span: RunSpan) -> TimelineRun.Tone {
        if span.lane == Lane.fault { return .fault }
        switch span.label.prefix(while: \.isLetter) {
        case "healthy", "online", "started": return .good
        case "degraded", "recovering", "slow", "stalled": return .warning
        case "unhealthy", "offline", "absent", "unavailable", "killed", "power": return .bad
        default: return .neutral
        }
    }

    private static func facts(of facts: RunFacts) -> [TimelineRun.Fact] {
        let optional: [(String, String?)] = [
            ("seed", "\(facts.seed)"), ("fingerprint", facts.fingerprint),
            ("simulated time", facts.virtualMicroseconds.map { duration($0) }),
            ("real time", duration(facts.realMicroseconds)),
            (
                "commit",
                facts.program.commit.map { _ in
                    HistoryTable.commit(facts.program, digits: 40)
                }
            ),
            ("toolchain", facts.program.toolchain), ("build", facts.program.buildKind),
            ("scenario's hash", facts.scenarioHash),
        ]
        return optional.compactMap { name, value in value.map { TimelineRun.Fact(name, $0) } }
            + facts.configuration.sorted { $0.key < $1.key }.map {
                TimelineRun.Fact($0.key, $0.value)
            }
    }

    private static func duration(_ microseconds: UInt64) -> String {
        BenchTable.duration(microseconds.multipliedReportingOverflow(by: 1000).partialValue)
    }

    // MARK: Rows

    /// A row for each subject of each of the lanes; subjects in the order they were recorded.
    private static func lanes(
        in record: RunRecord, _ names: [String], end: UInt64
    ) -> [TimelineRun.Lane] {
        names.flatMap { name -> [TimelineRun.Lane] in
            let spans = record.spans.filter { $0.lane == name }
            var subjects: [String] = []
            for span in spans where !subjects.contains(span.subject) {
                subjects.append(span.subject)
            }
            return subjects.map { subject in
                TimelineRun.Lane(
                    heading: subject,
                    spans: spans.filter { $0.subject == subject }.map { span in
                        TimelineRun.Span(
                            label: span.label, tone: tone(of: span),
                            fromMicroseconds: span.fromMicroseconds,
                            toMicroseconds: span.toMicroseconds ?? end)
                    })
            }
        }
    }

    private static let explanations: [(quantity: String, heading: String, explanation: String)] = [
        (
            Quantity.throughput, "Requests",
            "How many a second ended, and how many of them with a result or a miss."
        ),
        (
            Quantity.latency, "Time of a request",
            "From sending to the answer: the median (p50), and what 99 of 100 stay under (p99)."
        ),
        (
            Quantity.underWay, "Under way",
            "Requests that the clients had sent and that hadn't been answered."
        ),
        (Quantity.queue, "Drive queues", "Operations in flight on each drive."),
        (Quantity.blocks, "Blocks", "How many the store said it held."),
    ]

    private static func charts(of record: RunRecord) -> [TimelineRun.Chart] {
        explanations.compactMap { quantity, heading, explanation in
            let series = record.series.filter { $0.quantity == quantity }
            guard let first = series.first else { return nil }
            return TimelineRun.Chart(
                heading: heading, explanation: explanation, unit: unit(first.unit),
                lines: series.map { series in
                    TimelineRun.Line(
                        label: series.subject,
                        points: series.samples.map {
                            TimelineRun.Point(microseconds: $0.position, value: max(0, $0.value))
                        })
                })
        }
    }

    private static func unit(_ unit: String) -> ChartUnit {
        switch unit {
        case "bytes/s": .bytesPerSecond
        case "requests/s": .requestsPerSecond
        case "µs": .microseconds
        default: .count
        }
    }
}
