// PooledConnection: one connection of the pool, from its opening to its loss: a stream, or a queue
// pair with the stream whose session it belongs to.
//
//   opening --stream open--> greeting --Connect's answer--> ready --------> lost
//      |                        |  |                       |  ^ ^            ^
//      |                   offer|  |   server was down,    v  | | answer     |
//      |                        v  |  another was silent  proving            |
//      |                     joining ----queue pair open------+              |
//      +------------------------+--------------------------+-----------------+
//
// Always holds: until it is ready it has an end, `givenUpAt`. A server that was down, or silent on
// another connection, proves itself by an answer to a request of our own before it gets a caller's.
// A part is with at most one connection. With a queue pair, callers' requests travel by it alone,
// and the end of either is the end of both; it is closed before a part that it held goes on.

internal import Wire

/// What a connection's requests travel by.
enum Way: Hashable { case stream, queuePair }

final class PooledConnection<Transport: ClientTransport> {
    enum Phase: Hashable { case opening, greeting, joining, proving, ready }

    private let stream: Transport.Stream
    private var bytes: SessionBytes
    private let way: Way
    private var pair: Transport.QueuePair?
    /// Over the queue pair, once that is open.
    private var messages: SessionMessages<Transport.QueuePair>?
    private(set) var phase = Phase.opening
    /// When it is given up unless it is ready.
    private var givenUpAt: MonotonicTime
    private let provesItself: Bool
    private var parts: [RequestTag: Part] = [:]
    /// Callers' requests that the server has answered here.
    private(set) var answeredCount = 0
    /// When its silence began to count: the last byte, or the first request after none.
    private var listeningSince = MonotonicTime(nanoseconds: 0)

    /// By a queue pair when the session asks for one.
    init(
        _ stream: Transport.Stream, session: consuming ClientSession, givenUpAt: MonotonicTime,
        provesItself: Bool
    ) {
        self.stream = stream
        way = session.asksForQueuePair ? .queuePair : .stream
        bytes = SessionBytes(session)
        self.givenUpAt = givenUpAt
        self.provesItself = provesItself
    }

    var limits: ConnectResponse? { read(\.serverLimits) }
    var outstandingCount: Int { read(\.outstandingCount) }
    var hasRoom: Bool { phase == .ready && read(\.hasRoom) }

    /// What the session that requests travel by says.
    private func read<Value>(_ value: (ClientSession) -> Value) -> Value {
        if let session = messages?.session { return value(session) }
        return value(bytes.session)
    }

    private var brokenBy: SessionFailure? { bytes.session.failure ?? messages?.session.failure }

    /// Why it can't go on; nil while it can.
    func failure(now: MonotonicTime, silenceMicroseconds: UInt64) -> ConnectError? {
        if let brokenBy { return .session(brokenBy) }
        switch phase {
        case .opening:
            if case .failed(let error) = stream.opening { return error }
            return now >= givenUpAt ? .timedOut : nil
        case .joining:
            if case .failed(let error)? = pair?.opening { return error }
            return now >= givenUpAt ? .session(.connectTimedOut) : nil
        case .greeting, .proving:
            return now >= givenUpAt ? .session(.connectTimedOut) : nil
        case .ready:
            // A window full of requests that will never be answered is as good as silence.
            let isStuck = !read(\.hasRoom) && read(\.unansweredCount) == 0
            return isStuck || now >= silentAt(silenceMicroseconds) ? .session(.noAnswer) : nil
        }
    }

    /// When silence will have proved the server dead, as far as is known now. Only an answer that
    /// is overdue makes silence count.
    private func silentAt(_ silenceMicroseconds: UInt64) -> MonotonicTime {
        guard read(\.abandonedCount) > 0 else { return .never }
        return listeningSince.advanced(byMicroseconds: silenceMicroseconds)
    }

    /// When it must be stepped though nothing arrives.
    func nextWake(silenceMicroseconds: UInt64) -> MonotonicTime {
        let end = phase == .ready ? silentAt(silenceMicroseconds) : givenUpAt
        return min(read(\.earliestDeadline), end)
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
        let heard = heardCount
        var outcomes: [RequestOutcome] = []
        var moved = bytes.move(by: stream, now: now, outcomes: &outcomes)
        if phase == .joining { moved = join() || moved }
        moved = messages?.move(now: now, outcomes: &outcomes) ?? false || moved
        if heardCount != heard { listeningSince = now }
        if phase == .ready, brokenBy == nil { answeredCount += outcomes.count }
        outcomes += messages?.expire(now: now) ?? bytes.session.expire(now: now)
        if phase == .greeting, way == .stream, bytes.session.isReady {
            moved = true
            becomeReady()
        }
        for outcome in outcomes { take(outcome, ended: &ended) }
        return moved || !outcomes.isEmpty
    }

    private var heardCount: UInt64 { bytes.receivedBytes + (messages?.receivedCount ?? 0) }

    private func becomeReady() {
        phase = .ready
        if provesItself { prove(until: givenUpAt) }
    }

    /// What the server offers, once it is time to open the queue pair; `join` takes that.
    var wanted: (offer: QueuePairOffer, keys: QueuePairKeys)? {
        guard phase == .greeting, bytes.session.isReady, let offer = bytes.session.offer else {
            return nil
        }
        let keys = QueuePairKeys(
            secret: bytes.session.queuePairSecret, sessionID: offer.sessionID, nonce: offer.nonce)
        return (offer, keys)
    }

    /// Takes the queue pair that was begun as the server has offered it.
    func join(_ pair: Transport.QueuePair) {
        precondition(wanted != nil, "a queue pair that nobody wants")
        self.pair = pair
        phase = .joining
    }

    private func join() -> Bool {
        // The session may have been lost in the moment in which its queue pair opened.
        guard brokenBy == nil, let pair, pair.opening == .open, let offer = bytes.session.offer
        else { return false }
        messages = SessionMessages(ClientSession(over: offer, of: bytes.session), over: pair)
        becomeReady()
        return true
    }

    /// Asks it something of our own; until it has answered, it gets no caller's request any more.
    func prove(until end: MonotonicTime) {
        guard phase == .ready, read(\.hasRoom) else { return }
        phase = .proving
        givenUpAt = end
        do {
            _ = try submit(.exists([.lowest]), checksums: [], deadline: end)
        } catch {
            preconditionFailure("a session with room takes no request: \(error)")
        }
    }

    private func take(_ outcome: RequestOutcome, ended: inout [(Part, RequestOutcome)]) {
        guard let part = parts.removeValue(forKey: outcome.tag) else {
            // Our own request: any answer will do, its deadline is none.
            if brokenBy == nil, outcome.status != .ended(.deadlineExceeded) { phase = .ready }
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
        let tag = try submit(request, checksums: checksums, deadline: entry.deadline)
        parts[tag] = part
    }

    private func submit(
        _ request: ClientRequest, checksums: [UInt64], deadline: MonotonicTime
    ) throws(SubmitError) -> RequestTag {
        if messages != nil {
            return try messages!.submit(request, checksums: checksums, deadline: deadline)
        }
        return try bytes.session.submit(request, checksums: checksums, deadline: deadline)
    }

    /// Breaks it, if it isn't broken yet, and gives back everything it still held.
    func lose(_ failure: SessionFailure) -> [(Part, RequestOutcome)] {
        // First of all: the server mustn't reach memory that goes back to its caller.
        pair?.close()
        var ended: [(Part, RequestOutcome)] = []
        var outcomes = bytes.session.fail(failure)
        outcomes += messages?.fail(failure) ?? []
        for outcome in outcomes { take(outcome, ended: &ended) }
        precondition(parts.isEmpty, "a part was lost with its connection")
        stream.close()
        return ended
    }
}
