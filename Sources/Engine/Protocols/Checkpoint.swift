// Checkpoint: folds the dirty queue into the tree and makes tree and allocation map the drive's new
// truth.
//
//   idle ─► quiescing ─► folding ─► storingNodes ─► storingMap ─► storingRoots
//        ─► storingDirectories ─► settling ─► flushingPages
//        ─► writingA ─► flushingA ─► writingB ─► flushingB ─► idle
//
// Always holds: pages go to places that the last complete checkpoint doesn't use; superblock A is
// written when all of them are durable, B when A is; only when B is durable are the old pages and
// the journal behind the cut free. A checkpoint begins at a moment when nothing is staged (new
// changes wait for that moment, one flush at most), so queue, map and journal agree: every record
// before the cut is in what is stored, none behind it. The tree in memory changes leaf by leaf;
// until the end the folded queue is still searched first, so every lookup gives the same answer
// before and after.

import Wire

/// One drive's checkpoint.
struct Checkpoint: Sendable {
    enum Step: Sendable {
        case idle, quiescing, folding, storingNodes, storingMap, storingRoots, storingDirectories,
            settling
        case flushingPages, writingA, flushingA, writingB, flushingB
    }

    var step = Step.idle
    var isRequested = false
    /// The superblock in the making.
    var superblock: Superblock?
    var began = Instant(nanoseconds: 0)
    /// Entries folded so far, nodes and map pages looked at so far.
    var position = 0
    var pagesInFlight = 0

    var isRunning: Bool { step != .idle }

    mutating func stop() { self = Checkpoint() }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Pages written at once.
    private var pagesInFlightLimit: Int { 32 }

    mutating func pumpCheckpoint(_ drive: DriveIndex) {
        if drives[drive].checkpoint.step == .idle, wantsCheckpoint(drive) {
            hasWorked = true
            drives[drive].checkpoint.isRequested = false
            drives[drive].checkpoint.step = .quiescing
        }
        var before: Checkpoint.Step
        repeat {
            before = drives[drive].checkpoint.step
            advanceCheckpoint(drive)
        } while drives[drive].checkpoint.step != before
    }

    private func wantsCheckpoint(_ drive: DriveIndex) -> Bool {
        drives[drive].checkpoint.isRequested
            || drives[drive].active.count >= configuration.dirtyEntryLimit
            || drives[drive].journal.wantsCheckpoint
            || phase == .draining && operations.inUse == 0 && !hasNothingToFold(drive)
    }

    private func hasNothingToFold(_ drive: DriveIndex) -> Bool {
        drives[drive].active.count == 0
            && drives[drive].journal.start == drives[drive].journal.next
    }

    /// True when a draining drive has nothing left that only its journal knows.
    func isDrained(_ drive: DriveIndex) -> Bool {
        drives[drive].state != .online
            || isQuiet(drive) && hasNothingToFold(drive)
    }

    private mutating func beginCheckpoint(_ drive: DriveIndex) {
        hasWorked = true
        precondition(
            drives[drive].journal.settled.next == drives[drive].journal.next,
            "a checkpoint begun with unsettled records")
        drives[drive].freezeDirtyQueue()
        drives[drive].space.takeSnapshot()
        var superblock = drives[drive].superblock
        superblock.generation += 1
        superblock.journalStart = drives[drive].journal.settled.next
        superblock.journalChain = drives[drive].journal.settledChain
        superblock.nextVersion = drives[drive].nextVersion
        superblock.blockCount = drives[drive].blockCount
        superblock.quarantinedBytes = drives[drive].space.quarantinedBytes
        drives[drive].checkpoint = Checkpoint(step: .folding, superblock: superblock, began: now)
    }

    private mutating func advanceCheckpoint(_ drive: DriveIndex) {
        switch drives[drive].checkpoint.step {
        case .idle, .flushingPages, .writingA, .flushingA, .writingB, .flushingB: break
        case .quiescing:
            if drives[drive].stagedKeys > 0 || !drives[drive].journal.isQuiet { return }
            beginCheckpoint(drive)
            wakeSpaceWaiters(drive)
        case .folding: advanceFold(drive)
        case .storingNodes: storeNodes(drive)
        case .storingMap: storeMap(drive)
        case .storingRoots: storeRoots(drive)
        case .storingDirectories: storeDirectories(drive)
        case .settling:
            if drives[drive].checkpoint.pagesInFlight > 0 { return }
            hasWorked = true
            drives[drive].checkpoint.step = .flushingPages
            #if PLANTED_BUGS
            if isPlanted(.pagesNotFlushed) {
                encodeSuperblock(drive)
                writeSuperblock(drive, at: FormatConstants.superblockA, then: .writingA)
                return
            }
            #endif
            device.submit(.flush, on: drive, for: .checkpoint(buffer: -1), now: now)
        }
    }

    // MARK: Storing pages

    /// The generation that pages of the checkpoint in progress carry.
    func generationInProgress(_ drive: DriveIndex) -> UInt64 {
        drives[drive].superblock.generation + 1
    }

    /// A page and memory for it; nil when no memory is free now.
    private mutating func takePage(_ drive: DriveIndex) -> (page: PageIndex, buffer: Int)? {
        guard drives[drive].checkpoint.pagesInFlight < pagesInFlightLimit,
            let buffer = drives[drive].takePageBuffer()
        else { return nil }
        return (allocatePage(drive), buffer)
    }

    /// A free index page. The format sizes the region so that there always is one.
    mutating func allocatePage(_ drive: DriveIndex) -> PageIndex {
        guard let page = drives[drive].pages.allocate() else {
            preconditionFailure("the index region of drive \(drive.rawValue) is full")
        }
        return page
    }

    private mutating func write(_ page: PageIndex, from buffer: Int, on drive: DriveIndex) {
        hasWorked = true
        drives[drive].checkpoint.pagesInFlight += 1
        device.submit(
            .write, on: drive, at: drives[drive].superblock.layout.offset(of: page),
            memory: drives[drive].memory.page(buffer), for: .checkpoint(buffer: buffer), now: now)
    }

    private mutating func storeNodes(_ drive: DriveIndex) {
        let driveIDLow = drives[drive].superblock.driveID.low
        let generation = generationInProgress(drive)
        while drives[drive].checkpoint.position < drives[drive].tree.nodeCount {
            let place = drives[drive].checkpoint.position
            let node = drives[drive].tree.node(at: place)
            if node.isChanged || node.stored == nil {
                guard let (page, buffer) = takePage(drive) else { return }
                if let stored = node.stored { drives[drive].pages.retire(stored.page) }
                drives[drive].tree.store(
                    place, to: page, generation: generation, driveIDLow: driveIDLow,
                    arena: memory.arena, at: drives[drive].memory.page(buffer).start)
                write(page, from: buffer, on: drive)
            }
            drives[drive].checkpoint.position += 1
        }
        drives[drive].checkpoint.position = 0
        drives[drive].checkpoint.step = .storingMap
    }

    private mutating func storeMap(_ drive: DriveIndex) {
        let generation = generationInProgress(drive)
        while drives[drive].checkpoint.position < drives[drive].space.pageCount {
            let place = drives[drive].checkpoint.position
            #if PLANTED_BUGS
            if isPlanted(.mapPageStoredOnce), drives[drive].mapPointers[place] != nil {
                drives[drive].checkpoint.position += 1
                continue
            }
            #endif
            if drives[drive].space.isPageToStore(place) {
                guard let (page, buffer) = takePage(drive) else { return }
                _ = drives[drive].space.takePageToStore(place)
                if let stored = drives[drive].mapPointers[place] {
                    drives[drive].pages.retire(stored.page)
                }
                let range = drives[drive].memory.page(buffer)
                let items = drives[drive].space.store(
                    page: place, arena: memory.arena, at: range.start)
                let header = IndexPageHeader(
                    kind: .map, items: items, driveIDLow: drives[drive].superblock.driveID.low,
                    generation: generation, page: page)
                drives[drive].mapPointers[place] = PagePointer(
                    page: page, items: UInt32(items),
                    checksum: header.seal(memory.arena, at: range.start))
                drives[drive].mapGenerations[place] = generation
                write(page, from: buffer, on: drive)
            }
            drives[drive].checkpoint.position += 1
        }
        drives[drive].checkpoint.position = 0
        retireRoots(drive)
        drives[drive].checkpoint.step = .storingRoots
    }

    private mutating func retireRoots(_ drive: DriveIndex) {
        let old = drives[drive].superblock
        for index in 0..<old.rootCount + old.mapDirectoryCount {
            drives[drive].pages.retire(old.pointers[index].page)
        }
        drives[drive].checkpoint.superblock?.rootCount = 0
        drives[drive].checkpoint.superblock?.mapDirectoryCount = 0
    }

    private mutating func storeRoots(_ drive: DriveIndex) {
        let generation = generationInProgress(drive)
        while drives[drive].checkpoint.position < drives[drive].tree.nodeCount {
            guard let (page, buffer) = takePage(drive) else { return }
            let first = drives[drive].checkpoint.position
            let last = min(first + IndexTree.rootItemLimit, drives[drive].tree.nodeCount)
            let pointer = drives[drive].tree.storeRoot(
                first..<last, to: page, generation: generation,
                driveIDLow: drives[drive].superblock.driveID.low, arena: memory.arena,
                at: drives[drive].memory.page(buffer).start)
            drives[drive].checkpoint.superblock?.addRoot(pointer)
            write(page, from: buffer, on: drive)
            drives[drive].checkpoint.position = last
        }
        drives[drive].checkpoint.position = 0
        drives[drive].checkpoint.step = .storingDirectories
    }

    private mutating func storeDirectories(_ drive: DriveIndex) {
        let generation = generationInProgress(drive)
        while drives[drive].checkpoint.position < drives[drive].space.pageCount {
            guard let (page, buffer) = takePage(drive) else { return }
            let first = drives[drive].checkpoint.position
            let last = min(first + MapDirectory.itemLimit, drives[drive].space.pageCount)
            let place = drives[drive].memory.page(buffer).start
            memory.arena.zero(IndexPageHeader.range(at: place))
            for item in first..<last {
                MapDirectory.store(
                    drives[drive].mapPointers[item],
                    generation: drives[drive].mapGenerations[item], memory.arena,
                    item: item - first, in: place)
            }
            let header = IndexPageHeader(
                kind: .mapDirectory, items: last - first,
                driveIDLow: drives[drive].superblock.driveID.low, generation: generation,
                page: page)
            let pointer = PagePointer(
                page: page, items: UInt32(last - first),
                checksum: header.seal(memory.arena, at: place))
            drives[drive].checkpoint.superblock?.addMapDirectory(pointer)
            write(page, from: buffer, on: drive)
            drives[drive].checkpoint.position = last
        }
        drives[drive].checkpoint.step = .settling
    }

    // MARK: Completions

    mutating func checkpointPageWritten(on drive: DriveIndex, _ error: DeviceError?) {
        guard drives[drive].state == .online else { return }
        drives[drive].checkpoint.pagesInFlight -= 1
        if error != nil { fence(drive) }
    }

    /// A page, a superblock or a flush of the checkpoint has completed.
    mutating func checkpointMoved(_ buffer: Int, on drive: DriveIndex, _ error: DeviceError?) {
        if buffer >= 0 {
            drives[drive].givePageBuffer(buffer)
            checkpointPageWritten(on: drive, error)
            return
        }
        guard drives[drive].state == .online else { return }
        if error != nil {
            fence(drive)
            return
        }
        switch drives[drive].checkpoint.step {
        case .flushingPages:
            encodeSuperblock(drive)
            writeSuperblock(drive, at: FormatConstants.superblockA, then: .writingA)
        case .writingA: flushSuperblock(drive, then: .flushingA)
        case .flushingA:
            #if PLANTED_BUGS
            if isPlanted(.checkpointSpaceReusedBeforeSuperblockB) { reuseSpace(drive) }
            if isPlanted(.oneSuperblock) {
                endCheckpoint(drive)
                return
            }
            #endif
            writeSuperblock(drive, at: FormatConstants.superblockB, then: .writingB)
        case .writingB: flushSuperblock(drive, then: .flushingB)
        case .flushingB: endCheckpoint(drive)
        case .idle, .quiescing, .folding, .storingNodes, .storingMap, .storingRoots,
            .storingDirectories, .settling:
            preconditionFailure(
                "checkpoint I/O completed in step \(drives[drive].checkpoint.step)")
        }
    }

    private mutating func encodeSuperblock(_ drive: DriveIndex) {
        guard var superblock = drives[drive].checkpoint.superblock else {
            preconditionFailure("a checkpoint without a superblock")
        }
        superblock.leafCells = drives[drive].tree.blockCount
        drives[drive].checkpoint.superblock = superblock
        superblock.write(memory.arena, at: drives[drive].memory.superblockA.start)
    }

    private mutating func writeSuperblock(
        _ drive: DriveIndex, at offset: ByteOffset, then step: Checkpoint.Step
    ) {
        drives[drive].checkpoint.step = step
        device.submit(
            .write, on: drive, at: offset, memory: drives[drive].memory.superblockA,
            for: .checkpoint(buffer: -1), now: now)
    }

    private mutating func flushSuperblock(_ drive: DriveIndex, then step: Checkpoint.Step) {
        drives[drive].checkpoint.step = step
        device.submit(.flush, on: drive, for: .checkpoint(buffer: -1), now: now)
    }

    private mutating func endCheckpoint(_ drive: DriveIndex) {
        guard let superblock = drives[drive].checkpoint.superblock else {
            preconditionFailure("a checkpoint without a superblock")
        }
        drives[drive].superblock = superblock
        drives[drive].folding.removeAll()
        reuseSpace(drive)
        cells.add(to: .checkpoints)
        cells.record(
            now.microseconds(since: drives[drive].checkpoint.began), in: .checkpoint)
        // What was asked for meanwhile is about changes that this checkpoint doesn't have.
        let isRequested = drives[drive].checkpoint.isRequested
        drives[drive].checkpoint = Checkpoint(isRequested: isRequested)
        wakeSpaceWaiters(drive)
    }

    /// Both superblocks know the checkpoint: the old pages and the journal before the cut are free.
    private mutating func reuseSpace(_ drive: DriveIndex) {
        guard let start = drives[drive].checkpoint.superblock?.journalStart else { return }
        drives[drive].journal.release(before: start)
        for _ in 0..<drives[drive].pages.retiredCount { releaseRetiredPage(drive) }
    }

    private mutating func releaseRetiredPage(_ drive: DriveIndex) {
        guard let page = drives[drive].pages.nextRetired else { return }
        if drives[drive].leaves.isHeld(page) {
            drives[drive].pages.postponeRetired()
        } else {
            drives[drive].pages.releaseRetired()
            drives[drive].leaves.forget(page)
        }
    }
}
