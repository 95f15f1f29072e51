// What a shard's TCP transport counts: one writer, any number of readers.
//
// Always holds: counters only grow, except `activeConnections`, which is a level.
//
// One of the files that may say `unsafe`.

#if IOUring

private import Synchronization

/// Events and levels of a transport.
package enum TransportCounter: Int, CaseIterable, Sendable {
    case acceptedConnections
    /// Accepted and closed at once: as many sessions as are allowed stand already.
    case refusedConnections
    /// Accepted and closed at once: their address has as many sessions as it may.
    case refusedAddresses
    /// Connections the kernel could not hand over: no descriptors, no memory.
    case failedAccepts
    /// A level: sessions open now.
    case activeConnections
    /// First frames of sessions that asked for the greeting.
    case connectRequests
    case requests, responses
    case bytesReceived, bytesSent
    /// First bytes that are no header at all; closed without an answer.
    case refusedNotAFrame
    case refusedUnsupportedVersion
    /// A field outside its table, a first frame other than Connect, a signed frame where none may
    /// be.
    case refusedInvalid
    /// Body or payload above its limit.
    case refusedTooLarge
    /// Connections that ended inside a frame.
    case truncatedFrames
    /// Closed because Connect wasn't finished in time.
    case overdueGreetings
    /// Closed because a header that had begun didn't end in time.
    case overdueHeaders
    /// Closed because body or payload of a frame didn't come in time.
    case overdueFrames
    /// Closed because their request's deadline passed before there was room to receive it.
    case overdueWaits
    /// Closed because the peer didn't take a response in time.
    case overdueResponses
    /// Closed because the peer didn't close after its last response.
    case overdueFarewells
    /// Requests answered *deadline exceeded* before the engine took them.
    case overdueRequests
    /// Responses that had to wait because their session's share of the slabs, or the slabs, were
    /// in use.
    case postponedResponses
    /// Sessions whose client has shown to have a key.
    case authenticatedSessions
    /// No key, an unknown one, or a wrong proof.
    case failedAuthentications
    /// Frames of authenticated sessions whose tag was wrong.
    case forgedFrames
    /// Requests for a namespace that the session's key doesn't open.
    case forbiddenRequests
    /// Sessions that ended because their key was taken away.
    case revokedSessions

    /// True for what ended or refused a client; false for what is part of serving one.
    package var isRefusal: Bool {
        switch self {
        case .acceptedConnections, .activeConnections, .connectRequests, .requests, .responses,
            .bytesReceived,
            .bytesSent, .postponedResponses, .authenticatedSessions:
            false
        case .refusedConnections, .refusedAddresses, .failedAccepts, .refusedNotAFrame,
            .refusedUnsupportedVersion, .refusedInvalid, .refusedTooLarge, .truncatedFrames,
            .overdueGreetings, .overdueHeaders, .overdueFrames, .overdueWaits, .overdueResponses,
            .overdueFarewells, .overdueRequests, .failedAuthentications, .forgedFrames,
            .forbiddenRequests, .revokedSessions:
            true
        }
    }
}

/// The counters of one shard's transport. The transport writes, any thread reads.
@safe
package final class TransportCounters: @unchecked Sendable {
    // Sendable because every cell is atomic.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>

    package init() {
        let count = TransportCounter.allCases.count
        unsafe cells = .allocate(capacity: count)
        for index in 0..<count { unsafe (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe cells.deinitialize(count: TransportCounter.allCases.count)
        unsafe cells.deallocate()
    }

    package func value(_ counter: TransportCounter) -> UInt64 {
        unsafe cells[counter.rawValue].load(ordering: .relaxed)
    }

    func add(_ amount: UInt64 = 1, to counter: TransportCounter) {
        set(counter, to: value(counter) &+ amount)
    }

    func set(_ counter: TransportCounter, to value: UInt64) {
        unsafe cells[counter.rawValue].store(value, ordering: .relaxed)
    }
}

#endif
