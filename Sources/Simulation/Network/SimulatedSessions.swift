// SimulatedSessions: a shard's Transport over simulated connections: the wire's codec, the server's
// own session machine and the arithmetic of keys; only the sockets are made up.
//
// Always holds: what the port promises (Transport.swift). A frame is believed as ServerSession
// says; payloads lie in leases from the engine's pool, of which those on their way in hold half at
// most; a session whose answers aren't taken gets no more memory for others. Answers that come
// later than their deadline are counted by lateness: the judge asks for it.

internal import Client
internal import Engine
internal import QueuePairs
internal import Sim
internal import Wire

/// What passed through a server's sessions.
struct SessionCounts {
    var sessions: UInt64 = 0
    var requests: UInt64 = 0
    var refusals: UInt64 = 0
    var foreign: UInt64 = 0
    var truncated: UInt64 = 0
    var authenticated: UInt64 = 0
    var overdue: UInt64 = 0
    var postponed: UInt64 = 0
    var orphans: UInt64 = 0
    var refusedConnections: UInt64 = 0
    /// Requests whose deadline passed while they waited for a free operation.
    var handedOverLate: UInt64 = 0
    /// The longest that an answer came after its deadline, in microseconds.
    var worstLatenessMicroseconds: UInt64 = 0
}

final class SimulatedSessions: Transport {
    let limits: SessionLimits
    let arena: Arena
    let slabs: SlabPool
    let scopedKeys: [ScopedKey]
    let tagsPayloads: Bool
    unowned let world: World
    var counts = SessionCounts()
    var requests: FixedArray<SessionRequest>
    var rows: [SessionRow] = []
    var greeting: ConnectResponse
    private var freeRows: [Int] = []
    private var freeRequests: [Int]
    private var ready: [Int] = []
    private var nextReady = 0
    private var entryWaiters: [Int] = []
    private var slabWaiters: [Int] = []
    private var postponed: [Int] = []
    private var marked: [Int] = []
    private var inboundSlabs: UInt32 = 0
    /// Work for the engine or for the network has come since the last look.
    private(set) var hasWork = false
    var isAccepting = false
    /// Its clients on queue pairs; nil where no client of the scenario wants any.
    var remote: ShardRemote?
    private var isRemoteFirst = false
    /// The server's clock.
    var now = Instant(nanoseconds: 0)

    /// Arena bytes for `requests` requests at once.
    static func memory(requests: Int) -> ByteCount {
        ByteCount(UInt64(requests) * 2 * bodyBytes)
    }

    private static var bodyBytes: UInt64 {
        (UInt64(BodyLayout.bodyLimitBytes) + UInt64(2 * FrameTag.byteCount) + 63) / 64 * 64
    }

    init(
        world: World, limits: SessionLimits, greeting: ConnectResponse, keys: [ScopedKey],
        tagsPayloads: Bool, slabs: SlabPool, memory: ArenaRange
    ) {
        self.world = world
        self.limits = limits
        self.greeting = greeting
        self.slabs = slabs
        self.tagsPayloads = tagsPayloads
        arena = slabs.arena
        scopedKeys = keys
        let body = ByteCount(Self.bodyBytes)
        requests = FixedArray(count: limits.requests) { index in
            let start = UInt64(index) * 2 * body.rawValue
            return SessionRequest(
                body: memory.part(at: start, length: body),
                responseBody: memory.part(at: start + body.rawValue, length: body))
        }
        freeRequests = Array((0..<limits.requests).reversed())
    }

    // MARK: Connections

    /// Takes a connection; false when it has no place.
    func accept(_ connection: SimulatedConnection) -> Bool {
        let machine = ServerSession(
            limits: FrameLimits(
                maximumBodyBytes: BodyLayout.bodyLimitBytes,
                maximumPayloadBytes: limits.payloadLimitBytes),
            outstandingLimit: limits.requestsPerSession)
        guard isAccepting, world.server.sessionCount < limits.sessions else {
            counts.refusedConnections += 1
            return false
        }
        let row = SessionRow(connection: connection, machine: machine, owesSince: now)
        if let place = freeRows.popLast() {
            rows[place] = row
            connection.session = place
        } else {
            connection.session = rows.count
            rows.append(row)
        }
        connection.sessions = self
        counts.sessions += 1
        return true
    }

    func bytesCame(_ session: Int) { mark(session) }
    func roomCame(_ session: Int) { mark(session) }

    func connectionBroke(_ session: Int) {
        act(session, rows[session].machine.broken())
    }

    func mark(_ session: Int) {
        hasWork = true
        guard !rows[session].isMarked else { return }
        rows[session].isMarked = true
        marked.append(session)
    }

    /// Ends every connection; what the engine has under way goes on by itself.
    func closeAll() {
        isAccepting = false
        for session in rows.indices where rows[session].connection != nil {
            act(session, rows[session].machine.broken())
        }
    }

    /// Sessions that stand.
    var sessionCount: Int { rows.count - freeRows.count }

    /// Requests that somebody uses.
    var requestsInUse: Int { limits.requests - freeRequests.count }

    // MARK: A turn

    /// Goes on with every session that something came for; to be called before each step.
    func prepare(now: Instant) {
        self.now = now
        hasWork = false
        remote?.look(now: now)
        serveWaiters()
        let sessions = marked
        marked.removeAll(keepingCapacity: true)
        for session in sessions {
            rows[session].isMarked = false
            pump(session)
            flush(session)
        }
    }

    /// Closes sessions whose peers owe something for too long.
    func endOverdue(now: Instant) {
        for session in rows.indices {
            guard rows[session].connection != nil, rows[session].owesSince != .never else {
                continue
            }
            let allowed =
                switch rows[session].machine.state {
                case .header:
                    rows[session].machine.isGreeted
                        ? limits.headerMicroseconds : limits.halfOpenMicroseconds
                case .waiting, .receiving: limits.frameMicroseconds
                case .finishing, .lingering, .closed: limits.responseMicroseconds
                }
            guard now.microseconds(since: rows[session].owesSince) > allowed else { continue }
            counts.overdue += 1
            act(session, rows[session].machine.broken())
        }
    }

    private func serveWaiters() {
        if !slabWaiters.isEmpty {
            let waiters = slabWaiters
            slabWaiters.removeAll(keepingCapacity: true)
            for session in waiters where rows[session].incoming >= 0 { findSlabs(session) }
        }
        if !entryWaiters.isEmpty, !freeRequests.isEmpty {
            let waiters = entryWaiters
            entryWaiters.removeAll(keepingCapacity: true)
            for session in waiters {
                if let header = rows[session].waitingHeader { findRoom(session, header) }
            }
        }
    }

    /// True when a session waits for memory that only others can free.
    var hasWaiters: Bool { !slabWaiters.isEmpty }

    /// When queue pairs must be looked at though nothing has come.
    var nextLook: Instant { remote?.nextLook ?? .never }

    // MARK: Transport

    func nextRequest(now: Instant) -> Request? {
        guard let remote else { return nextOwnRequest(now: now) }
        isRemoteFirst.toggle()
        if isRemoteFirst, let request = remote.nextRequest(now: now) { return request }
        return nextOwnRequest(now: now) ?? (isRemoteFirst ? nil : remote.nextRequest(now: now))
    }

    private func nextOwnRequest(now: Instant) -> Request? {
        guard nextReady < ready.count else { return nil }
        let place = ready[nextReady]
        nextReady += 1
        if nextReady == ready.count {
            ready.removeAll(keepingCapacity: true)
            nextReady = 0
        }
        requests[place].state = requests[place].state == .orphaned ? .orphaned : .taken
        requests[place].isHandedOverLate = now >= requests[place].deadline
        if requests[place].isHandedOverLate { counts.handedOverLate += 1 }
        let header = requests[place].header
        return Request(
            handle: RequestHandle(
                index: UInt32(place), generation: requests[place].generation),
            operation: header.operation, namespace: header.namespace,
            deadline: requests[place].deadline, arrival: requests[place].arrival,
            body: requests[place].body.part(
                at: 0, length: ByteCount(UInt64(header.bodyBytes))),
            responseBody: requests[place].responseBody.part(
                at: 0, length: ByteCount(UInt64(BodyLayout.bodyLimitBytes))),
            payloadBytes: header.payloadBytes, payloadChecksum: header.payloadChecksum,
            isRepeated: requests[place].isRepeated)
    }

    func takePayload(of request: RequestHandle) -> SlabLease? {
        if let remote, ShardRemote.isOwn(request) {
            return remote.transport.takePayload(of: ShardRemote.own(request))
        }
        return requests[taken(request)].inbound.take()
    }

    func admitsResponse(to request: RequestHandle, lengthBytes: UInt64) -> Bool {
        if let remote, ShardRemote.isOwn(request) {
            return remote.transport.admitsResponse(
                to: ShardRemote.own(request), lengthBytes: lengthBytes)
        }
        let place = taken(request)
        if requests[place].state == .orphaned {
            free(place)
            return false
        }
        let session = requests[place].session
        // It may have been admitted before and have found no slabs.
        rows[session].responseBytes -= requests[place].outboundBytes
        requests[place].outboundBytes = 0
        let held = rows[session].responseBytes
        guard held == 0 || held + lengthBytes <= limits.bytesPerSession else {
            counts.postponed += 1
            requests[place].isRepeated = true
            requests[place].state = .ready
            postponed.append(place)
            return false
        }
        requests[place].outboundBytes = lengthBytes
        rows[session].responseBytes += lengthBytes
        return true
    }

    func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {
        if let remote, ShardRemote.isOwn(request) {
            remote.transport.respond(
                to: ShardRemote.own(request), with: response, payload: payload)
            return
        }
        let place = taken(request)
        releaseInbound(place)
        noteLateness(place)
        if requests[place].state == .orphaned {
            counts.orphans += 1
            free(place)
            return
        }
        let held = payload?.capacity ?? .zero
        precondition(
            response.bodyBytes <= BodyLayout.bodyLimitBytes
                && UInt64(response.payloadBytes) <= held.rawValue,
            "a response longer than what holds it")
        requests[place].outbound = consume payload
        answer(
            place,
            FrameHeader(
                operation: requests[place].header.operation, isResponse: true,
                status: response.status, namespace: requests[place].header.namespace,
                requestID: requests[place].header.requestID, bodyBytes: response.bodyBytes,
                payloadBytes: response.payloadBytes, payloadChecksum: response.payloadChecksum))
    }

    private func taken(_ request: RequestHandle) -> Int {
        let place = Int(request.index)
        precondition(
            requests[place].generation == request.generation
                && (requests[place].state == .taken || requests[place].state == .orphaned),
            "request \(request.index) is answered already")
        return place
    }

    private func noteLateness(_ place: Int) {
        let deadline = min(
            requests[place].deadline, requests[place].arrival.advanced(byMicroseconds: 60_000_000))
        let lateness = now.microseconds(since: deadline)
        // It waited here, where the engine couldn't answer it: all its operations were taken.
        if requests[place].isHandedOverLate { return }
        if lateness > counts.worstLatenessMicroseconds, now >= world.server.lateFrom {
            counts.worstLatenessMicroseconds = lateness
        }
    }

    // MARK: Places and memory

    func findRoom(_ session: Int, _ header: FrameHeader) {
        guard let place = freeRequests.popLast() else {
            rows[session].waitingHeader = header
            entryWaiters.append(session)
            return
        }
        rows[session].waitingHeader = nil
        requests[place].state = .receiving
        requests[place].generation &+= 1
        requests[place].session = session
        requests[place].header = header
        requests[place].tagBytes = UInt64(
            header.tagBytes(tagsPayloads: rows[session].keys?.tagsPayloads ?? false))
        requests[place].arrival = now
        requests[place].received = 0
        requests[place].isRepeated = false
        rows[session].incoming = place
        findSlabs(session)
    }

    private func findSlabs(_ session: Int) {
        let place = rows[session].incoming
        let length = ByteCount(UInt64(requests[place].header.payloadBytes))
        if length != .zero {
            let wanted = slabs.slabs(for: length)
            guard inboundSlabs + wanted <= max(slabs.slabCount / 2, wanted),
                let lease = slabs.lease(lengthBytes: length)
            else {
                slabWaiters.append(session)
                return
            }
            inboundSlabs += wanted
            requests[place].inboundSlabs = wanted
            requests[place].inbound = consume lease
        }
        act(session, rows[session].machine.roomFound())
        mark(session)
    }

    private func releaseInbound(_ place: Int) {
        inboundSlabs -= requests[place].inboundSlabs
        requests[place].inboundSlabs = 0
        requests[place].inbound = nil
    }

    /// A request is whole.
    func enqueue(_ place: Int) {
        requests[place].state = .ready
        counts.requests += 1
        ready.append(place)
        hasWork = true
    }

    func free(_ place: Int) {
        releaseInbound(place)
        requests[place].outbound = nil
        let isOrphan = requests[place].state == .orphaned
        if !isOrphan {
            rows[requests[place].session].responseBytes -= requests[place].outboundBytes
        }
        requests[place].outboundBytes = 0
        requests[place].state = .free
        freeRequests.append(place)
        if !entryWaiters.isEmpty || !postponed.isEmpty { hasWork = true }
        if !postponed.isEmpty {
            ready.append(contentsOf: postponed)
            postponed.removeAll(keepingCapacity: true)
        }
    }

    /// A session is over: its place is free, what the engine has of it goes nowhere.
    func giveUp(_ session: Int) {
        guard let connection = rows[session].connection else { return }
        remote?.transport.ownerEnded(owner(session))
        rows[session].connection = nil
        world.network.serverCloses(connection)
        for place in 0..<requests.count where requests[place].session == session {
            switch requests[place].state {
            case .free, .orphaned: break
            case .receiving, .answered: free(place)
            case .ready, .taken:
                rows[session].responseBytes -= requests[place].outboundBytes
                requests[place].outboundBytes = 0
                requests[place].state = .orphaned
            }
        }
        entryWaiters.removeAll { $0 == session }
        slabWaiters.removeAll { $0 == session }
        rows[session].outgoing = []
        rows[session].incoming = -1
        rows[session].waitingHeader = nil
        rows[session].keys = nil
        rows[session].owesSince = .never
        freeRows.append(session)
    }
}
