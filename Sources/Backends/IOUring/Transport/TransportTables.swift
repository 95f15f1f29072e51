// The rows of the transport's two tables: requests and connections.

#if IOUring

internal import Engine
internal import Wire

/// One request, or one session's refusal, from its header to the end of its response.
struct RequestEntry: ~Copyable {
    enum State: Sendable {
        case free
        /// Body and payload are coming in, or room for them is awaited.
        case receiving
        /// Whole, in its session's list of requests that wait for the engine.
        case ready
        /// The engine has it.
        case taken
        /// The engine has it and its session is gone: the response goes nowhere.
        case orphaned
        /// In its session's list of responses.
        case answered
    }

    var state = State.free
    /// Raised at each use, so that a handle kept too long is recognised.
    var generation: UInt32 = 0
    var session = 0
    var header = FrameHeader(operation: .connect, requestID: 0)
    var arrival = Instant.never
    /// Bytes of the tags behind the body.
    var tagBytes: UInt64 = 0
    /// Bytes of body, tags and payload that have come.
    var received: UInt64 = 0
    var inbound: SlabLease?
    /// Slabs counted against the share of payloads on their way in.
    var inboundSlabs: UInt32 = 0
    var outbound: SlabLease?
    /// Slabs that the response holds, or that the engine was admitted to take for it.
    var outboundSlabs: UInt32 = 0
    /// Length of the response's payload, from an attempt that wasn't admitted; 0 while unknown.
    var knownResponseBytes: UInt64 = 0
    /// Payload bytes of the response that its session was charged for in advance.
    var expectedBytes: UInt64 = 0
    /// What the request counts for in its session's bytes in the engine.
    var bytesInEngine: UInt64 = 0
    var responseBodyBytes: UInt64 = 0
    var responseTagBytes: UInt64 = 0
    var responsePayloadBytes: UInt64 = 0
    /// The next of the same session's requests that wait, or of its responses.
    var next = RequestEntry.none

    static let none = -1

    /// Bytes that come before the payload: body and tags.
    var bodyAndTagBytes: UInt64 { UInt64(header.bodyBytes) + tagBytes }

    /// Bytes of body, tags and payload in all.
    var incomingBytes: UInt64 { bodyAndTagBytes + UInt64(header.payloadBytes) }

    /// Bytes of the whole response frame.
    var outgoingBytes: UInt64 {
        RequestMemory.headerBytes + responseBodyBytes + responseTagBytes + responsePayloadBytes
    }
}

/// One connection, or an empty place for one.
struct Connection: Sendable {
    /// -1 in an empty place.
    var descriptor: Int32 = -1
    /// Counts the connections of a shard: no two have the same.
    var serial: UInt64 = 0
    var machine: ServerSession
    /// The bytes received and not yet used lie between these places of the session's window.
    var windowStart: UInt64 = 0
    var windowEnd: UInt64 = 0
    var address = PeerAddress(bits: 0, isIPv6: false)
    var openedAt = Instant.never
    /// When what the peer owes now began: a header's first byte, a frame's body, the end.
    var phaseSince = Instant.never
    /// Bytes thrown away while lingering.
    var lingeredBytes: UInt64 = 0
    var isReceiving = false
    var isSending = false
    /// When the first response's turn to leave came.
    var sendingSince = Instant.never
    /// In the queue of sessions that have something to send.
    var isDirty = false
    /// The frame for which an entry is awaited.
    var waitingHeader: FrameHeader?
    /// The request whose frame is coming in.
    var incoming = RequestEntry.none
    /// Whole requests in the order of their arrival, linked through their entries.
    var firstReady = RequestEntry.none
    var lastReady = RequestEntry.none
    var scheduling = SessionScheduling()
    /// Slabs of its payloads, requests' and responses'.
    var heldSlabs: UInt32 = 0
    /// Responses in the order in which they leave, linked through their entries.
    var firstResponse = RequestEntry.none
    var lastResponse = RequestEntry.none
    /// Bytes of the first response that have left already.
    var sentBytes: UInt64 = 0

    var windowCount: UInt64 { windowEnd - windowStart }
}

#endif
