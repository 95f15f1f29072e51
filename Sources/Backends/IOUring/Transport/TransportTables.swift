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
        /// Whole, waiting for the engine.
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
    var responseBodyBytes: UInt64 = 0
    var responseTagBytes: UInt64 = 0
    var responsePayloadBytes: UInt64 = 0
    /// The next response of the same session.
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
    var machine: ServerSession
    /// The bytes received and not yet used lie between these places of the session's window.
    var windowStart: UInt64 = 0
    var windowEnd: UInt64 = 0
    /// Bytes thrown away while lingering.
    var lingeredBytes: UInt64 = 0
    var isReceiving = false
    var isSending = false
    /// When the send in flight was begun.
    var sendingSince = Instant.never
    /// In the queue of sessions that have something to send.
    var isDirty = false
    /// The frame for which an entry is awaited, and since when.
    var waitingHeader: FrameHeader?
    var waitingSince = Instant.never
    /// The request whose frame is coming in.
    var incoming = RequestEntry.none
    /// Responses in the order in which they leave, linked through their entries.
    var firstResponse = RequestEntry.none
    var lastResponse = RequestEntry.none
    /// Bytes of the first response that have left already.
    var sentBytes: UInt64 = 0

    var windowCount: UInt64 { windowEnd - windowStart }
}

#endif
