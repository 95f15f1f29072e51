// RDMATransport: a shard's clients on queue pairs, with the calls of Engine's `Transport`.
//
// Always holds: every table, list and buffer is made at start; a row, and every lease in it, stays
// as it is while the device may use its memory, which is until its work has completed or its queue
// pair is destroyed; a place of a queue pair is given away anew only when the engine has answered
// all its requests. Memory and turns are shared as on TCP: slabs by the rule of Shares, requests in
// turns between queue pairs, work for the engine in portions.
//
// This file holds the tables, the port and the life of queue pairs; RDMAReceiving.swift the way
// from messages to requests, RDMATransfers.swift the values and the responses, RDMALeases.swift
// what clients move by themselves.

package import Engine
package import Wire

/// What the transport asks about the TCP session of a queue pair.
package protocol RDMAOwners: AnyObject {
    /// Whether the session's key opens a namespace, as the keys are now.
    func mayUse(_ namespace: Namespace, _ owner: OwnerSession) -> Bool
}

/// The answer to RdmaOpen.
package enum QueuePairAnswer: Sendable {
    case offer(QueuePairOffer)
    case unavailable(String)
}

/// A shard's RDMA transport. Confined to the shard's thread.
package final class RDMATransport {
    let fabric: any QueuePairFabric
    let shard: Int
    let configuration: RDMAConfiguration
    let slabs: SlabPool
    let arena: Arena
    let memory: RDMAMemory
    let cells: ShardCells
    /// Who has the TCP sessions; to be set before the first offer.
    package weak var owners: (any RDMAOwners)?
    let frameLimits: FrameLimits
    let slabsPerSession: UInt64

    var rows: FixedArray<RequestRow>
    var pairs: FixedArray<QueuePairRow>
    var leases: LeaseTable
    /// Of each lease.
    var leased: FixedArray<LeasedSlabs>
    /// No lease is granted any more, and those that there are end.
    var isDraining = false
    /// Whose turn it is.
    private var turn = 0
    var readyCount = 0
    /// Work that the engine may still be handed before the next look at the network.
    private var turnLeft: Int64 = 0
    /// Rows that wait for slabs.
    var slabWaiters: RingQueue<Int>
    /// True when a request became ready since the last look.
    var deliveredSinceLook = false
    private var devices: [DeviceUse]
    private var nextPatrol = Instant.never
    /// Queue pairs that are destroyed, and still have to be cleared away.
    private var endedPairs: [Int] = []
    /// Queue pairs whose connection is lost.
    private var lostPairs: [QueuePairPlace] = []
    private var connectionCount = 0
    private var toldConnections = 0

    /// What this shard has of a device.
    struct DeviceUse: Hashable, Sendable {
        var isUsed = false
        /// It is to be released.
        var isLeaving = false
        /// The next completion gives notice.
        var isArmed = false
    }

    private static let turnBytes: Int64 = 256 << 10
    private static let requestCostBytes: UInt64 = 8 << 10
    /// One device's completions that a look takes, or a few more.
    private static let completionsPerLook = 256
    private static let patrolMicroseconds: UInt64 = 100_000
    private static let slabPauseMicroseconds: UInt64 = 1000
    private static let longestRequestMicroseconds: UInt64 = 60_000_000

    /// The transport of shard `shard`, whose messages lie in `memory`, which is
    /// `configuration.memoryBytes` of the pool's arena.
    package init(
        _ fabric: any QueuePairFabric, shard: Int, slabs: SlabPool, memory: RDMAMemory,
        cells: ShardCells
    ) {
        self.fabric = fabric
        self.shard = shard
        self.slabs = slabs
        self.memory = memory
        self.cells = cells
        let configuration = fabric.configuration
        self.configuration = configuration
        arena = slabs.arena
        frameLimits = FrameLimits(
            maximumBodyBytes: BodyLayout.remoteBodyLimitBytes,
            maximumPayloadBytes: configuration.payloadLimitBytes)
        slabsPerSession = configuration.bytesPerSession / slabs.slabBytes.rawValue
        rows = FixedArray(count: configuration.rows) { _ in RequestRow() }
        pairs = FixedArray(count: configuration.queuePairs) { _ in QueuePairRow(configuration) }
        leases = LeaseTable(
            pairs: configuration.queuePairs, leasesPerPair: configuration.leasesPerSession)
        leased = FixedArray(count: leases.count) { _ in LeasedSlabs() }
        slabWaiters = RingQueue(capacity: configuration.rows)
        devices = (0..<fabric.deviceCount).map { _ in DeviceUse() }
    }

    func pair(of row: Int) -> Int { row / configuration.rowsPerPair }

    func rows(of pair: Int) -> Range<Int> {
        (pair * configuration.rowsPerPair)..<((pair + 1) * configuration.rowsPerPair)
    }

    // MARK: - The port

    package func nextRequest(now: Instant) -> Request? {
        guard readyCount > 0, turnLeft > 0 else { return nil }
        for _ in 0..<pairs.count {
            let pair = turn
            turn = turn + 1 == pairs.count ? 0 : turn + 1
            if let row = firstPermitted(pair) { return handOver(row) }
        }
        return nil
    }

    /// Brings the first request of a queue pair that may be handed over to the front. One whose
    /// response waits for room may be passed: those behind it may be what holds the room.
    private func firstPermitted(_ pair: Int) -> Int? {
        for _ in 0..<pairs[pair].ready.count {
            guard let row = pairs[pair].ready.front else { return nil }
            if mayHandOver(row) { return row }
            _ = pairs[pair].ready.popFirst()
            pairs[pair].ready.append(row)
        }
        return nil
    }

    private func mayHandOver(_ row: Int) -> Bool {
        let pair = pair(of: row)
        let response = expectedResponseBytes(of: row)
        let isAlone = pairs[pair].inEngine == 0
        if response == 0 || isAlone && rows[row].knownResponseBytes == 0 { return true }
        return hasRoom(pair, forResponseBytes: response)
    }

    private func expectedResponseBytes(of row: Int) -> UInt64 {
        if rows[row].knownResponseBytes > 0 { return rows[row].knownResponseBytes }
        switch rows[row].header.operation {
        case .read, .batchRead:
            return min(rows[row].segmentBytes, pairs[pair(of: row)].expectedResponseBytes)
        case .lookup: return pairs[pair(of: row)].expectedResponseBytes
        default: return 0
        }
    }

    private func handOver(_ row: Int) -> Request {
        let pair = pair(of: row)
        _ = pairs[pair].ready.popFirst()
        readyCount -= 1
        rows[row].state = .taken
        pairs[pair].inEngine += 1
        let header = rows[row].header
        let expected = expectedResponseBytes(of: row)
        turnLeft -= Int64(UInt64(rows[row].payloadBytes) + expected + Self.requestCostBytes)
        let storeOperation = header.operation.ofLeases ?? header.operation.withValuesInPayload
        let bodyBytes =
            header.operation == .commit
            ? BodyLayout.keyBytes : rows[row].shape?.streamBodyBytes ?? header.bodyBytes
        return Request(
            handle: RequestHandle(index: UInt32(row), generation: rows[row].generation),
            operation: storeOperation ?? header.operation,
            namespace: header.namespace, deadline: deadline(of: row), arrival: rows[row].arrival,
            body: memory.body(row).part(at: 0, length: ByteCount(UInt64(bodyBytes))),
            responseBody: memory.responseBody(row), payloadBytes: rows[row].payloadBytes,
            payloadChecksum: header.payloadChecksum,
            isRepeated: rows[row].knownResponseBytes > 0,
            expectedResponseBytes: max(1, expected))
    }

    private func deadline(of row: Int) -> Instant {
        let given = UInt64(rows[row].header.deadlineMicroseconds)
        return given == 0 ? .never : rows[row].arrival.advanced(byMicroseconds: given)
    }

    package func takePayload(of request: RequestHandle) -> SlabLease? {
        rows[taken(request)].inbound.take()
    }

    package func admitsResponse(to request: RequestHandle, lengthBytes: UInt64) -> Bool {
        let row = taken(request)
        let pair = pair(of: row)
        pairs[pair].inEngine -= 1
        if rows[row].state == .orphaned {
            releaseOrphan(row)
            return false
        }
        releaseOutbound(row)
        if rows[row].header.operation == .read, lengthBytes > rows[row].segmentBytes {
            answer(row, .tooLarge, payloadBytes: UInt32(clamping: lengthBytes))
            return false
        }
        guard hasRoom(pair, forResponseBytes: lengthBytes) else {
            if rows[row].header.operation == .lookup {
                refuseLease(row)
                return false
            }
            rows[row].knownResponseBytes = lengthBytes
            enqueue(row)
            return false
        }
        pairs[pair].inEngine += 1
        rows[row].outboundSlabs = slabs.slabs(for: ByteCount(lengthBytes))
        pairs[pair].heldSlabs += rows[row].outboundSlabs
        return true
    }

    func hasRoom(_ pair: Int, forResponseBytes bytes: UInt64) -> Bool {
        Shares.permit(
            UInt64(slabs.slabs(for: ByteCount(bytes))), held: UInt64(pairs[pair].heldSlabs),
            free: UInt64(slabs.freeSlabs), limit: slabsPerSession)
    }

    package func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {
        let row = taken(request)
        let pair = pair(of: row)
        pairs[pair].inEngine -= 1
        if rows[row].state == .orphaned {
            // The lease, if any, ends here.
            releaseOrphan(row)
            return
        }
        releaseInbound(row)
        releaseOutbound(row)
        precondition(
            response.bodyBytes <= BodyLayout.bodyLimitBytes
                && UInt64(response.payloadBytes) <= (payload?.capacity ?? .zero).rawValue,
            "a response longer than what holds it")
        if let payload {
            rows[row].outboundSlabs = payload.count
            pairs[pair].heldSlabs += payload.count
            pairs[pair].expectedResponseBytes = UInt64(response.payloadBytes)
            rows[row].outbound = consume payload
        }
        if rows[row].header.operation == .lookup, response.status == .ok {
            leaseValue(row, response)
        } else {
            answer(row, response)
        }
    }

    private func taken(_ request: RequestHandle) -> Int {
        let row = Int(request.index)
        precondition(
            rows[row].generation == request.generation
                && (rows[row].state == .taken || rows[row].state == .orphaned),
            "request \(request.index) is answered already")
        return row
    }

    /// A request is whole: it waits for its turn.
    func enqueue(_ row: Int) {
        rows[row].state = .ready
        pairs[pair(of: row)].ready.append(row)
        readyCount += 1
        deliveredSinceLook = true
    }

    // MARK: - Memory

    /// Takes slabs for a request's values; false when its queue pair's share, the share of payloads
    /// on their way in, or the pool has too few now.
    func findSlabs(_ row: Int) -> Bool {
        let length = ByteCount(UInt64(rows[row].payloadBytes))
        let pair = pair(of: row)
        let wanted = slabs.slabs(for: length)
        guard
            Shares.permit(
                UInt64(wanted), held: UInt64(pairs[pair].heldSlabs),
                free: UInt64(slabs.freeSlabs), limit: slabsPerSession),
            fabric.inbound.take(wanted)
        else { return false }
        guard let lease = slabs.lease(lengthBytes: length) else {
            fabric.inbound.giveBack(wanted)
            return false
        }
        rows[row].inbound = consume lease
        rows[row].inboundSlabs = wanted
        pairs[pair].heldSlabs += wanted
        return true
    }

    func releaseInbound(_ row: Int) {
        rows[row].inbound = nil
        fabric.inbound.giveBack(rows[row].inboundSlabs)
        pairs[pair(of: row)].heldSlabs -= rows[row].inboundSlabs
        rows[row].inboundSlabs = 0
    }

    func releaseOutbound(_ row: Int) {
        rows[row].outbound = nil
        pairs[pair(of: row)].heldSlabs -= rows[row].outboundSlabs
        rows[row].outboundSlabs = 0
    }

    // MARK: - Life of queue pairs

    /// Offers a queue pair to the client of a TCP session. `secret` is what its keys follow from;
    /// nil for a session without a key.
    package func open(for owner: OwnerSession, secret: Secret?, now: Instant) -> QueuePairAnswer {
        fabric.count(1, as: .openRequests)
        // Taken once: the last of them may be lost at any time.
        let addresses = fabric.addresses
        guard !addresses.isEmpty else {
            return unavailable(fabric.problem ?? "RDMA isn't ready yet")
        }
        var held = 0
        var free: Int?
        for pair in 0..<pairs.count {
            if pairs[pair].state == .free {
                if free == nil { free = pair }
            } else if pairs[pair].owner == owner {
                held += 1
            }
        }
        guard held < configuration.queuePairsPerSession else {
            return unavailable("this session has \(held) queue pairs, as many as it may")
        }
        guard let pair = free else {
            return unavailable("all \(pairs.count) queue pairs of this shard are given away")
        }
        pairs[pair].state = .offered
        pairs[pair].owner = owner
        pairs[pair].expires = now.advanced(byMicroseconds: QueuePairGreeting.nonceMicroseconds)
        nextPatrol = min(nextPatrol, now.advanced(byMicroseconds: Self.patrolMicroseconds))
        let (offer, nonce) = fabric.open(
            place(of: pair), secret: secret, expires: pairs[pair].expires)
        pairs[pair].offer = offer
        return .offer(
            QueuePairOffer(
                port: fabric.port, credits: UInt16(configuration.credits),
                messageLimitBytes: UInt32(RDMAMemory.messageBytes), sessionID: offer, nonce: nonce,
                addresses: addresses))
    }

    private func unavailable(_ reason: String) -> QueuePairAnswer {
        fabric.count(1, as: .refusedOpens)
        return .unavailable(reason)
    }

    /// The TCP session has ended, and its queue pairs with it.
    package func ownerEnded(_ owner: OwnerSession) {
        for pair in 0..<pairs.count where pairs[pair].owner == owner {
            switch pairs[pair].state {
            case .offered: withdraw(pair)
            case .open: close(pair)
            case .free, .closing, .ended: break
            }
        }
    }

    /// Ends an offer that nobody has taken; one that was taken ends when its client is here.
    private func withdraw(_ pair: Int) {
        if fabric.withdraw(pairs[pair].offer) {
            pairs[pair].clear()
        } else {
            pairs[pair].isUnwanted = true
        }
    }

    private func takeNews() {
        for news in fabric.takeNews() {
            if let place = news.place, pairs[place.slot].generation != place.generation {
                continue
            }
            switch news {
            case .connected(let place, let new): adopt(place.slot, new)
            case .failed(let place):
                if pairs[place.slot].state == .offered { pairs[place.slot].clear() }
            case .lost(let place): lostPairs.append(place)
            case .ended(let place): endedPairs.append(place.slot)
            case .lease(let lease, let outcome):
                let pair = lease.queuePair.slot
                if pairs[pair].state == .open { take(outcome, of: lease.index) }
            case .came(let device): use(device)
            case .leaves(let device): leave(device)
            }
        }
    }

    // MARK: - Devices

    private func use(_ device: Int) {
        devices[device].isUsed = true
        devices[device].isArmed = false
        do throws(QueuePairFailure) {
            try fabric.use(device: device)
        } catch {
            cells.countRDMAError()
        }
    }

    /// A device is to be taken out: its queue pairs end, then it is released.
    private func leave(_ device: Int) {
        devices[device].isLeaving = true
        for pair in 0..<pairs.count
        where pairs[pair].device == device && pairs[pair].state == .open {
            fabric.count(1, as: .lostQueuePairs)
            close(pair)
        }
        releaseIfUnused(device)
    }

    private func releaseIfUnused(_ device: Int) {
        guard devices[device].isLeaving, devices[device].isUsed else { return }
        for pair in 0..<pairs.count where pairs[pair].device == device {
            if pairs[pair].state == .open || pairs[pair].state == .closing { return }
        }
        fabric.forget(device: device)
        devices[device] = DeviceUse()
        fabric.ask(.released(device: device))
    }

    // MARK: - Queue pairs come and go

    private func adopt(_ pair: Int, _ new: NewQueuePair) {
        precondition(pairs[pair].state == .offered, "a client came for no offer")
        pairs[pair].state = .open
        pairs[pair].device = new.device
        pairs[pair].localKey = new.localKey
        pairs[pair].isForLeases = new.isForLeases
        pairs[pair].isSigned = new.isSigned
        if new.isSigned {
            pairs[pair].incoming = FrameAuthenticator(key: new.keys.clientToServer)
            pairs[pair].outgoing = FrameAuthenticator(key: new.keys.serverToClient)
        }
        for row in rows(of: pair) { rows[row].state = .posted }
        connectionCount += 1
        if pairs[pair].isUnwanted { close(pair) }
    }

    /// Has a queue pair destroyed; its requests' responses will go nowhere.
    func close(_ pair: Int) {
        guard pairs[pair].state == .open else { return }
        pairs[pair].state = .closing
        connectionCount -= 1
        while let row = pairs[pair].ready.popFirst() {
            readyCount -= 1
            rows[row].state = .idle
        }
        while pairs[pair].transfers.popFirst() != nil {}
        for row in rows(of: pair) where rows[row].state == .taken {
            rows[row].state = .orphaned
            pairs[pair].orphans += 1
        }
        #if PLANTED_BUGS
        if isPlanted(.leaseReusedBeforeRevoked) { forgetLeases(of: pair) }
        #endif
        fabric.ask(.end(place(of: pair)))
    }

    /// A connection is lost. What failed before is among the completions, and is counted first.
    private func lose(_ place: QueuePairPlace) {
        let pair = place.slot
        guard pairs[pair].generation == place.generation, pairs[pair].state == .open else { return }
        _ = drain(pairs[pair].device, limit: configuration.completions)
        guard pairs[pair].generation == place.generation, pairs[pair].state == .open else { return }
        fabric.count(1, as: .lostQueuePairs)
        close(pair)
    }

    func place(of pair: Int) -> QueuePairPlace {
        QueuePairPlace(shard: shard, slot: pair, generation: pairs[pair].generation)
    }

    /// A queue pair is destroyed: the device has let go of its memory.
    private func finish(_ pair: Int) {
        precondition(pairs[pair].state == .closing, "a queue pair's end that nobody asked for")
        // What it left in the completion queue must not be there when the place is given away.
        _ = drain(pairs[pair].device, limit: configuration.completions)
        for row in rows(of: pair) where rows[row].state != .orphaned {
            rows[row].state = .idle
            releaseInbound(row)
            releaseOutbound(row)
        }
        forgetLeases(of: pair)
        pairs[pair].state = .ended
        releaseIfUnused(pairs[pair].device)
        #if PLANTED_BUGS
        if isPlanted(.lostPlacesNeverFreed) { return }
        #endif
        if pairs[pair].orphans == 0 { pairs[pair].clear() }
    }

    /// The engine has answered a request whose queue pair is gone.
    private func releaseOrphan(_ row: Int) {
        let pair = pair(of: row)
        // What the device may still use is given back when the queue pair is destroyed.
        rows[row].state = .idle
        pairs[pair].orphans -= 1
        guard pairs[pair].state == .ended else { return }
        releaseInbound(row)
        releaseOutbound(row)
        if pairs[pair].orphans == 0 { pairs[pair].clear() }
    }

    // MARK: - Looks at the network

    /// A device gave notice: of which queue, the look shows.
    package func notified() {
        for device in devices.indices { devices[device].isArmed = false }
    }

    /// Takes completions and news, and asks for notice of the next ones. True when there is
    /// something for the engine, or more has come than one look takes.
    package func look(now: Instant) -> Bool {
        deliveredSinceLook = false
        turnLeft = Self.turnBytes
        var hasMore = false
        for device in devices.indices where !drain(device, limit: Self.completionsPerLook) {
            hasMore = true
        }
        takeNews()
        for device in devices.indices {
            guard !devices[device].isArmed, devices[device].isUsed else { continue }
            do throws(QueuePairFailure) {
                try fabric.arm(device: device)
                devices[device].isArmed = true
                // What came between the last look and the arming gives no notice.
                if !drain(device, limit: Self.completionsPerLook) { hasMore = true }
            } catch {
                cells.countRDMAError()
            }
        }
        while let place = lostPairs.popLast() { lose(place) }
        while let pair = endedPairs.popLast() { finish(pair) }
        serveSlabWaiters()
        patrol(now: now)
        publish()
        return deliveredSinceLook || hasMore
    }

    /// When `look` is due though nothing has come.
    package func nextLook(now: Instant) -> Instant {
        if slabWaiters.isEmpty, readyCount == 0 { return nextPatrol }
        return min(nextPatrol, now.advanced(byMicroseconds: Self.slabPauseMicroseconds))
    }

    private func publish() {
        guard toldConnections != connectionCount else { return }
        toldConnections = connectionCount
        cells.setRDMA(connections: connectionCount)
    }

    /// Takes completions of a device, `limit` of them or a few more; true when none is left.
    /// Requests that are answered at once bring the next ones while it works: without a limit the
    /// shard would do nothing else as long as their clients like.
    private func drain(_ device: Int, limit: Int) -> Bool {
        guard devices[device].isUsed else { return true }
        var total = 0
        while total < limit {
            var count = 0
            do throws(QueuePairFailure) {
                count = try fabric.poll(device: device) { take($0) }
            } catch {
                cells.countRDMAError()
            }
            total += count
            if count == 0 { return true }
        }
        return false
    }

    private func take(_ completion: QueuePairCompletion) {
        let name = WorkName(completion.workID)
        let pair = name.isReceive ? pair(of: name.index) : name.index
        // Its client may have come just now.
        if pairs[pair].state == .offered { takeNews() }
        guard pairs[pair].state == .open,
            name
                == WorkName(
                    isReceive: name.isReceive, generation: pairs[pair].generation, index: name.index
                )
        else { return }
        guard completion.isSuccess else {
            if !completion.isFlushed { cells.countRDMAError() }
            fabric.count(1, as: .lostQueuePairs)
            close(pair)
            return
        }
        if name.isReceive {
            received(name.index, bytes: completion.receivedBytes ?? 0)
        } else {
            workEnded(pair)
        }
    }

    private func serveSlabWaiters() {
        for _ in 0..<slabWaiters.count {
            guard let row = slabWaiters.popFirst() else { return }
            rows[row].isListed = false
            guard rows[row].state == .waiting, pairs[pair(of: row)].state == .open else {
                continue
            }
            if findSlabs(row) { pull(row) } else { waitForSlabs(row) }
        }
    }

    /// Lists a row behind those that wait for slabs; one that stopped waiting stays listed until it
    /// is met, and isn't listed twice.
    func waitForSlabs(_ row: Int) {
        guard !rows[row].isListed else { return }
        rows[row].isListed = true
        slabWaiters.append(row)
    }

    /// Ends offers that nobody took, and requests that nobody takes in time.
    private func patrol(now: Instant) {
        guard nextPatrol <= now else { return }
        var isUsed = false
        for pair in 0..<pairs.count where pairs[pair].state != .free {
            isUsed = true
            if pairs[pair].state == .offered, pairs[pair].expires <= now { withdraw(pair) }
            if pairs[pair].state == .open { endOverdue(pair, now: now) }
            if pairs[pair].state == .open { endExpiredLeases(of: pair, now: now) }
        }
        nextPatrol = isUsed ? now.advanced(byMicroseconds: Self.patrolMicroseconds) : .never
    }

    private func endOverdue(_ pair: Int, now: Instant) {
        for _ in 0..<pairs[pair].ready.count {
            guard let row = pairs[pair].ready.popFirst() else { break }
            if dueTime(of: row) <= now {
                readyCount -= 1
                fabric.count(1, as: .overdueRequests)
                releaseInbound(row)
                answer(row, .deadlineExceeded)
            } else {
                pairs[pair].ready.append(row)
            }
        }
        for row in rows(of: pair) where rows[row].state == .waiting && dueTime(of: row) <= now {
            fabric.count(1, as: .overdueRequests)
            answer(row, .deadlineExceeded)
        }
        // The device may try for minutes to reach a client that is gone.
        for row in rows(of: pair)
        where rows[row].state == .pulling || rows[row].state == .answered
            || rows[row].state == .sending
        {
            let since = rows[row].transferSince
            guard since != .never,
                since.advanced(byMicroseconds: configuration.transferMicroseconds) <= now
            else { continue }
            fabric.count(1, as: .overdueTransfers)
            close(pair)
            return
        }
    }

    private func dueTime(of row: Int) -> Instant {
        min(
            deadline(of: row),
            rows[row].arrival.advanced(byMicroseconds: Self.longestRequestMicroseconds))
    }
}
