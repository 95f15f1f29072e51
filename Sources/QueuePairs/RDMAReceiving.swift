// The way in: from a message to a request whose values are in slabs.
//
// Always holds: a message's header is believed only after its tag, and its body after its own;
// memory that a request names is looked at only by the device, and only as far as the request's
// segments go. A message that is none, or has a wrong tag, ends its queue pair: the count of
// frames would be wrong ever after. A request that is only wrong is answered so.

internal import Engine
internal import Wire

extension RDMATransport {
    /// A message has come.
    func received(_ row: Int, bytes: Int) {
        let pair = pair(of: row)
        let length = UInt64(bytes)
        fabric.count(length, as: .bytesReceived)
        guard length >= RDMAMemory.headerBytes, hasCredit(pair) else {
            end(pair, for: .malformedMessages)
            return
        }
        let start = memory.request(row).start
        var words = InlineArray<8, UInt64>(repeating: 0)
        for index in 0..<8 {
            words[index] = arena.loadWord(start.advanced(by: UInt64(index) * 8))
        }
        if pairs[pair].isSigned, !isGenuine(words, pair) {
            end(pair, for: .forgedMessages)
            return
        }
        let header: FrameHeader
        do throws(FrameError) {
            header = try FrameHeader(words: words, limits: frameLimits)
        } catch {
            end(pair, for: .malformedMessages)
            return
        }
        let tags = UInt64(header.tagBytes(tagsPayloads: false))
        guard header.isSigned == pairs[pair].isSigned, !header.isResponse, header.status == .ok,
            length == RDMAMemory.headerBytes + UInt64(header.bodyBytes) + tags
        else {
            end(pair, for: .malformedMessages)
            return
        }
        if header.isSigned, header.bodyBytes > 0, !hasGenuineBody(row, header) {
            end(pair, for: .forgedMessages)
            return
        }
        begin(row, header)
    }

    private func hasCredit(_ pair: Int) -> Bool {
        #if PLANTED_BUGS
        if isPlanted(.creditsNotCounted) { return true }
        #endif
        return pairs[pair].unanswered < configuration.credits
    }

    private func end(_ pair: Int, for reason: RDMACounter) {
        fabric.count(1, as: reason)
        close(pair)
    }

    private func isGenuine(_ words: InlineArray<8, UInt64>, _ pair: Int) -> Bool {
        guard let tag = pairs[pair].incoming?.beginFrame(words) else { return false }
        return tag.matches(FrameTag(of: words))
    }

    private func hasGenuineBody(_ row: Int, _ header: FrameHeader) -> Bool {
        guard var code = pairs[pair(of: row)].incoming?.beginBody() else { return false }
        let bytes = UInt64(header.bodyBytes)
        let body = memory.body(row)
        arena.add(body.part(at: 0, length: ByteCount(bytes)), to: &code)
        let place = body.start.advanced(by: bytes)
        let tag = FrameTag(words: [arena.loadWord(place), arena.loadWord(place.advanced(by: 8))])
        return FrameTag(ending: code).matches(tag)
    }

    /// A genuine message is a request.
    private func begin(_ row: Int, _ header: FrameHeader) {
        let pair = pair(of: row)
        fabric.count(1, as: .requests)
        pairs[pair].unanswered += 1
        rows[row].generation &+= 1
        rows[row].header = header
        rows[row].arrival = fabric.now
        rows[row].shape = nil
        rows[row].payloadBytes = 0
        rows[row].segmentBytes = 0
        rows[row].knownResponseBytes = 0
        rows[row].cursor = TransferCursor()
        rows[row].transferSince = .never
        guard owners?.mayUse(header.namespace, pairs[pair].owner) ?? false else {
            fabric.count(1, as: .forbiddenRequests)
            answer(row, .forbidden)
            return
        }
        if header.operation.isAboutLeases {
            beginLeaseRequest(row)
        } else if let refusal = understand(row) {
            answer(row, refusal)
        } else if rows[row].payloadBytes == 0 {
            enqueue(row)
        } else if slabWaiters.isEmpty, findSlabs(row) {
            pull(row)
        } else {
            rows[row].state = .waiting
            waitForSlabs(row)
        }
    }

    /// Reads what memory a request names. Returns what is wrong with it; nil when nothing is.
    private func understand(_ row: Int) -> Status? {
        let header = rows[row].header
        switch header.operation {
        case .exists, .stat, .tcpDelete, .tcpBatchDelete:
            return header.payloadBytes == 0 ? nil : .invalidRequest
        case .write, .read, .batchWrite, .batchRead:
            // Its domain doesn't hold the slabs that the server would move values from and to.
            if pairs[pair(of: row)].isForLeases { return .invalidRequest }
        case .connect, .authenticate, .tcpPut, .tcpGet, .tcpBatchPut, .tcpBatchGet, .rdmaOpen,
            .allocate, .commit, .lookup, .release:
            return .invalidRequest
        }
        guard let shape = RemoteBodyShape(of: header.operation, bodyBytes: header.bodyBytes),
            arena.loadWord(memory.body(row).start.advanced(by: UInt64(shape.countOffset)))
                == UInt64(shape.segmentCount)
        else { return .invalidRequest }
        rows[row].shape = shape
        var total: UInt64 = 0
        var end: UInt64 = 0
        var offset: UInt64 = 0
        for index in 0..<shape.segmentCount {
            guard let segment = segment(index, of: row, shape) else { return .invalidRequest }
            total += UInt64(segment.lengthBytes)
            guard header.operation == .batchWrite else { continue }
            guard itemBytes(index, of: row) == UInt64(segment.lengthBytes) else {
                return .invalidRequest
            }
            end = offset + UInt64(segment.lengthBytes)
            offset = BodyLayout.nextBatchOffset(after: offset, lengthBytes: segment.lengthBytes)
        }
        rows[row].segmentBytes = total
        switch header.operation {
        case .write, .batchWrite:
            guard UInt64(header.payloadBytes) == total else { return .invalidRequest }
            let payload = header.operation == .write ? total : end
            guard payload <= UInt64(configuration.payloadLimitBytes) else { return .tooLarge }
            rows[row].payloadBytes = UInt32(payload)
        default:
            guard header.payloadBytes == 0 else { return .invalidRequest }
        }
        return nil
    }

    /// What a batch of writes says of an item's length, with the zeros that must follow it.
    private func itemBytes(_ item: UInt32, of row: Int) -> UInt64 {
        let place = UInt64(item * BodyLayout.batchPutItemBytes) + UInt64(BodyLayout.keyBytes)
        return arena.loadWord(memory.body(row).start.advanced(by: place))
    }

    /// A segment of a request; nil when it is none.
    func segment(_ index: UInt32, of row: Int, _ shape: RemoteBodyShape) -> RemoteSegment? {
        let offset = shape.segmentsOffset + index * RemoteSegment.byteCount
        let place = memory.body(row).start.advanced(by: UInt64(offset))
        return try? RemoteSegment(
            words: [arena.loadWord(place), arena.loadWord(place.advanced(by: 8))])
    }

    /// Slabs are there: has the values fetched.
    func pull(_ row: Int) {
        rows[row].state = .pulling
        transfer(row)
    }
}
