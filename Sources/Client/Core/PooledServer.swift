// PooledServer: one server as a client sees it: the ways to it, the parts that wait for it, and
// whether it is there.
//
// Always holds: requests travel by the first way that has a ready connection. The last way is the
// one to count on: the server is down when that failed last and no connection of any is ready;
// while it is down, no caller's request is sent to it, and one attempt at a time is made to reach
// it, each after a pause. What is before the last way fails without anybody waiting for it, and
// comes back by itself.

internal import Wire

final class PooledServer<Transport: ClientTransport> {
    let address: ServerAddress
    /// The preferred first; never none.
    var ways: [WayToServer<Transport>]
    /// To be sent as soon as there is room, the first first.
    var waiting: ArraySlice<Part> = []
    /// To be sent after a pause.
    var pausing: [Part] = []
    /// Not later than the earliest deadline of a part in `waiting` or `pausing`.
    private(set) var earliestDeadline = MonotonicTime.never
    /// What the server told last.
    private(set) var limits: ConnectResponse?
    /// Somebody wants its limits.
    var isGreeted = false

    init(_ address: ServerAddress, ways: [Way]) {
        self.address = address
        self.ways = ways.map { WayToServer($0) }
    }

    /// The way to count on.
    var last: WayToServer<Transport> { ways[ways.count - 1] }
    private var hasReady: Bool { ways.contains { $0.hasReady } }
    var isDown: Bool { last.failureCount > 0 && !hasReady }
    /// Why it couldn't be used last; nil when the last thing was an answer.
    var problem: ConnectError? { last.problem }

    /// Whether a request that comes now and wouldn't wait is answered at once. The one that comes
    /// when an attempt is due is kept for that attempt.
    func refusesRequests(now: MonotonicTime) -> Bool {
        isDown && (last.isConnecting || now < last.nextAttemptAt)
    }

    /// Whether to make a connection by way number `index`, were it time.
    func wantsConnection(by index: Int, limit: Int) -> Bool {
        let way = ways[index]
        guard way.connections.count < limit, !way.isConnecting else { return false }
        if way.hasReady { return !waiting.isEmpty || way.wantsAnother }
        if way.failureCount > 0 || !waiting.isEmpty { return true }
        return index < ways.count - 1 ? last.hasReady : isGreeted && limits == nil
    }

    /// The connection for the next request: of the first way that has a ready one, the one with
    /// the fewest requests, if one has room.
    func roomiest() -> (way: Int, connection: PooledConnection<Transport>)? {
        guard let index = ways.firstIndex(where: \.hasReady),
            let connection = ways[index].roomiest()
        else { return nil }
        return (index, connection)
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

    /// A way has failed, or a connection of it.
    func noteLoss(
        by index: Int, _ error: ConnectError, afterAnswer: Bool, now: MonotonicTime
    ) {
        ways[index].noteLoss(error, afterAnswer: afterAnswer, now: now)
        if index == ways.count - 1 { isGreeted = false }
    }

    /// When it must be looked at though nothing arrives.
    func nextWake(limits: [Int], silenceMicroseconds: UInt64) -> MonotonicTime {
        var wake = earliestDeadline
        for part in pausing { wake = min(wake, part.notBefore) }
        for index in ways.indices {
            for connection in ways[index].connections {
                wake = min(wake, connection.nextWake(silenceMicroseconds: silenceMicroseconds))
            }
            if wantsConnection(by: index, limit: limits[index]) {
                wake = min(wake, ways[index].nextAttemptAt)
            }
        }
        return wake
    }
}
