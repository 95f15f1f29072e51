// PooledServer: one server as a client sees it: its connections, the parts that wait for it, and
// whether it is there.
//
// Always holds: it is down when it failed last and no connection is ready; while it is down, no
// caller's request is sent to it, and one attempt at a time is made to reach it, each after a
// pause. A loss that comes after an answer is followed by an attempt at once.

internal import Wire

final class PooledServer<Stream: ClientStream> {
    let address: ServerAddress
    var connections: [PooledConnection<Stream>] = []
    /// To be sent as soon as there is room, the first first.
    var waiting: ArraySlice<Part> = []
    /// To be sent after a pause.
    var pausing: [Part] = []
    /// Not later than the earliest deadline of a part in `waiting` or `pausing`.
    private(set) var earliestDeadline = MonotonicTime.never
    /// What the server told last.
    private(set) var limits: ConnectResponse?
    /// Why it couldn't be used last; nil when the last thing was an answer.
    private(set) var problem: ConnectError?
    /// Somebody wants its limits.
    var isGreeted = false
    /// A request went to a connection that had others under way.
    var wantsAnother = false
    private(set) var failureCount = 0
    private(set) var nextAttemptAt = MonotonicTime(nanoseconds: 0)

    init(_ address: ServerAddress) { self.address = address }

    private var hasReady: Bool { connections.contains { $0.phase == .ready } }
    var isConnecting: Bool { connections.contains { $0.phase != .ready } }
    var isDown: Bool { failureCount > 0 && !hasReady }

    /// Whether a request that comes now and wouldn't wait is answered at once. The one that comes
    /// when an attempt is due is kept for that attempt.
    func refusesRequests(now: MonotonicTime) -> Bool {
        isDown && (isConnecting || now < nextAttemptAt)
    }

    /// Whether to make a connection, were it time.
    func wantsConnection(limit: Int) -> Bool {
        guard connections.count < limit, !isConnecting else { return false }
        if !hasReady { return failureCount > 0 || !waiting.isEmpty || isGreeted && limits == nil }
        return !waiting.isEmpty || wantsAnother
    }

    /// The ready connection with the fewest requests, if one has room.
    func roomiest() -> PooledConnection<Stream>? {
        var found: PooledConnection<Stream>?
        for connection in connections where connection.hasRoom {
            if let best = found, best.outstandingCount <= connection.outstandingCount { continue }
            found = connection
        }
        return found
    }

    // MARK: Parts

    func add(_ part: Part, deadline: MonotonicTime, now: MonotonicTime) {
        earliestDeadline = min(earliestDeadline, deadline)
        if part.notBefore > now { pausing.append(part) } else { waiting.append(part) }
    }

    /// Moves parts whose pause is over to the others; true when there was one.
    func endPauses(now: MonotonicTime) -> Bool {
        let due = pausing.filter { $0.notBefore <= now }
        guard !due.isEmpty else { return false }
        pausing.removeAll { $0.notBefore <= now }
        waiting += due
        return true
    }

    /// Takes out every part that isn't with a connection and that `isWanted` names.
    func remove(
        where isWanted: (Part) -> Bool, deadlineOf: (Part) -> MonotonicTime
    ) -> [Part] {
        let removed = waiting.filter(isWanted) + pausing.filter(isWanted)
        waiting.removeAll(where: isWanted)
        pausing.removeAll(where: isWanted)
        let rest = waiting.map(deadlineOf) + pausing.map(deadlineOf)
        earliestDeadline = rest.min() ?? .never
        return removed
    }

    // MARK: Health

    func noteReady(_ limits: ConnectResponse?) {
        self.limits = limits ?? self.limits
        isGreeted = false
    }

    func noteAnswer() {
        failureCount = 0
        problem = nil
    }

    func noteLoss(_ error: ConnectError, afterAnswer: Bool, now: MonotonicTime) {
        problem = error
        isGreeted = false
        if afterAnswer { nextAttemptAt = now } else { failureCount += 1 }
    }

    func noteNextAttempt(at time: MonotonicTime) { nextAttemptAt = time }

    /// When it must be looked at though nothing arrives.
    func nextWake(limit: Int, silenceMicroseconds: UInt64) -> MonotonicTime {
        var wake = earliestDeadline
        for part in pausing { wake = min(wake, part.notBefore) }
        for connection in connections {
            wake = min(wake, connection.nextWake(silenceMicroseconds: silenceMicroseconds))
        }
        return wantsConnection(limit: limit) ? min(wake, nextAttemptAt) : wake
    }
}
