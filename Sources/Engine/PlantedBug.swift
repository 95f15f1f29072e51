// PlantedBug: mistakes that a test build can switch on, one at a time, to prove that the oracles
// see them.
//
// Always holds: none of this is compiled without `-D PLANTED_BUGS`; `isPlanted` is then a constant
// false.

#if PLANTED_BUGS
/// A mistake that stores of this kind have made.
package enum PlantedBug: String, CaseIterable, Sendable {
    case noFlush
    case acknowledgeBeforeFlush
    case slotReusedBeforeDeleteDurable
    case checkpointSpaceReusedBeforeSuperblockB
    case staleJournalBlockAccepted
    case checksumNotCompared
    case tornTailAccepted
    case versionIgnored
    // What drives that stall, slow down or fail bring to light.
    case noShareOfADrive
    case stalledWritesWait
    case hungDriveNeverFenced
    case failedFlushTrusted
    case slowDriveNeverFlagged
    case mediaErrorServed
    case quarantinedSlotReused
    case scrubSkipsChecksums
    /// The daemon never ended when it was told to.
    case scrubHoldsRemovedBlock

    /// Those that the enumeration of crash points finds, each by an assertion of its own.
    package static let ofCrashes: [PlantedBug] = [
        .noFlush, .acknowledgeBeforeFlush, .slotReusedBeforeDeleteDurable,
        .checkpointSpaceReusedBeforeSuperblockB, .staleJournalBlockAccepted, .checksumNotCompared,
        .tornTailAccepted, .versionIgnored,
    ]

    /// Those that no crash brings to light, but a drive that stalls, slows down or fails.
    package static let ofDriveStates: [PlantedBug] = [
        .noShareOfADrive, .stalledWritesWait, .hungDriveNeverFenced, .failedFlushTrusted,
        .slowDriveNeverFlagged, .mediaErrorServed, .quarantinedSlotReused, .scrubSkipsChecksums,
    ]
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    func isPlanted(_ bug: PlantedBug) -> Bool { configuration.plantedBug == bug }
}
#endif
