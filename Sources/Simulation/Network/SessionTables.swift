// The rows of a simulated shard's transport: requests and sessions.

internal import Engine
internal import Wire

/// One request from its header to the end of its response.
struct SessionRequest: ~Copyable {
    enum State: Sendable { case free, receiving, ready, taken, orphaned, answered }

    let body: ArenaRange
    let responseBody: ArenaRange
    var state = State.free
    var generation: UInt32 = 0
    var session = 0
    var header = FrameHeader(operation: .connect, requestID: 0)
    var tagBytes: UInt64 = 0
    var arrival = Instant.never
    var received: UInt64 = 0
    var inbound: SlabLease?
    var inboundSlabs: UInt32 = 0
    var outbound: SlabLease?
    var outboundBytes: UInt64 = 0
    var isRepeated = false
    /// The engine got it when its deadline had passed.
    var isHandedOverLate = false
    var response = InlineArray<8, UInt64>(repeating: 0)
    var responseBodyBytes: UInt64 = 0
    var responsePayloadBytes: UInt64 = 0
    var sent: UInt64 = 0

    init(body: ArenaRange, responseBody: ArenaRange) {
        self.body = body
        self.responseBody = responseBody
    }

    var bodyAndTagBytes: UInt64 { UInt64(header.bodyBytes) + tagBytes }
    var incomingBytes: UInt64 { bodyAndTagBytes + UInt64(header.payloadBytes) }
    var outgoingBytes: UInt64 { 64 + responseBodyBytes + responsePayloadBytes }

    /// When an answer is due.
    var deadline: Instant {
        header.deadlineMicroseconds == 0
            ? .never : arrival.advanced(byMicroseconds: UInt64(header.deadlineMicroseconds))
    }
}

/// What a session with a key is made of.
struct SessionKeys {
    var place: Int
    var clientProof: Secret
    var incoming: FrameAuthenticator
    var outgoing: FrameAuthenticator
    let tagsPayloads: Bool
    /// What the keys of its queue pairs follow from.
    let queuePairs: Secret
}

/// One session.
struct SessionRow {
    var connection: SimulatedConnection?
    var machine: ServerSession
    var keys: SessionKeys?
    var incoming = -1
    /// Believed, and waiting for a request's place.
    var waitingHeader: FrameHeader?
    /// Requests whose answers are to leave, in order.
    var outgoing: [Int] = []
    /// A refusal's header, the last thing to leave.
    var refusal: InlineArray<8, UInt64>?
    var refusalSent = 0
    /// Bytes of responses that are given or being read from a drive.
    var responseBytes: UInt64 = 0
    /// When what the peer owes began.
    var owesSince = Instant.never
    var isMarked = false
}
