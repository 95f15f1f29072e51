// Lookups: exists (a batch of keys), stat (one key) and the plan of a batch of gets: answers from
// the index alone, no payload is read.
//
//   begun ──► every key looked up here, or asked of its shard ──► collecting ──► all known
//
// Always holds: a result is written into the response's body by this shard only, and only while the
// request is not answered, because the body is the transport's afterwards; an operation that has
// asked another shard stays until it has heard.

import Wire

/// What is known of a key that is there.
struct FoundBlock: Sendable {
    var lengthBytes: UInt32
    var checksum: UInt64
    var version: Version
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advanceLookups(_ index: OperationIndex) {
        guard lookUpItems(of: index) else { return }
        guard let request = operations[index].request else {
            preconditionFailure("lookups without a request")
        }
        if request.operation == .stat {
            finishStat(index, request)
        } else {
            finishBatch(index, itemBytes: BodyLayout.statusItemBytes)
        }
    }

    /// Looks up the keys of a request, from where it stopped; true when all of them are known.
    /// While drives may have strays, each key's second drive is asked before the first: a key on
    /// its way home is at the second until it is at the first.
    mutating func lookUpItems(of index: OperationIndex) -> Bool {
        guard let request = operations[index].request else {
            preconditionFailure("lookups without a request")
        }
        if !operations[index].hasAskedSeconds {
            if place.post.attendance.mayHaveStrays.bits != 0 {
                operations[index].looksForStrays = true
                guard lookUpEach(of: index, request) else { return false }
                if !operations[index].isAnswered { operations[index].nextItem = 0 }
            }
            operations[index].hasAskedSeconds = true
        }
        return lookUpEach(of: index, request)
    }

    private mutating func lookUpEach(of index: OperationIndex, _ request: Request) -> Bool {
        while operations[index].nextItem < operations[index].itemCount {
            if operations[index].itemsInProgress == 0 {
                if giveUpEarly(index) { return false }
            } else if operations[index].deadline <= now {
                // Nothing more is asked; what was asked is awaited.
                if !operations[index].isAnswered { answerLate(index) }
                operations[index].itemCount = operations[index].nextItem
                break
            }
            let item = operations[index].nextItem
            let place = request.body.start.advanced(by: UInt64(item * BodyLayout.keyBytes))
            let key = memory.arena.loadKey(place, namespace: request.namespace)
            guard lookUpItem(item, key, of: index) else { return false }
            operations[index].nextItem += 1
        }
        return operations[index].itemsInProgress == 0
    }

    /// Looks up one key, here or in another shard; false when `index` must wait for that.
    private mutating func lookUpItem(
        _ item: UInt32, _ key: BlockKey, of index: OperationIndex
    ) -> Bool {
        let route = route(of: key)
        guard let home = operations[index].hasAskedSeconds ? route.home : route.stray else {
            note(nil, item: item, of: index)
            return true
        }
        operations[index].key = key
        operations[index].shard = home.shard
        operations[index].drive = home.drive
        if isForeign(index) {
            guard ask(.lookup, for: index, item: item, at: home) else { return false }
            operations[index].itemsInProgress += 1
            return true
        }
        switch lookUp(index) {
        case .waiting: return false
        case .absent, .unavailable: note(nil, item: item, of: index)
        case .found(let entry):
            let found = FoundBlock(
                lengthBytes: entry.lengthBytes, checksum: entry.checksum, version: entry.version)
            note(found, item: item, of: index)
        }
        return true
    }

    /// Another shard has looked up a key for `index`.
    mutating func lookedUpElsewhere(_ index: OperationIndex, _ reply: PeerReply) {
        operations[index].itemsInProgress -= 1
        // Nobody looked: to call the key absent would be a lie.
        if reply.status == .deadlineExceeded, !operations[index].isAnswered { answerLate(index) }
        let found = FoundBlock(
            lengthBytes: reply.lengthBytes, checksum: reply.checksum, version: reply.version)
        note(reply.status == .ok ? found : nil, item: reply.item, of: index)
        let isLast =
            operations[index].itemsInProgress == 0
            && operations[index].nextItem == operations[index].itemCount
        if isLast, !operations[index].isWaiting { operations.append(index, to: &ready) }
    }

    /// Writes down what is known of an item. What its first drive has counts before what its second
    /// one has.
    private mutating func note(_ found: FoundBlock?, item: UInt32, of index: OperationIndex) {
        guard let request = operations[index].request, !operations[index].isAnswered else {
            return
        }
        let body = request.responseBody.start
        let isLast = operations[index].hasAskedSeconds
        let status: Status = found == nil ? .notFound : .ok
        switch request.operation {
        case .stat:
            guard let found else { return }
            let noted = memory.arena.loadWord(body.advanced(by: 16))
            if operations[index].isFound, noted > found.version.rawValue { return }
            memory.arena.storeWord(UInt64(found.lengthBytes), at: body)
            memory.arena.storeWord(found.checksum, at: body.advanced(by: 8))
            memory.arena.storeWord(found.version.rawValue, at: body.advanced(by: 16))
            operations[index].isFound = true
        case .exists:
            let place = body.advanced(by: UInt64(item * BodyLayout.statusItemBytes))
            let wasFound = isStray(at: place, of: index)
            if found == nil, wasFound { return }
            if isLast ? !wasFound : found != nil { countAnswer(status, to: .exists) }
            memory.arena.storeWord(UInt64(status.rawValue), at: place)
        case .tcpBatchGet:
            let place = body.advanced(by: UInt64(item * BodyLayout.batchGetItemBytes))
            if found == nil, isStray(at: place, of: index) { return }
            if found == nil, isLast { countAnswer(.notFound, to: .tcpBatchGet) }
            memory.arena.storeWord(
                UInt64(status.rawValue) | UInt64(found?.lengthBytes ?? 0) << 32, at: place)
            memory.arena.storeWord(found?.checksum ?? 0, at: place.advanced(by: 8))
        case .connect, .authenticate, .tcpPut, .tcpGet, .tcpDelete, .tcpBatchPut, .tcpBatchDelete,
            .write, .read, .batchWrite, .batchRead, .rdmaOpen, .allocate, .commit, .lookup,
            .release:
            preconditionFailure("lookups for a \(request.operation)")
        }
    }

    /// The item whose word stands at `place` was found on its second drive.
    private func isStray(at place: ArenaOffset, of index: OperationIndex) -> Bool {
        operations[index].looksForStrays && operations[index].hasAskedSeconds
            && UInt8(truncatingIfNeeded: memory.arena.loadWord(place)) == Status.ok.rawValue
    }

    private mutating func finishStat(_ index: OperationIndex, _ request: Request) {
        if operations[index].isFound, !operations[index].isAnswered {
            respond(
                index, to: request,
                Response(status: .ok, bodyBytes: BodyLayout.statResponseBytes))
        }
        finish(index, operations[index].isFound ? .ok : .notFound)
    }

    #if PLANTED_BUGS
    /// What a binary search for the end of a prefix believes: whatever is before a hit is there.
    private func bridgeHoles(in request: Request, itemCount: UInt32) {
        var isBehindHit = false
        for item in (0..<itemCount).reversed() {
            let place = request.responseBody.start.advanced(
                by: UInt64(item * BodyLayout.statusItemBytes))
            if memory.arena.loadWord(place) == UInt64(Status.ok.rawValue) { isBehindHit = true }
            if isBehindHit { memory.arena.storeWord(UInt64(Status.ok.rawValue), at: place) }
        }
    }
    #endif

    /// Answers a batch whose items' words stand in the response body, and ends it.
    mutating func finishBatch(_ index: OperationIndex, itemBytes: UInt32) {
        if let request = operations[index].request, !operations[index].isAnswered {
            #if PLANTED_BUGS
            if isPlanted(.prefixBeyondHole), request.operation == .exists {
                bridgeHoles(in: request, itemCount: operations[index].itemCount)
            }
            #endif
            var response = Response(
                status: .ok, bodyBytes: operations[index].itemCount * itemBytes)
            if operations[index].kind == .batchGet {
                // Every value in it has its own checksum, in its item.
                response.payloadBytes = UInt32(operations[index].payloadEnd)
            }
            respond(index, to: request, response)
        }
        finish(index, .ok)
    }
}
