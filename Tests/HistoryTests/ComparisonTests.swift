// What two sides of samples are said to be: a tenth slower is called slower, the same is not, and
// what can't be told isn't told.

import History
import Testing

@Suite struct ComparisonTests {
    private static let seeds = UInt64(1)...4

    private func compare(_ sides: (RunRecord, RunRecord)) throws -> RunComparison {
        try #require(RunComparison([sides.0], [sides.1]))
    }

    @Test(arguments: [0.01, 0.03])
    func aTenthSlowerIsCalledSlower(noise: Double) throws {
        for seed in Self.seeds {
            let comparison = try compare(Samples.pair(seed: seed, slowdown: 1.1, noise: noise))
            #expect(comparison.verdict == .slower, "seed \(seed)")
            for quantity in comparison.quantities {
                #expect(quantity.verdict == .slower, "seed \(seed), \(quantity)")
                let slowdown = quantity.slowdown
                #expect(slowdown.low < 1.1 && 1.1 < slowdown.high, "seed \(seed), \(quantity)")
            }
        }
    }

    @Test(arguments: [0.01, 0.03, 0.06, 0.12])
    func theSameIsNotCalledSlowerOrFaster(noise: Double) throws {
        for seed in Self.seeds {
            let comparison = try compare(Samples.pair(seed: seed, slowdown: 1, noise: noise))
            #expect(
                [.noDifference, .tooNoisy].contains(comparison.verdict),
                "seed \(seed), \(comparison.verdict)")
        }
    }

    @Test func littleNoiseAndTheSameIsNoDifference() throws {
        let comparison = try compare(Samples.pair(seed: 1, slowdown: 1, noise: 0.01))
        #expect(comparison.verdict == .noDifference)
    }

    @Test func aTenthFasterIsCalledFaster() throws {
        let comparison = try compare(Samples.pair(seed: 1, slowdown: 1 / 1.1, noise: 0.03))
        #expect(comparison.verdict == .faster)
    }

    @Test func muchNoiseIsTooNoisyToSay() throws {
        let comparison = try compare(Samples.pair(seed: 1, slowdown: 1.02, noise: 0.4))
        #expect(comparison.verdict == .tooNoisy)
        #expect(comparison.slower(byMoreThan: 0).isEmpty)
    }

    @Test func oneMeasurementThatIsSlowerIsEnough() throws {
        var (before, after) = Samples.pair(seed: 3, slowdown: 1, noise: 0.01)
        after.series[0].samples = after.series[0].samples.map {
            RunSeries.Sample(position: $0.position, value: $0.value / 1.3)
        }
        let comparison = try compare((before, after))
        #expect(comparison.verdict == .slower)
        #expect(
            comparison.slower(byMoreThan: 20).map(\.subject) == [before.series[0].subject])
        #expect(comparison.slower(byMoreThan: 40).isEmpty)
        before.series[0].samples = []
        #expect(try compare((before, after)).verdict != .slower)
    }

    // MARK: In turns

    @Test func turnsTellWhatDriftHides() throws {
        for seed in Self.seeds {
            let inTurns = try compare(
                Samples.pair(
                    seed: seed, slowdown: 1.1, noise: 0.02, drift: 0.5, isPaired: true))
            #expect(inTurns.isPaired)
            #expect(inTurns.verdict == .slower, "seed \(seed)")
            let apart = try compare(
                Samples.pair(seed: seed, slowdown: 1.1, noise: 0.02, drift: 0.5))
            #expect(!apart.isPaired)
        }
    }

    @Test func turnsFindNoDifferenceWhereThereIsNone() throws {
        for seed in Self.seeds {
            let comparison = try compare(
                Samples.pair(seed: seed, slowdown: 1, noise: 0.02, drift: 0.5, isPaired: true))
            #expect(comparison.verdict != .slower && comparison.verdict != .faster, "\(seed)")
        }
    }

    @Test func severalRunsOfASideAreTakenTogether() throws {
        let pairs = (UInt64(1)...3).map { Samples.pair(seed: $0, slowdown: 1.1, noise: 0.03) }
        let comparison = try #require(RunComparison(pairs.map(\.0), pairs.map(\.1)))
        #expect(comparison.verdict == .slower)
    }

    // MARK: What spoils a comparison

    @Test func aMachineThatWasBusierOnOneSideSaysNothing() throws {
        var (before, after) = Samples.pair(seed: 1, slowdown: 1.5, noise: 0.01)
        before.totals[RunComparison.disturbanceTotal] = 0.05
        after.totals[RunComparison.disturbanceTotal] = 0.6
        let spoilt = try compare((before, after))
        #expect(spoilt.verdict == .tooNoisy)
        #expect(spoilt.notes.contains { $0.contains("5 %") && $0.contains("60 %") })
        after.totals[RunComparison.disturbanceTotal] = 0.1
        #expect(try compare((before, after)).verdict == .slower)
        // In turns, what disturbed one disturbed the other.
        after.totals[RunComparison.disturbanceTotal] = 0.6
        before.facts.pairing = "p"
        after.facts.pairing = "p"
        #expect(try compare((before, after)).verdict == .slower)
    }

    @Test func whereTheSidesDifferIsSaid() throws {
        var (before, after) = Samples.pair(seed: 1, slowdown: 1, noise: 0.01)
        before.facts.machine.kernel = "6.1"
        after.facts.machine.kernel = "6.12"
        after.facts.configuration["store"] = "memory"
        let notes = try compare((before, after)).notes
        #expect(notes == ["kernel differs: A 6.1, B 6.12", "store differs: A unknown, B memory"])
    }

    @Test func tooFewRoundsOrNothingInCommonIsNoComparison() {
        let few = Samples.pair(seed: 1, slowdown: 1, noise: 0.01, rounds: 4)
        #expect(RunComparison([few.0], [few.1]) == nil)
        var (before, after) = Samples.pair(seed: 1, slowdown: 1, noise: 0.01)
        after.series = after.series.map { series in
            var series = series
            series.subject = "another load"
            return series
        }
        #expect(RunComparison([before], [after]) == nil)
        before.series = []
        #expect(RunComparison([before], [after]) == nil)
    }

    @Test func theSameSamplesGiveTheSameInterval() throws {
        let sides = Samples.pair(seed: 9, slowdown: 1.05, noise: 0.1)
        let first = try compare(sides)
        let second = try compare(sides)
        #expect(first.measurements == second.measurements)
        #expect(first.quantities == second.quantities)
    }
}
