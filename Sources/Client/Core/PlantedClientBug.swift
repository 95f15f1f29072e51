// PlantedClientBug: mistakes in the client that a test build can switch on, one at a time, to prove
// that the oracles see them.
//
// Always holds: none of this is compiled without `-D PLANTED_BUGS`.

#if PLANTED_BUGS
/// A mistake that clients of such stores have made.
package enum PlantedClientBug: String, CaseIterable, Sendable {
    /// What had failed once was never reached again.
    case neverReconnects
    /// Everybody came back at once, and again at once.
    case reconnectsWithoutPause
    /// What had not come counted as loaded.
    case failedItemCountsAsLoaded
    case waitsBeyondDeadline
    /// Queue pairs were never made again after a flap of the port.
    case queuePairsNeverRebuilt
    /// A transfer that was lost with its queue pair counted as done.
    case brokenTransferCountsAsDone
}
#endif
