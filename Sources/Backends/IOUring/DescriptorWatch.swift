// DescriptorWatch: has a shard's ring wait for descriptors of somebody else's too, so that one
// thread waits for everything.
//
// Always holds: at most one poll of each descriptor is in flight; the watched one is looked at
// before every wait, after its descriptors' notices were told to it.

#if IOUring

package import Engine
internal import Ring

/// Something with descriptors that become readable when it has something to do. Lives on the
/// shard's thread.
package protocol Watched: AnyObject {
    /// Fixed for its life.
    var descriptors: [Int32] { get }
    /// Descriptor `index` became readable.
    func notified(_ index: Int)
    /// Does what there is to do. True when there is something for the engine.
    func look(now: Instant) -> Bool
    /// When `look` is due though no descriptor becomes readable.
    func nextLook(now: Instant) -> Instant
}

/// The watch over one of them, held by whoever wants it.
package final class DescriptorWatch: CompletionHandler {
    private let shard: ShardRing
    private let watched: any Watched
    private let descriptors: [Int32]
    private var isPolling: [Bool]
    private var source: UInt64 = 0

    package init(_ watched: any Watched, on shard: ShardRing) {
        self.shard = shard
        self.watched = watched
        descriptors = watched.descriptors
        isPolling = descriptors.map { _ in false }
        source = shard.attach(self)
    }

    /// Operations that this may have in flight at once: part of the ring's limit.
    package static let inFlightLimit = 64

    package func prepare(now: Instant) -> Bool {
        let hasWork = watched.look(now: now)
        for (index, descriptor) in descriptors.enumerated() where !isPolling[index] {
            isPolling[index] = true
            shard.ring.awaitReadable(
                descriptor, userData: ShardRing.userData(source: source, UInt64(index)))
        }
        return hasWork
    }

    package func complete(_ operation: UInt64, result: Int32, hasMore: Bool, now: Instant) {
        isPolling[Int(operation)] = false
        watched.notified(Int(operation))
    }

    package func nextWake(now: Instant) -> Instant { watched.nextLook(now: now) }
}

#endif
