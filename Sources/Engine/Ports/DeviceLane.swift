// DeviceLane: one drive's way through the device wrapper: what waits, what is in flight, how long
// it takes.
//
// Always holds: reads and changes have places of their own, so that writes which a drive doesn't
// finish leave its reads alone; neither has more in flight than its limit.

/// An operation that isn't in flight yet.
struct WaitingOperation: Sendable {
    let operation: DeviceOperation
    let purpose: DevicePurpose
    let since: Instant
}

/// Operations of one drive that share a limit.
struct LaneQueue: ~Copyable {
    var waiting: RingQueue<WaitingOperation>
    var inFlight = 0
    let limit: Int

    init(capacity: Int, limit: Int) {
        waiting = RingQueue(capacity: capacity)
        self.limit = limit
    }

    var outstanding: Int { inFlight + waiting.count }
}

/// One drive.
struct DeviceLane: ~Copyable {
    /// Writes, flushes and discards in flight at most. A frozen file system holds a thread of the
    /// kernel for each.
    static let changeLimit = 64

    var reads: LaneQueue
    var changes: LaneQueue
    var isFenced = false
    let geometry: DriveGeometry
    var bytesInFlight: UInt64 = 0
    var readLatency = LatencyTrack()
    var writeLatency = LatencyTrack()
    /// Its last operation that failed.
    var lastFailure: FenceCause?

    /// `limit` operations in flight, `queueLimit` waiting of each kind.
    init(geometry: DriveGeometry, limit: Int, queueLimit: Int) {
        let changeLimit = max(1, min(Self.changeLimit, limit / 2))
        reads = LaneQueue(capacity: queueLimit, limit: limit - changeLimit)
        changes = LaneQueue(capacity: queueLimit, limit: changeLimit)
        self.geometry = geometry
    }

    /// The next operation that may go to the drive now.
    mutating func next() -> WaitingOperation? {
        if isFenced { return nil }
        if reads.inFlight < reads.limit, let operation = reads.waiting.popFirst() {
            reads.inFlight += 1
            return operation
        }
        if changes.inFlight < changes.limit, let operation = changes.waiting.popFirst() {
            changes.inFlight += 1
            return operation
        }
        return nil
    }

    /// The next operation that a fenced drive will never see.
    mutating func nextAbandoned() -> WaitingOperation? {
        guard isFenced else { return nil }
        return reads.waiting.popFirst() ?? changes.waiting.popFirst()
    }

    mutating func append(_ waiting: WaitingOperation) {
        if waiting.operation.action == .read {
            reads.waiting.append(waiting)
        } else {
            changes.waiting.append(waiting)
        }
    }

    /// One of the operations in flight has completed.
    mutating func ended(_ operation: DeviceOperation) {
        if operation.action == .read { reads.inFlight -= 1 } else { changes.inFlight -= 1 }
        bytesInFlight -= operation.length.rawValue
    }
}

/// The oldest operations of one drive that are in flight; nil where there is none.
struct OldestOperations: Sendable {
    var read: Instant?
    /// Of writes and flushes.
    var change: Instant?
    var discard: Instant?
}
