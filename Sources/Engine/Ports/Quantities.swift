// The engine's numbers, each a type of its own: none converts into another without saying so.

/// A point on the monotonic clock, in nanoseconds. Time enters the engine as `step(now:)`'s
/// argument only.
package struct Instant: Hashable, Comparable, Sendable {
    package let nanoseconds: UInt64

    package init(nanoseconds: UInt64) { self.nanoseconds = nanoseconds }

    /// Later than every instant: no deadline.
    package static let never = Instant(nanoseconds: .max)

    package static func < (left: Instant, right: Instant) -> Bool {
        left.nanoseconds < right.nanoseconds
    }

    /// The instant `microseconds` later, `never` at the end of time.
    package func advanced(byMicroseconds microseconds: UInt64) -> Instant {
        let (product, overflowed) = microseconds.multipliedReportingOverflow(by: 1000)
        let (sum, overflowedToo) = nanoseconds.addingReportingOverflow(product)
        return overflowed || overflowedToo ? .never : Instant(nanoseconds: sum)
    }

    /// Whole microseconds since `earlier`, 0 when `earlier` is not earlier.
    package func microseconds(since earlier: Instant) -> UInt64 {
        nanoseconds > earlier.nanoseconds ? (nanoseconds - earlier.nanoseconds) / 1000 : 0
    }
}

/// A distance in bytes from the start of a drive.
package struct ByteOffset: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: ByteOffset, right: ByteOffset) -> Bool {
        left.rawValue < right.rawValue
    }
    package func advanced(by length: ByteCount) -> ByteOffset {
        ByteOffset(rawValue + length.rawValue)
    }
}

/// A length in bytes.
package struct ByteCount: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package init(_ rawValue: Int) { self.rawValue = UInt64(rawValue) }
    package static let zero = ByteCount(UInt64(0))
    package static func < (left: ByteCount, right: ByteCount) -> Bool {
        left.rawValue < right.rawValue
    }
    /// The smallest multiple of `unit` that is not smaller.
    package func roundedUp(to unit: ByteCount) -> ByteCount {
        ByteCount((rawValue + unit.rawValue - 1) / unit.rawValue * unit.rawValue)
    }
}

/// A drive's place in its shard's configuration.
package struct DriveIndex: Hashable, Comparable, Sendable {
    package let rawValue: UInt16
    package init(_ rawValue: UInt16) { self.rawValue = rawValue }
    package static func < (left: DriveIndex, right: DriveIndex) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Names one submitted operation until its completion; the submitter chooses it and gets it back.
package struct OperationTag: Hashable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
}
