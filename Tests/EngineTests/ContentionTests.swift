// Two threads at one slab pool: what several shards do. The test ends when a compare-and-swap has
// been lost.

import Engine
import Foundation
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

    /// What the threads of the test share.
    private final class Ring: Sendable {
        let pool: SlabPool
        let owners = Owners()
        let waiting = Atomic<Int>(0)
        let threadCount: Int

        init(pool: SlabPool, threadCount: Int) {
            self.pool = pool
            self.threadCount = threadCount
            owners.marks.withLock { $0 = Array(repeating: 0, count: Int(pool.slabCount)) }
        }

        /// Takes and gives back slabs as `owner` until somebody has lost an exchange.
        func fight(as owner: Int) {
            waiting.add(1, ordering: .relaxed)
            while waiting.load(ordering: .relaxed) < threadCount { sched_yield() }
            let slabBytes = pool.slabBytes.rawValue
            for round in 0..<4_000_000 {
                if round > 20_000, pool.casRetries > 0 { break }
                let length = ByteCount(UInt64(round % 3 + 1) * slabBytes)
                let taken = pool.lease(lengthBytes: length)
                guard let lease = taken else { continue }
                // The lock would keep the threads apart, so most rounds go without it.
                guard round % 16 == 0 else { continue }
                mark(lease, from: 0, to: owner)
                mark(lease, from: owner, to: 0)
            }
        }

        private func mark(_ lease: borrowing SlabLease, from old: Int, to new: Int) {
            let slabBytes = pool.slabBytes.rawValue
            for piece in 0..<UInt64(lease.count) {
                let place = lease.piece(at: piece * slabBytes, limit: ByteCount(slabBytes))
                owners.set(Int(place.start.rawValue / slabBytes), from: old, to: new)
            }
        }
    }

    @Test func threadsThatFightForSlabsNeverShareOne() {
        let slabBytes: UInt64 = 4096
        let count = 12
        let memory = SimulatedMemory(length: ByteCount(UInt64(count) * slabBytes))
        let region = ArenaRange(
            start: ArenaOffset(0), length: ByteCount(UInt64(count) * slabBytes))
        let pool = SlabPool(
            arena: memory.arena, region: region, slabBytes: ByteCount(slabBytes))
        // Threads of their own: tasks would share the few that the other tests keep busy.
        let ring = Ring(pool: pool, threadCount: 4)
        let threads = (1...ring.threadCount).map { owner in
            let thread = Thread { ring.fight(as: owner) }
            thread.start()
            return thread
        }
        while !threads.allSatisfy(\.isFinished) { usleep(1000) }
        #expect(ring.owners.clashes.load(ordering: .relaxed) == 0)
        #expect(pool.casRetries > 0)
        #expect(pool.freeSlabs == count)
        #expect(pool.doubleFreeCount == 0)
        withExtendedLifetime(memory) {}
    }
}
