// RunComparison: two sides of recorded benchmarks, measurement by measurement and altogether.
//
// Runs that were measured in turns, round by round, are compared round by round, so that what
// disturbed the machine meanwhile disturbed both. Others are compared median with median, and only
// if the machine was about as busy with other work in both.
//
// Always holds: only measurements that both sides have, in a sufficient number of rounds, are
// compared; a measurement that neither way is better isn't.

import Foundation

package struct RunComparison: Sendable, Codable {
    /// One measurement, or all of one quantity together.
    package struct Line: Hashable, Sendable, Codable {
        package let quantity: String
        /// Of what; empty for all of the quantity together, as their geometric mean.
        package let subject: String
        package let unit: String
        /// Nil for all of a quantity together.
        package let medianA: Double?
        package let medianB: Double?
        package let slowdown: Slowdown
        package let verdict: Verdict
    }

    /// Rounds that were compared pair by pair.
    package let isPaired: Bool
    package let measurements: [Line]
    package let quantities: [Line]
    package let verdict: Verdict
    /// What a reader must know: where the sides differ beside the program, what spoilt them.
    package let notes: [String]

    package let confidence = Bootstrap.confidence
    package let resamples = Bootstrap.resamples
    package let bootstrapSeed = Bootstrap.seed

    private enum CodingKeys: String, CodingKey {
        case isPaired, measurements, quantities, verdict, notes, confidence, resamples
        case bootstrapSeed
    }

    /// A measurement with fewer samples on either side isn't compared.
    package static let fewestSamples = 5
    /// Shares of the machine that other programs took may differ by this, without turns.
    package static let disturbanceLimit = 0.1
    /// The name of the total that tells this share.
    package static let disturbanceTotal = "processors busy elsewhere"

    /// Nil when the sides have no measurement in common. Each side has a run or more.
    package init?(_ sideA: [RunRecord], _ sideB: [RunRecord]) {
        let pairs = Self.pairs(sideA, sideB)
        isPaired = pairs != nil
        let found = Self.compared(
            pairs?.map(\.0) ?? sideA, pairs?.map(\.1) ?? sideB, isPaired: isPaired)
        guard !found.isEmpty else { return nil }
        var notes = Self.differences(sideA, sideB)
        let spoilt = isPaired ? nil : Self.disturbance(sideA, sideB)
        if let spoilt { notes.append(spoilt) }
        let draws = Draws(found, isPaired: isPaired)
        measurements = found.indices.map { index in
            draws.line(of: [index], found[index], isSpoilt: spoilt != nil)
        }
        var quantities: [String] = []
        for measurement in found where !quantities.contains(measurement.quantity) {
            quantities.append(measurement.quantity)
        }
        self.quantities = quantities.map { quantity in
            let indices = found.indices.filter { found[$0].quantity == quantity }
            return draws.line(of: indices, nil, isSpoilt: spoilt != nil, quantity: quantity)
        }
        self.notes = notes
        verdict = Self.overall(measurements, self.quantities)
    }

    /// Slower if anything is; faster if something is and nothing slower; no difference if that is
    /// said of each quantity.
    private static func overall(_ measurements: [Line], _ quantities: [Line]) -> Verdict {
        let all = (measurements + quantities).map(\.verdict)
        if all.contains(.slower) { return .slower }
        if all.contains(.faster) { return .faster }
        return quantities.allSatisfy { $0.verdict == .noDifference } ? .noDifference : .tooNoisy
    }

    /// What is slower by more than `percent`, the median taken.
    package func slower(byMoreThan percent: Double) -> [Line] {
        (quantities + measurements).filter {
            $0.verdict == .slower && ($0.slowdown.estimate - 1) * 100 > percent
        }
    }

    // MARK: Which runs and measurements

    /// Runs of both sides, two and two, that were measured in turns; nil unless all were.
    private static func pairs(
        _ sideA: [RunRecord], _ sideB: [RunRecord]
    ) -> [(RunRecord, RunRecord)]? {
        guard sideA.count == sideB.count else { return nil }
        var rest = sideB
        var pairs: [(RunRecord, RunRecord)] = []
        for run in sideA {
            guard let pairing = run.facts.pairing,
                let index = rest.firstIndex(where: { $0.facts.pairing == pairing })
            else { return nil }
            pairs.append((run, rest.remove(at: index)))
        }
        return pairs
    }

    private static func compared(
        _ sideA: [RunRecord], _ sideB: [RunRecord], isPaired: Bool
    ) -> [ComparedMeasurement] {
        guard (sideA + sideB).allSatisfy({ $0.rounds > 0 }) else { return [] }
        return sideA[0].series.compactMap { series in
            guard series.better != .neither,
                let valuesA = values(of: series, in: sideA),
                let valuesB = values(of: series, in: sideB)
            else { return nil }
            let measurement = ComparedMeasurement(
                quantity: series.quantity, subject: series.subject, unit: series.unit,
                better: series.better, valuesA: valuesA, valuesB: valuesB)
            let isSufficient =
                !isPaired || measurement.pairedLogarithms.count >= fewestSamples
            return isSufficient ? measurement : nil
        }
    }

    /// By run and round; nil when they are too few, or when a value has no logarithm.
    private static func values(of series: RunSeries, in runs: [RunRecord]) -> RoundValues? {
        let found = runs.map { run in
            run.series.first {
                $0.quantity == series.quantity && $0.subject == series.subject
                    && $0.unit == series.unit && $0.better == series.better
            }?.samples ?? []
        }
        let samples = found.flatMap(\.self)
        guard samples.count >= fewestSamples, samples.allSatisfy({ $0.value > 0 }) else {
            return nil
        }
        return RoundValues(
            runs: zip(runs, found).map { run, samples in
                let byRound = Dictionary(
                    uniqueKeysWithValues: samples.map { ($0.position, $0.value) })
                return (0..<run.rounds).map { byRound[UInt64($0)] }
            })
    }

    // MARK: Notes

    private static func disturbance(_ sideA: [RunRecord], _ sideB: [RunRecord]) -> String? {
        let shares = [sideA, sideB].map { $0.compactMap { $0.totals[disturbanceTotal] } }
        guard let sharesA = shares.first, let sharesB = shares.last, !sharesA.isEmpty,
            !sharesB.isEmpty
        else { return nil }
        let medianA = Median.of(sharesA)
        let medianB = Median.of(sharesB)
        guard abs(medianA - medianB) > disturbanceLimit else { return nil }
        return "other programs took \(percent(medianA)) of the processors during A and "
            + "\(percent(medianB)) during B; measure again, or in turns: "
            + "memkv bench run --against MEMKVD"
    }

    private static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

    /// Where the sides differ in anything but the commit.
    private static func differences(_ sideA: [RunRecord], _ sideB: [RunRecord]) -> [String] {
        func values(_ side: [RunRecord], _ read: (RunFacts) -> String?) -> String {
            Set(side.map { read($0.facts) ?? "unknown" }).sorted().joined(separator: ", ")
        }
        let reads: [(name: String, read: (RunFacts) -> String?)] = [
            ("profile", \.scenario), ("loads", \.scenarioHash),
            ("toolchain", \.program.toolchain), ("build", \.program.buildKind),
            ("kernel", \.machine.kernel), ("processor", \.machine.processor),
            ("device", \.machine.device),
        ]
        let options = Set((sideA + sideB).flatMap { $0.facts.configuration.keys }).sorted()
        let configured = options.map { name in
            (name: name, read: { (facts: RunFacts) in facts.configuration[name] })
        }
        return (reads + configured).compactMap { name, read in
            let (valueA, valueB) = (values(sideA, read), values(sideB, read))
            return valueA == valueB ? nil : "\(name) differs: A \(valueA), B \(valueB)"
        }
    }
}

extension RunRecord {
    /// How many rounds its longest series has.
    fileprivate var rounds: Int {
        series.compactMap { $0.samples.last.map { Int($0.position) + 1 } }.max() ?? 0
    }
}
