// MonotonicTime: a point on the clock that deadlines are measured by. Time enters the session as an
// argument.

/// Nanoseconds on the monotonic clock.
package struct MonotonicTime: Hashable, Comparable, Sendable {
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Later than every other time: no deadline.
    package static let never = MonotonicTime(nanoseconds: .max)

    package static func < (left: MonotonicTime, right: MonotonicTime) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The time `microseconds` later; `never` at the end of time.
    package func advanced(byMicroseconds microseconds: UInt64) -> MonotonicTime {
        let (product, overflowed) = microseconds.multipliedReportingOverflow(by: 1000)
        let (sum, overflowedToo) = nanoseconds.addingReportingOverflow(product)
        return overflowed || overflowedToo ? .never : MonotonicTime(nanoseconds: sum)
    }

    /// Whole microseconds since `earlier`; 0 when `earlier` is not earlier.
    package func microseconds(since earlier: MonotonicTime) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1000 : 0
    }
}
