// fill: a store of many small blocks, half of them replaced by others, and then no orderly end: the
// process kills itself, as `kill -9` would.

#if IOUring

import ArgumentParser
import Engine
import Glibc
import IOUring
import Wire

/// The blocks of a filled store, told by numbers alone.
struct FillSeries: ParsableArguments {
    @Option(help: "Blocks in the store, before and after the churn.") var blocks: UInt64 = 1_000_000
    @Option(help: "Percent of the blocks that the churn replaces.") var churn: UInt64 = 50
    @Option(help: "Seed of keys, contents and order.") var seed: UInt64 = 1

    var series: BlockSeries {
        BlockSeries(seed: seed, smallestBytes: 100, largestBytes: 4096)
    }

    /// The blocks that the churn deletes, then those that it leaves, each in random order.
    var order: (deleted: ArraySlice<UInt64>, kept: ArraySlice<UInt64>) {
        var generator = SeededGenerator(seed: seed)
        let all = (0..<blocks).shuffled(using: &generator)
        let count = Int(blocks * churn / 100)
        return (all[..<count], all[count...])
    }

    /// Every block that is there after the churn.
    var survivors: [UInt64] {
        let order = order
        return Array(order.kept) + (0..<UInt64(order.deleted.count)).map { blocks + $0 }
    }
}

struct FillCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fill",
        abstract: "Fills a file drive with small blocks, replaces some, and kills itself.")

    @Option(help: "The drive's file; made at --drive-bytes, or formatted anew.") var drive: String
    @Option(help: "Size of the drive.") var driveBytes: UInt64 = 8 << 30
    @Option(help: "Requests in flight.") var depth = 256
    @OptionGroup var fill: FillSeries

    func run() throws {
        var engine = EngineConfiguration()
        engine.minimumSlotBytes = 4096
        var store = try LocalStore(
            LocalStorePlan(
                drive: .file(path: drive, createBytes: ByteCount(driveBytes)), engine: engine,
                depth: depth, slabBytes: ByteCount(UInt64(4096)), slabCount: depth,
                seed: fill.seed))
        let series = fill.series
        let filled = try run(&store, count: fill.blocks) { put(UInt64($0), of: series) }
        let deleted = Array(fill.order.deleted)
        let deletes = try run(&store, count: UInt64(deleted.count)) {
            LocalTask(operation: .tcpDelete, key: series.key(deleted[$0]))
        }
        let puts = try run(&store, count: UInt64(deleted.count)) {
            put(fill.blocks + UInt64($0), of: series)
        }
        let drive = store.cells.drives[0]
        print(
            """
            {"fill_seconds": \(filled), "delete_seconds": \(deletes), "insert_seconds": \(puts), \
            "blocks": \(drive.value(DriveGauge.blocks)), \
            "leaf_pages": \(drive.value(DriveGauge.leafPages)), \
            "leaf_live_bytes": \(drive.value(DriveGauge.leafLiveBytes)), \
            "dirty_entries": \(drive.value(DriveGauge.dirtyEntries)), \
            "checkpoints": \(store.cells.value(ShardCounter.checkpoints))}
            """)
        fflush(nil)
        kill(getpid(), SIGKILL)
    }

    private func put(_ number: UInt64, of series: BlockSeries) -> LocalTask {
        LocalTask(
            operation: .tcpPut, key: series.key(number), lengthBytes: series.lengthBytes(number))
    }

    private func run(
        _ store: inout LocalStore, count: UInt64, _ task: (Int) -> LocalTask
    ) throws -> Double {
        let run = store.run(count: Int(count), task)
        guard run.outcomes.ok == Int(count) else {
            throw BenchmarkFailure("not every request ended with ok: \(run.outcomes)")
        }
        return run.seconds
    }
}

#endif
