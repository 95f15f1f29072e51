// BenchPool: the memory that values are sent from and fetched into, kept for all rounds of a run.

import Client

/// One pool for each size of values, made when it is first needed.
final class BenchPool {
    private let blocks: BenchBlocks
    private var memory: [Int: [OwnedBytes]] = [:]

    /// A pool is at least this large, more than the caches of a processor.
    private static let poolBytes = 64 << 20

    init(_ blocks: BenchBlocks) { self.blocks = blocks }

    /// Memory for `inFlight` values or more.
    func values(ofBytes bytes: Int, inFlight: Int) -> [OwnedBytes] {
        let count = max(inFlight, Self.poolBytes / bytes)
        var places = memory[bytes] ?? []
        for place in places.count..<max(count, places.count) {
            places.append(blocks.memory(place, bytes: bytes))
        }
        memory[bytes] = places
        return Array(places.prefix(count))
    }
}
