// TimelineRun: what the picture of a run is made from: plain values, whoever has them.

/// A run over its time.
package struct TimelineRun: Sendable {
    /// What a colour stands for.
    package enum Tone: String, Sendable {
        case good, warning, bad, fault, neutral
    }

    /// A fact beside the picture.
    package struct Fact: Sendable {
        package var name: String
        package var value: String

        package init(_ name: String, _ value: String) {
            self.name = name
            self.value = value
        }
    }

    /// Something that lasted.
    package struct Span: Sendable {
        package var label: String
        package var tone: Tone
        package var fromMicroseconds: UInt64
        package var toMicroseconds: UInt64

        package init(
            label: String, tone: Tone, fromMicroseconds: UInt64, toMicroseconds: UInt64
        ) {
            self.label = label
            self.tone = tone
            self.fromMicroseconds = fromMicroseconds
            self.toMicroseconds = toMicroseconds
        }
    }

    /// A row of spans that don't overlap: "drive 2".
    package struct Lane: Sendable {
        package var heading: String
        package var spans: [Span]

        package init(heading: String, spans: [Span]) {
            self.heading = heading
            self.spans = spans
        }
    }

    package struct Point: Sendable {
        package var microseconds: UInt64
        /// Finite, not negative.
        package var value: Double

        package init(microseconds: UInt64, value: Double) {
            self.microseconds = microseconds
            self.value = value
        }
    }

    /// One line of a chart.
    package struct Line: Sendable {
        package var label: String
        /// In the order of their times.
        package var points: [Point]

        package init(label: String, points: [Point]) {
            self.label = label
            self.points = points
        }
    }

    /// A chart below the lanes, over the same time.
    package struct Chart: Sendable {
        package var heading: String
        /// One sentence on what it shows.
        package var explanation: String
        package var unit: ChartUnit
        package var lines: [Line]

        package init(heading: String, explanation: String, unit: ChartUnit, lines: [Line]) {
            self.heading = heading
            self.explanation = explanation
            self.unit = unit
            self.lines = lines
        }
    }

    package var title: String
    /// A sentence on what was tried.
    package var introduction: String
    package var verdict: Fact
    package var verdictTone: Tone
    /// Sentences below the drawing, on what a reader can't guess.
    package var reading = ""
    package var facts: [Fact]
    package var totals: [Fact]
    package var endMicroseconds: UInt64
    /// Struck from outside: also drawn behind all the rest.
    package var faults: [Lane]
    package var lanes: [Lane]
    package var charts: [Chart]

    package init(
        title: String, introduction: String, verdict: Fact, verdictTone: Tone,
        endMicroseconds: UInt64
    ) {
        self.title = title
        self.introduction = introduction
        self.verdict = verdict
        self.verdictTone = verdictTone
        self.endMicroseconds = endMicroseconds
        facts = []
        totals = []
        faults = []
        lanes = []
        charts = []
    }
}

/// How a chart's values are written.
package enum ChartUnit: Sendable {
    case bytesPerSecond
    case requestsPerSecond
    case microseconds
    case count
}
