// The fixed tables under everything: against the standard library's, and the slab pool under
// contention.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct MemoryTests {
    @Test func aDriveNobodyHasLookedAtYetIsRecoveringAndNotMissing() {
        #expect(ShardCells(driveCount: 2).drives.allSatisfy { $0.state == .recovering })
    }

    @Test func aFixedMapIsADictionaryOfFixedCapacity() {
        var random = RandomStream(seed: 7, name: "fixed map", incarnation: 0)
        var map = FixedMap<UInt64, UInt64>(capacity: 200, seed: 3)
        var model: [UInt64: UInt64] = [:]
        for step in 0..<40_000 {
            // Few distinct keys, so that probe chains form, wrap around and are shifted back.
            let key = random.below(300)
            if random.chance(percent: 55) {
                let fits = model[key] != nil || model.count < 200
                #expect(map.set(key, to: UInt64(step)) == fits)
                if fits { model[key] = UInt64(step) }
            } else {
                #expect(map.remove(key) == model.removeValue(forKey: key))
            }
            #expect(map.count == model.count)
            if step % 97 == 0 {
                for key in 0..<300 { #expect(map[UInt64(key)] == model[UInt64(key)]) }
            }
        }
        map.removeAll()
        #expect(map.count == 0 && map[1] == nil)
    }

    @Test func aDirtyTableSortsByKeyWhateverTheOrderOfArrival() {
        var random = RandomStream(seed: 8, name: "dirty table", incarnation: 0)
        for count in [0, 1, 2, 3, 10, 255, 1000] {
            var table = DirtyTable(capacity: 1000, seed: 5)
            var order = FixedArray<UInt32>(count: 1000, repeating: 0)
            var keys: Set<BlockKey> = []
            while keys.count < count {
                let key = EngineBench.key(random.below(100_000), namespace: UInt32(random.below(3)))
                keys.insert(key)
                var entry = DirtyEntry.none
                entry.entry.key = key
                table.set(entry)
            }
            #expect(table.count == count)
            table.sort(into: &order)
            let sorted = (0..<count).map { table.key(at: Int(order[$0])) }
            #expect(sorted == keys.sorted())
        }
    }

    @Test func aSlabThatComesBackTwiceIsCountedAndNotHandedOutTwice() throws {
        let memory = SimulatedMemory(length: ByteCount(4 * 4096))
        let pool = SlabPool(
            arena: memory.arena,
            region: ArenaRange(start: ArenaOffset(0), length: ByteCount(4 * 4096)),
            slabBytes: ByteCount(4096))
        let slab: SlabIndex
        do {
            let taken = pool.lease(lengthBytes: ByteCount(1))
            guard let lease = taken else {
                Issue.record("no slab")
                return
            }
            slab = SlabIndex(UInt32(lease.piece(at: 0, limit: ByteCount(1)).start.rawValue / 4096))
        }
        #expect(pool.freeSlabs == 4)
        pool.release(slab)
        #expect(pool.doubleFreeCount == 1)
        #expect(pool.freeSlabs == 4)
        do {
            let all = pool.lease(lengthBytes: ByteCount(4 * 4096))
            let isNoneLeft = pool.lease(lengthBytes: ByteCount(1)) == nil
            #expect(isNoneLeft)
            guard let all else {
                Issue.record("four free slabs are not to be had")
                return
            }
            #expect(all.count == 4)
        }
        #expect(pool.freeSlabs == 4)
    }
}
