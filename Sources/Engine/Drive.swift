// Drive: everything the engine knows of one drive, in memory.
//
// Always holds: while the drive is `online` all of it agrees with the last superblock and the
// journal behind it; in any other state nobody looks into it. The machines that work on it stand in
// `Protocols`.

import Wire

/// Where in the arena a drive's own memory lies.
struct DriveMemory: Sendable {
    /// Pages of memory for checkpoint and recovery.
    static let pageBuffers = 64

    let superblock: ArenaRange
    let journal: ArenaRange
    let pages: ArenaRange
    let leaves: ArenaRange
    let probe: ArenaRange
    let scrub: ArenaRange
    let scrubLeaf: ArenaRange

    static func bytes(leafCacheBytes: UInt64) -> ByteCount {
        ByteCount(
            3 * FormatConstants.superblockBytes.rawValue + Journal.memoryBytes.rawValue
                + UInt64(pageBuffers) * FormatConstants.pageBytes
                + leafFrames(leafCacheBytes) * FormatConstants.pageBytes
                + Scrub.pieceBytes + 2 * FormatConstants.pageBytes
        )
    }

    private static func leafFrames(_ bytes: UInt64) -> UInt64 {
        max(16, bytes / FormatConstants.pageBytes)
    }

    init?(planner: inout ArenaPlanner, base: ArenaOffset, leafCacheBytes: UInt64) {
        guard
            let superblock = planner.take(
                ByteCount(2 * FormatConstants.superblockBytes.rawValue)),
            let journal = planner.take(Journal.memoryBytes),
            let pages = planner.take(
                ByteCount(UInt64(Self.pageBuffers) * FormatConstants.pageBytes)),
            let leaves = planner.take(
                ByteCount(Self.leafFrames(leafCacheBytes) * FormatConstants.pageBytes)),
            let probe = planner.take(FormatConstants.superblockBytes),
            let scrub = planner.take(ByteCount(Scrub.pieceBytes)),
            let scrubLeaf = planner.take(ByteCount(FormatConstants.pageBytes))
        else { return nil }
        func place(_ range: ArenaRange) -> ArenaRange {
            ArenaRange(start: base.advanced(by: range.start.rawValue), length: range.length)
        }
        self.superblock = place(superblock)
        self.journal = place(journal)
        self.pages = place(pages)
        self.leaves = place(leaves)
        self.probe = place(probe)
        self.scrub = place(scrub)
        self.scrubLeaf = place(scrubLeaf)
    }

    var superblockA: ArenaRange {
        superblock.part(at: 0, length: FormatConstants.superblockBytes)
    }
    var superblockB: ArenaRange {
        superblock.part(
            at: FormatConstants.superblockBytes.rawValue, length: FormatConstants.superblockBytes)
    }
    func page(_ buffer: Int) -> ArenaRange {
        pages.part(
            at: UInt64(buffer) * FormatConstants.pageBytes,
            length: ByteCount(FormatConstants.pageBytes))
    }
}

/// Which flush is in flight and what it will have made durable.
struct FlushProgress: Sendable {
    /// Flushes submitted so far.
    var submitted: UInt64 = 0
    var isInFlight = false
    /// The journal's `written` when the flush in flight was submitted.
    var covers = JournalSequence(0)
}

/// One drive.
struct Drive: ~Copyable {
    let index: DriveIndex
    let memory: DriveMemory
    var state = DriveState.recovering
    var refusal: DriveRefusal?
    var recovery = Recovery()
    var checkpoint = Checkpoint()
    var eviction = Eviction()
    var flush = FlushProgress()
    var watch = DriveWatch()
    var scrub = Scrub()
    var load = DriveLoad()

    var superblock: Superblock
    var journal: Journal
    var tree: IndexTree
    var leaves: LeafCache
    var pages: PageAllocator
    /// Keys changed since the last checkpoint began, and those that the checkpoint in progress
    /// folds.
    var active: DirtyTable
    var folding: DirtyTable
    var foldOrder: FixedArray<UInt32>
    var space: SpaceMap
    var mapPointers: FixedArray<PagePointer?>
    var mapGenerations: FixedArray<UInt64>
    var releases: SlotReleases
    var ages: SlotAges
    var nextVersion = Version(1)
    var discardsWork: Bool
    var freePageBuffers: Bitmap

    /// Operations whose records and payloads are written and need a flush.
    var awaitingFlush = WaitQueue()
    /// Keys with a staged record that is not yet durable.
    var stagedKeys = 0
    /// Evictions in progress.
    var stagedRemovals = 0
    /// Blocks on the drive: keys with a live entry.
    var blockCount: UInt64 = 0
    /// Operations that need journal room, dirty room or slots.
    var spaceWaiters = WaitQueue()
    /// Operations that need a frame of the leaf cache.
    var frameWaiters = WaitQueue()
    /// Operations beyond the drive's share.
    var shareWaiters = WaitQueue()
    /// Operations that go on when a probe has told whether the drive answers.
    var probeWaiters = WaitQueue()

    /// A drive as its superblock tells, everything else still empty.
    init(
        index: DriveIndex, memory: DriveMemory, superblock: Superblock, arena: Arena,
        configuration: EngineConfiguration, discardsWork: Bool
    ) {
        let layout = superblock.layout
        self.index = index
        self.memory = memory
        self.superblock = superblock
        journal = Journal(
            arena: arena, memory: memory.journal, superblock: superblock,
            start: superblock.journalStart,
            last: JournalSequence(superblock.journalStart.rawValue - 1),
            chain: superblock.journalChain)
        let leafLimit = Int(layout.indexPages)
        tree = IndexTree(nodeLimit: leafLimit / 12 + 4)
        leaves = LeafCache(memory: memory.leaves, seed: configuration.hashSeed)
        pages = PageAllocator(pageCount: layout.indexPages)
        let dirtyCapacity = configuration.dirtyEntryLimit * 2
        active = DirtyTable(capacity: dirtyCapacity, seed: configuration.hashSeed)
        folding = DirtyTable(capacity: dirtyCapacity, seed: configuration.hashSeed)
        foldOrder = FixedArray(count: dirtyCapacity, repeating: 0)
        space = SpaceMap(layout: layout)
        mapPointers = FixedArray(count: space.pageCount, repeating: nil)
        mapGenerations = FixedArray(count: space.pageCount, repeating: 0)
        releases = SlotReleases(capacity: dirtyCapacity)
        ages = SlotAges(unitCount: layout.unitCount)
        nextVersion = superblock.nextVersion
        self.discardsWork = discardsWork
        freePageBuffers = Bitmap(count: DriveMemory.pageBuffers)
    }

    /// Keys that the dirty queue will have to hold when everything in progress is done.
    var dirtyDemand: Int { active.count + folding.count + stagedKeys }

    /// The dirty queue's word on `key`: the newest change first.
    func dirty(_ key: BlockKey) -> DirtyEntry? { active[key] ?? folding[key] }

    /// Keys of a range that the dirty queue knows, so that a leaf doesn't decide about them.
    func dirtyKeys(from first: BlockKey, below bound: BlockKey?) -> UInt64 {
        func isInside(_ key: BlockKey) -> Bool {
            if key < first { return false }
            guard let bound else { return true }
            return key < bound
        }
        var count: UInt64 = 0
        for index in 0..<active.count where isInside(active.key(at: index)) { count += 1 }
        for index in 0..<folding.count where isInside(folding.key(at: index)) { count += 1 }
        return count
    }

    /// The dirty queue becomes the one to fold, sorted; new changes go to an empty one.
    mutating func freezeDirtyQueue() {
        precondition(folding.count == 0, "a dirty queue frozen while another is being folded")
        swap(&active, &folding)
        folding.sort(into: &foldOrder)
    }

    /// Free memory for one page; nil when all are in use.
    mutating func takePageBuffer() -> Int? {
        guard let buffer = freePageBuffers.findClear() else { return nil }
        freePageBuffers.set(buffer)
        return buffer
    }

    mutating func givePageBuffer(_ buffer: Int) {
        precondition(freePageBuffers.clear(buffer), "a page buffer given back twice")
    }
}
