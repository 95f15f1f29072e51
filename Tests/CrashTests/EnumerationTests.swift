// The engine, crashed at every device operation of every short workload.
//
// MEMKV_CRASH_DEPTH sets the longest workload (1 when not set: a debug build judges some 40 images
// a second); the whole of depth 3 with all its samples is for the release build,
// `crash-enumeration`.

import CrashEnumeration
import Glibc
import Judgement
import Sim
import Testing

@Suite struct EnumerationTests {
    private static var depth: Int {
        guard let text = unsafe getenv("MEMKV_CRASH_DEPTH") else { return 1 }
        return unsafe Int(String(cString: text)) ?? 1
    }

    private static func settings(sector: Int) -> CrashSettings {
        var settings = CrashSettings()
        settings.logicalBlockBytes = sector
        settings.combinationLimit = 8
        settings.sampleLimit = 2
        settings.secondCrashLimit = 1
        settings.secondCrashSampleLimit = 1
        settings.aftercareInterval = 11
        return settings
    }

    @Test(arguments: [4096, 512], Pacing.allCases)
    func everyCrashOfEveryShortWorkloadIsSurvived(sector: Int, pacing: Pacing) throws {
        // A single step has nothing to overtake.
        guard Self.depth > 1 || pacing == .oneAtATime else { return }
        var enumeration = Enumeration<EngineStore>(settings: Self.settings(sector: sector))
        for workload in Workload.all(depth: Self.depth) {
            do throws(FoundViolation) {
                try enumeration.walk(workload, pacing: pacing)
            } catch {
                Issue.record(
                    "\(error.violation) at \(error.place.arguments): \(error.circumstances)")
                return
            }
        }
        let counts = enumeration.counts
        print(
            "engine, sectors of \(sector), \(pacing.rawValue), seed 1: \(counts), fingerprint "
                + enumeration.fingerprint.hexadecimal)
        #expect(counts.unfinishedLanded > 0)
        #expect(counts.unfinishedLost > 0)
        #expect(counts.secondCrashes > 0)
    }

    @Test(arguments: Scenario.allCases, [4096, 512])
    func everyScenarioPasses(scenario: Scenario, sector: Int) {
        // Power cuts are walked through above; the others run on the sectors that tell them most.
        guard scenario != .powerCuts, (sector == 512) == (scenario == .tornTails) else { return }
        let settings = scenario.adapted(Self.settings(sector: sector))
        var enumeration = Enumeration<EngineStore>(settings: settings)
        do throws(FoundViolation) {
            try enumeration.run(scenario)
        } catch {
            Issue.record("\(error.violation) in \(scenario.rawValue): \(error.circumstances)")
        }
    }
}
