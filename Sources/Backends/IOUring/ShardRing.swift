// ShardRing: a shard's one ring, and the way of every completion to whoever submitted it.
//
// Always holds: made, used and ended by one thread; each operation in flight belongs to one
// attached handler, named in the top byte of its user data; `enter` never spins: asked to wait, it
// blocks until a completion, a wake-up, or the given instant.

#if IOUring

package import Engine
package import Ring

/// Something that submits to a shard's ring and takes its own completions. Lives on the shard's
/// thread.
package protocol CompletionHandler: AnyObject {
    /// Submits what has gathered since the last time. True when it found work for the engine, so
    /// that the shard must not wait now.
    func prepare(now: Instant) -> Bool

    /// Takes the end of one operation.
    func complete(_ operation: UInt64, result: Int32, hasMore: Bool, now: Instant)

    /// When `prepare` must be called though nothing completes.
    func nextWake(now: Instant) -> Instant
}

/// The monotonic clock, as the engine counts it.
package func now() -> Instant { Instant(nanoseconds: MonotonicClock.nanoseconds()) }

/// A shard's ring. Confined to the thread that made it, its `waker` excepted.
package final class ShardRing {
    /// Another thread's way to end `enter`'s wait.
    package let waker: RingWaker
    var ring: Ring
    private var handlers: [Attachment] = []

    private struct Attachment {
        weak var handler: (any CompletionHandler)?
    }

    /// Low bits of the user data, the handler's own.
    static let operationMask: UInt64 = (1 << 56) - 1
    private static let wakeSource: UInt64 = 1
    /// Completions of this source mean nothing: they end requests to cancel.
    static let silentSource: UInt64 = 0
    private static let firstHandlerSource: UInt64 = 2

    /// A ring for at most `inFlightLimit` operations at once, on whose thread it is made. `arena`
    /// is registered with the kernel if the kernel lets it.
    package init(arena: Arena, inFlightLimit: Int, entries: Int = 1024) throws(RingError) {
        waker = try RingWaker()
        ring = try Ring(entries: UInt32(entries), inFlight: UInt32(inFlightLimit + 8))
        let whole = ArenaRange(start: ArenaOffset(0), length: arena.length)
        unsafe ring.registerBuffers(arena.bytes(whole))
        awaitWake()
    }

    /// What the kernel gives this ring and what it refuses, in one sentence.
    package var features: RingFeatures { ring.features }

    /// Makes `handler` the owner of the operations submitted with the returned source. It is held
    /// weakly.
    func attach(_ handler: any CompletionHandler) -> UInt64 {
        handlers.append(Attachment(handler: handler))
        return Self.firstHandlerSource + UInt64(handlers.count - 1)
    }

    /// The user data of `operation`, which belongs to the handler attached as `source`.
    static func userData(source: UInt64, _ operation: UInt64) -> UInt64 {
        source << 56 | operation & operationMask
    }

    /// Submits everything prepared and hands every completion to its owner. With `wait`, blocks
    /// until there is one, until the waker is used, or until `deadline`. Returns how many
    /// completions it took.
    @discardableResult
    package func enter(wait: Bool, until deadline: Instant = .never) -> Int {
        let start = now()
        var mayWait = wait
        var limit = deadline
        for attachment in handlers {
            guard let handler = attachment.handler else { continue }
            if handler.prepare(now: start) { mayWait = false }
            limit = min(limit, handler.nextWake(now: start))
        }
        ring.enter(mayWait ? Self.wait(from: start, until: limit) : .no)
        return dispatch()
    }

    private static func wait(from start: Instant, until limit: Instant) -> RingWait {
        if limit == .never { return .forever }
        return limit > start ? .nanoseconds(limit.nanoseconds - start.nanoseconds) : .no
    }

    private func dispatch() -> Int {
        var taken = 0
        let time = now()
        while let completion = ring.nextCompletion() {
            taken += 1
            let source = completion.userData >> 56
            switch source {
            case Self.silentSource: continue
            case Self.wakeSource:
                if completion.result > 0 { waker.reset() }
                awaitWake()
            default:
                let index = Int(source - Self.firstHandlerSource)
                precondition(index < handlers.count, "a completion of source \(source)")
                handlers[index].handler?.complete(
                    completion.userData & Self.operationMask, result: completion.result,
                    hasMore: completion.hasMore, now: time)
            }
        }
        return taken
    }

    private func awaitWake() {
        ring.awaitWake(waker, userData: Self.userData(source: Self.wakeSource, 0))
    }
}

#endif
