// RDMACounter: what happens to queue pairs, their requests and leases, as it is counted.

/// Events of RDMA, beyond those in the shards' cells.
package enum RDMACounter: Int, CaseIterable, Sendable {
    /// RdmaOpen asked.
    case openRequests
    case acceptedQueuePairs
    case requests, responses
    /// Of messages and of values.
    case bytesReceived, bytesSent
    /// RdmaOpen answered *unavailable*.
    case refusedOpens
    /// Private data that is no greeting, or of no offer; used or late nonces.
    case refusedGreetings
    /// Greetings with a wrong code; messages with a wrong tag.
    case forgedGreetings, forgedMessages
    /// Queue pairs that couldn't be made.
    case failedQueuePairs
    /// Queue pairs ended for a message that is none, or one more than the credits.
    case malformedMessages
    /// Queue pairs that the device or the client ended.
    case lostQueuePairs
    case forbiddenRequests
    /// Requests that the transport itself answered *invalid request* or *too large*.
    case invalidRequests
    /// Lookups that asked for a lease.
    case lookupRequests
    /// Requests answered *deadline exceeded* before the engine took them.
    case overdueRequests
    /// Queue pairs ended because values or a response didn't get through in time.
    case overdueTransfers
    /// Leases that began, and leases that are over.
    case grantedLeases, endedLeases
    /// Requests for a lease that found too few slabs or too many leases; that named a lease that
    /// isn't there; leases taken back when their time was over.
    case refusedLeases, unknownLeases, expiredLeases

    /// True for what ended or refused a client.
    package var isRefusal: Bool {
        switch self {
        case .openRequests, .acceptedQueuePairs, .requests, .responses, .bytesReceived, .bytesSent,
            .lostQueuePairs, .invalidRequests, .lookupRequests, .grantedLeases, .endedLeases:
            false
        case .refusedOpens, .refusedGreetings, .forgedGreetings, .forgedMessages,
            .failedQueuePairs, .malformedMessages, .forbiddenRequests, .overdueRequests,
            .overdueTransfers, .refusedLeases, .unknownLeases, .expiredLeases:
            true
        }
    }
}
