// TCPTransport: a shard's clients over TCP, on the shard's ring.
//
// Always holds: every table, list and buffer is made at start; a session has at most one receive
// and one send in flight; a request entry and a lease belong to one session, the engine or nobody;
// a session's place is given away only when the kernel has let go of it. A session that must wait,
// for an entry, for slabs or for its own responses, isn't read from: that is the backpressure.
// What one session may have of what all share, and whose turn it is, TCPScheduling.swift says, so
// that none holds up the others. Bytes move in pieces. Payloads are received into slabs and sent
// from them; nothing is read ahead behind a header, one key and its tags.
//
// This file holds the tables and the port; TCPConnections.swift how connections come and go,
// TCPReceiving.swift and TCPSending.swift the two directions, TCPOverdue.swift the deadlines,
// TCPAuthentication.swift what sessions with a key need.

#if IOUring

package import Engine
internal import Glibc
internal import Ring
package import Wire

/// A shard's TCP transport. Confined to the shard's thread.
package final class TCPTransport: Transport, CompletionHandler {
    let shard: ShardRing
    let listener: TCPListener
    let limits: SessionLimits
    let budget: TransportBudget
    let slabs: SlabPool
    let arena: Arena
    let memory: RequestMemory
    package let counters: TransportCounters
    /// What Connect is answered with; its version is agreed per session. To be set before
    /// `startListening`.
    package var greeting: ConnectResponse

    /// What RdmaOpen is answered by; without it, the engine says that it isn't supported.
    package weak var queuePairs: (any QueuePairOffering)?
    var openedConnections: UInt64 = 0

    /// The daemon's keys; this shard's own view of them and how often they had been replaced by
    /// then.
    let keys: ServerKeys
    var knownKeys: [ScopedKey]
    var knownGeneration: UInt64
    /// What is to be logged of peers that were turned away.
    var refusal: AuthenticationRefusal?

    let entries: FixedTable<RequestEntry>
    let connections: FixedTable<Connection>
    /// Of the sessions with a key, from the challenge on.
    let authentications: FixedTable<SessionAuthentication?>
    let vectors: MessageVectors
    var freeEntries: FixedQueue<Int>
    var freeConnections: FixedQueue<Int>
    /// Sessions with whole requests that wait for the engine.
    var runnable: FixedQueue<Int>
    /// Work that the engine may still be handed before the next look at the network.
    var turnLeft: Int64 = 0
    /// Periods between two looks at the connections; sessions that have moved bytes in this one,
    /// and in the one before.
    var period: UInt64 = 1
    var movers = 0
    var moversBefore = 0
    var dirty: FixedQueue<Int>
    /// Sessions that wait for a request entry, and, holding one, for slabs.
    var entryWaiters: FixedQueue<Int>
    var slabWaiters: FixedQueue<Int>
    let slabsPerSession: UInt64
    let frameLimits: FrameLimits

    /// True when a request became ready inside `prepare`.
    var deliveredSinceLook = false

    private var source: UInt64 = 0
    var isListening = false
    var isAccepting = false
    var acceptRetry = Instant.never
    /// When connections are looked at for what is overdue; `never` while there are none.
    var nextPatrol = Instant.never

    /// What an operation in flight is, in the upper half of its number; the lower half is the
    /// session.
    enum Kind: UInt64 { case accept, receive, send }

    /// Slabs may be freed by other shards, which don't say so: how often waiting sessions look.
    private static let slabPauseMicroseconds: UInt64 = 1000

    /// A transport that listens once told to. `budget` is the same for all of a daemon's
    /// transports; `range` is `configuration.memoryBytes` of the pool's arena. Traps on a
    /// configuration that is impossible with this pool.
    package init(
        shard: ShardRing, listener: TCPListener, configuration: TransportConfiguration,
        budget: TransportBudget, range: ArenaRange, slabs: SlabPool, counters: TransportCounters,
        greeting: ConnectResponse, keys: ServerKeys = ServerKeys()
    ) {
        if let sentence = configuration.impossibility(with: slabs) { preconditionFailure(sentence) }
        precondition(range.length >= configuration.memoryBytes, "too little memory for a transport")
        let sessions = configuration.limits.sessions
        let requests = configuration.limits.requests
        self.shard = shard
        self.listener = listener
        limits = configuration.limits
        self.budget = budget
        self.slabs = slabs
        self.counters = counters
        self.greeting = greeting
        self.keys = keys
        knownGeneration = keys.generation
        knownKeys = keys.current
        arena = slabs.arena
        memory = RequestMemory(range: range, requestLimit: requests)
        let frameLimits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes,
            maximumPayloadBytes: configuration.limits.payloadLimitBytes)
        self.frameLimits = frameLimits
        let machine = ServerSession(
            limits: frameLimits, outstandingLimit: configuration.limits.requestsPerSession)
        entries = FixedTable(count: requests + sessions) { _ in RequestEntry() }
        connections = FixedTable(count: sessions) { _ in Connection(machine: machine) }
        authentications = FixedTable(count: sessions) { _ in nil }
        vectors = MessageVectors(count: 2 * sessions)
        freeEntries = FixedQueue(capacity: requests)
        runnable = FixedQueue(capacity: sessions)
        freeConnections = FixedQueue(capacity: sessions)
        dirty = FixedQueue(capacity: sessions)
        entryWaiters = FixedQueue(capacity: sessions)
        slabWaiters = FixedQueue(capacity: sessions)
        slabsPerSession = configuration.slabsPerSession(of: slabs)
        for index in 0..<requests { freeEntries.append(index) }
        for index in 0..<sessions { freeConnections.append(index) }
        source = shard.attach(self)
    }

    /// Operations this transport may have in flight at once: part of the ring's limit.
    package static func inFlightLimit(for configuration: TransportConfiguration) -> Int {
        2 * configuration.limits.sessions + 2
    }

    deinit {
        for index in 0..<connections.count where connections[index].descriptor >= 0 {
            close(connections[index].descriptor)
        }
    }

    // MARK: - The port

    package func nextRequest(now: Instant) -> Request? {
        guard let entry = nextInTurn() else { return nil }
        let header = entries[entry].header
        let arrival = entries[entry].arrival
        let deadline =
            header.deadlineMicroseconds == 0
            ? Instant.never
            : arrival.advanced(byMicroseconds: UInt64(header.deadlineMicroseconds))
        return Request(
            handle: RequestHandle(index: UInt32(entry), generation: entries[entry].generation),
            operation: header.operation, namespace: header.namespace, deadline: deadline,
            arrival: arrival,
            body: memory.body(entry).part(at: 0, length: ByteCount(UInt64(header.bodyBytes))),
            responseBody: memory.responseBody(entry), payloadBytes: header.payloadBytes,
            payloadChecksum: header.payloadChecksum,
            isRepeated: entries[entry].knownResponseBytes > 0,
            expectedResponseBytes: max(1, entries[entry].expectedBytes))
    }

    package func takePayload(of request: RequestHandle) -> SlabLease? {
        entries[taken(request)].inbound.take()
    }

    package func admitsResponse(to request: RequestHandle, lengthBytes: UInt64) -> Bool {
        admitResponse(taken(request), lengthBytes: lengthBytes)
    }

    package func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {
        let entry = taken(request)
        releaseInbound(entry)
        if entries[entry].state == .orphaned {
            // The lease, if any, ends here.
            free(entry)
            return
        }
        let held = payload?.capacity ?? .zero
        precondition(
            response.bodyBytes <= BodyLayout.bodyLimitBytes
                && UInt64(response.payloadBytes) <= held.rawValue,
            "a response longer than what holds it")
        takeBack(entry, responseBytes: UInt64(response.payloadBytes))
        keep(payload, for: entry, payloadBytes: response.payloadBytes)
        answer(
            entry,
            FrameHeader(
                operation: entries[entry].header.operation, isResponse: true,
                status: response.status, namespace: entries[entry].header.namespace,
                requestID: entries[entry].header.requestID, bodyBytes: response.bodyBytes,
                payloadBytes: response.payloadBytes, payloadChecksum: response.payloadChecksum))
    }

    /// Keeps a response's memory until it has left, counted against its session.
    private func keep(
        _ payload: consuming SlabLease?, for entry: Int, payloadBytes: UInt32
    ) {
        releaseOutbound(entry)
        guard let payload else { return }
        let session = entries[entry].session
        entries[entry].outboundSlabs = payload.count
        connections[session].heldSlabs += payload.count
        entries[entry].outbound = consume payload
        switch entries[entry].header.operation {
        case .tcpGet, .tcpBatchGet:
            connections[session].scheduling.expectedResponseBytes = UInt64(payloadBytes)
        case .connect, .authenticate, .exists, .stat, .tcpPut, .tcpDelete, .tcpBatchPut,
            .tcpBatchDelete, .write, .read, .batchWrite, .batchRead, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            break
        }
    }

    private func taken(_ request: RequestHandle) -> Int {
        let entry = Int(request.index)
        precondition(
            entries[entry].generation == request.generation
                && (entries[entry].state == .taken || entries[entry].state == .orphaned),
            "request \(request.index) is answered already")
        return entry
    }

    // MARK: - Life

    /// Begins to accept connections.
    package func startListening() {
        isListening = true
        accept()
    }

    /// Accepts no more connections; those that stand go on.
    package func stopListening() {
        isListening = false
        acceptRetry = .never
        if isAccepting {
            shard.ring.cancel(
                userData(.accept, 0),
                userData: ShardRing.userData(source: ShardRing.silentSource, 0))
        }
    }

    /// Ends every connection, without waiting for answers. They are gone once `isIdle`.
    package func closeSessions() {
        for index in 0..<connections.count where connections[index].descriptor >= 0 {
            act(index, connections[index].machine.broken(), now: .never)
        }
    }

    /// True when every response given so far has left.
    package var hasSentEverything: Bool {
        for index in 0..<connections.count
        where connections[index].firstResponse != RequestEntry.none { return false }
        return true
    }

    /// True when there is no connection and nothing in flight.
    package var isIdle: Bool {
        freeConnections.count == connections.count && !isAccepting
    }

    /// Request entries that nobody uses.
    package var freeRequests: Int { freeEntries.count }

    // MARK: - Completions

    package func prepare(now: Instant) -> Bool {
        // What was delivered before this has been offered to the engine already.
        deliveredSinceLook = false
        turnLeft = Self.turnBytes
        adoptKeys(now: now)
        if isListening, !isAccepting, acceptRetry <= now { accept() }
        endOverdue(now: now)
        serveWaiters(now: now)
        sendDirty()
        return deliveredSinceLook
    }

    package func nextWake(now: Instant) -> Instant {
        let next = min(acceptRetry, nextPatrol)
        if slabWaiters.isEmpty, runnable.isEmpty { return next }
        return min(next, now.advanced(byMicroseconds: Self.slabPauseMicroseconds))
    }

    package func complete(_ operation: UInt64, result: Int32, hasMore: Bool, now: Instant) {
        let session = Int(operation & 0xFFFF_FFFF)
        switch Kind(rawValue: operation >> 32) {
        case .accept: accepted(result, hasMore: hasMore, now: now)
        case .receive: received(session, result: result, now: now)
        case .send: sent(session, result: result, now: now)
        case nil: preconditionFailure("a completion of unknown kind \(operation >> 32)")
        }
    }

    func userData(_ kind: Kind, _ session: Int) -> UInt64 {
        ShardRing.userData(source: source, kind.rawValue << 32 | UInt64(session))
    }

    func receiveUserData(_ session: Int) -> UInt64 { userData(.receive, session) }
    func sendUserData(_ session: Int) -> UInt64 { userData(.send, session) }
}

#endif
