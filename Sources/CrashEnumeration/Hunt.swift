// Hunt: for each bug that can be planted in the engine, the world that must find it and the
// assertion that must name it.
//
// Always holds: no two bugs are found by the same assertion; a trap is no finding.

#if PLANTED_BUGS
package import Engine
package import Judgement
import Sim

/// One bug and how it is found.
package struct Hunt: Sendable {
    package let bug: PlantedBug
    package let scenario: Scenario
    package let assertion: Assertion
    /// False where the ledger alone must find it, without a look at the device.
    package let isTraceArmed: Bool
    package let logicalBlockBytes: Int

    private init(
        _ bug: PlantedBug, _ scenario: Scenario, _ assertion: Assertion, isTraceArmed: Bool = true,
        logicalBlockBytes: Int = 4096
    ) {
        self.bug = bug
        self.scenario = scenario
        self.assertion = assertion
        self.isTraceArmed = isTraceArmed
        self.logicalBlockBytes = logicalBlockBytes
    }

    /// Every hunt, one per bug.
    package static let all = [
        Hunt(.noFlush, .powerCuts, .acknowledgedBlockLost, isTraceArmed: false),
        Hunt(.acknowledgeBeforeFlush, .powerCuts, .acknowledgedBeforeFlush),
        Hunt(.slotReusedBeforeDeleteDurable, .crowdedStore, .liveBlockOverwritten),
        Hunt(
            .checkpointSpaceReusedBeforeSuperblockB, .superblockRot, .blockLostWithOneSuperblock),
        Hunt(.staleJournalBlockAccepted, .journalHoles, .outcomeChangedAfterRecovery),
        Hunt(.checksumNotCompared, .bitRot, .damagedBytesServed),
        Hunt(.tornTailAccepted, .tornTails, .previousValueLost, logicalBlockBytes: 512),
        Hunt(.versionIgnored, .newerFormat, .newerFormatAccepted),
    ]

    /// What the hunt finds in an engine with the bug; nil when it finds nothing.
    package func run(seed: UInt64) -> FoundViolation? {
        var settings = CrashSettings()
        settings.seed = seed
        settings.logicalBlockBytes = logicalBlockBytes
        settings.isTraceArmed = isTraceArmed
        settings.secondCrashLimit = 0
        settings.plantedBug = bug
        var enumeration = Enumeration<EngineStore>(settings: scenario.adapted(settings))
        enumeration.wanted = assertion
        do throws(FoundViolation) {
            try enumeration.run(scenario)
            return nil
        } catch { return error }
    }
}
#endif
