// WatchLimits: how long a drive may take before something is done about it.

/// Times of the drives' watch, in microseconds.
package struct WatchLimits: Hashable, Sendable {
    /// Between two looks at a drive that has something to do.
    package var lookMicroseconds: UInt64 = 100_000
    /// An operation that takes so long makes its drive a lagging one: what goes beyond the drive's
    /// share is turned away.
    package var lagMicroseconds: UInt64 = 250_000
    /// A write or flush that takes so long means that writes are stalled, a read that the drive
    /// doesn't answer.
    package var stallMicroseconds: UInt64 = 2_000_000
    /// A read that takes so long means that the drive is lost.
    package var hangMicroseconds: UInt64 = 60_000_000
    /// How long nothing may be late before a stalled drive is trusted again.
    package var calmMicroseconds: UInt64 = 1_000_000
    /// Between two probes of a drive that is impaired.
    package var probeMicroseconds: UInt64 = 1_000_000
    /// Between two probes of a drive that nobody uses; 0 for none, so that a simulation can come to
    /// rest.
    package var heartbeatMicroseconds: UInt64 = 0

    package init() {}
}
