// ratio: the engine's half of a comparison with fio: durable puts of whole blocks, then gets of all
// of them in another order, each verified by the engine.

#if IOUring

import ArgumentParser
import Engine
import IOUring
import Wire

struct RatioCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ratio", abstract: "Puts blocks durably into a fresh store, then gets them.")

    @Option(help: "A block device; whatever it holds is lost.") var device: String
    @Option(help: "Blocks to put and to get.") var blocks = 512
    @Option(help: "Bytes of one block.") var blockBytes: UInt32 = 4 << 20
    @Option(help: "Requests in flight.") var depth = 8
    @Option(help: "Seed of keys and contents.") var seed: UInt64 = 1

    func run() throws {
        var engine = EngineConfiguration()
        engine.blockSizeBytes = blockBytes
        engine.minimumSlotBytes = min(engine.minimumSlotBytes, blockBytes)
        var store = try LocalStore(
            LocalStorePlan(
                drive: .direct(path: device), engine: engine, depth: depth,
                slabBytes: ByteCount(UInt64(blockBytes)), slabCount: depth, seed: seed))
        let series = BlockSeries(seed: seed, smallestBytes: blockBytes, largestBytes: blockBytes)
        let puts = store.run(count: blocks) { number in
            LocalTask(
                operation: .tcpPut, key: series.key(UInt64(number)), lengthBytes: blockBytes)
        }
        var generator = SeededGenerator(seed: seed)
        let order = (0..<UInt64(blocks)).shuffled(using: &generator)
        let gets = store.run(count: blocks) { number in
            LocalTask(operation: .tcpGet, key: series.key(order[number]))
        }
        for run in [puts, gets] where run.outcomes.ok != blocks {
            throw BenchmarkFailure("not every request ended with ok: \(run.outcomes)")
        }
        print(
            """
            {"put_seconds": \(puts.seconds), "put_flushes": \(puts.flushes), \
            "get_seconds": \(gets.seconds), "bytes": \(UInt64(blocks) * UInt64(blockBytes))}
            """)
    }
}

#endif
