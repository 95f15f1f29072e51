// Cells: everything the engine counts or times, one closed list, in plain cells of its shard.
//
// Always holds: one thread writes a cell (the shard's), any thread reads it; a write is a relaxed
// load and a relaxed store, so it costs what a plain increment costs. Counters only grow; gauges
// are set at the end of a step, and a `reading` has those of one step only; a timing is a histogram
// of powers of two with its sum.
//
// One of the files that may say `unsafe`.

private import Synchronization

/// Events counted per shard. Raw values are places in the cell block and mean nothing outside this
/// process.
package enum ShardCounter: Int, CaseIterable, Sendable {
    case putRequests, getRequests, deleteRequests, existsRequests, statRequests
    case batchGetRequests, batchPutRequests, batchDeleteRequests
    /// Keys of requests that name several.
    case existsKeys, batchGetKeys, batchPutKeys, batchDeleteKeys
    /// Puts that asked their drive for slots, and those whose Commit record was written.
    case slotRequests, commits
    case bytesRead, bytesWritten
    /// Keys that a get or a batch of gets was told to be absent; not-found responses too.
    case readMisses
    case notFoundResponses, noSpaceResponses, invalidRequests, deadlineResponses
    case checksumFailures
    case leafCacheHits, leafCacheMisses
    case evictions, evictedBytes
    /// Of the evictions: from the watermark on, for slots that a put waits for, on request.
    case evictionsForWatermark, evictionsForSpace, evictionsRequested
    case checkpoints
    case rejectedPayloads
    /// Requests that were answered while a stalled drive still had them.
    case earlyResponses
    /// Failed completions and posts of the RDMA transport.
    case rdmaErrors
}

/// Levels of a shard.
package enum ShardGauge: Int, CaseIterable, Sendable {
    /// `EnginePhase` by its raw value.
    case phase
    case blocks, blocksPersisted
    /// Puts and deletes whose record isn't durable yet, reads under way, evictions under way.
    case blocksChanging, blocksReading, blocksEvicting
    case operationsInFlight
    case rdmaConnections
}

/// Durations and sizes of a shard; microseconds unless the name says otherwise.
package enum ShardTiming: Int, CaseIterable, Sendable {
    case put, get, delete, exists, stat, batchGet, batchPut, batchDelete
    /// Request entry to acknowledgement of a put.
    case persist
    /// Request entry to the hand-over to the ring.
    case persistPreWait
    /// A payload write's wait for a place among its drive's operations in flight.
    case writerWait
    /// Payload's last write completed to acknowledgement.
    case persistPostWait
    case deviceRead, deviceWrite, deviceFlush
    /// Puts made durable by one flush: a count, not a time.
    case flushBatchSize
    case slotAllocate
    /// From the first record that a flush made durable being staged to that flush's completion.
    case journalFlush
    case leafMiss
    case checkpoint
    case recovery
    case rdmaRead, rdmaWrite

    /// From a request's arrival to its answer, by what was asked.
    package static let requests: [ShardTiming] = [
        .put, .get, .delete, .exists, .stat, .batchGet, .batchPut, .batchDelete,
    ]
}

/// Events counted per drive.
package enum DriveCounter: Int, CaseIterable, Sendable {
    case readErrors, writeErrors, flushErrors
    /// Writes that the file system under a file drive had no room for; write errors too.
    case fileSystemFull
    case trimExtents, trimBytes, trimErrors
    case flushes, bytesWritten, bytesRead
    case journalRepairs, recoveredRecords, recoveredTornPayloads, returnedEmpty
    case damagedLeaves, damagedPages, quarantinedSlots, superblockRepairs
    /// Change lists that had no room for one more key: whoever was away returns empty.
    case lostChangeLists
    /// Entries removed because a newer one is elsewhere, or because they were changed in the
    /// drive's absence.
    case supersededBlocks
    /// Reads that single places of the drive refused.
    case mediaErrors
    /// What its scrub has read and found, and turns round all of the drive.
    case scrubbedBlocks, scrubbedBytes, scrubFindings, scrubTurns
    /// Requests turned away: its writes are stalled, it doesn't answer, it has its share in hand.
    case shedStalled, shedUnresponsive, shedOverShare
}

/// Levels of a drive.
package enum DriveGauge: Int, CaseIterable, Sendable {
    /// `DriveState` by its raw value.
    case state
    /// `DriveImpairments` by its raw value, and `FenceCause` as it encodes itself.
    case impairments, fenceCause
    /// Operations and slabs of requests that the drive has in hand.
    case operationsInHand, slabsInHand
    case rawBytes, usableBytes, metadataBytes, usedBytes
    /// Bytes of slots that are never used again.
    case quarantinedBytes
    case slotsTotal, slotsAllocated
    case journalPendingEntries, dirtyEntries, trimPending
    case leafPages, leafLiveBytes
    /// How far the scrub's turn is, in a thousandth of the drive's blocks.
    case scrubPermille
    case blocks
    /// Blocks whose key's first drive is another one; keys in the change list; the epoch noted.
    case strays, changedKeys, epoch
}

/// Durations of a drive, in microseconds.
package enum DriveTiming: Int, CaseIterable, Sendable {
    case read, write, flush, trim
}

/// Bucket bounds shared by all histograms: bucket k holds values up to 2^k that no smaller one
/// holds, the last one all others. 2^26 microseconds are 67 seconds, longer than any request lives.
package enum HistogramLayout {
    package static let bucketCount = 28
    /// Upper bound (inclusive) of bucket `index`; nil for the last.
    package static func upperBound(ofBucket index: Int) -> UInt64? {
        index == bucketCount - 1 ? nil : 1 << UInt64(index)
    }
    static func bucket(of value: UInt64) -> Int {
        value <= 1 ? 0 : min(bucketCount - 1, 64 - (value - 1).leadingZeroBitCount)
    }
    /// Cells of one histogram: the buckets and the sum.
    static let cellCount = bucketCount + 1
}

/// A histogram as read at one instant.
package struct HistogramSnapshot: Sendable {
    /// Values per bucket, not cumulative.
    package var buckets: [UInt64]
    package var sum: UInt64
    package var count: UInt64 { buckets.reduce(0, +) }

    package static func + (one: Self, other: Self) -> Self {
        Self(
            buckets: zip(one.buckets, other.buckets).map { $0 + $1 }, sum: one.sum + other.sum)
    }
}

/// A block of cells with one writer and any number of readers.
@safe
package final class CellBlock: @unchecked Sendable {
    // Sendable because every cell is atomic.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: Int
    /// Odd while the gauges are being set.
    private let publication = Atomic<UInt64>(0)

    init(count: Int) {
        self.count = count
        unsafe cells = .allocate(capacity: count)
        for index in 0..<count { unsafe (cells + index).initialize(to: Atomic(0)) }
    }

    deinit {
        unsafe cells.deinitialize(count: count)
        unsafe cells.deallocate()
    }

    @inline(__always)
    func load(_ index: Int) -> UInt64 {
        precondition(index < count)
        return unsafe cells[index].load(ordering: .relaxed)
    }

    @inline(__always)
    func store(_ value: UInt64, _ index: Int) {
        precondition(index < count)
        unsafe cells[index].store(value, ordering: .relaxed)
    }

    @inline(__always)
    func add(_ amount: UInt64, _ index: Int) {
        #if !WITHOUT_METRICS
        store(load(index) &+ amount, index)
        #endif
    }

    func record(_ value: UInt64, at first: Int) {
        add(1, first + HistogramLayout.bucket(of: value))
        add(value, first + HistogramLayout.bucketCount)
    }

    func histogram(at first: Int) -> HistogramSnapshot {
        HistogramSnapshot(
            buckets: (0..<HistogramLayout.bucketCount).map { load(first + $0) },
            sum: load(first + HistogramLayout.bucketCount))
    }

    // A sequence lock (Boehm, MSPC 2012): the writer never waits, a reader tries again.

    /// The writer begins to set gauges.
    func beginPublication() {
        publication.store(publication.load(ordering: .relaxed) &+ 1, ordering: .relaxed)
        atomicMemoryFence(ordering: .releasing)
    }

    /// All gauges are set.
    func endPublication() {
        publication.store(publication.load(ordering: .relaxed) &+ 1, ordering: .releasing)
    }

    /// Every cell. Gauges are those of one publication; after many attempts, which a writer would
    /// have to interrupt each time, or to lose its processor in the middle of one, those of two.
    func copy() -> (values: [UInt64], isOfOnePublication: Bool) {
        var copy = [UInt64](repeating: 0, count: count)
        for _ in 0..<1000 {
            let before = publication.load(ordering: .acquiring)
            for index in 0..<count { copy[index] = load(index) }
            atomicMemoryFence(ordering: .acquiring)
            if before % 2 == 0, publication.load(ordering: .relaxed) == before {
                return (copy, true)
            }
        }
        return (copy, false)
    }
}

/// The cells of one drive.
package struct DriveCells: Sendable {
    private let block: CellBlock
    static let gauges = DriveCounter.allCases.count
    static let timings = gauges + DriveGauge.allCases.count

    init() {
        block = CellBlock(
            count: Self.timings + DriveTiming.allCases.count * HistogramLayout.cellCount)
        // Whoever asks before the first step is told that, and not that the drive is missing.
        set(.state, to: UInt64(DriveState.recovering.rawValue))
    }

    package func value(_ counter: DriveCounter) -> UInt64 { block.load(counter.rawValue) }
    package func value(_ gauge: DriveGauge) -> UInt64 { block.load(Self.gauges + gauge.rawValue) }
    /// Where the drive is in its life.
    package var state: DriveState { condition.state }
    /// How the drive is.
    package var condition: DriveCondition {
        DriveCondition(
            stateCell: value(DriveGauge.state), impairmentsCell: value(DriveGauge.impairments),
            fenceCell: value(DriveGauge.fenceCause))
    }
    package func histogram(_ timing: DriveTiming) -> HistogramSnapshot {
        block.histogram(at: Self.timings + timing.rawValue * HistogramLayout.cellCount)
    }

    /// A copy with the gauges of one instant, for whoever compares them.
    package func reading() -> DriveReading {
        let (values, isOfOneStep) = block.copy()
        return DriveReading(values: values, isOfOneStep: isOfOneStep)
    }
    func beginPublication() { block.beginPublication() }
    func endPublication() { block.endPublication() }

    func add(_ amount: UInt64 = 1, to counter: DriveCounter) {
        block.add(amount, counter.rawValue)
    }
    func set(_ gauge: DriveGauge, to value: UInt64) {
        block.store(value, Self.gauges + gauge.rawValue)
    }
    func record(_ value: UInt64, in timing: DriveTiming) {
        block.record(
            value, at: Self.timings + timing.rawValue * HistogramLayout.cellCount)
    }
}

/// The cells of one shard, its drives' included.
package struct ShardCells: Sendable {
    private let block: CellBlock
    /// One per drive, in the order of the configuration.
    package let drives: [DriveCells]
    static let gauges = ShardCounter.allCases.count
    static let timings = gauges + ShardGauge.allCases.count

    package init(driveCount: Int) {
        block = CellBlock(
            count: Self.timings + ShardTiming.allCases.count * HistogramLayout.cellCount)
        drives = (0..<driveCount).map { _ in DriveCells() }
    }

    package func value(_ counter: ShardCounter) -> UInt64 { block.load(counter.rawValue) }
    package func value(_ gauge: ShardGauge) -> UInt64 { block.load(Self.gauges + gauge.rawValue) }
    package func histogram(_ timing: ShardTiming) -> HistogramSnapshot {
        block.histogram(at: Self.timings + timing.rawValue * HistogramLayout.cellCount)
    }

    /// A copy with the gauges of one instant, for whoever compares them.
    package func reading() -> ShardReading { ShardReading(values: block.copy().values) }
    func beginPublication() { block.beginPublication() }
    func endPublication() { block.endPublication() }

    func add(_ amount: UInt64 = 1, to counter: ShardCounter) {
        block.add(amount, counter.rawValue)
    }
    func set(_ gauge: ShardGauge, to value: UInt64) {
        block.store(value, Self.gauges + gauge.rawValue)
    }
    func record(_ value: UInt64, in timing: ShardTiming) {
        block.record(
            value, at: Self.timings + timing.rawValue * HistogramLayout.cellCount)
    }
}
