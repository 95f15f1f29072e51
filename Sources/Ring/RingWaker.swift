// The handle with which another thread wakes a ring that waits.
//
// Always holds: a wake is never lost; many before the ring looks count as one. The descriptor stays
// open as long as any handle on it.

#if IOUring

internal import CIOURing
internal import Glibc

/// Wakes one ring. Any thread may hold it and use it.
package final class RingWaker: Sendable {
    /// The eventfd that the ring reads.
    package let descriptor: Int32

    package init() throws(RingError) {
        let result = memkv_eventfd()
        guard result >= 0 else { throw .noWakeDescriptor(SystemError(result)) }
        descriptor = result
    }

    deinit { close(descriptor) }

    /// Makes the ring's wait end, now or, when it isn't waiting, at once the next time.
    package func wake() {
        var one: UInt64 = 1
        let written = unsafe write(descriptor, &one, 8)
        precondition(written == 8, "an eventfd refused a wake-up: \(SystemError(errno))")
    }

    /// Forgets the wakes so far. For the ring's thread, once a wake has completed: it never blocks
    /// then.
    package func reset() {
        var count: UInt64 = 0
        let taken = unsafe read(descriptor, &count, 8)
        precondition(taken == 8, "an eventfd refused to be read: \(SystemError(errno))")
    }
}

#endif
