// Whole runs: the same seed gives the same run, another one another; faults are felt; a planted
// mistake is seen.

import Simulation
import Testing

@Suite struct RunTests {
    private static func scenario(_ change: (inout Scenario) -> Void = { _ in }) -> Scenario {
        var scenario = Scenario(name: "test", about: "A short run.")
        var group = ClientGroup()
        group.count = Drawn(from: 1, to: 2)
        group.keys = Drawn(40)
        scenario.clients = [group]
        scenario.store.drives = Drawn(from: 1, to: 3)
        scenario.store.shards = Drawn(from: 1, to: 3)
        scenario.durationMicroseconds = Drawn(50_000)
        change(&scenario)
        return scenario
    }

    @Test func theSameSeedGivesTheSameRun() {
        let scenario = Self.scenario()
        let first = SimulatedRun.run(scenario, seed: 3)
        let second = SimulatedRun.run(scenario, seed: 3)
        let other = SimulatedRun.run(scenario, seed: 4)
        #expect(first.hasPassed, "\(String(describing: first.violation))")
        #expect(first.fingerprint == second.fingerprint)
        #expect(first.fingerprint != other.fingerprint)
        #expect(first.requests == second.requests)
    }

    @Test(arguments: UInt64(1)...3)
    func aPowerCutCostsNothingThatWasAcknowledged(seed: UInt64) {
        let report = SimulatedRun.run(
            Self.scenario { scenario in
                var cut = FaultPlan(.powerCut)
                cut.atMicroseconds = Drawn(from: 5000, to: 40_000)
                cut.lastsMicroseconds = Drawn(1000)
                scenario.faults = [cut]
                scenario.minimum.felt = [(.powerCuts, 1)]
            }, seed: seed)
        #expect(report.hasPassed, "\(String(describing: report.violation)) \(report.shortfalls)")
        #expect(report.faults.first?.name == "power_cut")
    }

    @Test(arguments: [ClientGroup.Transport.auto, .rdma, .leases])
    func queuePairsThatFailCostNothingThatWasAcknowledged(transport: ClientGroup.Transport) {
        let scenario = Self.scenario { scenario in
            scenario.clients[0].transport = transport
            var errors = FaultPlan(.queuePairError)
            errors.atMicroseconds = Drawn(10_000)
            errors.lastsMicroseconds = Drawn(30_000)
            errors.amount = Drawn(2000)
            scenario.faults = [errors]
            scenario.minimum.felt = [(.remoteRequests, 20), (.brokenQueuePairs, 1)]
            scenario.expectations = [.remoteAgain(withinMicroseconds: 200_000)]
        }
        let report = SimulatedRun.run(scenario, seed: 5)
        #expect(report.hasPassed, "\(String(describing: report.violation)) \(report.shortfalls)")
        #expect(report.fingerprint == SimulatedRun.run(scenario, seed: 5).fingerprint)
    }

    @Test func aRunBelowItsMinimumHasNotPassed() {
        let report = SimulatedRun.run(
            Self.scenario { $0.minimum.requests = 1_000_000_000 }, seed: 1)
        #expect(report.verdict == .belowMinimum)
        #expect(report.shortfalls.count == 1)
    }

    #if PLANTED_BUGS
    @Test func aMistakeInTheEngineIsSeen() {
        let scenario = Self.scenario { scenario in
            scenario.store.plantedBug = "noFlush"
            scenario.store.drives = Drawn(1)
            var cut = FaultPlan(.powerCut)
            cut.atMicroseconds = Drawn(from: 20_000, to: 40_000)
            cut.lastsMicroseconds = Drawn(1000)
            scenario.faults = [cut]
        }
        let isSeen = (UInt64(1)...5).contains {
            SimulatedRun.run(scenario, seed: $0).verdict == .violated
        }
        #expect(isSeen)
    }
    #endif
}
