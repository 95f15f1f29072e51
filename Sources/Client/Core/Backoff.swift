// Backoff: how long to leave something alone after it failed: exponential with a cap and full
// jitter, so that many clients of one server don't come back together (Brooker, "Exponential
// Backoff and Jitter", AWS Architecture Blog, 2015).
//
// Always holds: a pause lies between one microsecond and the cap, and its mean doubles with each
// failure until the cap. Randomness is drawn from a seeded generator, one draw a pause.

private import Wire

/// SplitMix64 (Steele et al., OOPSLA 2014).
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        defer { state &+= 0x9E37_79B9_7F4A_7C15 }
        return BlockKey.finalize(state)
    }
}

/// A series of pauses.
package struct Backoff: Hashable, Sendable {
    /// The longest pause after the first failure.
    package var firstMicroseconds: UInt64
    package var capMicroseconds: UInt64

    package init(firstMicroseconds: UInt64, capMicroseconds: UInt64) {
        precondition(0 < firstMicroseconds && firstMicroseconds <= capMicroseconds, "no series")
        self.firstMicroseconds = firstMicroseconds
        self.capMicroseconds = capMicroseconds
    }

    /// The pause after the `failures`th failure in a row, 1 the first.
    func pauseMicroseconds(failures: Int, _ generator: inout SeededGenerator) -> UInt64 {
        let doublings = min(max(failures - 1, 0), 40)
        let longest = firstMicroseconds.multipliedReportingOverflow(by: 1 << UInt64(doublings))
        let bound = longest.overflow ? capMicroseconds : min(longest.partialValue, capMicroseconds)
        return UInt64.random(in: 1...bound, using: &generator)
    }
}
