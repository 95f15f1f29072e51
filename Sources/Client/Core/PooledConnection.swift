// PooledConnection: one connection of the pool, from its opening to its loss.
//
//   opening --stream open--> greeting --Connect's answer--> ready --------> lost
//      |                        |                          |    ^            ^
//      |                        |     server was down,     v    | answer     |
//      |                        |     another was silent  proving            |
//      +------------------------+--------------------------+-----------------+
//
// Always holds: until it is ready it has an end, `givenUpAt`. A server that was down, or silent on
// another connection, proves itself by an answer to a request of our own before it gets a caller's.
// A part is with at most one connection.

internal import Wire

final class PooledConnection<Stream: ClientStream> {
    enum Phase: Hashable { case opening, greeting, proving, ready }

    private let stream: Stream
    private var bytes: SessionBytes
    private(set) var phase = Phase.opening
    /// When it is given up unless it is ready.
    private var givenUpAt: MonotonicTime
    private let provesItself: Bool
    private var parts: [RequestTag: Part] = [:]
    /// Callers' requests that the server has answered here.
    private(set) var answeredCount = 0
    /// When its silence began to count: the last byte, or the first request after none.
    private var listeningSince = MonotonicTime(nanoseconds: 0)

    init(
        _ stream: Stream, session: consuming ClientSession, givenUpAt: MonotonicTime,
        provesItself: Bool
    ) {
        self.stream = stream
        bytes = SessionBytes(session)
        self.givenUpAt = givenUpAt
        self.provesItself = provesItself
    }

    var limits: ConnectResponse? { bytes.session.serverLimits }
    var outstandingCount: Int { bytes.session.outstandingCount }
    var hasRoom: Bool { phase == .ready && bytes.session.hasRoom }

    /// Why it can't go on; nil while it can.
    func failure(now: MonotonicTime, silenceMicroseconds: UInt64) -> ConnectError? {
        if let failure = bytes.session.failure { return .session(failure) }
        switch phase {
        case .opening:
            if case .failed(let error) = stream.opening { return error }
            return now >= givenUpAt ? .timedOut : nil
        case .greeting, .proving:
            return now >= givenUpAt ? .session(.connectTimedOut) : nil
        case .ready:
            // A window full of requests that will never be answered is as good as silence.
            let isStuck = !bytes.session.hasRoom && bytes.session.unansweredCount == 0
            return isStuck || now >= silentAt(silenceMicroseconds) ? .session(.noAnswer) : nil
        }
    }

    /// When silence will have proved the server dead, as far as is known now. Only an answer that
    /// is overdue makes silence count.
    private func silentAt(_ silenceMicroseconds: UInt64) -> MonotonicTime {
        guard bytes.session.abandonedCount > 0 else { return .never }
        return listeningSince.advanced(byMicroseconds: silenceMicroseconds)
    }

    /// When it must be stepped though nothing arrives.
    func nextWake(silenceMicroseconds: UInt64) -> MonotonicTime {
        let end = phase == .ready ? silentAt(silenceMicroseconds) : givenUpAt
        return min(bytes.session.earliestDeadline, end)
    }

    // MARK: Moving on

    /// Goes on as far as it can now; `ended` gets each part that was answered. True when anything
    /// happened.
    func advance(now: MonotonicTime, ended: inout [(Part, RequestOutcome)]) -> Bool {
        if phase == .opening {
            guard stream.opening == .open else { return false }
            bytes.session.start()
            phase = .greeting
        }
        let heard = bytes.receivedBytes
        var outcomes: [RequestOutcome] = []
        var moved = bytes.move(by: stream, now: now, outcomes: &outcomes)
        if bytes.receivedBytes != heard { listeningSince = now }
        if phase == .ready, bytes.session.failure == nil { answeredCount += outcomes.count }
        outcomes += bytes.session.expire(now: now)
        if phase == .greeting, bytes.session.isReady {
            moved = true
            phase = .ready
            if provesItself { prove(until: givenUpAt) }
        }
        for outcome in outcomes { take(outcome, ended: &ended) }
        return moved || !outcomes.isEmpty
    }

    /// Asks it something of our own; until it has answered, it gets no caller's request any more.
    func prove(until end: MonotonicTime) {
        guard phase == .ready, bytes.session.hasRoom else { return }
        phase = .proving
        givenUpAt = end
        do {
            _ = try bytes.session.submit(.exists([.lowest]), checksums: [], deadline: end)
        } catch {
            preconditionFailure("a session with room takes no request: \(error)")
        }
    }

    private func take(_ outcome: RequestOutcome, ended: inout [(Part, RequestOutcome)]) {
        guard let part = parts.removeValue(forKey: outcome.tag) else {
            // Our own request: any answer will do, its deadline is none.
            if bytes.session.failure == nil, outcome.status != .ended(.deadlineExceeded) {
                phase = .ready
            }
            return
        }
        ended.append((part, outcome))
    }

    /// Takes a part that was cut to this connection's limits.
    func submit(
        _ part: Part, of entry: RequestTable.Entry, now: MonotonicTime
    ) throws(SubmitError) {
        let request = entry.request.restricted(to: part.items)
        let checksums = entry.request.isPut ? part.items.map { entry.checksums[$0] } : []
        if outstandingCount == 0 { listeningSince = now }
        let tag = try bytes.session.submit(
            request, checksums: checksums, deadline: entry.deadline)
        parts[tag] = part
    }

    /// Breaks it, if it isn't broken yet, and gives back everything it still held.
    func lose(_ failure: SessionFailure) -> [(Part, RequestOutcome)] {
        var ended: [(Part, RequestOutcome)] = []
        for outcome in bytes.session.fail(failure) { take(outcome, ended: &ended) }
        precondition(parts.isEmpty, "a part was lost with its connection")
        stream.close()
        return ended
    }
}
