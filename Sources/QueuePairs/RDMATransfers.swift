// Values between slabs and clients' memory, in chunks, and the responses behind them.
//
// Always holds: of a queue pair's work no more is posted than its send queue holds, and of its
// responses no more are under way than it has credits; what waits, waits here in order. A response
// is signed in the order in which responses are posted, and stands behind its values on the same
// queue pair, so that they are in the client's memory when it arrives. The last piece of each post
// is signalled, and no other.

internal import Engine
internal import Wire

extension RDMATransport {
    private static var chunkBytes: UInt64 { 256 << 10 }

    // MARK: - Answers

    /// Answers a request by the transport itself.
    func answer(_ row: Int, _ status: Status, payloadBytes: UInt32 = 0) {
        let request = rows[row].header
        // A value too large for the memory of its Read is nobody's mistake, and has a length.
        if status == .invalidRequest || status == .tooLarge && payloadBytes == 0 {
            fabric.count(1, as: .invalidRequests)
        }
        rows[row].response = FrameHeader(
            operation: request.operation, isResponse: true, status: status,
            namespace: request.namespace, requestID: request.requestID,
            payloadBytes: payloadBytes, isSigned: request.isSigned)
        queueResponse(row)
    }

    /// The engine's answer; its payload, if any, is in the row's lease.
    func answer(_ row: Int, _ response: Response) {
        let request = rows[row].header
        var header = FrameHeader(
            operation: request.operation, isResponse: true, status: response.status,
            namespace: request.namespace, requestID: request.requestID,
            bodyBytes: response.bodyBytes, payloadBytes: response.payloadBytes,
            payloadChecksum: response.payloadChecksum, isSigned: request.isSigned)
        if request.operation == .read, UInt64(response.payloadBytes) > rows[row].segmentBytes {
            header.status = .tooLarge
        }
        if request.operation == .batchRead {
            refuseLongItems(row, response)
            header.payloadBytes = 0
        }
        rows[row].response = header
        queueResponse(row)
    }

    private func queueResponse(_ row: Int) {
        rows[row].state = .answered
        rows[row].cursor = TransferCursor()
        rows[row].transferSince = .never
        fabric.count(1, as: .responses)
        transfer(row)
    }

    /// In a batch's answer, makes a value that is longer than its segment one that is too large.
    private func refuseLongItems(_ row: Int, _ response: Response) {
        guard let shape = rows[row].shape else { return }
        let items = response.bodyBytes / BodyLayout.batchGetItemBytes
        for item in 0..<min(items, shape.segmentCount) {
            let place = fetchItem(item, of: row)
            let word = arena.loadWord(place)
            guard UInt8(truncatingIfNeeded: word) == Status.ok.rawValue,
                let segment = segment(item, of: row, shape),
                word >> 32 > UInt64(segment.lengthBytes)
            else { continue }
            arena.storeWord(
                UInt64(Status.tooLarge.rawValue) | (word & ~0xFFFF_FFFF), at: place)
            arena.storeWord(0, at: place.advanced(by: 8))
        }
    }

    private func fetchItem(_ item: UInt32, of row: Int) -> ArenaOffset {
        memory.responseBody(row).start.advanced(
            by: UInt64(item * BodyLayout.batchGetItemBytes))
    }

    // MARK: - The send queue

    /// Puts a row behind the others of its queue pair that wait for the send queue.
    func transfer(_ row: Int) {
        let pair = pair(of: row)
        pairs[pair].transfers.append(row)
        postTransfers(pair)
    }

    /// Posts what fits of what waits.
    private func postTransfers(_ pair: Int) {
        while pairs[pair].state == .open, let row = pairs[pair].transfers.front {
            let isResponse = rows[row].state == .answered
            if isResponse, pairs[pair].sending == configuration.credits { return }
            guard post(row, isResponse: isResponse) else { return }
            _ = pairs[pair].transfers.popFirst()
        }
    }

    /// Posts the next pieces of a row's transfer, and its response. True when all is posted.
    private func post(_ row: Int, isResponse: Bool) -> Bool {
        let pair = pair(of: row)
        let kind: QueuePairWork.Kind = isResponse ? .write : .read
        while true {
            let used = pairs[pair].posted - pairs[pair].completed
            let room = min(configuration.sendsPerPair - Int(used), QueuePairWork.postLimit)
            guard room > 0 else { return false }
            var work = InlineArray<16, QueuePairWork>(repeating: empty(pair))
            var count = 0
            var isEnd = false
            while count < room {
                if let chunk = nextChunk(row, kind) {
                    work[count] = chunk
                    count += 1
                } else if isResponse {
                    work[count] = message(row)
                    count += 1
                    isEnd = true
                    break
                } else {
                    isEnd = true
                    break
                }
            }
            // A fetch whose last chunk filled the last post has nothing to post any more.
            if count == 0 { return true }
            isEnd = isEnd || !isResponse && isWhole(row)
            work[count - 1].isSignalled = true
            guard hand(work, count, row, isEnd: isEnd) else { return false }
            if isEnd {
                if isResponse { left(row) }
                return true
            }
        }
    }

    private func empty(_ pair: Int) -> QueuePairWork {
        let name = WorkName(
            isReceive: false, generation: pairs[pair].generation, index: pair)
        return QueuePairWork(
            kind: .send, workID: name.number,
            local: ArenaRange(start: ArenaOffset(0), length: .zero),
            localKey: pairs[pair].localKey)
    }

    /// Posts; false when the queue pair has failed with it.
    private func hand(
        _ work: borrowing InlineArray<16, QueuePairWork>, _ count: Int, _ row: Int, isEnd: Bool
    ) -> Bool {
        let pair = pair(of: row)
        if rows[row].transferSince == .never {
            rows[row].transferSince = fabric.now
        }
        do throws(QueuePairFailure) {
            try fabric.post(work, count: count, slot: pair)
        } catch {
            cells.countRDMAError()
            fabric.count(1, as: .lostQueuePairs)
            close(pair)
            return false
        }
        pairs[pair].posted += UInt64(count)
        pairs[pair].signals.append(
            WorkSignal(posted: pairs[pair].posted, row: row, isEnd: isEnd))
        return true
    }

    /// A row's response is with the device.
    private func left(_ row: Int) {
        let pair = pair(of: row)
        rows[row].state = .sending
        pairs[pair].sending += 1
        pairs[pair].unanswered -= 1
    }

    // MARK: - Chunks

    /// Whether a fetch has all its chunks posted.
    private func isWhole(_ row: Int) -> Bool {
        guard let shape = rows[row].shape else { return true }
        return rows[row].cursor.segment == shape.segmentCount
    }

    /// The next chunk of a row's values, behind which its cursor moves; nil when there is none.
    private func nextChunk(_ row: Int, _ kind: QueuePairWork.Kind) -> QueuePairWork? {
        guard let shape = rows[row].shape else { return nil }
        if kind == .write, rows[row].outbound == nil || rows[row].response.status != .ok {
            return nil
        }
        while rows[row].cursor.segment < shape.segmentCount {
            let cursor = rows[row].cursor
            guard let segment = segment(cursor.segment, of: row, shape) else {
                preconditionFailure("a segment that was there is none")
            }
            let wanted = wantedBytes(row, segment)
            let left = wanted.transferred - UInt64(cursor.insideSegment)
            if left == 0 {
                moveOn(row, payloadBytes: wanted.inPayload)
                continue
            }
            guard let piece = piece(row, kind, limit: min(left, Self.chunkBytes)) else {
                preconditionFailure("values without slabs")
            }
            rows[row].cursor.insideSegment += UInt32(piece.length.rawValue)
            var work = empty(pair(of: row))
            work.kind = kind
            work.local = piece
            work.remoteAddress = segment.address + UInt64(cursor.insideSegment)
            work.remoteKey = segment.remoteKey
            #if PLANTED_BUGS
            if let other = anotherRequestsSegment(row, kind, lengthBytes: UInt32(left)) {
                (work.remoteAddress, work.remoteKey) = (other.address, other.remoteKey)
            }
            #endif
            if UInt64(rows[row].cursor.insideSegment) == wanted.transferred {
                moveOn(row, payloadBytes: wanted.inPayload)
            }
            fabric.count(
                piece.length.rawValue, as: kind == .read ? .bytesReceived : .bytesSent)
            return work
        }
        return nil
    }

    #if PLANTED_BUGS
    private func anotherRequestsSegment(
        _ row: Int, _ kind: QueuePairWork.Kind, lengthBytes: UInt32
    ) -> RemoteSegment? {
        guard isPlanted(.transferIntoAnotherRequest), kind == .write else { return nil }
        for other in rows(of: pair(of: row)) where other != row && rows[other].state == .taken {
            guard let shape = rows[other].shape, rows[other].header.operation == .read,
                let segment = segment(0, of: other, shape), segment.lengthBytes >= lengthBytes
            else { continue }
            return segment
        }
        return nil
    }
    #endif

    /// Of the cursor's segment: bytes to be transferred, and bytes it has in the payload.
    private func wantedBytes(
        _ row: Int, _ segment: RemoteSegment
    ) -> (transferred: UInt64, inPayload: UInt64) {
        let length = UInt64(segment.lengthBytes)
        switch rows[row].header.operation {
        case .read:
            let rest = UInt64(rows[row].response.payloadBytes) - rows[row].cursor.payloadOffset
            return (min(length, rest), min(length, rest))
        case .batchRead:
            let word = arena.loadWord(fetchItem(rows[row].cursor.segment, of: row))
            let isOK = UInt8(truncatingIfNeeded: word) == Status.ok.rawValue
            return (isOK ? word >> 32 : 0, word >> 32)
        default: return (length, length)
        }
    }

    /// Goes over to the next segment.
    private func moveOn(_ row: Int, payloadBytes: UInt64) {
        let isBatch = rows[row].header.operation.isBatch
        let offset = rows[row].cursor.payloadOffset
        rows[row].cursor.payloadOffset =
            isBatch
            ? BodyLayout.nextBatchOffset(after: offset, lengthBytes: UInt32(payloadBytes))
            : offset + payloadBytes
        rows[row].cursor.segment += 1
        rows[row].cursor.insideSegment = 0
    }

    /// The contiguous memory of the values from the cursor on.
    private func piece(_ row: Int, _ kind: QueuePairWork.Kind, limit: UInt64) -> ArenaRange? {
        let cursor = rows[row].cursor
        let offset = cursor.payloadOffset + UInt64(cursor.insideSegment)
        return kind == .read
            ? rows[row].inbound?.piece(at: offset, limit: ByteCount(limit))
            : rows[row].outbound?.piece(at: offset, limit: ByteCount(limit))
    }

    /// A row's response as a message, signed.
    private func message(_ row: Int) -> QueuePairWork {
        let pair = pair(of: row)
        let header = rows[row].response
        var bytes = RDMAMemory.headerBytes + UInt64(header.bodyBytes)
        var words = header.words
        if header.isSigned, let tag = pairs[pair].outgoing?.beginFrame(words) {
            words = FrameHeader.words(words, tag: tag)
            if header.bodyBytes > 0, var code = pairs[pair].outgoing?.beginBody() {
                let body = memory.responseBody(row)
                let length = UInt64(header.bodyBytes)
                arena.add(body.part(at: 0, length: ByteCount(length)), to: &code)
                let tag = FrameTag(ending: code)
                arena.storeWord(tag.words[0], at: body.start.advanced(by: length))
                arena.storeWord(tag.words[1], at: body.start.advanced(by: length + 8))
                bytes += RDMAMemory.tagBytes
            }
        }
        let range = memory.response(row)
        for index in 0..<8 {
            arena.storeWord(words[index], at: range.start.advanced(by: UInt64(index) * 8))
        }
        var work = empty(pair)
        work.local = range.part(at: 0, length: ByteCount(bytes))
        fabric.count(bytes, as: .bytesSent)
        return work
    }

    // MARK: - Ends

    /// The oldest signalled work of a queue pair has completed, and all before it.
    func workEnded(_ pair: Int) {
        guard let signal = pairs[pair].signals.popFirst() else {
            preconditionFailure("a completion of work that wasn't signalled")
        }
        pairs[pair].completed = signal.posted
        if signal.isEnd { transferEnded(signal.row) }
        postTransfers(pair)
    }

    private func transferEnded(_ row: Int) {
        let pair = pair(of: row)
        let now = fabric.now
        let duration = now.microseconds(since: rows[row].transferSince)
        switch rows[row].state {
        case .pulling:
            cells.recordRDMARead(microseconds: duration)
            enqueue(row)
        case .sending:
            if rows[row].outbound != nil { cells.recordRDMAWrite(microseconds: duration) }
            pairs[pair].sending -= 1
            releaseOutbound(row)
            postReceive(row)
        case .idle, .posted, .waiting, .leasing, .ready, .taken, .orphaned, .answered:
            preconditionFailure("a transfer ended in state \(rows[row].state)")
        }
    }

    private func postReceive(_ row: Int) {
        let pair = pair(of: row)
        guard pairs[pair].state == .open else { return }
        rows[row].state = .posted
        let name = WorkName(isReceive: true, generation: pairs[pair].generation, index: row)
        do throws(QueuePairFailure) {
            try fabric.postReceive(
                into: memory.request(row), localKey: pairs[pair].localKey,
                workID: name.number, slot: pair)
        } catch {
            cells.countRDMAError()
            fabric.count(1, as: .lostQueuePairs)
            close(pair)
        }
    }
}

extension OperationCode {
    /// Several keys, whose values stand at multiples of `BodyLayout.batchAlignmentBytes`.
    fileprivate var isBatch: Bool { self == .batchRead || self == .batchWrite }
}
