// The monotonic clock and the processor a thread runs on: the two things a shard's thread asks of
// Linux besides its ring.

#if IOUring

internal import CIOURing

/// CLOCK_MONOTONIC, which never goes back and never jumps.
package enum MonotonicClock {
    package static func nanoseconds() -> UInt64 { memkv_monotonic_nanoseconds() }
}

/// Binds the calling thread to one processor.
package func pinThread(toProcessor processor: Int) throws(SystemError) {
    let result = memkv_pin_to_processor(Int32(truncatingIfNeeded: processor))
    if result < 0 { throw SystemError(result) }
}

#endif
