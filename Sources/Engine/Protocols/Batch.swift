// Batch: many puts, gets or deletes in one frame: one parent operation, one item operation per key.
//
//   batchPut, batchDelete   begun ──► collecting: items begin as places are free ──► ok
//   batchGet                begun: looks every key up (Lookups.swift), plans the payload
//                           ──► collecting ──► ok
//
// Always holds: the parent owns the memory of the whole batch until its last item has ended; each
// item has a status of its own; a batch is answered once, when all its items have ended.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advanceBatch(_ index: OperationIndex) {
        switch (operations[index].kind, operations[index].state) {
        case (.batchGet, .begun): planBatchGet(index)
        case (_, .begun):
            operations[index].state = .collecting
            beginItems(index)
        case (_, .collecting): beginItems(index)
        default:
            preconditionFailure("a batch resumed in state \(operations[index].state)")
        }
    }

    // MARK: Items

    private mutating func beginItems(_ parent: OperationIndex) {
        while operations[parent].nextItem < operations[parent].itemCount {
            if operations[parent].isAnswered {
                // The deadline has passed: what hasn't begun doesn't begin.
                operations[parent].itemCount = operations[parent].nextItem
                break
            }
            let item = operations[parent].nextItem
            if operations[parent].kind == .batchGet,
                itemStatus(parent, item) != Status.ok.rawValue
            {
                operations[parent].nextItem += 1
                continue
            }
            guard
                let child = operations.take(
                    Self.itemKind(operations[parent].kind), leaving: reservedForItems)
            else {
                if operations[parent].itemsInProgress == 0 {
                    operations.append(parent, to: &itemWaiters)
                }
                return
            }
            operations[parent].nextItem += 1
            operations[parent].itemsInProgress += 1
            operations[child].parent = parent
            operations[child].item = item
            operations[child].arrival = operations[parent].arrival
            describe(child, item: item, of: parent)
            operations.append(child, to: &ready)
        }
        if operations[parent].itemsInProgress == 0 { endBatch(parent) }
    }

    private static func itemKind(_ kind: OperationKind) -> OperationKind {
        switch kind {
        case .batchPut: .put
        case .batchGet: .get
        case .batchDelete: .remove
        case .put, .get, .remove, .lookups, .peerLookup, .evictor:
            preconditionFailure("a \(kind) has no items")
        }
    }

    private mutating func describe(
        _ child: OperationIndex, item: UInt32, of parent: OperationIndex
    ) {
        guard let request = operations[parent].request else {
            preconditionFailure("a batch without a request")
        }
        let isPut = operations[parent].kind == .batchPut
        let itemBytes = isPut ? BodyLayout.batchPutItemBytes : BodyLayout.keyBytes
        let place = request.body.start.advanced(by: UInt64(item * itemBytes))
        setKey(of: child, to: memory.arena.loadKey(place, namespace: request.namespace))
        operations[child].entry.key = operations[child].key
        operations[child].payload = operations[parent].payload
        if isPut {
            operations[child].entry.lengthBytes = UInt32(
                truncatingIfNeeded: memory.arena.loadWord(place.advanced(by: 32)))
            operations[child].entry.checksum = memory.arena.loadWord(place.advanced(by: 40))
            operations[child].payloadOffset = operations[parent].payloadBytes
            operations[parent].payloadBytes = BodyLayout.nextBatchOffset(
                after: operations[parent].payloadBytes,
                lengthBytes: operations[child].entry.lengthBytes)
        } else if operations[parent].kind == .batchGet {
            let words = batchGetItem(item, of: request)
            operations[child].entry.lengthBytes = UInt32(
                truncatingIfNeeded: memory.arena.loadWord(words) >> 32)
            operations[child].entry.checksum = memory.arena.loadWord(words.advanced(by: 8))
            operations[child].payloadOffset = batchGetOffset(of: item, request)
            operations[child].isPlanned = true
        }
    }

    /// An item of `parent` has ended.
    mutating func itemFinished(
        of parent: OperationIndex, item: UInt32, _ status: Status, _ entry: BlockEntry
    ) {
        operations[parent].itemsInProgress -= 1
        if !operations[parent].isAnswered, let request = operations[parent].request {
            countAnswer(status, to: request.operation)
            if operations[parent].kind == .batchGet {
                if status != .ok { failBatchGetItem(item, of: request, status) }
            } else {
                memory.arena.storeWord(
                    UInt64(status.rawValue),
                    at: request.responseBody.start.advanced(
                        by: UInt64(item * BodyLayout.statusItemBytes)))
            }
        }
        if !operations[parent].isWaiting { operations.append(parent, to: &ready) }
    }

    private mutating func endBatch(_ parent: OperationIndex) {
        finishBatch(
            parent,
            itemBytes: operations[parent].kind == .batchGet
                ? BodyLayout.batchGetItemBytes : BodyLayout.statusItemBytes)
    }

    // MARK: Gets

    private func batchGetItem(_ item: UInt32, of request: Request) -> ArenaOffset {
        request.responseBody.start.advanced(by: UInt64(item * BodyLayout.batchGetItemBytes))
    }

    private func itemStatus(_ parent: OperationIndex, _ item: UInt32) -> UInt8 {
        guard let request = operations[parent].request else { return Status.notFound.rawValue }
        return UInt8(truncatingIfNeeded: memory.arena.loadWord(batchGetItem(item, of: request)))
    }

    /// A planned value didn't come: its place in the payload stays, zeroed, so that the others'
    /// stand.
    private mutating func failBatchGetItem(_ item: UInt32, of request: Request, _ status: Status) {
        let place = batchGetItem(item, of: request)
        let length = memory.arena.loadWord(place) >> 32
        memory.arena.storeWord(UInt64(status.rawValue) | length << 32, at: place)
    }

    private func batchGetOffset(of item: UInt32, _ request: Request) -> UInt64 {
        var offset: UInt64 = 0
        for earlier in 0..<item {
            let word = memory.arena.loadWord(batchGetItem(earlier, of: request))
            offset = BodyLayout.nextBatchOffset(
                after: offset, lengthBytes: UInt32(truncatingIfNeeded: word >> 32))
        }
        return offset
    }

    /// Plans where each value goes, once every key has been looked up; then takes the memory and
    /// begins to read.
    private mutating func planBatchGet(_ index: OperationIndex) {
        guard lookUpItems(of: index) else { return }
        guard let request = operations[index].request, !operations[index].isAnswered else {
            finish(index, .deadlineExceeded)
            return
        }
        // Begun anew when it had to wait for slabs.
        operations[index].payloadBytes = 0
        for item in 0..<operations[index].itemCount {
            let place = batchGetItem(item, of: request)
            let word = memory.arena.loadWord(place)
            guard UInt8(truncatingIfNeeded: word) == Status.ok.rawValue else { continue }
            let length = UInt32(truncatingIfNeeded: word >> 32)
            let end = operations[index].payloadBytes + UInt64(length)
            if end > UInt64(configuration.valueLimitBytes) {
                memory.arena.storeWord(UInt64(Status.tooLarge.rawValue), at: place)
                memory.arena.storeWord(0, at: place.advanced(by: 8))
                continue
            }
            operations[index].payloadEnd = end
            operations[index].payloadBytes = BodyLayout.nextBatchOffset(
                after: operations[index].payloadBytes, lengthBytes: length)
        }
        beginBatchGet(index)
    }

    private mutating func beginBatchGet(_ index: OperationIndex) {
        if operations[index].payloadBytes > 0 {
            let length = ByteCount(operations[index].payloadEnd)
            guard isAdmitted(index, lengthBytes: length.rawValue) else { return }
            guard let lease = memory.slabs.lease(lengthBytes: length) else {
                waitForSlabs(index, length)
                return
            }
            zero(lease, length: operations[index].payloadEnd)
            operations[index].payload = lease.chain
            operations[index].lease = consume lease
        }
        operations[index].nextItem = 0
        operations[index].state = .collecting
        beginItems(index)
    }

    private func zero(_ lease: borrowing SlabLease, length: UInt64) {
        var position: UInt64 = 0
        while position < length {
            let piece = lease.piece(at: position, limit: ByteCount(length - position))
            memory.arena.zero(piece)
            position += piece.length.rawValue
        }
    }

    // MARK: Puts

    /// What is wrong with the values that a batch of puts announces; nil when nothing is.
    func batchPutMalformation(of request: Request) -> Status? {
        let count = UInt32(request.body.length.rawValue) / BodyLayout.batchPutItemBytes
        var offset: UInt64 = 0
        var end: UInt64 = 0
        for item in 0..<count {
            let place = request.body.start.advanced(
                by: UInt64(item * BodyLayout.batchPutItemBytes) + 32)
            let word = memory.arena.loadWord(place)
            let length = UInt32(truncatingIfNeeded: word)
            if word >> 32 != 0 || length == 0 { return .invalidRequest }
            if length > configuration.valueLimitBytes { return .tooLarge }
            end = offset + UInt64(length)
            offset = BodyLayout.nextBatchOffset(after: offset, lengthBytes: length)
        }
        return end == UInt64(request.payloadBytes) ? nil : .invalidRequest
    }
}
