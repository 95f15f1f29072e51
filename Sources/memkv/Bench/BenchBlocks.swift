// BenchBlocks: the keys and values of a run.
//
// Always holds: no two runs have a key in common, but for the same seed; every page of every value
// differs from every other and doesn't compress, so that nothing below the server can save work; a
// value that belongs to another key, or to an earlier run, is told from the right one.

import Client
import Wire

struct BenchBlocks: Sendable {
    let seed: UInt64
    let namespace: Namespace

    private static let pageBytes = 4096

    func key(_ number: UInt64) -> BlockKey {
        let start = BlockKey.finalize(seed ^ BlockKey.finalize(number))
        return BlockKey(
            namespace: namespace,
            words: (
                BlockKey.finalize(start &+ 1), BlockKey.finalize(start &+ 2),
                BlockKey.finalize(start &+ 3), BlockKey.finalize(start &+ 4)
            ))
    }

    /// Memory for a value, full of noise; the pages' first words are still to be written.
    func memory(_ place: Int, bytes: Int) -> OwnedBytes {
        let memory = OwnedBytes(count: (bytes + 7) / 8 * 8)
        let start = BlockKey.finalize(seed &+ UInt64(place)) << 32
        for word in 0..<memory.count / 8 {
            memory.store(word: BlockKey.finalize(start &+ UInt64(word)), at: word * 8)
        }
        return memory
    }

    /// Makes `memory` the value of block `number`.
    func stamp(_ memory: OwnedBytes, as number: UInt64) {
        for page in 0..<Self.pages(memory) {
            memory.store(word: stamp(number, page: page), at: page * Self.pageBytes)
        }
    }

    /// Whether `memory` holds the value of block `number`, by its pages' first words; all its bytes
    /// were compared with their checksum before.
    func isStamped(_ memory: OwnedBytes, as number: UInt64) -> Bool {
        (0..<Self.pages(memory)).allSatisfy { page in
            memory.loadWord(at: page * Self.pageBytes) == stamp(number, page: page)
        }
    }

    private static func pages(_ memory: OwnedBytes) -> Int {
        (memory.count + pageBytes - 1) / pageBytes
    }

    private func stamp(_ number: UInt64, page: Int) -> UInt64 {
        BlockKey.finalize(seed ^ BlockKey.finalize(number << 16 | UInt64(page)))
    }
}
