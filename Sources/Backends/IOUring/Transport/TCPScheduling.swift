// Whose request the engine gets next, and how much of one session's work it has at a time.
//
// Always holds: the sessions with whole requests stand in one ring and are served by deficit round
// robin (Shreedhar and Varghese, "Efficient fair queuing using deficit round-robin", IEEE/ACM
// Transactions on Networking 4, 1996), counted in bytes of work; a response is charged as long as
// its session's last one, and put right when it is known, so a session may be in debt by what it
// has in the engine. A session has `engineBytesPerSession` of work in the engine at most, or one
// request: what waits, waits here, where the others can pass it. The engine is handed `turnBytes`,
// or one request, at most between two looks at the network. A session whose next request lacks
// slabs is passed over and keeps its credit.

#if IOUring

internal import Engine
internal import Wire

/// Where a session stands in the order of service.
struct SessionScheduling: Sendable {
    /// Stands in the ring.
    var isRunnable = false
    /// Bytes of work it may still hand over in this round; negative when it is in debt.
    var deficit: Int64 = 0
    /// Requests that the engine has.
    var requestsInEngine = 0
    /// Their bytes, those of expected responses included.
    var bytesInEngine: UInt64 = 0
    /// The last period in which bytes of it have moved.
    var period: UInt64 = 0
    /// Payload bytes of its last response: what the next one is taken for until it is known.
    var expectedResponseBytes: UInt64 = 256 << 10
}

extension TCPTransport {
    /// Work that a session may hand over in one round.
    static var quantumBytes: Int64 { 256 << 10 }
    /// Work that the engine is handed between two looks at the network.
    static var turnBytes: Int64 { 256 << 10 }
    /// Work of one session that the engine has at most, unless it is a single request.
    static var engineBytesPerSession: UInt64 { 2 << 20 }
    /// What any request costs, in bytes moved in the same time.
    private static var requestCostBytes: UInt64 { 8 << 10 }
    /// What a byte of body costs: keys to be looked up.
    private static var bodyCostFactor: UInt64 { 32 }

    // MARK: - Pieces

    /// Longest receive or send of one session: so long, at most, the others wait behind it. Short
    /// where there are others, long where there are none: a piece has its own cost.
    var pieceBytes: UInt64 { max(movers, moversBefore) > 1 ? 64 << 10 : 256 << 10 }

    /// Bytes of a session have moved.
    func noteMove(_ session: Int) {
        if connections[session].scheduling.period == period { return }
        connections[session].scheduling.period = period
        movers += 1
    }

    /// Counts anew who moves bytes; called at each look at the connections.
    func beginPeriod() {
        period += 1
        moversBefore = movers
        movers = 0
    }

    // MARK: - The lists

    /// A request is whole.
    func enqueue(_ entry: Int) {
        let session = entries[entry].session
        entries[entry].state = .ready
        entries[entry].next = RequestEntry.none
        if connections[session].lastReady == RequestEntry.none {
            connections[session].firstReady = entry
        } else {
            entries[connections[session].lastReady].next = entry
        }
        connections[session].lastReady = entry
        makeRunnable(session)
    }

    private func putBack(_ entry: Int) {
        let session = entries[entry].session
        entries[entry].state = .ready
        entries[entry].next = connections[session].firstReady
        connections[session].firstReady = entry
        if connections[session].lastReady == RequestEntry.none {
            connections[session].lastReady = entry
        }
        makeRunnable(session)
    }

    private func makeRunnable(_ session: Int) {
        if connections[session].scheduling.isRunnable { return }
        connections[session].scheduling.isRunnable = true
        runnable.append(session)
    }

    /// Takes a request out of its session's list.
    func removeReady(_ entry: Int) {
        let session = entries[entry].session
        var previous = RequestEntry.none
        var place = connections[session].firstReady
        while place != entry {
            precondition(place != RequestEntry.none, "request entry \(entry) doesn't wait")
            previous = place
            place = entries[place].next
        }
        let next = entries[entry].next
        if previous == RequestEntry.none {
            connections[session].firstReady = next
        } else {
            entries[previous].next = next
        }
        if next == RequestEntry.none { connections[session].lastReady = previous }
        entries[entry].next = RequestEntry.none
        if connections[session].firstReady == RequestEntry.none {
            runnable.removeAll { $0 == session }
            connections[session].scheduling.isRunnable = false
            // Credit doesn't outlast the work it was for; a debt does.
            connections[session].scheduling.deficit = min(
                connections[session].scheduling.deficit, 0)
        }
    }

    // MARK: - The order

    /// The request whose turn it is, handed over; nil when none may be now.
    func nextInTurn() -> Int? {
        guard turnLeft > 0 else { return nil }
        var passedOver = 0
        while passedOver < runnable.count, let session = runnable.first {
            let entry = connections[session].firstReady
            if !mayHandOver(entry) {
                passedOver += 1
            } else if connections[session].scheduling.deficit > 0 {
                handOver(entry)
                return entry
            } else {
                passedOver = 0
                connections[session].scheduling.deficit += Self.quantumBytes
            }
            _ = runnable.popFirst()
            runnable.append(session)
        }
        return nil
    }

    private func mayHandOver(_ entry: Int) -> Bool {
        let session = entries[entry].session
        let isAlone = connections[session].scheduling.requestsInEngine == 0
        let bytes = connections[session].scheduling.bytesInEngine + work(of: entry)
        if !isAlone, bytes > Self.engineBytesPerSession { return false }
        let response = expectedResponseBytes(of: entry)
        // Of a response that is only expected, a session with nothing in the engine makes sure.
        if response == 0 || isAlone && entries[entry].knownResponseBytes == 0 { return true }
        return hasRoom(session, forResponseBytes: response)
    }

    private func handOver(_ entry: Int) {
        let session = entries[entry].session
        let work = work(of: entry)
        let charge = Int64(work + Self.requestCostBytes)
        entries[entry].expectedBytes = expectedResponseBytes(of: entry)
        removeReady(entry)
        entries[entry].state = .taken
        entries[entry].bytesInEngine = work
        connections[session].scheduling.requestsInEngine += 1
        connections[session].scheduling.bytesInEngine += work
        connections[session].scheduling.deficit -= charge
        turnLeft -= Int64(work + Self.requestCostBytes)
    }

    /// The engine is done with a request, or was refused memory for its response.
    func takeBack(_ entry: Int, responseBytes: UInt64) {
        let session = entries[entry].session
        connections[session].scheduling.requestsInEngine -= 1
        connections[session].scheduling.bytesInEngine -= entries[entry].bytesInEngine
        connections[session].scheduling.deficit +=
            Int64(entries[entry].expectedBytes) - Int64(responseBytes)
        entries[entry].expectedBytes = 0
        entries[entry].bytesInEngine = 0
    }

    /// What a request costs the shard, in bytes moved in the same time.
    private func work(of entry: Int) -> UInt64 {
        UInt64(entries[entry].header.payloadBytes) + expectedResponseBytes(of: entry)
            + UInt64(entries[entry].header.bodyBytes) * Self.bodyCostFactor
    }

    private func expectedResponseBytes(of entry: Int) -> UInt64 {
        if entries[entry].knownResponseBytes > 0 { return entries[entry].knownResponseBytes }
        switch entries[entry].header.operation {
        case .tcpGet, .tcpBatchGet:
            return connections[entries[entry].session].scheduling.expectedResponseBytes
        case .connect, .authenticate, .exists, .stat, .tcpPut, .tcpDelete, .tcpBatchPut,
            .tcpBatchDelete, .write, .read, .batchWrite, .batchRead, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            return 0
        }
    }

    // MARK: - Memory of responses

    private func hasRoom(_ session: Int, forResponseBytes bytes: UInt64) -> Bool {
        Shares.permit(
            UInt64(slabs.slabs(for: ByteCount(bytes))),
            held: UInt64(connections[session].heldSlabs), free: UInt64(slabs.freeSlabs),
            limit: slabsPerSession)
    }

    /// Counts the slabs of a response against its session, or takes the request back.
    func admitResponse(_ entry: Int, lengthBytes: UInt64) -> Bool {
        let session = entries[entry].session
        if entries[entry].state == .orphaned {
            free(entry)
            return false
        }
        releaseOutbound(entry)
        let others =
            connections[session].scheduling.bytesInEngine - entries[entry].bytesInEngine
        let isAlone = connections[session].scheduling.requestsInEngine == 1
        guard isAlone || others + lengthBytes <= Self.engineBytesPerSession,
            hasRoom(session, forResponseBytes: lengthBytes)
        else {
            counters.add(to: .postponedResponses)
            takeBack(entry, responseBytes: 0)
            entries[entry].knownResponseBytes = lengthBytes
            putBack(entry)
            return false
        }
        connections[session].scheduling.bytesInEngine = others + lengthBytes
        entries[entry].bytesInEngine = lengthBytes
        entries[entry].outboundSlabs = slabs.slabs(for: ByteCount(lengthBytes))
        connections[session].heldSlabs += entries[entry].outboundSlabs
        return true
    }

    /// Ends what a response holds.
    func releaseOutbound(_ entry: Int) {
        entries[entry].outbound = nil
        if entries[entry].state != .orphaned {
            connections[entries[entry].session].heldSlabs -= entries[entry].outboundSlabs
        }
        entries[entry].outboundSlabs = 0
    }

    // MARK: - Memory of requests

    /// Takes slabs for a request's payload; false when its session's share, the share of payloads
    /// on their way in, or the pool has too few now.
    func findSlabs(_ entry: Int) -> Bool {
        let length = ByteCount(UInt64(entries[entry].header.payloadBytes))
        if length == .zero { return true }
        let session = entries[entry].session
        let wanted = slabs.slabs(for: length)
        guard
            Shares.permit(
                UInt64(wanted), held: UInt64(connections[session].heldSlabs),
                free: UInt64(slabs.freeSlabs), limit: slabsPerSession),
            budget.inbound.take(wanted)
        else { return false }
        guard let lease = slabs.lease(lengthBytes: length) else {
            budget.inbound.giveBack(wanted)
            return false
        }
        entries[entry].inbound = consume lease
        entries[entry].inboundSlabs = wanted
        connections[session].heldSlabs += wanted
        return true
    }

    /// Ends the payload's way in: the engine has had its chance to take the lease.
    func releaseInbound(_ entry: Int) {
        entries[entry].inbound = nil
        budget.inbound.giveBack(entries[entry].inboundSlabs)
        if entries[entry].state != .orphaned {
            connections[entries[entry].session].heldSlabs -= entries[entry].inboundSlabs
        }
        entries[entry].inboundSlabs = 0
    }

    /// A request entry for a session's next frame; nil when it has its share, or none is free.
    func takeEntry(for session: Int, header: FrameHeader, now: Instant) -> Int? {
        guard
            Shares.permit(
                1, held: UInt64(connections[session].machine.outstanding - 1),
                free: UInt64(freeEntries.count), limit: UInt64(limits.requestsPerSession)),
            let entry = freeEntries.popFirst()
        else { return nil }
        entries[entry].state = .receiving
        entries[entry].generation &+= 1
        entries[entry].session = session
        entries[entry].header = header
        entries[entry].tagBytes = tagBytes(of: header, session)
        entries[entry].arrival = now
        entries[entry].received = 0
        entries[entry].knownResponseBytes = 0
        entries[entry].next = RequestEntry.none
        return entry
    }

    /// Ends an entry's use, and its leases.
    func free(_ entry: Int) {
        releaseInbound(entry)
        releaseOutbound(entry)
        precondition(entries[entry].state != .free, "request entry \(entry) is freed twice")
        entries[entry].state = .free
        if entry < limits.requests { freeEntries.append(entry) }
    }
}

#endif
