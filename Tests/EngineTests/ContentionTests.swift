// Two threads at one slab pool: what several shards do. The test ends when a compare-and-swap has
// been lost.

import Engine
import Glibc
import Sim
import Synchronization
import Testing
import Wire

@Suite struct ContentionTests {
    /// Who owns each slab now; 0 for nobody.
    private final class Owners: Sendable {
        let marks = Mutex<[Int]>([])
        let clashes = Atomic<Int>(0)

        /// Marks a slab as `owner`'s, or clears it; counts a slab that two have.
        func set(_ slab: Int, from old: Int, to new: Int) {
            let isRight = marks.withLock { marks in
                defer { marks[slab] = new }
                return marks[slab] == old
            }
            if !isRight { clashes.add(1, ordering: .relaxed) }
        }
    }

    @Test func threadsThatFightForSlabsNeverShareOne() async {
        let slabBytes: UInt64 = 4096
        let count = 6
        let memory = SimulatedMemory(length: ByteCount(UInt64(count) * slabBytes))
        let pool = SlabPool(
            arena: memory.arena,
            region: ArenaRange(
                start: ArenaOffset(0), length: ByteCount(UInt64(count) * slabBytes)),
            slabBytes: ByteCount(slabBytes))
        let owners = Owners()
        owners.marks.withLock { $0 = Array(repeating: 0, count: count) }
        await withTaskGroup(of: Void.self) { group in
            for owner in 1...2 {
                group.addTask { @concurrent in
                    for round in 0..<400_000 {
                        if round > 20_000, pool.casRetries > 0 { break }
                        let length = ByteCount(UInt64(round % 3 + 1) * slabBytes)
                        let taken = pool.lease(lengthBytes: length)
                        guard let lease = taken else { continue }
                        // The lock would keep the threads apart, so most rounds go without it.
                        guard round % 16 == 0 else { continue }
                        for piece in 0..<UInt64(lease.count) {
                            let place = lease.piece(
                                at: piece * slabBytes, limit: ByteCount(slabBytes))
                            owners.set(Int(place.start.rawValue / slabBytes), from: 0, to: owner)
                        }
                        for piece in 0..<UInt64(lease.count) {
                            let place = lease.piece(
                                at: piece * slabBytes, limit: ByteCount(slabBytes))
                            owners.set(Int(place.start.rawValue / slabBytes), from: owner, to: 0)
                        }
                    }
                }
            }
        }
        #expect(owners.clashes.load(ordering: .relaxed) == 0)
        #expect(pool.casRetries > 0)
        #expect(pool.freeSlabs == count)
        #expect(pool.doubleFreeCount == 0)
        withExtendedLifetime(memory) {}
    }
}
