// The harness against a small store of its own: the correct one passes, each bug is caught by its
// assertion.

import CrashEnumeration
import Judgement
import Sim
import Testing

private enum Correct: LogStoreVariant { static let bug = LogStoreBug.none }
private enum NoFlush: LogStoreVariant { static let bug = LogStoreBug.noFlush }
private enum EarlyAnswer: LogStoreVariant { static let bug = LogStoreBug.acknowledgeBeforeFlush }
private enum NoComparison: LogStoreVariant { static let bug = LogStoreBug.checksumNotCompared }
private enum NoDeletes: LogStoreVariant { static let bug = LogStoreBug.deletesForgotten }
private enum Miscount: LogStoreVariant { static let bug = LogStoreBug.spaceMiscounted }
private enum Destructive: LogStoreVariant { static let bug = LogStoreBug.recoveryDestroys }
private enum Stuck: LogStoreVariant { static let bug = LogStoreBug.recoveryStuck }

@Suite struct HarnessTests {
    private func walk<Variant: LogStoreVariant>(
        _ variant: Variant.Type, depth: Int, sector: Int = 4096, aftercareInterval: UInt64 = 25
    ) throws(FoundViolation) -> (CrashCounts, String) {
        var settings = CrashSettings()
        settings.logicalBlockBytes = sector
        settings.secondCrashLimit = 2
        settings.sampleLimit = 4
        settings.aftercareInterval = aftercareInterval
        var enumeration = Enumeration<LogStore<Variant>>(settings: settings)
        for workload in Workload.all(depth: depth) {
            try enumeration.walk(workload, pacing: .oneAtATime)
        }
        return (enumeration.counts, enumeration.fingerprint.hexadecimal)
    }

    private func caught<Variant: LogStoreVariant>(_ variant: Variant.Type) -> Assertion? {
        do throws(FoundViolation) {
            _ = try walk(variant, depth: 1, aftercareInterval: .max)
            return nil
        } catch { return error.violation.assertion }
    }

    @Test(arguments: [4096, 512]) func aCorrectStorePasses(sector: Int) throws {
        let (counts, fingerprint) = try walk(
            Correct.self, depth: sector == 4096 ? 2 : 1, sector: sector)
        print("log store, sectors of \(sector), seed 1: \(counts), fingerprint \(fingerprint)")
        #expect(counts.workloads == (sector == 4096 ? 42 : 6))
        #expect(counts.unfinishedLanded > 0)
        #expect(counts.unfinishedLost > 0)
        #expect(counts.secondCrashes > 0)
    }

    @Test func theSameSeedGivesTheSameFingerprint() throws {
        let first = try walk(Correct.self, depth: 1)
        let second = try walk(Correct.self, depth: 1)
        #expect(first.1 == second.1)
        #expect(first.0.images == second.0.images)
    }

    @Test func eachBugIsCaughtByItsAssertion() {
        #expect(caught(EarlyAnswer.self) == .acknowledgedBeforeFlush)
        #expect(caught(NoFlush.self) == .acknowledgedBeforeFlush)
        #expect(caught(NoComparison.self) == .damagedBytesServed)
        #expect(caught(NoDeletes.self) == .deletedBlockResurrected)
        #expect(caught(Miscount.self) == .spaceNotConserved)
        #expect(caught(Destructive.self) == .acknowledgedBlockLost)
        #expect(caught(Stuck.self) == .recoveryNeverEnds)
    }

    @Test func thereAreTwoHundredFiftyEightWorkloadsOfUpToThreeSteps() {
        #expect(Workload.all(depth: 3).count == 258)
    }
}
