// Smaller scenarios: what isn't needed for the failure goes, what is needed stays, and the same
// failure shrinks to the same scenario.

import ScenarioRuns
import Scenarios
import Simulation
import Testing

@Suite struct ScenarioShrinkerTests {
    private static func scenario() -> Scenario {
        var scenario = Scenario(name: "test", about: "Three faults, of which one matters.")
        scenario.store.drives = Drawn(from: 2, to: 4)
        scenario.clients = [ClientGroup(), ClientGroup(), ClientGroup()]
        scenario.clients[1].keys = Drawn(64)
        scenario.faults = [
            FaultPlan(.driveSlow), FaultPlan(.powerCut), FaultPlan(.freeze), FaultPlan(.bitRot),
        ]
        scenario.expectations = [.throughput(atLeastPercent: 90)]
        scenario.minimum.faults = 3
        return scenario
    }

    /// A failure that takes a power cut, 16 keys of some client, and 2 drives.
    private static func fails(_ scenario: Scenario) -> Bool {
        scenario.faults.contains { $0.name == .powerCut }
            && scenario.clients.contains { $0.keys.to >= 16 } && scenario.store.drives.to >= 2
    }

    @Test func whatIsNotNeededGoes() {
        var shrinker = ScenarioShrinker(Self.scenario(), tries: 1000, fails: Self.fails)
        let small = shrinker.shrink()
        #expect(Self.fails(small))
        #expect(small.faults.map(\.name) == [.powerCut])
        #expect(small.clients.count == 1)
        #expect(small.clients[0].keys.to < 32)
        #expect(small.store.drives == Drawn(2))
        #expect(small.expectations.isEmpty)
        #expect(small.minimum.faults == 0)
        #expect(shrinker.kept > 0 && shrinker.tried >= shrinker.kept)
    }

    @Test func theSameFailureShrinksToTheSame() {
        func shrink() -> String {
            var shrinker = ScenarioShrinker(Self.scenario(), tries: 1000, fails: Self.fails)
            return ScenarioText.of(shrinker.shrink())
        }
        #expect(shrink() == shrink())
    }

    @Test func itStopsAfterItsTries() {
        var tried = 0
        var shrinker = ScenarioShrinker(Self.scenario(), tries: 7) { _ in
            tried += 1
            return false
        }
        _ = shrinker.shrink()
        #expect(tried == 7)
        #expect(shrinker.tried == 7)
        #expect(shrinker.kept == 0)
    }

    @Test func everyCandidateCanBeWrittenDown() throws {
        var shrinker = ScenarioShrinker(Self.scenario(), tries: 1000) { candidate in
            (try? ScenarioDocument.read(ScenarioText.of(candidate), file: "test")) != nil
        }
        let small = shrinker.shrink()
        #expect(shrinker.tried == shrinker.kept)
        #expect(small.faults.isEmpty)
        // A scenario without clients can't be read, so one stays.
        #expect(small.clients.count == 1)
    }
}
