// Shares: how much of what all sessions share one of them may take.
//
// Always holds: a session that has nothing may take what is free; one that has something may take
// more only while it then has no more than is left for the others. So a single greedy session gets
// half of a pool at most, n of them 1/(n + 1) each, and as much stays free for the next one:
// the limits move with the load (Choudhury and Hahne, "Dynamic queue length thresholds for
// shared-memory packet switches", IEEE/ACM Transactions on Networking 6, 1998, with factor 1).

/// The rule for slabs and for request entries.
package enum Shares {
    /// Whether a session that holds `held` of a pool may take `wanted` more, while `free` are free
    /// and nobody may hold more than `limit`.
    package static func permit(_ wanted: UInt64, held: UInt64, free: UInt64, limit: UInt64) -> Bool
    {
        if wanted > free { return false }
        if held == 0 { return true }
        return held + wanted <= limit && held + wanted <= free - wanted
    }
}
