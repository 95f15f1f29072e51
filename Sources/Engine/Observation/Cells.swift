// Cells: everything the engine counts or times, one closed list, in plain cells of its shard.
//
// Always holds: one thread writes a cell (the shard's), any thread reads it; a write is a relaxed
// load and a relaxed store, so it costs what a plain increment costs. Counters only grow; gauges
// are set at the end of a step; a timing is a histogram of powers of two with its sum and count.
//
// One of the files that may say `unsafe`.

private import Synchronization

/// Events counted per shard. Raw values are places in the cell block and mean nothing outside this
/// process.
package enum ShardCounter: Int, CaseIterable, Sendable {
    case putRequests, getRequests, deleteRequests, existsRequests, statRequests, batchRequests
    case bytesRead, bytesWritten
    case notFoundResponses, noSpaceResponses, invalidRequests, deadlineResponses
    case checksumFailures
    case leafCacheHits, leafCacheMisses
    case evictions, evictedBytes
    case checkpoints
    case rejectedPayloads
    /// Requests that were answered while a stalled drive still had them.
    case earlyResponses
}

/// Levels of a shard.
package enum ShardGauge: Int, CaseIterable, Sendable {
    /// `EnginePhase` by its raw value.
    case phase
    case blocks, blocksPersisted, blocksWriting, blocksReading
    case operationsInFlight
}

/// Durations and sizes of a shard; microseconds unless the name says otherwise.
package enum ShardTiming: Int, CaseIterable, Sendable {
    case request
    /// Request entry to acknowledgement of a put.
    case persist
    /// Request entry to the hand-over to the ring.
    case persistPreWait
    /// Hand-over to the payload's last write being submitted.
    case writerWait
    /// Payload's last write completed to acknowledgement.
    case persistPostWait
    case deviceRead, deviceWrite, deviceFlush
    /// Puts made durable by one flush: a count, not a time.
    case flushBatchSize
    case slotAllocate
    /// First record staged to flush completed.
    case journalFlush
    case leafMiss
    case checkpoint
    case recovery
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
}

/// Durations of a drive, in microseconds.
package enum DriveTiming: Int, CaseIterable, Sendable {
    case read, write, flush, trim
}

/// Bucket bounds shared by all histograms: bucket k holds values below 2^k, the last one all
/// others.
package enum HistogramLayout {
    package static let bucketCount = 28
    /// Upper bound (exclusive) of bucket `index`; nil for the last.
    package static func upperBound(ofBucket index: Int) -> UInt64? {
        index == bucketCount - 1 ? nil : 1 << UInt64(index)
    }
    static func bucket(of value: UInt64) -> Int {
        min(bucketCount - 1, 64 - value.leadingZeroBitCount)
    }
    /// Cells of one histogram: the buckets, the sum, the count.
    static let cellCount = bucketCount + 2
}

/// A histogram as read at one instant.
package struct HistogramSnapshot: Sendable {
    /// Values per bucket, not cumulative.
    package var buckets: [UInt64]
    package var sum: UInt64
    package var count: UInt64
}

/// A block of cells with one writer and any number of readers.
@safe
package final class CellBlock: @unchecked Sendable {
    // Sendable because every cell is atomic.
    private let cells: UnsafeMutablePointer<Atomic<UInt64>>
    private let count: Int

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
    func add(_ amount: UInt64, _ index: Int) { store(load(index) &+ amount, index) }

    func record(_ value: UInt64, at first: Int) {
        add(1, first + HistogramLayout.bucket(of: value))
        add(value, first + HistogramLayout.bucketCount)
        add(1, first + HistogramLayout.bucketCount + 1)
    }

    func histogram(at first: Int) -> HistogramSnapshot {
        HistogramSnapshot(
            buckets: (0..<HistogramLayout.bucketCount).map { load(first + $0) },
            sum: load(first + HistogramLayout.bucketCount),
            count: load(first + HistogramLayout.bucketCount + 1))
    }
}

/// The cells of one drive.
package struct DriveCells: Sendable {
    private let block: CellBlock
    private static let gauges = DriveCounter.allCases.count
    private static let timings = gauges + DriveGauge.allCases.count

    init() {
        block = CellBlock(
            count: Self.timings + DriveTiming.allCases.count * HistogramLayout.cellCount)
        // Whoever asks before the first step is told that, and not that the drive is missing.
        set(.state, to: UInt64(DriveState.recovering.rawValue))
    }

    package func value(_ counter: DriveCounter) -> UInt64 { block.load(counter.rawValue) }
    package func value(_ gauge: DriveGauge) -> UInt64 { block.load(Self.gauges + gauge.rawValue) }
    /// Where the drive is in its life.
    package var state: DriveState {
        guard let state = DriveState(rawValue: UInt8(truncatingIfNeeded: value(DriveGauge.state)))
        else { preconditionFailure("a drive in no known state") }
        return state
    }
    /// How the drive is.
    package var condition: DriveCondition {
        DriveCondition(
            state: state,
            impairments: DriveImpairments(
                rawValue: UInt8(truncatingIfNeeded: value(DriveGauge.impairments))),
            fence: FenceCause(encoded: value(DriveGauge.fenceCause)))
    }
    package func histogram(_ timing: DriveTiming) -> HistogramSnapshot {
        block.histogram(at: Self.timings + timing.rawValue * HistogramLayout.cellCount)
    }

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
    private static let gauges = ShardCounter.allCases.count
    private static let timings = gauges + ShardGauge.allCases.count

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
