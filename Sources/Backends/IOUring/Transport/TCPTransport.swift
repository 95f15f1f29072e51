// TCPTransport: a shard's clients over TCP, on the shard's ring.
//
// Always holds: every table, list and buffer is made at start; a session has at most one receive
// and one send in flight; a request entry and a lease belong to one session, the engine or nobody;
// a session's place is given away only when the kernel has let go of it. A session that must wait,
// for an entry, for slabs or for its own responses, isn't read from: that is the backpressure.
// Waiting is first come, first served. Payloads are received into slabs and sent from them; only
// what was read ahead with a header (4 KiB at most, nothing behind a frame that had a payload) is
// copied.
//
// This file holds the tables and the port; TCPReceiving.swift and TCPSending.swift the two
// directions; TCPAuthentication.swift what sessions with a key need.

#if IOUring

package import Engine
internal import Glibc
internal import Ring
package import Wire

/// A shard's TCP transport. Confined to the shard's thread.
package final class TCPTransport: Transport, CompletionHandler {
    let shard: ShardRing
    let listener: TCPListener
    let configuration: TransportConfiguration
    let slabs: SlabPool
    let arena: Arena
    let memory: RequestMemory
    package let counters: TransportCounters
    /// What Connect is answered with; its version is agreed per session. To be set before
    /// `startListening`.
    package var greeting: ConnectResponse

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
    var ready: FixedQueue<Int>
    var dirty: FixedQueue<Int>
    /// Sessions that wait for a request entry, and, holding one, for slabs.
    var entryWaiters: FixedQueue<Int>
    var slabWaiters: FixedQueue<Int>
    let inboundSlabLimit: UInt32
    var inboundSlabs: UInt32 = 0
    let limits: FrameLimits

    /// True when a request became ready inside `prepare`.
    var deliveredSinceLook = false

    private var source: UInt64 = 0
    private var isListening = false
    private var isAccepting = false
    private var acceptRetry = Instant.never
    /// When connections are looked at for what is overdue; `never` while there are none.
    var nextPatrol = Instant.never

    /// What an operation in flight is, in the upper half of its number; the lower half is the
    /// session.
    private enum Kind: UInt64 { case accept, receive, send }

    /// Pause after an accept that failed for want of descriptors or memory.
    private static let acceptPauseMicroseconds: UInt64 = 100_000
    /// Slabs may be freed by other shards, which don't say so: how often waiting sessions look.
    private static let slabPauseMicroseconds: UInt64 = 1000

    /// A transport that listens once told to. `range` is `configuration.memoryBytes` of the pool's
    /// arena. Traps on a configuration that is impossible with this pool.
    package init(
        shard: ShardRing, listener: TCPListener, configuration: TransportConfiguration,
        range: ArenaRange, slabs: SlabPool, counters: TransportCounters,
        greeting: ConnectResponse, keys: ServerKeys = ServerKeys()
    ) {
        if let sentence = configuration.impossibility(with: slabs) { preconditionFailure(sentence) }
        precondition(range.length >= configuration.memoryBytes, "too little memory for a transport")
        let sessions = configuration.sessionLimit
        let requests = configuration.requestLimit
        self.shard = shard
        self.listener = listener
        self.configuration = configuration
        self.slabs = slabs
        self.counters = counters
        self.greeting = greeting
        self.keys = keys
        knownGeneration = keys.generation
        knownKeys = keys.current
        arena = slabs.arena
        memory = RequestMemory(range: range, requestLimit: requests)
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes,
            maximumPayloadBytes: configuration.payloadLimitBytes)
        self.limits = limits
        let machine = ServerSession(
            limits: limits, outstandingLimit: configuration.requestsPerSession)
        entries = FixedTable(count: requests + sessions) { _ in RequestEntry() }
        connections = FixedTable(count: sessions) { _ in Connection(machine: machine) }
        authentications = FixedTable(count: sessions) { _ in nil }
        vectors = MessageVectors(count: 2 * sessions)
        freeEntries = FixedQueue(capacity: requests)
        ready = FixedQueue(capacity: requests)
        freeConnections = FixedQueue(capacity: sessions)
        dirty = FixedQueue(capacity: sessions)
        entryWaiters = FixedQueue(capacity: sessions)
        slabWaiters = FixedQueue(capacity: sessions)
        inboundSlabLimit = configuration.inboundSlabs(of: slabs) ?? 0
        for index in 0..<requests { freeEntries.append(index) }
        for index in 0..<sessions { freeConnections.append(index) }
        source = shard.attach(self)
    }

    /// Operations this transport may have in flight at once: part of the ring's limit.
    package static func inFlightLimit(for configuration: TransportConfiguration) -> Int {
        2 * configuration.sessionLimit + 2
    }

    deinit {
        for index in 0..<connections.count where connections[index].descriptor >= 0 {
            close(connections[index].descriptor)
        }
    }

    // MARK: - The port

    package func nextRequest(now: Instant) -> Request? {
        guard let entry = ready.popFirst() else { return nil }
        entries[entry].state = .taken
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
            payloadChecksum: header.payloadChecksum)
    }

    package func takePayload(of request: RequestHandle) -> SlabLease? {
        entries[taken(request)].inbound.take()
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
        entries[entry].outbound = payload
        answer(
            entry,
            FrameHeader(
                operation: entries[entry].header.operation, isResponse: true,
                status: response.status, namespace: entries[entry].header.namespace,
                requestID: entries[entry].header.requestID, bodyBytes: response.bodyBytes,
                payloadBytes: response.payloadBytes, payloadChecksum: response.payloadChecksum))
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
        adoptKeys(now: now)
        if isListening, !isAccepting, acceptRetry <= now { accept() }
        endOverdue(now: now)
        serveWaiters(now: now)
        while let session = dirty.popFirst() {
            connections[session].isDirty = false
            send(session)
        }
        return deliveredSinceLook
    }

    package func nextWake(now: Instant) -> Instant {
        let next = min(acceptRetry, nextPatrol)
        if slabWaiters.isEmpty { return next }
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

    private func userData(_ kind: Kind, _ session: Int) -> UInt64 {
        ShardRing.userData(source: source, kind.rawValue << 32 | UInt64(session))
    }

    func receiveUserData(_ session: Int) -> UInt64 { userData(.receive, session) }
    func sendUserData(_ session: Int) -> UInt64 { userData(.send, session) }

    // MARK: - Connections

    private func accept() {
        isAccepting = true
        acceptRetry = .never
        shard.ring.acceptMany(listener.descriptor, userData: userData(.accept, 0))
    }

    private func accepted(_ result: Int32, hasMore: Bool, now: Instant) {
        isAccepting = hasMore
        if result >= 0 {
            if isListening { open(result, now: now) } else { close(result) }
        } else if isListening {
            counters.add(to: .failedAccepts)
        }
        guard isListening, !isAccepting else { return }
        // Out of descriptors or memory, another try at once would fail at once.
        let isExhausted = [EMFILE, ENFILE, ENOBUFS, ENOMEM].contains(-result)
        if isExhausted {
            acceptRetry = now.advanced(byMicroseconds: Self.acceptPauseMicroseconds)
        } else {
            accept()
        }
    }

    private func open(_ descriptor: Int32, now: Instant) {
        guard let session = freeConnections.popFirst() else {
            counters.add(to: .refusedConnections)
            close(descriptor)
            return
        }
        nextPatrol = min(nextPatrol, now.advanced(byMicroseconds: Self.patrolMicroseconds))
        // Refused only by a connection that is broken already; its first receive will say so.
        _ = setNoDelay(descriptor)
        connections[session] = Connection(
            descriptor: descriptor,
            machine: ServerSession(
                limits: limits, outstandingLimit: configuration.requestsPerSession))
        counters.add(to: .acceptedConnections)
        counters.set(
            .activeConnections, to: UInt64(connections.count - freeConnections.count))
        pump(session, now: now)
    }

    /// Lets go of a closed session's things, once the kernel has.
    func reclaim(_ session: Int) {
        guard connections[session].machine.state == .closed, connections[session].descriptor >= 0,
            !connections[session].isReceiving, !connections[session].isSending
        else { return }
        if connections[session].incoming != RequestEntry.none {
            free(connections[session].incoming)
        }
        var response = connections[session].firstResponse
        while response != RequestEntry.none {
            let next = entries[response].next
            free(response)
            response = next
        }
        close(connections[session].descriptor)
        forgetKeys(session)
        connections[session] = Connection(machine: connections[session].machine)
        freeConnections.append(session)
        counters.set(
            .activeConnections, to: UInt64(connections.count - freeConnections.count))
    }

    /// Cuts a closed session off: its requests' responses will go nowhere.
    func cutOff(_ session: Int) {
        entryWaiters.removeAll { $0 == session }
        slabWaiters.removeAll { $0 == session }
        dirty.removeAll { $0 == session }
        connections[session].isDirty = false
        for entry in 0..<configuration.requestLimit where entries[entry].session == session {
            switch entries[entry].state {
            case .ready:
                ready.removeAll { $0 == entry }
                free(entry)
            case .taken: entries[entry].state = .orphaned
            case .free, .receiving, .orphaned, .answered: break
            }
        }
        // Ends what is in flight, with an error; the descriptor itself stays until it has ended.
        shutdown(connections[session].descriptor, Int32(SHUT_RDWR))
        reclaim(session)
    }

    // MARK: - Entries

    func takeEntry(for session: Int, header: FrameHeader, now: Instant) -> Int? {
        guard let entry = freeEntries.popFirst() else { return nil }
        entries[entry].state = .receiving
        entries[entry].generation &+= 1
        entries[entry].session = session
        entries[entry].header = header
        entries[entry].tagBytes = tagBytes(of: header, session)
        entries[entry].arrival = now
        entries[entry].received = 0
        entries[entry].next = RequestEntry.none
        return entry
    }

    /// Ends an entry's use, and its leases.
    func free(_ entry: Int) {
        releaseInbound(entry)
        entries[entry].outbound = nil
        precondition(entries[entry].state != .free, "request entry \(entry) is freed twice")
        entries[entry].state = .free
        if entry < configuration.requestLimit { freeEntries.append(entry) }
    }

    /// Ends the payload's way in: the engine has had its chance to take the lease.
    func releaseInbound(_ entry: Int) {
        entries[entry].inbound = nil
        inboundSlabs -= entries[entry].inboundSlabs
        entries[entry].inboundSlabs = 0
    }
}

#endif
