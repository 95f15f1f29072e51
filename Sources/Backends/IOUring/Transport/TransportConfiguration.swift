// What a shard's TCP transport is told at start, and the memory that follows from it.

#if IOUring

package import Engine
internal import Wire

/// Limits of one shard's TCP transport. Fixed for its life.
package struct TransportConfiguration: Sendable {
    /// Connections at once; one more is closed as soon as it is accepted.
    package var sessionLimit = 256
    /// Requests of all sessions from their header's arrival until their response has left.
    package var requestLimit = 512
    /// Requests of one session; at this many it isn't read from until a response has left.
    package var requestsPerSession = 64
    /// Longest payload accepted, in bytes.
    package var payloadLimitBytes: UInt32 = 16 << 20
    /// Slabs that payloads on their way in may hold at once; nil for half of the pool, or three
    /// quarters of one too small for that. What is left lets gets go on.
    package var inboundSlabLimit: UInt32?
    /// Transports that share the pool, each with an even part of what payloads on their way in may
    /// hold.
    private let sharers: UInt32

    /// The configuration of one of `sharers` transports over one pool.
    package init(sharedBy sharers: Int = 1) {
        precondition(sharers >= 1, "a pool that nobody uses")
        self.sharers = UInt32(sharers)
    }

    /// Arena bytes the transport needs: a body and a response body for every request, a window of
    /// received bytes for every session.
    package var memoryBytes: ByteCount {
        ByteCount(
            UInt64(requestLimit) * RequestMemory.entryBytes
                + UInt64(sessionLimit) * RequestMemory.sessionBytes)
    }

    /// Slabs for payloads on their way in, from this pool; nil when the longest payload doesn't
    /// fit.
    func inboundSlabs(of pool: SlabPool) -> UInt32? {
        let needed = pool.slabs(for: ByteCount(UInt64(payloadLimitBytes)))
        if let inboundSlabLimit { return inboundSlabLimit >= needed ? inboundSlabLimit : nil }
        let half = pool.slabCount / 2 / sharers
        if half >= needed { return half }
        if sharers > 1 { return nil }
        let threeQuarters = pool.slabCount * 3 / 4
        return threeQuarters >= needed ? threeQuarters : nil
    }

    /// A sentence naming what is impossible, or nil.
    package func impossibility(with pool: SlabPool) -> String? {
        if sessionLimit < 1 || sessionLimit > 65536 || requestLimit < 1 || requestLimit > 65536 {
            return "the limits of sessions and of requests must lie between 1 and 65536"
        }
        if requestsPerSession < 1 { return "a session must be allowed at least one request" }
        if inboundSlabs(of: pool) == nil {
            return "a payload of \(payloadLimitBytes) bytes doesn't fit into the slabs left for "
                + "payloads on their way in: raise memory.max_size"
        }
        return nil
    }
}

/// Where requests' and sessions' bytes lie in the transport's stretch of the arena.
struct RequestMemory: Sendable {
    /// A body and the tags behind it: its own and the payload's.
    static let bodyBytes = UInt64(BodyLayout.bodyLimitBytes) + 2 * UInt64(FrameTag.byteCount)
    static let headerBytes = UInt64(FrameHeader.byteCount)
    /// Received bytes not yet told apart, per session.
    static let windowBytes: UInt64 = 4096
    /// Body, response body, response header.
    static let entryBytes = 2 * bodyBytes + headerBytes
    /// Window, and the header of the one refusal that ends a session.
    static let sessionBytes = windowBytes + headerBytes

    let range: ArenaRange
    let requestLimit: Int

    func body(_ entry: Int) -> ArenaRange { part(entry, 0, Self.bodyBytes) }
    func responseBody(_ entry: Int) -> ArenaRange { part(entry, Self.bodyBytes, Self.bodyBytes) }

    /// The response header of an entry; behind the requests' entries, each session has one for its
    /// refusal.
    func responseHeader(_ entry: Int) -> ArenaRange {
        if entry < requestLimit { return part(entry, 2 * Self.bodyBytes, Self.headerBytes) }
        return session(entry - requestLimit, Self.windowBytes, Self.headerBytes)
    }

    func window(_ index: Int) -> ArenaRange { session(index, 0, Self.windowBytes) }

    private func part(_ entry: Int, _ offset: UInt64, _ length: UInt64) -> ArenaRange {
        precondition(entry < requestLimit, "entry \(entry) of \(requestLimit)")
        return range.part(
            at: UInt64(entry) * Self.entryBytes + offset, length: ByteCount(length))
    }

    private func session(_ index: Int, _ offset: UInt64, _ length: UInt64) -> ArenaRange {
        range.part(
            at: UInt64(requestLimit) * Self.entryBytes + UInt64(index) * Self.sessionBytes + offset,
            length: ByteCount(length))
    }
}

#endif
