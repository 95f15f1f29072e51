// LimitReport: when the log is told how many clients were refused or ended, and why.
//
// Always holds: at most one report in ten seconds, and none when nothing has changed, so that a
// flood of hostile clients is no flood of lines.

#if IOUring

internal import Engine
internal import IOUring

/// Reads a transport's counters; told the time by its shard.
struct LimitReport {
    private let counters: TransportCounters
    private var reported: UInt64 = 0
    private var nextReport = Instant(nanoseconds: 0)

    private static let pauseMicroseconds: UInt64 = 10_000_000

    init(_ counters: TransportCounters) { self.counters = counters }

    /// The reasons that have occurred, with their counts since the start; nil when there is nothing
    /// new, or it isn't time yet.
    mutating func due(now: Instant) -> [(name: String, count: UInt64)]? {
        guard now >= nextReport else { return nil }
        var total: UInt64 = 0
        for counter in TransportCounter.allCases where counter.isRefusal {
            total += counters.value(counter)
        }
        if total == reported { return nil }
        reported = total
        nextReport = now.advanced(byMicroseconds: Self.pauseMicroseconds)
        return TransportCounter.allCases.filter { $0.isRefusal && counters.value($0) > 0 }
            .map { ($0.wordsWithUnderscores, counters.value($0)) }
    }
}

#endif
