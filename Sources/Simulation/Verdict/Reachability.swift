// Reachability: the interesting states that a suite of scenarios must have seen, or its oracles
// prove nothing about them.
//
// Always holds: noting a state changes nothing in the run.

/// A state worth reaching.
package enum ReachedState: String, CaseIterable, Sendable {
    // The server's life.
    case crashInRecovery = "crash-inside-recovery"
    case crashWithFlushInFlight = "crash-with-a-flush-in-flight"
    case crashWithPayloadInFlight = "crash-with-a-payload-write-in-flight"
    case crashBetweenPayloadAndCommit = "crash-between-payload-and-commit"
    case crashWithJournalInFlight = "crash-with-a-journal-write-in-flight"
    case crashInCheckpoint = "crash-inside-a-checkpoint"
    case crashWithSuperblockInFlight = "crash-with-a-superblock-write-in-flight"
    case crashWithDiscardInFlight = "crash-with-a-discard-in-flight"
    case crashWithNothingInFlight = "crash-with-nothing-in-flight"
    case crashWhileDraining = "crash-while-draining"
    case tornValueRecovered = "torn-value-found-by-recovery"
    case journalRepaired = "journal-copy-repaired"
    case driveReturnedEmpty = "drive-returned-empty"
    case otherShardCount = "restarted-with-another-number-of-shards"
    // Drives.
    case fenceDuringCheckpoint = "fence-during-a-checkpoint"
    case fenceWithFlushInFlight = "fence-with-a-flush-in-flight"
    case fenceWithReadsInFlight = "fence-with-reads-in-flight"
    case fenceWithWritesInFlight = "fence-with-writes-in-flight"
    case lastDriveMissing = "last-drive-missing"
    case servedDegraded = "answers-while-degraded"
    case stalledFlushOutlasted = "deadline-passed-during-a-flush-stall"
    case queueFull = "a-drive's-queue-full"
    case twoDrivesMissing = "two-drives-missing"
    case absentAtStart = "drive-absent-at-start"
    // Drives that are out, and their return.
    case changesNoted = "changes-noted-for-a-drive-that-is-out"
    case changeListOverflown = "change-list-overflown"
    case driveReconciled = "drive-returned-and-reconciled"
    case fencedDriveReconciled = "fenced-drive-returned-and-reconciled"
    case outDriveEmptied = "drive-returned-empty-after-an-absence"
    case strayKept = "block-on-its-key's-second-drive"
    case strayCameHome = "block-came-home-to-its-first-drive"
    case bothDrivesOut = "both-drives-of-a-key-out"
    case crashWhileReturning = "crash-while-a-returning-drive-forgets"
    case crashWhileNotingEpoch = "crash-while-an-epoch-is-noted"
    case readUnderDamage = "damaged-sector-read"
    case misdirected = "write-or-read-misdirected"
    case fileSystemFull = "file-system-full"
    case scrubFoundDamage = "scrub-found-damage"
    // Space.
    case evicted = "evicted"
    case evictedWhileReading = "evicted-while-reads-were-under-way"
    case storeFull = "no-space-answered"
    case checkpointed = "checkpointed-while-serving"
    case deletedAndPutAgain = "deleted-and-put-again"
    // Requests.
    case overwriteDuringRead = "overwrite-during-a-read-of-the-same-key"
    case overwriteDuringLargeRead = "overwrite-during-a-multi-slot-read"
    case putsRace = "two-puts-of-one-key-under-way"
    case deleteDuringPut = "delete-during-a-put-of-the-same-key"
    case deadlineDuringPut = "deadline-passed-during-a-put"
    case deadlineBeforeWork = "deadline-passed-before-any-work"
    case unknownOutcome = "outcome-unknown"
    case unknownHappened = "outcome-unknown-and-it-had-happened"
    case unknownDidNotHappen = "outcome-unknown-and-it-had-not-happened"
    case crossShard = "request-served-by-another-shard"
    case slabsExhausted = "all-slabs-taken"
    case responsePostponed = "response-postponed-for-memory"
    case batchPartlyThere = "batch-with-hits-and-misses"
    case batchAcrossDrives = "batch-cut-by-a-missing-drive"
    // The network.
    case cutInsideFrame = "connection-lost-inside-a-frame"
    case frameInPieces = "frame-in-pieces"
    case requestOrphaned = "answer-for-a-session-that-is-gone"
    case signedSession = "session-with-a-key"
    case forgedFrameRefused = "forged-or-malformed-frame-refused"
    case overdueClosed = "session-closed-for-being-overdue"
    case connectionRefused = "connection-refused-by-the-limit"
    case reconnected = "client-came-back"
    case heldByPartition = "bytes-held-by-a-partition"
    case answeredAfterThaw = "answered-after-a-freeze"
    // Queue pairs and leases.
    case servedByQueuePair = "request-by-a-queue-pair"
    case queuePairRebuilt = "queue-pair-made-anew-after-a-failure"
    case transferCut = "queue-pair-lost-in-the-middle-of-a-transfer"
    case servedWithoutPort = "served-by-tcp-while-the-port-was-down"
    case leaseWritten = "value-moved-by-a-leaseholder"
    case wroteWhileRevoked = "write-landed-while-its-access-was-taken-away"
    case accessRefused = "access-to-memory-that-is-not-leased"
    case leaseExpired = "lease-ended-by-its-time"
    case leaseRefused = "lease-refused-for-want-of-room"
    case diedInRemoteWrite = "client-died-in-the-middle-of-a-remote-write"
    case creditsExceeded = "more-requests-than-credits-refused"
}

/// The states that a run has seen.
struct ReachedStates {
    private var seen = [Bool](repeating: false, count: ReachedState.allCases.count)
    private static let places: [ReachedState: Int] = Dictionary(
        uniqueKeysWithValues: ReachedState.allCases.enumerated().map { ($1, $0) })

    mutating func insert(_ state: ReachedState) {
        if let place = Self.places[state] { seen[place] = true }
    }

    mutating func insert(_ state: ReachedState, if condition: Bool) {
        if condition { insert(state) }
    }

    func contains(_ state: ReachedState) -> Bool { Self.places[state].map { seen[$0] } ?? false }

    var states: [ReachedState] {
        ReachedState.allCases.enumerated().filter { seen[$0.offset] }.map(\.element)
    }
}
