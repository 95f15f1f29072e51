// Bootstrap: how far a median may be off, from the samples alone (Efron 1979; the percentile
// interval): draws samples of the same size with replacement, many times, and looks how the
// statistic scatters.
//
// Always holds: a draw takes rounds, and the same rounds of every measurement, because what
// disturbed one measurement of a round disturbed its others; of several runs it first draws runs.
// The generator's seed is fixed, so the same samples give the same interval.

/// The rounds of one side, those of all runs in one row.
struct RoundPlan {
    let roundsOfRuns: [Int]

    /// How often each round is drawn: altogether about as many as there are, with replacement.
    func draw(using generator: inout SplitMix64) -> [Int] {
        let starts = roundsOfRuns.indices.map { roundsOfRuns[..<$0].reduce(0, +) }
        var drawn = Array(repeating: 0, count: roundsOfRuns.reduce(0, +))
        for _ in roundsOfRuns {
            let run = Int.random(in: roundsOfRuns.indices, using: &generator)
            for _ in 0..<roundsOfRuns[run] {
                drawn[starts[run] + .random(in: 0..<roundsOfRuns[run], using: &generator)] += 1
            }
        }
        return drawn
    }
}

/// One measurement's values by run and round; nil where a round has none.
struct RoundValues {
    let runs: [[Double?]]
    /// By value, each with its round's place in the row of all.
    private let sorted: [(place: Int, value: Double)]

    init(runs: [[Double?]]) {
        self.runs = runs
        sorted = runs.flatMap(\.self).enumerated().compactMap { place, value in
            value.map { (place, $0) }
        }.sorted { $0.value < $1.value }
    }

    var count: Int { sorted.count }
    var median: Double { Median.of(sorted.map(\.value)) }

    /// The median when each round counts as often as it was drawn; of all rounds once when those
    /// drawn hold no value.
    func median(of drawn: [Int]) -> Double {
        var total = 0
        for entry in sorted { total += drawn[entry.place] }
        guard total > 0 else { return median }
        var lower: Double?
        var passed = 0
        for entry in sorted {
            passed += drawn[entry.place]
            if lower == nil, passed > (total - 1) / 2 { lower = entry.value }
            if let lower, passed > total / 2 { return (lower + entry.value) / 2 }
        }
        preconditionFailure("the rounds drawn aren't those counted")
    }
}

enum Median {
    /// Of one value or more.
    static func of(_ values: [Double]) -> Double {
        precondition(!values.isEmpty, "the median of nothing")
        let sorted = values.sorted()
        let middle = sorted.count / 2
        return sorted.count % 2 == 1
            ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}

enum Bootstrap {
    static let resamples = 5000
    static let seed: UInt64 = 1
    /// Of the interval. Dozens of measurements are looked at together, and of few rounds the
    /// interval is a little too narrow: with 99 %, one of three comparisons of a program with
    /// itself, on a machine at six times its load, called it faster.
    static let confidence = 0.999

    /// The interval that `confidence` of the draws lie in.
    static func interval(of draws: [Double]) -> (low: Double, high: Double) {
        let sorted = draws.sorted()
        let outside = Int((Double(sorted.count) * (1 - confidence) / 2).rounded())
        return (sorted[outside], sorted[sorted.count - 1 - outside])
    }
}

/// SplitMix64 (Steele, Lea, Flood: OOPSLA 2014).
struct SplitMix64: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
