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
    /// Accepted and closed at once: the table of sessions was full.
    case refusedConnections
    /// Connections the kernel could not hand over: no descriptors, no memory.
    case failedAccepts
    /// A level: sessions open now.
    case activeConnections
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
    /// Ended because a frame didn't become whole, or a response wasn't taken, in time.
    case overdueConnections
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
