// WayToServer: the connections of one kind to a server, and when the next may be made.
//
// Always holds: while the last attempt failed and no connection is ready, one attempt at a time is
// made, each after a pause. A loss that comes after an answer is followed by an attempt at once.

internal import Wire

struct WayToServer<Transport: ClientTransport> {
    let way: Way
    var connections: [PooledConnection<Transport>] = []
    /// A request went to a connection that had others under way.
    var wantsAnother = false
    /// Why it couldn't be used last; nil when the last thing was an answer.
    private(set) var problem: ConnectError?
    private(set) var failureCount = 0
    private(set) var nextAttemptAt = MonotonicTime(nanoseconds: 0)

    init(_ way: Way) { self.way = way }

    var hasReady: Bool { connections.contains { $0.phase == .ready } }
    var isConnecting: Bool { connections.contains { $0.phase != .ready } }

    /// The ready connection with the fewest requests, if one has room.
    func roomiest() -> PooledConnection<Transport>? {
        var found: PooledConnection<Transport>?
        for connection in connections where connection.hasRoom {
            if let best = found, best.outstandingCount <= connection.outstandingCount { continue }
            found = connection
        }
        return found
    }

    mutating func noteAnswer() {
        failureCount = 0
        problem = nil
    }

    mutating func noteLoss(_ error: ConnectError, afterAnswer: Bool, now: MonotonicTime) {
        problem = error
        if afterAnswer { nextAttemptAt = now } else { failureCount += 1 }
    }

    mutating func noteNextAttempt(at time: MonotonicTime) { nextAttemptAt = time }
}
