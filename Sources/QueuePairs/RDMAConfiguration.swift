// What a shard's RDMA transport is made of, and the memory that follows from it.
//
// Always holds: the lengths of all queues follow from the numbers here, so that no queue can
// overflow, whatever clients do: a client has at most `credits` requests unanswered, and at most
// as many responses are under way to it, so twice as many messages find a receive posted; a
// completion queue holds every receive and every piece of work of every queue pair.

package import Engine
internal import Wire

/// One shard's limits. Fixed for its life.
package struct RDMAConfiguration: Hashable, Sendable {
    /// Queue pairs of one shard at once, those that are offered included.
    package var queuePairs = 32
    /// Of them, for one TCP session.
    package var queuePairsPerSession = 8
    /// Requests of one queue pair that may be unanswered.
    package var credits = 16
    /// Leases of one TCP session at once, and how long each of them lives at most.
    package var leasesPerSession = 16
    package var leaseMicroseconds: UInt64 = 30_000_000
    /// Longest payload, and bytes of payloads that one queue pair may hold.
    package var payloadLimitBytes: UInt32
    package var bytesPerSession: UInt64
    /// For a request's values to come, or for a response and its values to be taken.
    package var transferMicroseconds: UInt64
    #if PLANTED_BUGS
    package var plantedBug: PlantedQueuePairBug?
    #endif

    package init(limits: SessionLimits) {
        payloadLimitBytes = limits.payloadLimitBytes
        bytesPerSession = limits.bytesPerSession
        transferMicroseconds = limits.responseMicroseconds
    }

    /// Receives of one queue pair, each with room for its response.
    package var rowsPerPair: Int { 2 * credits }
    /// Work of one queue pair that the device may have.
    package var sendsPerPair: Int { 128 }
    var rows: Int { queuePairs * rowsPerPair }
    package var completions: Int { queuePairs * (rowsPerPair + sendsPerPair) }

    /// Arena bytes that one shard's transport needs.
    package var memoryBytes: ByteCount { ByteCount(UInt64(rows) * RDMAMemory.rowBytes) }
}

/// Where messages lie in the transport's stretch of the arena: for each row, a request as it came
/// and a response as it goes.
package struct RDMAMemory: Sendable {
    static let headerBytes = UInt64(FrameHeader.byteCount)
    static let tagBytes = UInt64(FrameTag.byteCount)
    /// The longest request, and so the longest message.
    static let messageBytes = headerBytes + UInt64(BodyLayout.remoteBodyLimitBytes) + tagBytes
    private static let responseBytes = headerBytes + UInt64(BodyLayout.bodyLimitBytes) + tagBytes
    private static let requestStride = (messageBytes + 63) / 64 * 64
    static let rowBytes = requestStride + (responseBytes + 63) / 64 * 64

    let range: ArenaRange

    package init(range: ArenaRange) { self.range = range }

    /// All messages of a queue pair.
    package func messages(of pair: Int, rowsPerPair: Int) -> ArenaRange {
        range.part(
            at: UInt64(pair * rowsPerPair) * Self.rowBytes,
            length: ByteCount(UInt64(rowsPerPair) * Self.rowBytes))
    }

    package func request(_ row: Int) -> ArenaRange { part(row, 0, Self.messageBytes) }
    /// Body and tag of the request.
    func body(_ row: Int) -> ArenaRange {
        part(row, Self.headerBytes, Self.messageBytes - Self.headerBytes)
    }
    func response(_ row: Int) -> ArenaRange { part(row, Self.requestStride, Self.responseBytes) }
    /// Body and tag of the response.
    func responseBody(_ row: Int) -> ArenaRange {
        part(
            row, Self.requestStride + Self.headerBytes, Self.responseBytes - Self.headerBytes)
    }

    private func part(_ row: Int, _ offset: UInt64, _ length: UInt64) -> ArenaRange {
        range.part(at: UInt64(row) * Self.rowBytes + offset, length: ByteCount(length))
    }
}
