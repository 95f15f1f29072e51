// The simulated servers' RDMA: offers, and requests over queue pairs, whose values they read from
// and write to the client's memory some time after the request has come.

import Wire

@testable import Client

extension SimulatedNetwork {
    /// The answer to RdmaOpen.
    func offer(to stream: SimulatedStream) -> ReferenceResponse {
        let server = states[stream.server]
        if let reason = server.refusesQueuePairs {
            return ReferenceResponse(
                status: reason.status, body: QueuePairRefusal.words(reason.text))
        }
        sessionCount += 1
        offered[sessionCount] = stream
        let offer = QueuePairOffer(
            port: 9, credits: behaviour.requestsInFlight > 4 ? 4 : 2, messageLimitBytes: 1000,
            sessionID: sessionCount,
            nonce: QueuePairNonce(using: &generator),
            addresses: [DeviceAddress(192, 0, 2, 1)])
        return ReferenceResponse(body: offer.words)
    }

    func openQueuePair(_ offer: QueuePairOffer) -> SimulatedQueuePair {
        let stream = offered.removeValue(forKey: offer.sessionID)
        let refused = chance(faults.refusedQueuePairs)
        let pair = SimulatedQueuePair(
            to: stream?.server ?? 0, over: stream, of: self, credits: offer.credits,
            opensAt: now + UInt64.random(in: 1000...500_000, using: &generator),
            outcome: refused ? .failed(.session(.queuePair("rejected"))) : .open)
        if chance(faults.cutQueuePairs) {
            pair.messagesLeft = Int.random(in: 1...30, using: &generator)
        }
        pairs.append(pair)
        return pair
    }

    /// A message has arrived at the server.
    func serve(_ words: [UInt64], by pair: SimulatedQueuePair) {
        let server = states[pair.server]
        guard server.mode == .serving else { return }
        server.requestCount += 1
        server.remoteCount += 1
        let begun = now
        let delay =
            1000 * UInt64.random(in: 1...faults.longestAnswerMicroseconds, using: &generator)
        let silent = chance(faults.silent)
        at(now + delay) { [self] in
            guard let remote = RemoteRequest(words, by: pair) else { return }
            guard let response = execute(remote.request, on: server, since: begun) else { return }
            // The values first, then the answer behind them; a silent server's come late.
            let writes = remote.writes(of: response)
            guard let writes else { return pair.cut() }
            if silent {
                let later = now + UInt64.random(in: 0...400_000_000, using: &generator)
                return at(later) { _ = remote.carryOut(writes) }
            }
            guard remote.carryOut(writes) else { return }
            pair.answer(remote.answer(response))
        }
    }
}

/// A request over a queue pair, with its values fetched as soon as it is made.
struct RemoteRequest {
    private let pair: SimulatedQueuePair
    private let operation: OperationCode
    private let segments: [RemoteSegment]
    /// The same over a stream.
    let request: ReferenceRequest

    /// Nil when the client's memory can't be reached any more.
    init?(_ words: [UInt64], by pair: SimulatedQueuePair) {
        self.pair = pair
        let limits = FrameLimits(
            maximumBodyBytes: BodyLayout.remoteBodyLimitBytes, maximumPayloadBytes: 1 << 30)
        guard words.count * 8 <= 1000,
            let header = try? FrameHeader(words: InlineArray { words[$0] }, limits: limits),
            words.count == 8 + Int(header.bodyBytes / 8)
        else { preconditionFailure("the client sent a malformed message") }
        operation = header.operation
        let body = Array(words[8...])
        guard let stream = operation.withValuesInPayload else {
            segments = []
            request = ReferenceRequest(
                header: header, body: ReferenceRequest.bytes(body), payload: [])
            return
        }
        guard let shape = RemoteBodyShape(of: operation, bodyBytes: header.bodyBytes) else {
            preconditionFailure("a body of \(header.bodyBytes) bytes for \(operation)")
        }
        let start = Int(shape.segmentsOffset / 8)
        let segments = (0..<Int(shape.segmentCount)).map { index in
            try! RemoteSegment(words: [body[start + 2 * index], body[start + 2 * index + 1]])
        }
        self.segments = segments
        var header2 = header
        header2.operation = stream
        var payload: [UInt8] = []
        if stream == .tcpPut || stream == .tcpBatchPut {
            for segment in segments {
                guard let found = pair.reach(segment) else { return nil }
                let aligned = BodyLayout.nextBatchOffset(
                    after: UInt64(payload.count), lengthBytes: 0)
                payload += [UInt8](repeating: 0, count: Int(aligned) - payload.count)
                payload += found.read().prefix(Int(segment.lengthBytes))
            }
        }
        let streamBody = Array(body[..<Int(shape.streamBodyBytes / 8)])
        request = ReferenceRequest(
            header: header2, body: ReferenceRequest.bytes(streamBody), payload: payload)
    }

    /// What goes where of a response's values; nil when there is more than fits.
    func writes(of response: ReferenceResponse) -> [(RemoteSegment, [UInt8])]? {
        guard response.status == .ok else { return [] }
        switch operation {
        case .read:
            let fits = response.payload.count <= Int(segments[0].lengthBytes)
            return fits ? [(segments[0], response.payload)] : []
        case .batchRead:
            var writes: [(RemoteSegment, [UInt8])] = []
            var start = 0
            for (index, segment) in segments.enumerated() {
                let word = response.body[2 * index]
                let length = Int(word >> 32)
                if length == 0 { continue }
                start = Int(BodyLayout.nextBatchOffset(after: UInt64(start), lengthBytes: 0))
                if word & 0xFF == 0, length <= Int(segment.lengthBytes) {
                    writes.append((segment, Array(response.payload[start..<start + length])))
                }
                start += length
            }
            return writes
        default: return []
        }
    }

    /// False when the client's memory can't be reached any more.
    func carryOut(_ writes: [(RemoteSegment, [UInt8])]) -> Bool {
        for (segment, value) in writes {
            guard let found = pair.reach(segment) else { return false }
            found.write(value)
        }
        return true
    }

    func answer(_ response: ReferenceResponse) -> [UInt64] {
        var status = response.status
        var payloadBytes = response.payload.count
        var body = response.body
        if operation == .read, status == .ok, payloadBytes > Int(segments[0].lengthBytes) {
            status = .tooLarge
        } else if operation == .batchRead, status == .ok {
            payloadBytes = 0
            for (index, segment) in segments.enumerated() {
                let length = body[2 * index] >> 32
                if body[2 * index] & 0xFF == 0, length > UInt64(segment.lengthBytes) {
                    body[2 * index] = UInt64(Status.tooLarge.rawValue) | length << 32
                }
            }
        }
        let header = FrameHeader(
            operation: operation, isResponse: true, status: status,
            namespace: request.header.namespace, requestID: request.header.requestID,
            bodyBytes: UInt32(body.count * 8), payloadBytes: UInt32(payloadBytes),
            payloadChecksum: response.checksum)
        return (0..<8).map { header.words[$0] } + body
    }
}
