// The incoming half of ClientSession: header -> body -> payload -> outcome, one response after
// another.
//
// Always holds: with a key, nothing of a response is looked at before its tag was found right, the
// refusal of a handshake excepted; a response is matched by its request id, in whatever order it
// comes; its operation and lengths are checked before a byte of payload is believed. Anything else
// throws, and the caller breaks the session.

package import Wire

extension ClientSession {
    /// Four times the largest slot: buffers are made as large as a server says.
    private static let longestValueBytes: UInt32 = 64 << 20

    /// Takes a response's header; returns how many words come before the payload: those of the body
    /// and of the tags.
    package mutating func receiveHeader(
        words: InlineArray<8, UInt64>
    ) throws(SessionFailure) -> Int {
        guard case .header = incoming else { preconditionFailure("a header inside a response") }
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.bodyLimitBytes,
            maximumPayloadBytes: serverLimits?.payloadLimitBytes ?? 0)
        let isSigned = try checkTag(words)
        let header: FrameHeader
        do {
            header = try FrameHeader(words: words, limits: limits)
        } catch {
            throw .malformedResponse("\(error)")
        }
        guard header.isResponse else { throw .malformedResponse("a request") }
        guard header.isSigned == isSigned else {
            throw .malformedResponse("a signed frame in a session without a key")
        }
        guard header.bodyBytes % 8 == 0 else {
            throw .malformedResponse(
                "a body of \(header.bodyBytes) bytes, which are no whole words")
        }
        try checkExpected(header)
        incoming = .body(header)
        return Int(header.bodyBytes / 8) + (authentication?.tagWords(of: header) ?? 0)
    }

    /// True when the response is signed, and rightly so. In the handshake a server may refuse
    /// without a signature: it may not have the key.
    private mutating func checkTag(
        _ words: InlineArray<8, UInt64>
    ) throws(SessionFailure) -> Bool {
        guard authentication != nil, phase != .connecting else { return false }
        if phase == .authenticating, !FrameHeader.saysSigned(words) { return false }
        try authentication?.check(header: words)
        return FrameHeader.saysSigned(words)
    }

    private func checkExpected(_ header: FrameHeader) throws(SessionFailure) {
        if phase == .asking { return try checkOffer(header) }
        let expectedBody: Int
        let mayHavePayload: Bool
        if phase == .connecting || phase == .authenticating {
            let operation: OperationCode = phase == .connecting ? .connect : .authenticate
            guard header.operation == operation, header.requestID == Self.connectID else {
                throw .malformedResponse(
                    "an answer to \(header.operation) before the one to \(operation)")
            }
            guard phase == .connecting || header.isSigned || header.status != .ok else {
                throw .forgedResponse
            }
            expectedBody = phase == .connecting ? connectResponseBytes : 0
            mayHavePayload = false
        } else {
            guard let request = pending[header.requestID], request.stage != .queued else {
                throw .malformedResponse(
                    "an answer to request \(header.requestID), which nobody sent")
            }
            guard header.operation == operation(of: request.request) else {
                throw .malformedResponse(
                    "an answer to \(header.operation) for a \(request.request.operation)")
            }
            expectedBody = ResponseDecoding.bodyBytes(of: request.request)
            // Of a value too long for its memory, the payload's length tells how long it is.
            mayHavePayload =
                request.request.fillsMemory
                && (header.status == .ok || header.operation == .read && header.status == .tooLarge)
        }
        guard header.bodyBytes == (header.status == .ok ? UInt32(expectedBody) : 0) else {
            throw .malformedResponse(
                "\(header.operation) \(header.status) with a body of \(header.bodyBytes) bytes")
        }
        guard header.payloadBytes == 0 || mayHavePayload else {
            throw .malformedResponse("\(header.operation) \(header.status) with a payload")
        }
        if [.tcpGet, .read].contains(header.operation), header.status == .ok,
            header.payloadBytes == 0
        {
            throw .malformedResponse("a value of no bytes")
        }
    }

    /// The code that `request` has in this session's frames.
    private func operation(of request: ClientRequest) -> OperationCode {
        isRemote
            ? request.operation.withValuesInRemoteMemory ?? request.operation : request.operation
    }

    /// An offer, a refusal with its reason, or a refusal alone.
    private func checkOffer(_ header: FrameHeader) throws(SessionFailure) {
        let isExpected =
            header.operation == .rdmaOpen && header.requestID == Self.connectID
            && header.payloadBytes == 0
        let longestBody: Int =
            switch header.status {
            case .ok: QueuePairOffer.longestBodyBytes
            case .unsupported, .unavailable: QueuePairRefusal.longestTextBytes
            default: 0
            }
        guard isExpected, header.bodyBytes <= longestBody else {
            throw .malformedResponse(
                "\(header.operation) \(header.status) with \(header.bodyBytes) bytes where an "
                    + "offer of a queue pair is due")
        }
    }

    private var connectResponseBytes: Int {
        Int(
            authentication == nil
                ? BodyLayout.connectResponseBytes : BodyLayout.connectWithKeyResponseBytes)
    }

    /// Takes the body and the tags behind it; returns where the payload's bytes go, in order, or,
    /// over a queue pair, where the values are already. Padding is read and thrown away.
    package mutating func receiveBody(
        words: [UInt64]
    ) throws(SessionFailure) -> [PayloadSegment<DestinationBytes>] {
        guard case .body(let header) = incoming else {
            preconditionFailure("a body without its header")
        }
        let tag = header.isSigned ? try authentication?.check(body: words, of: header) : nil
        let words = Array(words.prefix(Int(header.bodyBytes / 8)))
        incoming = .payload(header, body: words, tag: tag)
        guard phase == .ready, header.status == .ok, let request = pending[header.requestID]
        else {
            return []
        }
        if isRemote {
            let values = try ResponseDecoding.remoteValues(
                of: request.request, header: header, body: words)
            return request.stage == .abandoned ? [] : values
        }
        let segments = try ResponseDecoding.payloadSegments(
            of: request.request, header: header, body: words)
        let total = segments.reduce(0) { $0 + $1.count }
        guard total == Int(header.payloadBytes) else {
            throw .malformedResponse(
                "a payload of \(header.payloadBytes) bytes whose items add up to \(total)")
        }
        guard request.stage != .abandoned else {
            return total == 0 ? [] : [.padding(count: total)]
        }
        return segments
    }

    /// For a payload that has a tag: takes its bytes, all of them, for `receivePayload`.
    package var payloadCode: MessageCode? {
        guard case .payload(_, _, .some) = incoming else { return nil }
        return authentication?.beginPayload()
    }

    /// Takes the XXH3-64 of each value that was read, in order, and what became of `payloadCode`:
    /// the response is complete. Nil for the handshake and for a request that was answered before.
    package mutating func receivePayload(
        checksums: [UInt64], code: MessageCode? = nil
    ) throws(SessionFailure) -> RequestOutcome? {
        guard case .payload(let header, let body, let tag) = incoming else {
            preconditionFailure("a payload without its body")
        }
        incoming = .header
        if let tag {
            guard let code, FrameTag(ending: code).matches(tag) else { throw .forgedResponse }
        }
        if phase != .ready {
            try finishHandshake(header, body: body)
            return nil
        }
        guard let request = pending.removeValue(forKey: header.requestID),
            request.stage != .abandoned
        else { return nil }
        guard header.status == .ok else {
            let status: OutcomeStatus =
                header.payloadBytes > 0
                ? .bufferTooSmall(neededBytes: header.payloadBytes) : .ended(header.status)
            return Self.outcome(of: header.requestID, request.request, status)
        }
        return ResponseDecoding.outcome(
            of: request.request, header: header, body: body, checksums: checksums)
    }

    private mutating func finishHandshake(
        _ header: FrameHeader, body: [UInt64]
    ) throws(SessionFailure) {
        if phase == .asking { return try takeOffer(header, body: body) }
        guard header.status == .ok else { throw .connectRefused(header.status) }
        if phase == .authenticating { return try becomeReady() }
        try authentication?.challenged(header, body: body)
        let told = ConnectResponse(words: [body[0], body[1], body[2], body[3], body[4]])
        guard told.version == FrameHeader.version else {
            throw .malformedResponse("Connect agreed on version \(told.version)")
        }
        guard told.requestsInFlight > 0, told.batchLimit > 0, told.valueLimitBytes > 0,
            told.payloadLimitBytes >= told.valueLimitBytes
        else { throw .malformedResponse("Connect told limits that allow nothing") }
        guard told.valueLimitBytes <= Self.longestValueBytes else {
            throw .malformedResponse(
                "Connect told a limit of \(told.valueLimitBytes) bytes for one value, and "
                    + "\(Self.longestValueBytes) is the most that any server takes")
        }
        serverLimits = told
        if authentication == nil { return try becomeReady() }
        phase = .authenticating
        handshakeQueued = true
    }

    private mutating func becomeReady() throws(SessionFailure) {
        guard asksForQueuePair else {
            phase = .ready
            return
        }
        // Whoever asked for tags on values is not to lose them unawares.
        if serverLimits?.tagsPayloads == true {
            throw .queuePairRefused(.unsupported, "it tags payloads, which RDMA can't carry")
        }
        phase = .asking
        handshakeQueued = true
    }

    private mutating func takeOffer(
        _ header: FrameHeader, body: [UInt64]
    ) throws(SessionFailure) {
        guard header.status == .ok else {
            throw .queuePairRefused(header.status, QueuePairRefusal.text(words: body))
        }
        do throws(QueuePairOfferError) {
            offer = try QueuePairOffer(words: body)
        } catch {
            throw .malformedResponse("an offer of a queue pair: \(error)")
        }
        phase = .ready
    }
}
