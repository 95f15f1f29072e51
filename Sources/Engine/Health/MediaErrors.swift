// MediaErrors: when single places that can't be read make a drive a bad one.
//
// A leaky bucket: each error fills it by one, a minute empties it by one. At eight the drive is
// degraded, and no longer once the bucket is empty. Always holds: a drive with an error a day is
// never degraded by it.

/// One drive's recent media errors.
struct MediaErrors: Sendable {
    private static let threshold = 8
    private static let leakMicroseconds: UInt64 = 60_000_000

    private var level = 0
    private var lastLeak = Instant(nanoseconds: 0)
    private(set) var areMany = false

    mutating func note(now: Instant) {
        if level == 0 { lastLeak = now }
        level = min(level + 1, 4 * Self.threshold)
        if level >= Self.threshold { areMany = true }
    }

    /// Lets go of what is long past.
    mutating func leak(now: Instant) {
        while level > 0, now.microseconds(since: lastLeak) >= Self.leakMicroseconds {
            level -= 1
            lastLeak = lastLeak.advanced(byMicroseconds: Self.leakMicroseconds)
        }
        if level == 0 { areMany = false }
    }
}
