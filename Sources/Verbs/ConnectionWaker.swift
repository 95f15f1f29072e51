// ConnectionWaker: how a thread waits for news of connections, and another one ends that wait.
//
// Always holds: a wake is never lost; many before the wait count as one.

#if Verbs

internal import CVerbs
internal import Glibc

/// Any thread may wake; one waits.
package final class ConnectionWaker: Sendable {
    private let descriptor: Int32

    package init() throws(VerbsError) {
        let result = memkv_rdma_make_wake()
        guard result >= 0 else { throw VerbsError("to make an eventfd", result) }
        descriptor = result
    }

    deinit { close(descriptor) }

    package func wake() { memkv_rdma_wake(descriptor) }

    /// Blocks until `events`, if there are any, has one, until a wake, or for `milliseconds`.
    package func wait(for events: ConnectionEvents?, milliseconds: Int) {
        memkv_rdma_wait(events?.descriptor ?? -1, descriptor, Int32(milliseconds))
    }

    package static func pause(milliseconds: Int) {
        usleep(useconds_t(milliseconds) * 1000)
    }

    /// The monotonic clock.
    package static var nanoseconds: UInt64 { memkv_rdma_nanoseconds() }
}

#endif
