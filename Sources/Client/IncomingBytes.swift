// IncomingBytes: the response that is arriving: header, body, payload, each into its own memory.
//
// Always holds: payload goes straight into the caller's memory and is hashed piece by piece while
// it is still in the cache; bytes that belong to nobody any more go into a scratch buffer.

internal import Wire

/// One response on its way out of a stream, then the next.
struct IncomingBytes: ~Copyable {
    private enum Part {
        case header
        case body(words: Int)
        case payload
    }

    /// Room for a header, or for a body and the tags behind it.
    private let prologue = OwnedBytes(
        count: Int(BodyLayout.bodyLimitBytes) + 2 * FrameTag.byteCount)
    private let scratch = OwnedBytes(count: 64 << 10)
    private var part = Part.header
    private var received = 0
    /// Of all responses so far.
    private(set) var receivedBytes: UInt64 = 0
    private var segments: ArraySlice<PayloadSegment<DestinationBytes>> = []
    private var checksums: [UInt64] = []
    private var checksum = StreamingChecksum()
    /// Of the whole payload, where it has a tag.
    private var code: MessageCode?

    init() {}

    /// Receives until the stream has no more or a request has ended; true when a byte arrived.
    mutating func receive(
        by stream: borrowing some ByteStream & ~Copyable, to session: inout ClientSession,
        outcomes: inout [RequestOutcome]
    ) throws(SessionFailure) -> Bool {
        var moved = false
        while true {
            let target = nextTarget(session)
            switch stream.receive(into: target) {
            case .moved(let count):
                moved = true
                received += count
                receivedBytes += UInt64(count)
                if let outcome = try advance(by: count, of: target, session: &session) {
                    outcomes.append(outcome)
                    return true
                }
            case .wouldBlock: return moved
            case .closed: throw isBetweenResponses ? .closedByServer : .closedInsideResponse
            case .failed(let sentence): throw .socket(sentence)
            }
        }
    }

    private var isBetweenResponses: Bool {
        if case .header = part { received == 0 } else { false }
    }

    /// Where the next bytes go. Never empty.
    private func nextTarget(_ session: borrowing ClientSession) -> DestinationBytes {
        switch part {
        case .header:
            return prologue.destination.slice(
                from: received, count: FrameHeader.byteCount - received)
        case .body(let words):
            return prologue.destination.slice(from: received, count: words * 8 - received)
        case .payload:
            guard let segment = segments.first else { preconditionFailure("a payload of nothing") }
            if case .value(let bytes) = segment, !session.incomingIsAbandoned {
                return bytes.slice(from: received, count: bytes.count - received)
            }
            return scratch.destination.slice(
                from: 0, count: min(scratch.count, segment.count - received))
        }
    }

    /// Bytes have arrived in `target`; goes on to the next part as far as that needs no more bytes.
    private mutating func advance(
        by count: Int, of target: DestinationBytes, session: inout ClientSession
    ) throws(SessionFailure) -> RequestOutcome? {
        switch part {
        case .header:
            guard received == FrameHeader.byteCount else { return nil }
            let loaded = prologue.loadWords(count: FrameHeader.wordCount)
            let words = try session.receiveHeader(words: InlineArray { loaded[$0] })
            received = 0
            part = .body(words: words)
            return words == 0 ? try beginPayload([], session: &session) : nil
        case .body(let words):
            guard received == words * 8 else { return nil }
            return try beginPayload(prologue.loadWords(count: words), session: &session)
        case .payload:
            guard let segment = segments.first else { preconditionFailure("a payload of nothing") }
            if case .value = segment { checksum.add(target.source.slice(from: 0, count: count)) }
            code?.add(target.source.slice(from: 0, count: count))
            guard received == segment.count else { return nil }
            if case .value = segment { checksums.append(checksum.end()) }
            segments.removeFirst()
            received = 0
            checksum.begin()
            return segments.isEmpty ? try finish(session: &session) : nil
        }
    }

    private mutating func beginPayload(
        _ body: [UInt64], session: inout ClientSession
    ) throws(SessionFailure) -> RequestOutcome? {
        segments = try session.receiveBody(words: body)[...]
        code = session.payloadCode
        received = 0
        checksums = []
        checksum.begin()
        part = .payload
        return segments.isEmpty ? try finish(session: &session) : nil
    }

    private mutating func finish(
        session: inout ClientSession
    ) throws(SessionFailure) -> RequestOutcome? {
        part = .header
        received = 0
        return try session.receivePayload(checksums: checksums, code: code)
    }
}
