// What a shard's TCP transport is told at start, and the memory that follows from it.

#if IOUring

package import Engine
internal import Wire

/// What one shard's TCP transport is made of. Fixed for its life.
package struct TransportConfiguration: Sendable {
    package var limits = SessionLimits()
    /// Slabs that payloads on their way in may hold at once, in all shards; nil for half of the
    /// pool, or three quarters of one too small for that. What is left lets gets go on.
    package var inboundSlabLimit: UInt32?

    package init(limits: SessionLimits = SessionLimits()) { self.limits = limits }

    /// Arena bytes the transport needs: a body and a response body for every request, a window of
    /// received bytes for every session.
    package var memoryBytes: ByteCount {
        ByteCount(
            UInt64(limits.requests) * RequestMemory.entryBytes
                + UInt64(limits.sessions) * RequestMemory.sessionBytes)
    }

    /// Slabs for payloads on their way in, from this pool; nil when the longest payload doesn't
    /// fit.
    func inboundSlabs(of pool: SlabPool) -> UInt32? {
        let needed = pool.slabs(for: ByteCount(UInt64(limits.payloadLimitBytes)))
        if let inboundSlabLimit { return inboundSlabLimit >= needed ? inboundSlabLimit : nil }
        let half = pool.slabCount / 2
        if half >= needed { return half }
        let threeQuarters = pool.slabCount * 3 / 4
        return threeQuarters >= needed ? threeQuarters : nil
    }

    /// A sentence naming what is impossible, or nil.
    package func impossibility(with pool: SlabPool) -> String? {
        if limits.sessions < 1 || limits.sessions > SessionLimits.mostSessions {
            return "network.limits.sessions must lie between 1 and \(SessionLimits.mostSessions)"
        }
        if limits.requests < 1 || limits.requests > SessionLimits.mostRequests {
            return "network.limits.requests must lie between 1 and \(SessionLimits.mostRequests)"
        }
        if limits.sessionsPerAddress < 1 || limits.requestsPerSession < 1 {
            return "an address must be allowed one session, and a session one request, at least"
        }
        if let contradiction = limits.contradiction { return contradiction.problem }
        if inboundSlabs(of: pool) == nil {
            return "a payload of \(limits.payloadLimitBytes) bytes doesn't fit into the slabs left "
                + "for payloads on their way in: raise memory.max_size"
        }
        if slabsPerSession(of: pool) < pool.slabs(for: payloadLimit) {
            return "network.limits.bytes_per_session holds fewer slabs than one payload of "
                + "\(limits.payloadLimitBytes) bytes takes: raise it"
        }
        return nil
    }

    private var payloadLimit: ByteCount { ByteCount(UInt64(limits.payloadLimitBytes)) }

    /// Slabs of `pool` that one session may hold.
    func slabsPerSession(of pool: SlabPool) -> UInt64 {
        limits.bytesPerSession / pool.slabBytes.rawValue
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
