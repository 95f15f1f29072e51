// RunRecord: what is kept of a run: of a simulation or of a benchmark.
//
// Always holds: only plain values, so that a record can be read without the engine that made it;
// what isn't known is nil, never a guess.

/// How a run is called: counted from 1 in its database.
package struct RunNumber: Hashable, Comparable, Sendable, CustomStringConvertible {
    package let rawValue: Int64

    package init(_ rawValue: Int64) { self.rawValue = rawValue }

    package static func < (left: RunNumber, right: RunNumber) -> Bool {
        left.rawValue < right.rawValue
    }
    package var description: String { "\(rawValue)" }
}

package enum RunKind: String, Hashable, Sendable, CaseIterable, Codable {
    case sim, bench
}

/// How a run ended.
package enum RunVerdict: String, Hashable, Sendable, Codable {
    /// A simulation in which everything held.
    case passed
    /// A simulation in which a promise was broken.
    case violated
    /// A simulation in which nothing was wrong and too little happened to prove anything.
    case belowMinimum = "below-minimum"
    /// A benchmark: it judges nothing.
    case measured
}

/// What was run: the program and how it was built.
package struct RunProgram: Hashable, Sendable, Codable {
    package var version: String
    /// Of the working copy that the program lies in; 40 hex digits.
    package var commit: String?
    /// Whether that working copy had changes; nil without a working copy.
    package var isDirty: Bool?
    /// What it was compiled with.
    package var toolchain: String?
    /// "debug" or "release".
    package var buildKind: String?

    package init(
        version: String, commit: String? = nil, isDirty: Bool? = nil, toolchain: String? = nil,
        buildKind: String? = nil
    ) {
        self.version = version
        self.commit = commit
        self.isDirty = isDirty
        self.toolchain = toolchain
        self.buildKind = buildKind
    }
}

/// What it ran on.
package struct RunMachine: Hashable, Sendable, Codable {
    package var kernel: String?
    package var processor: String?
    /// The drives: paths, or what stands in for them.
    package var device: String?

    package init(kernel: String? = nil, processor: String? = nil, device: String? = nil) {
        self.kernel = kernel
        self.processor = processor
        self.device = device
    }
}

/// A run without what was measured in it.
package struct RunFacts: Hashable, Sendable, Codable {
    package var kind: RunKind
    /// ISO 8601, UTC.
    package var startedAt: String
    /// A scenario's name, a profile of the bench.
    package var scenario: String
    /// A sentence on what it tries; nil for a profile.
    package var about: String?
    /// What tells the scenario's content from every other: hex digits.
    package var scenarioHash: String
    /// The scenario's text, so that the run can be repeated when its file has changed.
    package var scenarioText: String?
    package var seed: UInt64
    package var program: RunProgram
    package var machine: RunMachine
    /// What was chosen beside the scenario, by name.
    package var configuration: [String: String]
    /// Of everything that happened in a simulation; equal runs have equal ones.
    package var fingerprint: String?
    /// Nil where no time is simulated.
    package var virtualMicroseconds: UInt64?
    package var realMicroseconds: UInt64
    package var verdict: RunVerdict
    package var firstViolation: String?
    /// Runs that were measured in turns, round by round, have the same one.
    package var pairing: String?

    package init(
        kind: RunKind, startedAt: String, scenario: String, scenarioHash: String, seed: UInt64,
        program: RunProgram, machine: RunMachine, realMicroseconds: UInt64, verdict: RunVerdict
    ) {
        self.kind = kind
        self.startedAt = startedAt
        self.scenario = scenario
        self.scenarioHash = scenarioHash
        self.seed = seed
        self.program = program
        self.machine = machine
        self.realMicroseconds = realMicroseconds
        self.verdict = verdict
        configuration = [:]
    }
}

/// Which way a series is better.
package enum Direction: String, Hashable, Sendable, Codable {
    case higher, lower
    /// It tells what happened, and is neither good nor bad.
    case neither
}

/// Values of one thing in one run, in order.
package struct RunSeries: Hashable, Sendable, Codable {
    package struct Sample: Hashable, Sendable, Codable {
        /// Microseconds of virtual time in a simulation, the round in a benchmark.
        package var position: UInt64
        package var value: Double

        package init(position: UInt64, value: Double) {
            precondition(value.isFinite, "a sample that is no number")
            self.position = position
            self.value = value
        }
    }

    /// What is measured: "throughput", "server processor time".
    package var quantity: String
    /// Of what: "put, 1 MiB, 4 in flight over 2 connections", "drive 2".
    package var subject: String
    package var unit: String
    package var better: Direction
    /// By position, none twice.
    package var samples: [Sample]

    package init(
        quantity: String, subject: String, unit: String, better: Direction, samples: [Sample]
    ) {
        self.quantity = quantity
        self.subject = subject
        self.unit = unit
        self.better = better
        self.samples = samples
    }
}

/// Something that lasted in a simulation: a fault, a drive's state, the store's health.
package struct RunSpan: Hashable, Sendable, Codable {
    /// "fault", "drive", "health".
    package var lane: String
    /// Whose: "drive 2", "store".
    package var subject: String
    /// What it was: "offline".
    package var label: String
    package var fromMicroseconds: UInt64
    /// Nil for what lasted to the end.
    package var toMicroseconds: UInt64?

    package init(
        lane: String, subject: String, label: String, fromMicroseconds: UInt64,
        toMicroseconds: UInt64?
    ) {
        self.lane = lane
        self.subject = subject
        self.label = label
        self.fromMicroseconds = fromMicroseconds
        self.toMicroseconds = toMicroseconds
    }
}

/// A run with all that is kept of it.
package struct RunRecord: Hashable, Sendable, Codable {
    package var facts: RunFacts
    package var series: [RunSeries]
    package var spans: [RunSpan]
    /// Totals by name: "requests judged".
    package var totals: [String: Double]

    package init(
        facts: RunFacts, series: [RunSeries] = [], spans: [RunSpan] = [],
        totals: [String: Double] = [:]
    ) {
        self.facts = facts
        self.series = series
        self.spans = spans
        self.totals = totals
    }
}
