// What a shard's engine is told at start. Fixed for its life; checked here, against each other.

internal import Wire

/// Sizes and switches of one engine.
package struct EngineConfiguration: Sendable {
    /// Requests and internal operations in progress at once; more wait in the transport.
    package var operationLimit = 512
    /// Largest value accepted, in bytes.
    package var valueLimitBytes: UInt32 = 16 << 20
    /// Most items of one batch.
    package var batchLimit = BodyLayout.batchLimit
    /// The largest size class; must equal what the drives were formatted with.
    package var blockSizeBytes: UInt32 = 4 << 20
    /// The smallest size class; must equal what the drives were formatted with.
    package var minimumSlotBytes: UInt32 = 64 << 10
    package var evictionEnabled = true
    /// Eviction keeps the bytes in use at or below this share of what is usable.
    package var evictionWatermarkPercent: UInt8 = 95
    package var discardEnabled = true
    /// Leaf pages kept in memory, per drive, in bytes.
    package var leafCacheBytes: UInt64 = 32 << 20
    /// Entries a drive's dirty queue may hold before a checkpoint begins.
    package var dirtyEntryLimit = 16384
    /// Payload bytes a drive may have accepted beyond its settled journal mark: what recovery may
    /// have to verify at most.
    package var unsettledPayloadLimitBytes: UInt64 = 256 << 20
    /// Most keys of a drive's change list, if the drive has room for as many.
    package var changeLimit = Int.max
    /// Drawn at random at each start of the daemon, the same for all shards: what makes the ids of
    /// the epochs that begin in this run its own.
    package var epochEntropy: UInt64 = 0
    /// Bytes a second that the scrub of one drive reads; 0 for none.
    package var scrubBytesPerSecond: UInt64 = 0
    /// Between the end of a scrub's turn and the next one.
    package var scrubPauseMicroseconds: UInt64 = 3_600_000_000
    /// When a drive is lagging, stalled, given up.
    package var watch = WatchLimits()
    /// Seed of the engine's tables and of nothing on a drive.
    package var hashSeed: UInt64 = 0
    #if PLANTED_BUGS
    package var plantedBug: PlantedBug?
    #endif

    package init() {}

    /// A sentence naming the first impossible combination, or nil.
    package var impossibility: String? {
        if minimumSlotBytes < 4096 || minimumSlotBytes.nonzeroBitCount != 1 {
            return "storage.min_slot must be a power of two of at least 4 KiB"
        }
        if blockSizeBytes < minimumSlotBytes || blockSizeBytes.nonzeroBitCount != 1 {
            return "storage.block_size must be a power of two, not below storage.min_slot"
        }
        if UInt64(valueLimitBytes) > UInt64(blockSizeBytes) * UInt64(SlotList.capacity) {
            return "a value may take \(SlotList.capacity) slots at most: "
                + "raise storage.block_size or lower the value limit"
        }
        if valueLimitBytes == 0 || valueLimitBytes > 16 << 20 {
            return "the value limit must lie between 1 byte and 16 MiB"
        }
        if evictionWatermarkPercent == 0 || evictionWatermarkPercent > 100 {
            return "storage.eviction watermark must lie between 1 and 100 percent"
        }
        return nil
    }

    /// Operations that may have to wait for one drive: the pieces of the values that `slabs` hold,
    /// which end where a slab or a slot does, and what the engine does beside them.
    func queueLimit(operationCount: Int, slabs: SlabPool) -> Int {
        let largest = Int(slabs.slabs(for: ByteCount(UInt64(valueLimitBytes))))
        return min(Int(slabs.slabCount), operationCount * largest)
            + operationCount * (SlotList.capacity + 2) + 4096
    }
}

/// Where an engine is in its life.
package enum EnginePhase: UInt8, Sendable {
    case recovering
    case serving
    /// Refusing new work, finishing what is in flight, then a checkpoint of every drive.
    case draining
    /// Drained; every drive has a checkpoint and an empty journal, or is offline.
    case stopped
    /// A drive can't be served and says why in `driveRefusal`; nothing was written to it.
    case refused
}

/// Where a drive is in its life.
package enum DriveState: UInt8, Sendable {
    /// Not there at start; its keys refuse writes and miss reads.
    case absent
    case recovering
    case online
    /// Fenced at an error: no operation is sent to it any more.
    case offline
}

/// Why a drive's content is not served. Each case ends in a sentence for the operator.
package enum DriveRefusal: Hashable, Sendable, CustomStringConvertible {
    case notFormatted
    case bothSuperblocksDamaged
    case newerFormat(version: UInt16, supported: UInt16)
    case olderFormat(version: UInt16)
    case otherBlockSize(stored: UInt32, configured: UInt32)
    case otherMinimumSlot(stored: UInt32, configured: UInt32)
    case foreignStore
    case copyOfAnother
    case largerThanDrive(stored: UInt64, capacity: UInt64)
    case membersMissing(configured: Int, members: Int)

    package var description: String {
        switch self {
        case .notFormatted:
            "carries no MemKV store; run `memkv setup` to format it, unless it was a drive of this "
                + "store: then restore its first 2 MiB from a copy, setup would make it empty"
        case .bothSuperblocksDamaged:
            "has both superblocks damaged; nothing was changed. Restore the first 2 MiB from a "
                + "copy, or give up its blocks with `memkv setup --force`"
        case .newerFormat(let version, let supported):
            "was written by a newer MemKV (format \(version), this one reads up to \(supported)); "
                + "start it with that version, nothing was changed"
        case .olderFormat(let version):
            "was written by an older MemKV (format \(version), this one reads from "
                + "\(FormatConstants.oldestVersion) on); start it with that version, or give up "
                + "its blocks with `memkv setup --force`; nothing was changed"
        case .otherBlockSize(let stored, let configured):
            "was made with storage.block_size \(stored) bytes, the configuration says "
                + "\(configured); set it back, or make the store anew with `memkv setup --force`"
        case .otherMinimumSlot(let stored, let configured):
            "was made with storage.min_slot \(stored) bytes, the configuration says \(configured); "
                + "set it back, or make the store anew with `memkv setup --force`"
        case .foreignStore:
            "belongs to another store than the other drives; name only drives of one store"
        case .copyOfAnother:
            "is a copy of another drive that the configuration names; name only one, the one "
                + "that was served last"
        case .largerThanDrive(let stored, let capacity):
            "was formatted for \(stored) bytes and now has \(capacity): it was cut short, or it "
                + "is the wrong one; nothing was changed. Name the right one, or give a file its "
                + "length back with `truncate -s \(stored) FILE`: blocks in the part that was "
                + "cut off become misses"
        case .membersMissing(let configured, let members):
            "belongs to a store of \(members) drives and the configuration names \(configured); "
                + "name them all, one that is absent too"
        }
    }
}

/// An identity drawn at random when a store or a drive is formatted.
package struct StoreIdentity: Hashable, Sendable, CustomStringConvertible {
    package let high, low: UInt64
    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// 32 hex digits.
    package var description: String {
        [high, low].map { word in
            let digits = String(word, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }.joined()
    }
}

/// What a drive is formatted with.
package struct FormatConfiguration: Sendable {
    package var storeID: StoreIdentity
    package var driveID: StoreIdentity
    /// Every drive of the store, this one included, in an order that never changes; 64 at most.
    package var members: [StoreIdentity]
    package var blockSizeBytes: UInt32
    package var minimumSlotBytes: UInt32
    /// Blocks of 4 KiB in each copy of the journal; nil for a size that suits the drive.
    package var journalBlocks: UInt32?

    package init(
        storeID: StoreIdentity, driveID: StoreIdentity, members: [StoreIdentity],
        blockSizeBytes: UInt32, minimumSlotBytes: UInt32, journalBlocks: UInt32? = nil
    ) {
        self.storeID = storeID
        self.driveID = driveID
        self.members = members
        self.blockSizeBytes = blockSizeBytes
        self.minimumSlotBytes = minimumSlotBytes
        self.journalBlocks = journalBlocks
    }
}

/// The memory an engine works in, apart from the slabs.
package struct EngineMemory: Sendable {
    package let arena: Arena
    /// The engine's own part; at least `Engine.privateMemory(…)` bytes.
    package let privateRange: ArenaRange
    package let slabs: SlabPool

    package init(arena: Arena, privateRange: ArenaRange, slabs: SlabPool) {
        self.arena = arena
        self.privateRange = privateRange
        self.slabs = slabs
    }
}
