// Requests as frames, and the limits they are checked against first. Docs/wire-protocol.md is the
// same in prose.

internal import Wire

/// What a server's limits allow.
enum RequestRules {
    static func check(
        _ request: ClientRequest, against limits: ConnectResponse
    ) throws(SubmitError) {
        if let count = request.batchCount {
            guard count > 0 else { throw .emptyBatch }
            guard count <= Int(limits.batchLimit) else {
                throw .batchTooLarge(count: count, limit: limits.batchLimit)
            }
        }
        let keys = request.keys
        guard keys.allSatisfy({ $0.namespace == keys[0].namespace }) else { throw .mixedNamespaces }
        var end: UInt64 = 0
        for value in request.values {
            guard value.count > 0 else { throw .emptyValue }
            guard value.count <= Int(limits.valueLimitBytes) else {
                throw .valueTooLarge(lengthBytes: value.count, limitBytes: limits.valueLimitBytes)
            }
            end =
                BodyLayout.nextBatchOffset(after: end, lengthBytes: 0) + UInt64(value.count)
        }
        guard end <= UInt64(limits.payloadLimitBytes) else {
            throw .payloadTooLarge(lengthBytes: end, limitBytes: limits.payloadLimitBytes)
        }
    }
}

/// Frames of requests.
enum RequestEncoding {
    static func connect(id: UInt64) -> OutgoingFrame {
        let header = FrameHeader(
            operation: .connect, requestID: id, bodyBytes: BodyLayout.connectRequestBytes)
        return OutgoingFrame(
            tag: RequestTag(id), words: words(of: header.words) + [versions], payload: [])
    }

    /// A session's request for a queue pair.
    static func rdmaOpen(id: UInt64) -> OutgoingFrame {
        let header = FrameHeader(operation: .rdmaOpen, requestID: id)
        return OutgoingFrame(tag: RequestTag(id), words: words(of: header.words), payload: [])
    }

    /// The highest and the lowest version this client understands, as Connect says them.
    static let versions = UInt64(FrameHeader.version) | UInt64(lowestVersion) << 16

    /// With `segments`, one for each value, the values stay where they are and the frame names
    /// that.
    static func frame(
        for request: ClientRequest, id: UInt64, checksums: [UInt64],
        segments: [RemoteSegment] = [], deadlineMicroseconds: UInt32
    ) -> OutgoingFrame {
        let keys = request.keys
        var body: [UInt64] = []
        for (index, key) in keys.enumerated() {
            let keyWords = key.littleEndianWords
            for word in 0..<4 { body.append(keyWords[word]) }
            if case .putBatch(let items) = request {
                body.append(UInt64(items[index].value.count))
                body.append(checksums[index])
            }
        }
        var operation = request.operation
        var payload: [PayloadSegment<SourceBytes>] = []
        let payloadBytes: Int
        if let remote = operation.withValuesInRemoteMemory, !segments.isEmpty {
            operation = remote
            body.append(UInt64(segments.count))
            for segment in segments { body += [segment.words[0], segment.words[1]] }
            payloadBytes = request.values.reduce(0) { $0 + $1.count }
        } else {
            payload = payloadSegments(of: request.values)
            payloadBytes = payload.reduce(0) { $0 + $1.count }
        }
        let single = request.batchCount == nil
        let header = FrameHeader(
            operation: operation, namespace: keys[0].namespace, requestID: id,
            bodyBytes: UInt32(body.count * 8), payloadBytes: UInt32(payloadBytes),
            payloadChecksum: single ? checksums.first ?? 0 : 0,
            deadlineMicroseconds: deadlineMicroseconds)
        return OutgoingFrame(
            tag: RequestTag(id), words: words(of: header.words) + body, payload: payload)
    }

    /// Values one after another, each from the next aligned place on.
    private static func payloadSegments(
        of values: [SourceBytes]
    ) -> [PayloadSegment<SourceBytes>] {
        var segments: [PayloadSegment<SourceBytes>] = []
        var end: UInt64 = 0
        for value in values {
            let start = BodyLayout.nextBatchOffset(after: end, lengthBytes: 0)
            if start > end { segments.append(.padding(count: Int(start - end))) }
            segments.append(.value(value))
            end = start + UInt64(value.count)
        }
        return segments
    }

    static func words(of header: InlineArray<8, UInt64>) -> [UInt64] {
        (0..<FrameHeader.wordCount).map { header[$0] }
    }

    /// The oldest version this client understands.
    private static let lowestVersion: UInt16 = 1
}

extension PayloadSegment where Bytes == SourceBytes {
    var count: Int {
        switch self {
        case .value(let bytes): bytes.count
        case .padding(let count): count
        }
    }
}

extension PayloadSegment where Bytes == DestinationBytes {
    var count: Int {
        switch self {
        case .value(let bytes): bytes.count
        case .padding(let count): count
        }
    }
}
