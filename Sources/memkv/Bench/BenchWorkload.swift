// BenchWorkload: what one cell asks of the server, request by request, and what an answer is worth.
//
// Always holds: every answer is judged before it counts: a value must be the one that was put, a
// key that was never stored must not be there. A block that the server has forgotten is a miss,
// which a cache may have, and is counted as one; anything else that isn't `ok` ends the run.

import Client
import Wire

/// What an answer that was as it should be moved.
struct BenchAnswer {
    /// Of values that were acknowledged, or fetched and verified.
    var bytes: UInt64 = 0
    var keys: UInt64 = 0
    var misses: UInt64 = 0
}

/// A source of requests. The memory of a request is its place's, and nobody else's until it ended.
protocol BenchWorkload {
    /// The request to send from `memory`, with the number it is judged by; nil when there is none
    /// left.
    mutating func next(_ memory: OwnedBytes) -> (number: UInt64, request: ClientRequest)?
    func judge(
        _ outcome: RequestOutcome, of number: UInt64, _ memory: OwnedBytes,
        by client: BlockingClient
    ) throws(CommandFailure) -> BenchAnswer
}

/// Values of one size under new keys, up to a number of blocks.
struct PutWorkload: BenchWorkload {
    let blocks: BenchBlocks
    let valueBytes: Int
    let first: UInt64
    let limit: UInt64
    private(set) var count: UInt64 = 0

    init(_ blocks: BenchBlocks, valueBytes: Int, first: UInt64, limit: UInt64) {
        self.blocks = blocks
        self.valueBytes = valueBytes
        self.first = first
        self.limit = limit
    }

    mutating func next(_ memory: OwnedBytes) -> (number: UInt64, request: ClientRequest)? {
        guard count < limit else { return nil }
        let number = first + count
        count += 1
        blocks.stamp(memory, as: number)
        let item = PutItem(key: blocks.key(number), value: memory.source(count: valueBytes))
        return (number, .put(item))
    }

    func judge(
        _ outcome: RequestOutcome, of number: UInt64, _ memory: OwnedBytes,
        by client: BlockingClient
    ) throws(CommandFailure) -> BenchAnswer {
        if let error = ClientError(outcome.status) {
            throw CommandFailure(
                error, subject: "a put", key: blocks.key(number), by: client)
        }
        return BenchAnswer(bytes: UInt64(valueBytes), keys: 1)
    }
}

/// Blocks that were put, each once, in random order.
struct GetWorkload: BenchWorkload {
    let blocks: BenchBlocks
    let valueBytes: Int
    private var numbers: ArraySlice<UInt64>

    init(_ blocks: BenchBlocks, valueBytes: Int, numbers: [UInt64]) {
        self.blocks = blocks
        self.valueBytes = valueBytes
        var generator = SeededGenerator(seed: blocks.seed)
        self.numbers = numbers.shuffled(using: &generator)[...]
    }

    mutating func next(_ memory: OwnedBytes) -> (number: UInt64, request: ClientRequest)? {
        guard let number = numbers.popFirst() else { return nil }
        let destination = memory.destination.slice(from: 0, count: valueBytes)
        return (number, .get(GetItem(key: blocks.key(number), destination: destination)))
    }

    func judge(
        _ outcome: RequestOutcome, of number: UInt64, _ memory: OwnedBytes,
        by client: BlockingClient
    ) throws(CommandFailure) -> BenchAnswer {
        if outcome.status == .ended(.notFound) { return BenchAnswer(keys: 1, misses: 1) }
        if let error = ClientError(outcome.status) {
            throw CommandFailure(
                error, subject: "a get", key: blocks.key(number), by: client)
        }
        guard outcome.valueBytes == valueBytes, blocks.isStamped(memory, as: number) else {
            throw CommandFailure(
                .damaged, "\(blocks.key(number)): another value than the one that was put")
        }
        return BenchAnswer(bytes: UInt64(valueBytes), keys: 1)
    }
}

/// Batches of keys: the even places hold keys that are there, the odd ones keys that never were.
struct ExistsWorkload: BenchWorkload {
    let blocks: BenchBlocks
    let batchKeys: Int
    let present: [UInt64]
    private var count: UInt64 = 0

    init(_ blocks: BenchBlocks, batchKeys: Int, present: [UInt64]) {
        self.blocks = blocks
        self.batchKeys = batchKeys
        self.present = present
    }

    mutating func next(_ memory: OwnedBytes) -> (number: UInt64, request: ClientRequest)? {
        let number = count
        count += 1
        let keys = (0..<batchKeys).map { place in
            let position = number &* UInt64(batchKeys) &+ UInt64(place)
            let drawn = BlockKey.finalize(blocks.seed ^ position)
            return place % 2 == 0
                ? blocks.key(present[Int(drawn % UInt64(present.count))])
                : blocks.key(Self.neverStored &+ position)
        }
        return (number, .exists(keys))
    }

    /// Numbers from here on are never put.
    private static let neverStored: UInt64 = 1 << 62

    func judge(
        _ outcome: RequestOutcome, of number: UInt64, _ memory: OwnedBytes,
        by client: BlockingClient
    ) throws(CommandFailure) -> BenchAnswer {
        var answer = BenchAnswer(keys: UInt64(batchKeys))
        for (place, item) in outcome.items.enumerated() {
            switch item.status {
            case .ok where place % 2 == 0: break
            case .ended(.notFound): answer.misses += place % 2 == 0 ? 1 : 0
            case .ok:
                throw CommandFailure(.damaged, "a key that was never stored is said to be there")
            default:
                guard let error = ClientError(item.status) else { continue }
                throw CommandFailure(
                    error, subject: "exists", key: blocks.key(present[0]), by: client)
            }
        }
        return answer
    }
}

/// SplitMix64 (Steele et al., OOPSLA 2014).
private struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64
    init(seed: UInt64) { state = seed }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return BlockKey.finalize(state)
    }
}
