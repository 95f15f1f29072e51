// What clients move by themselves: requests about leases, from their message to their answer. How
// far a lease has come stands in LeaseTable.swift; who may reach its memory, the control thread
// says.
//
//   Allocate   slabs ─► exposed for writing ─► answered with addresses and keys
//   Commit     access taken back ─► a put of the slabs, from its checksum on ─► answered as a put
//   Lookup     a get ─► its slabs exposed for reading ─► answered with addresses and keys
//   Release    access taken back ─► slabs given back ─► answered
//
// Always holds: no slab of a lease is looked at or given back while its client can reach it; slabs
// of leases count against the share of their queue pair, those to be written also against that of
// payloads on their way in, from the Allocate on. An access that can't be taken back costs the
// queue pair.

internal import Engine
internal import Wire

/// The slabs of one lease.
struct LeasedSlabs: ~Copyable {
    var slabs: SlabLease?
    /// As they are counted against the shares.
    var count: UInt32 = 0
    var isInbound = false
}

extension OperationCode {
    var isAboutLeases: Bool {
        switch self {
        case .allocate, .commit, .lookup, .release: true
        default: false
        }
    }

    /// What the store is asked for; nil for all other operations.
    var ofLeases: OperationCode? {
        switch self {
        case .commit: .tcpPut
        case .lookup: .tcpGet
        default: nil
        }
    }
}

extension RDMATransport {
    /// Grants no lease any more, and ends those that there are.
    package func beginDrain() {
        isDraining = true
        for pair in 0..<pairs.count where pairs[pair].state == .open {
            endExpiredLeases(of: pair, now: .never)
        }
    }

    /// A request about a lease has come, from somebody who may use its namespace.
    func beginLeaseRequest(_ row: Int) {
        let pair = pair(of: row)
        guard pairs[pair].isForLeases, hasRightLengths(row) else {
            answer(row, .invalidRequest)
            return
        }
        switch rows[row].header.operation {
        case .allocate: allocate(row)
        case .lookup:
            fabric.count(1, as: .lookupRequests)
            if mayGrant(row) { enqueue(row) }
        case .commit: commit(row)
        default: release(row)
        }
    }

    private func hasRightLengths(_ row: Int) -> Bool {
        let header = rows[row].header
        switch header.operation {
        case .allocate:
            return header.bodyBytes == LeaseGrant.allocateBytes && header.payloadBytes == 0
        case .lookup: return header.bodyBytes == BodyLayout.keyBytes && header.payloadBytes == 0
        case .commit: return header.bodyBytes == LeaseGrant.leaseBytes && header.payloadBytes > 0
        default: return header.bodyBytes == LeaseGrant.leaseBytes && header.payloadBytes == 0
        }
    }

    // MARK: - Granting

    /// Whether the session may have one lease more; otherwise the request is answered.
    private func mayGrant(_ row: Int) -> Bool {
        if isDraining {
            answer(row, .shuttingDown)
            return false
        }
        let owner = pairs[pair(of: row)].owner
        var held = 0
        for pair in 0..<pairs.count where pairs[pair].state != .free && pairs[pair].owner == owner {
            held += leases.held(by: pair)
        }
        if held < configuration.leasesPerSession { return true }
        refuseLease(row)
        return false
    }

    /// Too many leases, or too few slabs.
    func refuseLease(_ row: Int) {
        fabric.count(1, as: .refusedLeases)
        answer(row, .busy)
    }

    private func allocate(_ row: Int) {
        let body = memory.body(row)
        let word = arena.loadWord(body.start.advanced(by: UInt64(BodyLayout.keyBytes)))
        guard let length = UInt32(exactly: word), length > 0 else {
            answer(row, .invalidRequest)
            return
        }
        guard length <= configuration.payloadLimitBytes,
            slabs.slabs(for: ByteCount(UInt64(length))) <= LeaseGrant.segmentLimit
        else {
            answer(row, .tooLarge)
            return
        }
        guard mayGrant(row) else { return }
        rows[row].payloadBytes = length
        guard findSlabs(row) else {
            refuseLease(row)
            return
        }
        let key = arena.loadKey(body.start, namespace: rows[row].header.namespace)
        let pair = pair(of: row)
        guard let lease = leases.take(pair, use: .write(key), lengthBytes: length, row: row) else {
            preconditionFailure("a session with room for a lease has no place for it")
        }
        leased[lease].slabs = rows[row].inbound.take()
        leased[lease].count = rows[row].inboundSlabs
        leased[lease].isInbound = true
        rows[row].inboundSlabs = 0
        expose(lease, row, for: .write)
    }

    /// The value that a Lookup asked for is in the row's slabs.
    func leaseValue(_ row: Int, _ response: Response) {
        let pair = pair(of: row)
        guard mayGrant(row) else {
            releaseOutbound(row)
            return
        }
        guard
            let lease = leases.take(
                pair, use: .read(checksum: response.payloadChecksum),
                lengthBytes: response.payloadBytes, row: row)
        else { preconditionFailure("a session with room for a lease has no place for it") }
        leased[lease].slabs = rows[row].outbound.take()
        leased[lease].count = rows[row].outboundSlabs
        leased[lease].isInbound = false
        rows[row].outboundSlabs = 0
        expose(lease, row, for: .read)
    }

    private func expose(_ lease: Int, _ row: Int, for access: LeaseAccess) {
        fabric.count(1, as: .grantedLeases)
        rows[row].state = .leasing
        let length = UInt64(leases[lease].lengthBytes)
        var ranges: [ArenaRange] = []
        var offset: UInt64 = 0
        while offset < length,
            let range = leased[lease].slabs?.piece(at: offset, limit: ByteCount(length - offset))
        {
            ranges.append(range)
            offset += range.length.rawValue
        }
        fabric.ask(.expose(leasePlace(lease), ranges, access))
    }

    private func leasePlace(_ lease: Int) -> LeasePlace {
        LeasePlace(queuePair: place(of: leases.pair(of: lease)), index: lease)
    }

    // MARK: - Ending

    private func granted(_ row: Int) -> Int? {
        let id = arena.loadWord(memory.body(row).start)
        if let lease = leases.find(id, of: pair(of: row)) { return lease }
        fabric.count(1, as: .unknownLeases)
        answer(row, .unknownLease)
        return nil
    }

    private func commit(_ row: Int) {
        guard let lease = granted(row) else { return }
        let header = rows[row].header
        guard case .write(let key) = leases[lease].use, key.namespace == header.namespace,
            header.payloadBytes == leases[lease].lengthBytes
        else {
            answer(row, .invalidRequest)
            return
        }
        // The engine looks for the key where a put has it.
        arena.storeKey(key, at: memory.body(row).start)
        rows[row].state = .leasing
        #if PLANTED_BUGS
        if isPlanted(.committedBeforeRevoked) {
            let length = leases[lease].lengthBytes
            revoke(lease, for: .expiry)
            publish(lease, row, lengthBytes: length)
            return
        }
        #endif
        revoke(lease, for: .commit(row: row))
    }

    private func release(_ row: Int) {
        guard let lease = granted(row) else { return }
        rows[row].state = .leasing
        revoke(lease, for: .release(row: row))
    }

    /// Ends the leases whose time is over.
    func endExpiredLeases(of pair: Int, now: Instant) {
        while let lease = leases.expired(of: pair, now: isDraining ? .never : now) {
            fabric.count(1, as: .expiredLeases)
            #if PLANTED_BUGS
            if isPlanted(.expiredLeaseReusedAtOnce) { leased[lease].slabs = nil }
            #endif
            revoke(lease, for: .expiry)
        }
    }

    private func revoke(_ lease: Int, for end: LeaseEnd) {
        leases.end(lease, by: end)
        fabric.ask(.revoke(leasePlace(lease)))
    }

    // MARK: - What the control thread has done

    func take(_ outcome: LeaseOutcome, of lease: Int) {
        switch outcome {
        case .exposed(let segments): answerGrant(lease, segments)
        case .refused(isOver: true):
            cells.countRDMAError()
            let row = leases.refused(lease)
            giveBack(lease)
            answer(row, .unavailable)
        case .revoked(isOver: true): revoked(lease)
        case .refused(isOver: false), .revoked(isOver: false):
            // The slabs come back when the queue pair is destroyed: no access outlives that.
            cells.countRDMAError()
            fabric.count(1, as: .lostQueuePairs)
            close(leases.pair(of: lease))
        }
    }

    private func answerGrant(_ lease: Int, _ segments: [RemoteSegment]) {
        let row = leases.exposed(
            lease,
            until: fabric.now.advanced(byMicroseconds: configuration.leaseMicroseconds))
        let grant = LeaseGrant(
            leaseID: leases.id(of: lease),
            timeToLiveMilliseconds: UInt32(configuration.leaseMicroseconds / 1000),
            segments: segments)
        let words = grant.words
        let body = memory.responseBody(row)
        for (index, word) in words.enumerated() {
            arena.storeWord(word, at: body.start.advanced(by: UInt64(index) * 8))
        }
        var response = Response(status: .ok, bodyBytes: UInt32(words.count * 8))
        if case .read(let checksum) = leases[lease].use {
            response.payloadBytes = leases[lease].lengthBytes
            response.payloadChecksum = checksum
        }
        answer(row, response)
    }

    private func revoked(_ lease: Int) {
        let length = leases[lease].lengthBytes
        switch leases.revoked(lease) {
        case .commit(let row):
            fabric.count(1, as: .endedLeases)
            publish(lease, row, lengthBytes: length)
        case .release(let row):
            giveBack(lease)
            answer(row, .ok)
        case .expiry: giveBack(lease)
        }
    }

    /// The lease's slabs are a put's from now on.
    private func publish(_ lease: Int, _ row: Int, lengthBytes: UInt32) {
        rows[row].inbound = leased[lease].slabs.take()
        rows[row].inboundSlabs = leased[lease].count
        rows[row].payloadBytes = lengthBytes
        leased[lease].count = 0
        enqueue(row)
    }

    /// Gives back the slabs of a lease that nobody can reach any more.
    private func giveBack(_ lease: Int) {
        leased[lease].slabs = nil
        if leased[lease].isInbound { fabric.inbound.giveBack(leased[lease].count) }
        pairs[leases.pair(of: lease)].heldSlabs -= leased[lease].count
        leased[lease].count = 0
        fabric.count(1, as: .endedLeases)
    }

    /// The queue pair is destroyed, and every access to its leases with it.
    func forgetLeases(of pair: Int) {
        for lease in leases.places(of: pair) where leases.forget(lease) { giveBack(lease) }
    }
}
