// Intake: from a request to an operation, and from an operation's end to its answer.
//
// Always holds: a request that isn't well-formed is answered at once and changes nothing; every
// request is answered once; an operation that ends gives back its key, its memory and its place.

import Wire

/// Most time any request is given, with or without a deadline of its own.
private let longestRequestMicroseconds: UInt64 = 60_000_000

/// A step takes no more requests once their payloads have so many bytes: all of them are verified
/// in this step, whose writes and flushes reach the drives when it ends; meanwhile the drives would
/// stand idle.
private let payloadBytesPerStep: UInt64 = 1 << 20

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func takeRequests() {
        guard phase == .serving || phase == .draining else { return }
        var payloadBytes: UInt64 = 0
        while operations.ownInUse < operations.ownCount / 2, payloadBytes < payloadBytesPerStep,
            let request = transport.nextRequest(now: now)
        {
            hasWorked = true
            if phase == .draining {
                refuse(request, .shuttingDown)
            } else if request.deadline <= now {
                cells.add(to: .deadlineResponses)
                refuse(request, .deadlineExceeded)
            } else {
                payloadBytes += UInt64(request.payloadBytes)
                admit(request)
            }
        }
    }

    private mutating func refuse(_ request: Request, _ status: Status) {
        if status == .invalidRequest || status == .tooLarge { cells.add(to: .invalidRequests) }
        transport.respond(to: request.handle, with: Response(status: status), payload: nil)
    }

    private mutating func admit(_ request: Request) {
        if let problem = malformation(of: request) {
            refuse(request, problem)
            return
        }
        guard let kind = kind(of: request.operation) else {
            refuse(request, .invalidRequest)
            return
        }
        if !request.isRepeated { count(request) }
        guard let index = operations.take(kind, leaving: 0) else {
            refuse(request, .busy)
            return
        }
        operations[index].request = request
        operations[index].arrival = request.arrival
        let longest = request.arrival.advanced(byMicroseconds: longestRequestMicroseconds)
        operations[index].deadline = min(request.deadline, longest)
        #if PLANTED_BUGS
        if isPlanted(.deadlineForgotten) { earliestDeadline = .never }
        #endif
        earliestDeadline = min(earliestDeadline, operations[index].deadline)
        operations[index].itemCount = itemCount(of: request)
        if kind == .put || kind == .get || kind == .remove {
            operations[index].lead = Lead()
            #if PLANTED_BUGS
            let namespace =
                isPlanted(.namespaceDropped) ? Namespace(0) : request.namespace
            #else
            let namespace = request.namespace
            #endif
            setKey(
                of: index, to: memory.arena.loadKey(request.body.start, namespace: namespace))
        }
        if let payload = transport.takePayload(of: request.handle) {
            operations[index].payload = payload.chain
            operations[index].lease = consume payload
        }
        if kind == .put {
            operations[index].entry.key = operations[index].key
            operations[index].entry.lengthBytes = request.payloadBytes
            operations[index].entry.checksum = request.payloadChecksum
        }
        operations.append(index, to: &ready)
    }

    /// What kind of operation a request becomes; nil for those that never reach an engine.
    private func kind(of operation: OperationCode) -> OperationKind? {
        switch operation {
        case .tcpPut: .put
        case .tcpGet: .get
        case .tcpDelete: .remove
        case .exists, .stat: .lookups
        case .tcpBatchGet: .batchGet
        case .tcpBatchPut: .batchPut
        case .tcpBatchDelete: .batchDelete
        case .connect, .authenticate, .write, .read, .batchWrite, .batchRead, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            nil
        }
    }

    private func count(_ request: Request) {
        let keys = UInt64(itemCount(of: request))
        switch request.operation {
        case .tcpPut: cells.add(to: .putRequests)
        case .tcpGet: cells.add(to: .getRequests)
        case .tcpDelete: cells.add(to: .deleteRequests)
        case .exists:
            cells.add(to: .existsRequests)
            cells.add(keys, to: .existsKeys)
        case .stat: cells.add(to: .statRequests)
        case .tcpBatchGet:
            cells.add(to: .batchGetRequests)
            cells.add(keys, to: .batchGetKeys)
        case .tcpBatchPut:
            cells.add(to: .batchPutRequests)
            cells.add(keys, to: .batchPutKeys)
        case .tcpBatchDelete:
            cells.add(to: .batchDeleteRequests)
            cells.add(keys, to: .batchDeleteKeys)
        case .connect, .authenticate, .write, .read, .batchWrite, .batchRead, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            break
        }
    }

    /// Where the time that a request takes is recorded; nil for those that never reach an engine.
    private func timing(of operation: OperationCode) -> ShardTiming? {
        switch operation {
        case .tcpPut: .put
        case .tcpGet: .get
        case .tcpDelete: .delete
        case .exists: .exists
        case .stat: .stat
        case .tcpBatchGet: .batchGet
        case .tcpBatchPut: .batchPut
        case .tcpBatchDelete: .batchDelete
        case .connect, .authenticate, .write, .read, .batchWrite, .batchRead, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            nil
        }
    }

    /// Tells an operation its key, and with it its shard and its drive.
    mutating func setKey(of index: OperationIndex, to key: BlockKey) {
        let home = route(of: key).home
        operations[index].key = key
        operations[index].shard = home.shard
        operations[index].drive = home.drive
    }

    #if PLANTED_BUGS
    func rotated(_ key: BlockKey) -> BlockKey {
        BlockKey(
            namespace: key.namespace,
            words: (key.word0 &+ UInt64(peers.count), key.word1, key.word2, key.word3))
    }
    #endif

    private func itemCount(of request: Request) -> UInt32 {
        let bytes = UInt32(request.body.length.rawValue)
        return request.operation == .tcpBatchPut
            ? bytes / BodyLayout.batchPutItemBytes : bytes / BodyLayout.keyBytes
    }

    /// What is wrong with a request's shape; nil when nothing is.
    private func malformation(of request: Request) -> Status? {
        let bodyBytes = UInt32(request.body.length.rawValue)
        let count = itemCount(of: request)
        switch request.operation {
        case .tcpPut:
            if bodyBytes != BodyLayout.keyBytes || request.payloadBytes == 0 {
                return .invalidRequest
            }
            return request.payloadBytes > configuration.valueLimitBytes ? .tooLarge : nil
        case .tcpGet, .tcpDelete, .stat:
            return bodyBytes == BodyLayout.keyBytes && request.payloadBytes == 0
                ? nil : .invalidRequest
        case .exists, .tcpBatchGet, .tcpBatchDelete:
            guard count > 0, bodyBytes == count * BodyLayout.keyBytes, request.payloadBytes == 0
            else { return .invalidRequest }
            return count > configuration.batchLimit ? .tooLarge : nil
        case .tcpBatchPut:
            guard count > 0, bodyBytes == count * BodyLayout.batchPutItemBytes else {
                return .invalidRequest
            }
            return count > configuration.batchLimit ? .tooLarge : batchPutMalformation(of: request)
        case .connect, .authenticate, .write, .read, .batchWrite, .batchRead, .allocate, .commit,
            .lookup, .release:
            return .invalidRequest
        // A transport that has RDMA answers it by itself.
        case .rdmaOpen:
            return bodyBytes == 0 && request.payloadBytes == 0 ? .unsupported : .invalidRequest
        }
    }

    // MARK: Ending

    /// Ends an operation: gives back what it holds and answers whoever waits for it.
    mutating func finish(_ index: OperationIndex, _ status: Status) {
        if operations[index].holdsKey {
            let key = operations[index].key
            if let heir = locks.release(key, by: index, in: &operations) {
                #if PLANTED_BUGS
                let isForgotten = isPlanted(.heirNotWoken) && status != .ok
                if !isForgotten { operations.append(heir, to: &ready) }
                #else
                operations.append(heir, to: &ready)
                #endif
            }
        }
        if operations[index].kind == .remove, operations[index].reason == .evicted {
            let drive = operations[index].drive
            drives[drive].stagedRemovals -= 1
            // Nothing comes free: who counted on it must look for room elsewhere.
            if status != .ok { wakeSpaceWaiters(drive) }
        }
        letGo(ofHeld: index)
        uncharge(index)
        if operations[index].kind == .remove, operations[index].reason == .superseded,
            operations[index].caller == nil
        {
            noteForgotten(index, status)
        }
        if goesOn(index, after: status) { return }
        let parent = operations[index].parent
        if parent != .none {
            let (item, entry) = (operations[index].item, operations[index].entry)
            operations.giveBack(index)
            itemFinished(of: parent, item: item, status, entry)
            return
        }
        if let caller = operations[index].caller {
            reply(index, to: caller, status)
        } else if !operations[index].isAnswered {
            answer(index, status)
        }
        operations.giveBack(index)
    }

    private mutating func answer(_ index: OperationIndex, _ status: Status) {
        guard let request = operations[index].request else {
            preconditionFailure("an answer to nobody")
        }
        var response = Response(status: status)
        if status == .ok, operations[index].kind == .get {
            response.payloadBytes = operations[index].entry.lengthBytes
            response.payloadChecksum = operations[index].entry.checksum
        }
        respond(index, to: request, response)
    }

    /// Counts what a client is told of one key: a batch is an answer for each of its keys.
    func countAnswer(_ status: Status, to operation: OperationCode) {
        switch status {
        case .notFound:
            cells.add(to: .notFoundResponses)
            if operation == .tcpGet || operation == .tcpBatchGet { cells.add(to: .readMisses) }
        case .noSpace, .fileSystemFull: cells.add(to: .noSpaceResponses)
        case .ok, .invalidRequest, .unsupportedVersion, .tooLarge, .checksumMismatch,
            .deadlineExceeded, .outcomeUnknown, .driveUnavailable, .busy, .shuttingDown,
            .unauthenticated, .forbidden, .unsupported, .unavailable, .unknownLease:
            break
        }
    }

    /// Sends a response, with the operation's lease when the response has a payload.
    mutating func respond(_ index: OperationIndex, to request: Request, _ response: Response) {
        operations[index].isAnswered = true
        countAnswer(response.status, to: request.operation)
        if let timing = timing(of: request.operation) {
            cells.record(now.microseconds(since: operations[index].arrival), in: timing)
        }
        if response.payloadBytes > 0 {
            let lease = operations[index].lease.take()
            transport.respond(to: request.handle, with: response, payload: consume lease)
        } else {
            transport.respond(to: request.handle, with: response, payload: nil)
        }
    }

    /// True when the response of `index` may have a payload of `lengthBytes`. Otherwise the
    /// operation is over, and its request waits in the transport.
    mutating func isAdmitted(_ index: OperationIndex, lengthBytes: UInt64) -> Bool {
        guard let request = operations[index].request, !operations[index].isAnswered else {
            return true
        }
        if transport.admitsResponse(to: request.handle, lengthBytes: lengthBytes) { return true }
        letGo(ofHeld: index)
        uncharge(index)
        operations.giveBack(index)
        return false
    }

    /// The operation's deadline has passed: its client is told, the operation goes on by itself.
    mutating func answerLate(_ index: OperationIndex) {
        guard let request = operations[index].request else { return }
        var isChange: Bool
        switch operations[index].kind {
        case .put, .remove:
            switch operations[index].state {
            case .moving, .awaitingFlush, .voiding, .awaitingVoid: isChange = true
            case .forwarded: isChange = operations[index].lead?.leg != .lookingSecond
            case .begun, .verifying, .waitingForKey, .lookingUp, .placing, .collecting:
                isChange = false
            }
            isChange = isChange || operations[index].lead?.hasChanged ?? false
        case .batchPut, .batchDelete: isChange = operations[index].nextItem > 0
        case .get, .lookups, .batchGet, .peerLookup, .evictor: isChange = false
        }
        cells.add(to: .deadlineResponses)
        #if PLANTED_BUGS
        if isPlanted(.unknownCalledFailed) { isChange = false }
        #endif
        let status: Status = isChange ? .outcomeUnknown : .deadlineExceeded
        respond(index, to: request, Response(status: status))
    }

    /// The drive of `index` may never be done with it: its client is told now, the operation goes
    /// on by itself.
    mutating func answerEarly(_ index: OperationIndex, _ status: Status) {
        guard let request = operations[index].request else { return }
        respond(index, to: request, Response(status: status))
    }

    /// Ends an operation whose deadline has passed before it began anything; true when it did.
    mutating func giveUpEarly(_ index: OperationIndex) -> Bool {
        let owner = operations[index].parent == .none ? index : operations[index].parent
        guard operations[owner].deadline <= now else { return false }
        if !operations[owner].isAnswered { answerLate(owner) }
        finish(index, .deadlineExceeded)
        return true
    }
}
