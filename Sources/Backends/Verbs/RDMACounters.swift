// What the RDMA transports of a daemon count together: shards and control thread write, any thread
// reads.
//
// Always holds: counters only grow.

#if Verbs

package import QueuePairs
internal import Synchronization

/// The counters.
package final class RDMACounters: Sendable {
    private let cells = Mutex<[UInt64]>(
        Array(repeating: 0, count: RDMACounter.allCases.count))

    package init() {}

    package func value(_ counter: RDMACounter) -> UInt64 {
        cells.withLock { $0[counter.rawValue] }
    }

    func add(_ amount: UInt64 = 1, to counter: RDMACounter) {
        cells.withLock { $0[counter.rawValue] &+= amount }
    }
}

#endif
