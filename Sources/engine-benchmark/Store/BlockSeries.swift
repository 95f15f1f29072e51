// BlockSeries: keys and lengths made from a number and a seed, so that two processes agree on them
// without a file between them.

#if IOUring

import Wire

/// An endless series of blocks.
struct BlockSeries {
    let seed: UInt64
    let smallestBytes: UInt32
    let largestBytes: UInt32

    /// The key of block `number`: spread evenly over all keys, in no order.
    func key(_ number: UInt64) -> BlockKey {
        let start = BlockKey.finalize(seed ^ BlockKey.finalize(number))
        return BlockKey(
            namespace: Namespace(1),
            words: (
                BlockKey.finalize(start &+ 1), BlockKey.finalize(start &+ 2),
                BlockKey.finalize(start &+ 3), BlockKey.finalize(start &+ 4)
            ))
    }

    func lengthBytes(_ number: UInt64) -> UInt32 {
        let spread = UInt64(largestBytes - smallestBytes) + 1
        return smallestBytes + UInt32(BlockKey.finalize(seed &+ number) % spread)
    }
}

/// SplitMix64 (Steele et al., OOPSLA 2014): the random numbers of every workload here.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return BlockKey.finalize(state)
    }
}

#endif
