// Runs made up for tests.

import Foundation
import History

enum Samples {
    static func simulation(seed: UInt64) -> RunRecord {
        var facts = RunFacts(
            kind: .sim, startedAt: "2026-01-02T03:04:05Z", scenario: "drive-offline",
            scenarioHash: "00ff", seed: seed,
            program: RunProgram(
                version: "0.1.0", commit: String(repeating: "a", count: 40), isDirty: true,
                toolchain: "Swift 6.3.1", buildKind: "debug"),
            machine: RunMachine(kernel: "6.1", processor: "x"), realMicroseconds: 12,
            verdict: .violated)
        facts.about = "One drive of two fails."
        facts.scenarioText = "name: drive-offline\n"
        facts.configuration = ["shards": "2"]
        facts.fingerprint = "0123456789abcdef"
        facts.virtualMicroseconds = 30_000_000
        facts.firstViolation = "a wrong byte"
        return RunRecord(
            facts: facts,
            series: [
                RunSeries(
                    quantity: "throughput", subject: "store", unit: "bytes/s", better: .higher,
                    samples: [
                        RunSeries.Sample(position: 0, value: 0.5),
                        RunSeries.Sample(position: 100, value: 1e9),
                    ])
            ],
            spans: [
                RunSpan(
                    lane: "fault", subject: "drive 1", label: "offline",
                    fromMicroseconds: 10, toMicroseconds: nil)
            ],
            totals: ["requests judged": 12345])
    }

    /// A benchmark with one measurement of one value.
    static func benchmark(commit: String? = nil, isDirty: Bool? = nil) -> RunRecord {
        benchmark(
            [
                RunSeries(
                    quantity: "throughput", subject: "put", unit: "bytes/s", better: .higher,
                    samples: (0..<10).map { RunSeries.Sample(position: $0, value: 1) })
            ], commit: commit, isDirty: isDirty)
    }

    static func benchmark(
        _ series: [RunSeries], commit: String? = nil, isDirty: Bool? = nil
    ) -> RunRecord {
        let facts = RunFacts(
            kind: .bench, startedAt: "2026-01-02T03:04:05Z", scenario: "quick",
            scenarioHash: "00ff", seed: 1,
            program: RunProgram(version: "0.1.0", commit: commit, isDirty: isDirty),
            machine: RunMachine(), realMicroseconds: 1, verdict: .measured)
        return RunRecord(facts: facts, series: series)
    }

    /// Benchmarks of two programs, as `rounds` of `measurements` throughputs and times.
    ///
    /// `slowdown` is what the second takes longer, `noise` how far each value scatters by itself,
    /// `drift` how far all values of a round scatter together.
    static func pair(
        seed: UInt64, slowdown: Double, noise: Double, drift: Double = 0, rounds: Int = 15,
        measurements: Int = 8, isPaired: Bool = false
    ) -> (RunRecord, RunRecord) {
        var noiseOf = NoiseGenerator(seed: seed)
        let drifts = (0..<rounds).map { _ in noiseOf.factor(drift) }
        func run(_ cost: Double) -> RunRecord {
            var series: [RunSeries] = []
            for measurement in 0..<measurements {
                let base = Double(measurement + 1)
                series.append(
                    RunSeries(
                        quantity: "throughput", subject: "load \(measurement)", unit: "bytes/s",
                        better: .higher,
                        samples: (0..<rounds).map {
                            RunSeries.Sample(
                                position: UInt64($0),
                                value: base / (cost * drifts[$0] * noiseOf.factor(noise)))
                        }))
                series.append(
                    RunSeries(
                        quantity: "median time", subject: "load \(measurement)", unit: "ns",
                        better: .lower,
                        samples: (0..<rounds).map {
                            RunSeries.Sample(
                                position: UInt64($0),
                                value: base * cost * drifts[$0] * noiseOf.factor(noise))
                        }))
            }
            var run = benchmark(series)
            run.facts.pairing = isPaired ? "pair \(seed)" : nil
            return run
        }
        return (run(1), run(slowdown))
    }
}

/// Noise that is the same for the same seed.
struct NoiseGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state
    }

    /// About 1, scattered log-normally by `scatter`, and now and then far above, as real times are.
    mutating func factor(_ scatter: Double) -> Double {
        guard scatter > 0 else { return 1 }
        // The sum of twelve even numbers is near enough to normal.
        let normal = (0..<12).reduce(0.0) { sum, _ in sum + Double.random(in: 0..<1, using: &self) }
        let outlier = Int.random(in: 0..<20, using: &self) == 0 ? 5 * scatter : 0
        return exp((normal - 6) * scatter + outlier)
    }
}
