// The rows of the transport's two tables: requests and queue pairs.

internal import Engine
internal import Wire

/// One receive of a queue pair, and the request that came with it until its response has left.
struct RequestRow: ~Copyable {
    enum State: Hashable, Sendable {
        /// Its queue pair isn't open.
        case idle
        /// The device has its receive.
        case posted
        /// Waits for slabs.
        case waiting
        /// Waits for the control thread to expose a lease's memory, or to take it back.
        case leasing
        /// Its values are on their way from the client's memory.
        case pulling
        /// Waits for the engine.
        case ready
        /// The engine has it.
        case taken
        /// The engine has it and its queue pair is gone: the response goes nowhere.
        case orphaned
        /// Its response, and values, wait for room in the send queue.
        case answered
        /// The device has its response.
        case sending
    }

    var state = State.idle
    /// Raised at each use, so that a handle kept too long is recognised.
    var generation: UInt32 = 0
    var header = FrameHeader(operation: .connect, requestID: 0)
    var arrival = Instant.never
    /// Of the operations that name memory.
    var shape: RemoteBodyShape?
    /// Bytes of the request's payload as the engine sees it.
    var payloadBytes: UInt32 = 0
    /// Bytes that the segments hold in all.
    var segmentBytes: UInt64 = 0
    var inbound: SlabLease?
    var inboundSlabs: UInt32 = 0
    var outbound: SlabLease?
    var outboundSlabs: UInt32 = 0
    /// Length of the response's payload, from an attempt that wasn't admitted; 0 while unknown.
    var knownResponseBytes: UInt64 = 0
    var response = FrameHeader(operation: .connect, requestID: 0)
    var cursor = TransferCursor()
    /// When the first piece of its transfer was posted.
    var transferSince = Instant.never
    /// Among those that wait for slabs, or waited.
    var isListed = false
}

/// How far a transfer between slabs and segments has come.
struct TransferCursor: Hashable, Sendable {
    /// The segment; of a batch, the item too.
    var segment: UInt32 = 0
    var insideSegment: UInt32 = 0
    /// Where in the payload, as the slabs hold it.
    var payloadOffset: UInt64 = 0
}

/// The end of signalled work: how much had been posted with it.
struct WorkSignal: Hashable, Sendable {
    let posted: UInt64
    let row: Int
    /// The row's transfer, or response, ends with it.
    let isEnd: Bool
}

/// One queue pair, or an empty place for one.
struct QueuePairRow: ~Copyable {
    enum State: Hashable, Sendable {
        case free
        /// A client may come with its greeting until `expires`.
        case offered
        case open
        /// The control thread destroys it; the device may still use its memory.
        case closing
        /// Destroyed; the engine still has requests of it.
        case ended
    }

    var state = State.free
    /// Raised when the place is given away anew.
    var generation: UInt32 = 0
    var owner = OwnerSession(0)
    var offer: UInt64 = 0
    var expires = Instant.never
    /// Its owner ended while it was neither to be taken back nor here yet.
    var isUnwanted = false
    /// Its device's place among the fabric's.
    var device = 0
    /// Names its messages' memory, and unless it is for leases the slabs too, to the device.
    var localKey: UInt32 = 0
    /// Its client moves its values by itself.
    var isForLeases = false
    var isSigned = false
    var incoming: FrameAuthenticator?
    var outgoing: FrameAuthenticator?
    /// Rows whose requests aren't answered, and rows whose responses haven't left.
    var unanswered = 0
    var sending = 0
    var inEngine = 0
    var orphans = 0
    var heldSlabs: UInt32 = 0
    /// What the next response is taken for until it is known.
    var expectedResponseBytes: UInt64 = 256 << 10
    /// Pieces of work posted and ended since it was opened.
    var posted: UInt64 = 0
    var completed: UInt64 = 0
    var signals: RingQueue<WorkSignal>
    /// Rows that wait for the engine, and rows that wait for the send queue.
    var ready: RingQueue<Int>
    var transfers: RingQueue<Int>

    init(_ configuration: RDMAConfiguration) {
        signals = RingQueue(capacity: configuration.sendsPerPair)
        ready = RingQueue(capacity: configuration.rowsPerPair)
        transfers = RingQueue(capacity: configuration.rowsPerPair)
    }

    /// The same place for another queue pair.
    mutating func clear() {
        state = .free
        generation &+= 1
        isUnwanted = false
        incoming?.forget()
        incoming = nil
        outgoing?.forget()
        outgoing = nil
        unanswered = 0
        sending = 0
        inEngine = 0
        expectedResponseBytes = 256 << 10
        posted = 0
        completed = 0
        while signals.popFirst() != nil {}
        while ready.popFirst() != nil {}
        while transfers.popFirst() != nil {}
    }
}

/// The TCP session that a queue pair belongs to, as its transport counts sessions.
package struct OwnerSession: Hashable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}

/// What a piece of work is told apart by: a receive's row, or a queue pair's place, and the
/// generation of the place.
package struct WorkName: Hashable, Sendable {
    let isReceive: Bool
    let generation: UInt32
    let index: Int

    package init(isReceive: Bool, generation: UInt32, index: Int) {
        self.isReceive = isReceive
        self.generation = generation & 0x7FFF_FFFF
        self.index = index
    }

    init(_ number: UInt64) {
        isReceive = number >> 63 == 1
        generation = UInt32(truncatingIfNeeded: number >> 32) & 0x7FFF_FFFF
        index = Int(number & 0xFFFF_FFFF)
    }

    package var number: UInt64 {
        (isReceive ? 1 << 63 : 0) | UInt64(generation) << 32 | UInt64(index)
    }
}
