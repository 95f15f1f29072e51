// ComparedMeasurement: one measurement that both sides have, and the draws that tell how sure its
// comparison is.

import Foundation

struct ComparedMeasurement {
    let quantity: String
    let subject: String
    let unit: String
    let better: Direction
    let valuesA: RoundValues
    let valuesB: RoundValues

    /// Logarithms of the slowdown, round by round.
    var pairedLogarithms: RoundValues {
        RoundValues(
            runs: zip(valuesA.runs, valuesB.runs).map { runA, runB in
                zip(runA, runB).map { valueA, valueB in
                    guard let valueA, let valueB else { return nil }
                    return logarithm(of: valueA, valueB)
                }
            })
    }

    /// Of the slowdown from `valueA` to `valueB`.
    func logarithm(of valueA: Double, _ valueB: Double) -> Double {
        better == .lower ? log(valueB / valueA) : log(valueA / valueB)
    }
}

/// For each measurement, the logarithm of its slowdown in the samples and in every draw.
struct Draws {
    private let estimates: [Double]
    private let draws: [[Double]]

    init(_ measurements: [ComparedMeasurement], isPaired: Bool) {
        var generator = SplitMix64(seed: Bootstrap.seed)
        var estimates: [Double] = []
        var draws: [[Double]] = Array(repeating: [], count: measurements.count)
        if isPaired {
            let paired = measurements.map(\.pairedLogarithms)
            let plan = RoundPlan(roundsOfRuns: paired[0].runs.map(\.count))
            estimates = paired.map(\.median)
            for _ in 0..<Bootstrap.resamples {
                let drawn = plan.draw(using: &generator)
                for index in paired.indices {
                    draws[index].append(paired[index].median(of: drawn))
                }
            }
        } else {
            let planA = RoundPlan(roundsOfRuns: measurements[0].valuesA.runs.map(\.count))
            let planB = RoundPlan(roundsOfRuns: measurements[0].valuesB.runs.map(\.count))
            estimates = measurements.map {
                $0.logarithm(of: $0.valuesA.median, $0.valuesB.median)
            }
            for _ in 0..<Bootstrap.resamples {
                let drawnA = planA.draw(using: &generator)
                let drawnB = planB.draw(using: &generator)
                for index in measurements.indices {
                    let measurement = measurements[index]
                    draws[index].append(
                        measurement.logarithm(
                            of: measurement.valuesA.median(of: drawnA),
                            measurement.valuesB.median(of: drawnB)))
                }
            }
        }
        self.estimates = estimates
        self.draws = draws
    }

    /// The line of `measurement`, which is the only one of `indices`, or of all of a quantity.
    func line(
        of indices: [Int], _ measurement: ComparedMeasurement?, isSpoilt: Bool,
        quantity: String = ""
    ) -> RunComparison.Line {
        let count = Double(indices.count)
        func mean(_ value: (Int) -> Double) -> Double { indices.map(value).reduce(0, +) / count }
        let (low, high) = Bootstrap.interval(
            of: (0..<Bootstrap.resamples).map { draw in mean { draws[$0][draw] } })
        let slowdown = Slowdown(
            estimate: exp(mean { estimates[$0] }), low: exp(low), high: exp(high))
        return RunComparison.Line(
            quantity: measurement?.quantity ?? quantity, subject: measurement?.subject ?? "",
            unit: measurement?.unit ?? "", medianA: measurement?.valuesA.median,
            medianB: measurement?.valuesB.median, slowdown: slowdown,
            verdict: isSpoilt ? .tooNoisy : Verdict(slowdown))
    }
}
