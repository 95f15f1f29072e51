// PlantedQueuePairBug: mistakes with queue pairs and leases that a test build can switch on, one at
// a time, to prove that the oracles see them.
//
// Always holds: none of this is compiled without `-D PLANTED_BUGS`.

#if PLANTED_BUGS
/// A mistake that stores of this kind have made, or might.
package enum PlantedQueuePairBug: String, CaseIterable, Sendable {
    /// What a client could still write to was compared, and published.
    case committedBeforeRevoked
    /// A dead client's memory was given away while its writes were still landing.
    case leaseReusedBeforeRevoked
    /// Memory of a lease whose time was over was given away at once.
    case expiredLeaseReusedAtOnce
    /// Values went into another request's memory.
    case transferIntoAnotherRequest
    /// A client could have as many requests under way as it liked.
    case creditsNotCounted
    /// The places of queue pairs that were lost were never given away again.
    case lostPlacesNeverFreed
}

extension RDMATransport {
    func isPlanted(_ bug: PlantedQueuePairBug) -> Bool { configuration.plantedBug == bug }
}
#endif
