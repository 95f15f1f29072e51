// Violation: a promise that was broken, by the name of the assertion that saw it.

/// Every assertion that a run is judged by. A raw value is the name in reports; none is used for
/// two things.
package enum Assertion: String, CaseIterable, Sendable {
    // Of single reads.
    case acknowledgedBlockLost = "acknowledged-block-lost"
    case previousValueLost = "previous-value-lost-under-unfinished-overwrite"
    case deletedBlockResurrected = "deleted-block-resurrected"
    case replacedValueServed = "replaced-value-served"
    case refusedValueServed = "value-of-a-refused-put-served"
    case foreignBytesServed = "another-key's-bytes-served"
    case damagedBytesServed = "damaged-bytes-served"
    case outcomeChangedAfterRecovery = "outcome-changed-after-recovery"
    case readRefused = "read-answered-with-an-error"
    case responseChecksumWrong = "response-checksum-wrong"
    case evictedBeyondPermission = "evicted-beyond-permission"

    // Of single requests.
    case requestNeverAnswered = "request-never-answered"
    case answeredTwice = "request-answered-twice"
    case answeredLate = "request-answered-late"
    case foreignNamespaceServed = "another-namespace's-bytes-served"

    // Of the store, before and after a power cut.
    case driveNotFormatted = "drive-can't-be-formatted"
    case recoveryNeverEnds = "recovery-never-ends"
    case storeRefusedAfterPowerCut = "store-refused-after-power-cut"
    case spaceNotConserved = "space-not-conserved"
    case blockCountWrong = "block-count-wrong"
    case newBlocksRefused = "store-takes-no-new-blocks-after-recovery"
    case drainNeverEnds = "drain-never-ends"
    case blockLostByCleanRestart = "block-changed-by-clean-restart"

    // Of the device's trace.
    case acknowledgedBeforeFlush = "acknowledged-before-its-flush"
    case liveBlockOverwritten = "slot-of-a-live-block-overwritten"

    // Of a whole run.
    case missesBeyondBound = "misses-beyond-bound"
    case refusalsBeyondBound = "refusals-beyond-bound"
    case drivesEmptiedBeyondBound = "drives-returned-empty-beyond-bound"
    case healthDisagrees = "health-disagrees-with-what-happened"
    case notConverged = "not-healthy-after-the-faults"
    case memoryNotReturned = "memory-not-returned"
    case expectationNotMet = "expected-state-not-seen"
    case throughputBelowBound = "throughput-below-bound"
    case latencyAboveBound = "latency-above-bound"
    case triedTooOften = "connections-tried-too-often"
    case damageNotSetAside = "damage-not-set-aside"
    case worldStalls = "nothing-happens-any-more"
    case worldSpins = "no-end-at-one-instant"

    // Of the machine: what a drive and a network card see.
    case memoryChangedInFlight = "memory-of-a-write-changed-in-flight"
    case completionQueueFull = "completion-queue-overflown"
    case messageWithoutReceive = "message-without-a-receive"

    // Of stores made to order.
    case blockLostWithOneSuperblock = "block-lost-with-one-superblock-damaged"
    case newerFormatAccepted = "newer-format-accepted"
}

/// A broken promise.
package struct Violation: Error, Hashable, Sendable, CustomStringConvertible {
    package let assertion: Assertion
    package let detail: String

    package init(_ assertion: Assertion, _ detail: String) {
        self.assertion = assertion
        self.detail = detail
    }

    package var description: String { "\(assertion.rawValue): \(detail)" }
}
