// DaemonControl: how anybody asks the shards to stop, at any moment of their life, and the daemon
// to read its keys again.
//
// Always holds: a request made before a shard has its ring is seen by its first look, one made
// later wakes it; asking twice does what asking once does.

#if IOUring

internal import Ring
internal import Synchronization

/// Shared by the signals' thread, the main task and the shards.
final class DaemonControl: Sendable {
    private struct State {
        var reason: String?
        var wakers: [Int: RingWaker] = [:]
    }

    private let isStopping = Atomic<Bool>(false)
    private let state = Mutex(State())
    /// One element each time somebody asks for a reload; several that come together are one.
    let reloads: AsyncStream<Void>
    private let reloadRequest: AsyncStream<Void>.Continuation

    init() {
        (reloads, reloadRequest) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// Asks for the keys to be read again.
    func reload() { reloadRequest.yield() }

    /// Has every shard look at what has changed.
    func wakeShards() {
        state.withLock { state in
            for waker in state.wakers.values { waker.wake() }
        }
    }

    /// Asks every shard to drain; `reason` is a signal's name or what went wrong.
    func stop(reason: String) {
        isStopping.store(true, ordering: .releasing)
        state.withLock { state in
            if state.reason == nil { state.reason = reason }
            for waker in state.wakers.values { waker.wake() }
        }
    }

    /// True from the first request on. Costs a load, so that a shard may ask at every step.
    var stopIsRequested: Bool { isStopping.load(ordering: .acquiring) }

    /// Why the shards were asked to stop; nil when they weren't.
    var reason: String? { state.withLock { $0.reason } }

    /// A shard's way to be woken; to be given before its first look at `stopIsRequested`.
    func add(_ waker: RingWaker, of shard: Int) {
        state.withLock { $0.wakers[shard] = waker }
    }

    /// Ends a shard's wait; nothing when it has no ring yet.
    func wake(_ shard: Int) {
        state.withLock { $0.wakers[shard]?.wake() }
    }
}

#endif
