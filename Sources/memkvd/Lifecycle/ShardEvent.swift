// ShardEvent: what a shard tells the main task, in order. The shard never logs by itself: a log
// that nobody reads would otherwise stop it.

#if IOUring

internal import IOUring

/// A drive that isn't there at start.
struct AbsentDrive: Sendable {
    let name: String
    let reason: String
}

/// A change in a shard's life.
enum ShardEvent: Sendable {
    /// It has its drives and recovers them. What its ring can do, and which processor it has.
    case opened(ring: String, processor: Int?, absentDrives: [AbsentDrive])
    /// Recovered: it serves.
    case ready
    /// More clients were refused or ended since the last time: how many since the start, by
    /// reason.
    case refusals([(name: String, count: UInt64)])
    /// Peers without a right key were turned away: the first of them, and how many since the last
    /// such event. At most one a second.
    case refusedPeers(first: AuthenticationRefusal, count: UInt64)
    /// It takes no new requests.
    case draining
    /// Everything is done and checkpointed. The last event.
    case stopped
    /// It ended by itself. The last event.
    case failed(StartFailure)

    var isReady: Bool { if case .ready = self { true } else { false } }
}

#endif
