// Transport: the port through which requests reach the engine and responses leave it.
//
// What a backend promises
//  - A request is handed over whole: body and payload are in memory, lengths are inside the limits,
//    the session's protocol (Connect, versions, tags) is the transport's own business and never
//    shows here.
//  - Each request is handed over once and stays valid, body and response body included, until
//    `respond`.
//  - A session that closes makes its unanswered requests' responses go nowhere; the engine still
//    gives them.
//  - A payload lies in a lease that the transport took from the engine's slab pool. When no slab is
//    free, or the engine doesn't take requests, the transport stops reading: that is the
//    backpressure.
//  - Responses may leave in any order.
//  - A response's payload must be admitted before the engine takes memory for it. A request whose
//    payload isn't admitted goes back to the transport, which hands it over again when there is
//    room: so that one session's responses can't take the memory of the others'.

package import Wire

/// Names a request between `nextRequest` and `respond`.
package struct RequestHandle: Hashable, Sendable {
    package let index: UInt32
    package let generation: UInt32
    package init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

/// A request, whole.
package struct Request: Sendable {
    package var handle: RequestHandle
    package var operation: OperationCode
    package var namespace: Namespace
    /// When an answer is due; `never` without a deadline.
    package var deadline: Instant
    /// When its header arrived.
    package var arrival: Instant
    /// The body's bytes, owned by the transport until `respond`.
    package var body: ArenaRange
    /// Where a response's body may be written before `respond`: `BodyLayout.bodyLimitBytes` of
    /// them.
    package var responseBody: ArenaRange
    package var payloadBytes: UInt32
    /// What the header says the payload's XXH3-64 is; not yet compared.
    package var payloadChecksum: UInt64
    /// It was handed over before and its response not admitted.
    package var isRepeated: Bool
    /// What the transport takes a get's payload for; at least 1.
    package var expectedResponseBytes: UInt64

    package init(
        handle: RequestHandle, operation: OperationCode, namespace: Namespace, deadline: Instant,
        arrival: Instant, body: ArenaRange, responseBody: ArenaRange, payloadBytes: UInt32,
        payloadChecksum: UInt64, isRepeated: Bool = false, expectedResponseBytes: UInt64 = 1
    ) {
        self.handle = handle
        self.operation = operation
        self.namespace = namespace
        self.deadline = deadline
        self.arrival = arrival
        self.body = body
        self.responseBody = responseBody
        self.payloadBytes = payloadBytes
        self.payloadChecksum = payloadChecksum
        self.isRepeated = isRepeated
        self.expectedResponseBytes = expectedResponseBytes
    }
}

/// An answer, apart from its payload's bytes.
package struct Response: Sendable {
    package var status: Status
    /// Bytes the engine wrote at the start of the request's response body.
    package var bodyBytes: UInt32
    /// Bytes of payload at the start of the lease that goes with it; 0 without a lease.
    package var payloadBytes: UInt32
    package var payloadChecksum: UInt64

    package init(
        status: Status, bodyBytes: UInt32 = 0, payloadBytes: UInt32 = 0, payloadChecksum: UInt64 = 0
    ) {
        self.status = status
        self.bodyBytes = bodyBytes
        self.payloadBytes = payloadBytes
        self.payloadChecksum = payloadChecksum
    }
}

/// A shard's way to its clients.
package protocol Transport: ~Copyable {
    /// The next whole request, or nil when there is none now.
    mutating func nextRequest(now: Instant) -> Request?

    /// The lease that holds the request's payload; nil when it has none or it was taken already.
    mutating func takePayload(of request: RequestHandle) -> SlabLease?

    /// Asks for room for a response's payload of `lengthBytes`, before slabs are taken for it. When
    /// it answers false, the request is the transport's again, unanswered, to be handed over anew;
    /// the engine forgets it.
    mutating func admitsResponse(to request: RequestHandle, lengthBytes: UInt64) -> Bool

    /// Answers a request, once. The transport keeps `payload` until its last byte has left.
    mutating func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?)
}

extension Transport where Self: ~Copyable {
    /// A transport without limits admits everything.
    package mutating func admitsResponse(to request: RequestHandle, lengthBytes: UInt64) -> Bool {
        true
    }
}
