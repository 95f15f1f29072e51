// RefusalReports: peers that were turned away, told at most once a second: a peer that knocks a
// million times must not fill the log.

#if IOUring

internal import Engine
internal import IOUring

/// One shard's reports.
struct RefusalReports {
    private var reportedCount: UInt64 = 0
    private var nextReport = Instant(nanoseconds: 0)

    private static let pauseMicroseconds: UInt64 = 1_000_000

    /// When there is something to report; `never` as long as nobody was turned away.
    func due(_ transport: TCPTransport) -> Instant { transport.hasRefusal ? nextReport : .never }

    /// The next report; nil when there is none, or none may be made yet.
    mutating func next(_ transport: TCPTransport, now: Instant) -> ShardEvent? {
        guard now >= nextReport, let first = transport.takeRefusal() else { return nil }
        let counters = transport.counters
        let count = counters.value(.failedAuthentications) + counters.value(.forgedFrames)
        defer { reportedCount = count }
        nextReport = now.advanced(byMicroseconds: Self.pauseMicroseconds)
        return .refusedPeers(first: first, count: count - reportedCount)
    }
}

#endif
