// InboundShare: what payloads on their way in may hold of the slabs, all sessions together: so that
// clients who send slowly leave slabs for answers.
//
// Always holds: no more than `limit` is taken; nothing is waited for. Any thread takes and gives
// back.

private import Synchronization

/// One transport's share, for all its shards.
package final class InboundShare: Sendable {
    /// Slabs.
    package let limit: UInt32
    private let taken = Atomic<UInt32>(0)

    package init(limit: UInt32) { self.limit = limit }

    /// Takes `count` slabs; false, and nothing is taken, when the share has too few.
    package func take(_ count: UInt32) -> Bool {
        if taken.add(count, ordering: .relaxed).newValue <= limit { return true }
        taken.subtract(count, ordering: .relaxed)
        return false
    }

    /// Gives back what `take` gave.
    package func giveBack(_ count: UInt32) { taken.subtract(count, ordering: .relaxed) }
}
