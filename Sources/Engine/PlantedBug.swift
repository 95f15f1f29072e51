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
    /// A half-written value was read as whole.
    case tornTailAccepted
    case versionIgnored
    // What other stores' users have met, and its like.
    /// Another client's block was served.
    case namespaceDropped
    /// A slot was given away under its reader.
    case readsNotHeld
    /// The flush before the metadata stood in a branch that never ran.
    case pagesNotFlushed
    /// A new start handed out slots that were in use.
    case mapPageStoredOnce
    /// A new start had forgotten what was there, and wrote over it.
    case journalNotReplayed
    /// What was on the drive could never be found again.
    case lastChangeNotFolded
    /// The store filled up, and nothing was ever evicted.
    case neverEvicts
    /// What a reader had taken was never given back.
    case lateReadKeepsSlots
    /// Keys led to another place after a new start.
    case placementByShards
    /// A prefix was said to go on behind a hole.
    case prefixBeyondHole
    /// One slow member's answer held up everybody's.
    case batchAwaitsEveryItem
    /// Work that takes microseconds was looked for once in a long while.
    case flushWaitsForLook
    /// A hit took longer than computing the block anew.
    case hitsReadAgain
    /// A store that was said to have failed stayed visible.
    case unknownCalledFailed
    case replacedValueNotFreed
    case oneJournalCopy
    case oneSuperblock
    case staleBatchPlan
    case emptiedNotCounted
    case evictionNotCounted
    case deadlineForgotten
    case heirNotWoken
    case impairmentNeverEnds
    /// The daemon never ended when it was told to.
    case scrubHoldsRemovedBlock
    // Drives that come and go.
    case epochNotDurable
    case epochNotAwaited
    case changeListNotApplied
    case changeListOverflowIgnored
    case lowerVersionWins
    case straysNotLookedFor
    case straysNotRemoved
    case forkUndetected
    case placedElsewhereUnlooked
    // What drives that stall, slow down or fail bring to light.
    case noShareOfADrive
    case stalledWritesWait
    case hungDriveNeverFenced
    case failedFlushTrusted
    case slowDriveNeverFlagged
    case mediaErrorServed
    case quarantinedSlotReused
    case scrubSkipsChecksums

    /// Those of a store of several drives: a walk through the crash points of one drive can't meet
    /// them.
    package static let ofSeveralDrives: Set<PlantedBug> = [
        .epochNotDurable, .epochNotAwaited, .changeListNotApplied, .changeListOverflowIgnored,
        .lowerVersionWins, .straysNotLookedFor, .straysNotRemoved, .forkUndetected,
        .placedElsewhereUnlooked,
    ]

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
