// Scrub: reads everything on a drive again and again, slowly, so that what has rotted is found
// before anybody asks for it.
//
//   resting ──budget, and nobody waits for the drive──► reading one piece ──► resting
//     superblocks ─► journal ─► root, inner, directory, map pages (ScrubPages.swift)
//     ─► leaf ─► its blocks, one after the other ─► next leaf … ─► a pause ─► superblocks
//
// Always holds: one piece of at most 64 KiB is in flight; on average no more bytes a second than
// configured; a drive with work to do is left to it, for a tenth of a second at most; a block that
// is gone isn't held for longer than a piece takes. What is read counts only if it is still what
// the index says when it has been read. A block that is damaged is removed and its slots
// quarantined, as a get would; a page that is damaged and whose content is in memory is written
// anew. While a checkpoint changes the index the scrub rests.

import Wire

/// One drive's scrub.
struct Scrub: ~Copyable {
    /// What is read next.
    enum Stage: Hashable, Sendable {
        case superblock(Int)
        case journal(JournalSequence)
        case page(ScrubPage)
        /// The leaf that holds the hand's key.
        case leaf
        /// The next cell of the leaf in memory.
        case cell
        /// A piece of `entry`.
        case block
    }

    static let pieceBytes: UInt64 = 64 << 10

    var stage = Stage.superblock(0)
    var isReading = false
    /// When the budget allows the next piece.
    var nextPiece = Instant(nanoseconds: 0)
    /// The blocks of lower keys are done in this turn, and that of this key too if it says so.
    var hand = BlockKey.lowest
    var isHandDone = false
    var cell = 0
    /// The leaf in memory, and the checkpoint whose leaf it is.
    var leaf = PagePointer()
    var generation: UInt64 = 0
    var isSecondTry = false
    /// Journal blocks in the piece, and whether it is of the second copy.
    var journalBlocks: UInt64 = 0
    var isSecondCopy = false
    /// The block being read, and how many of its bytes have been.
    var entry = DirtyEntry.none.entry
    var position: UInt64 = 0
    var checksum = StreamingChecksum()
    var blocksThisTurn: UInt64 = 0
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    private var yieldMicroseconds: UInt64 { 100_000 }

    /// When a scrub must go on though nothing completes; never while none is due.
    var nextScrub: Instant {
        guard configuration.scrubBytesPerSecond > 0, phase == .serving else { return .never }
        var next = Instant.never
        for index in 0..<drives.count
        where mayScrub(DriveIndex(UInt16(index))) {
            let isBusy = device.outstanding(on: DriveIndex(UInt16(index))) > 0
            let due = drives[index].scrub.nextPiece
            next = min(next, isBusy ? due.advanced(byMicroseconds: yieldMicroseconds) : due)
        }
        return next
    }

    /// Nothing but its time keeps the scrub from going on; what else does wakes the engine.
    private func mayScrub(_ drive: DriveIndex) -> Bool {
        let stalls: DriveImpairments = [.writesStalled, .unresponsive]
        return drives[drive].state == .online && !drives[drive].scrub.isReading
            && !isScrubHeldUp(drive) && !drives[drive].watch.isProbing
            && drives[drive].watch.impairments.isDisjoint(with: stalls)
    }

    mutating func pumpScrub(_ drive: DriveIndex) {
        letGoOfScrubbedBlock(drive)
        guard configuration.scrubBytesPerSecond > 0, phase == .serving,
            now >= drives[drive].scrub.nextPiece, mayScrub(drive)
        else { return }
        let isOverdue =
            now.microseconds(since: drives[drive].scrub.nextPiece) >= yieldMicroseconds
        guard device.outstanding(on: drive) == 0 || isOverdue else { return }
        // A stage reads a piece or goes on to the next one; the turn's end sets the next piece's
        // time.
        for _ in 0..<64
        where mayScrub(drive) && now >= drives[drive].scrub.nextPiece {
            hasWorked = true
            advanceScrub(drive)
        }
    }

    /// A block that is gone, or whose scrub never goes on, isn't held: its slots are waited for, by
    /// puts and by the end of a drain.
    private mutating func letGoOfScrubbedBlock(_ drive: DriveIndex) {
        guard !drives[drive].releases.isEmpty, !drives[drive].scrub.isReading,
            case .block = drives[drive].scrub.stage
        else { return }
        #if PLANTED_BUGS
        if isPlanted(.scrubHoldsRemovedBlock) { return }
        #endif
        if phase == .serving, isCurrent(drives[drive].scrub.entry, on: drive) { return }
        leaveScrubbedBlock(drive)
    }

    private func isScrubHeldUp(_ drive: DriveIndex) -> Bool {
        if case .block = drives[drive].scrub.stage { return false }
        return drives[drive].checkpoint.isRunning || drives[drive].checkpoint.isRequested
    }

    private mutating func advanceScrub(_ drive: DriveIndex) {
        switch drives[drive].scrub.stage {
        case .superblock(let copy): scrubSuperblock(copy, on: drive)
        case .journal(let first): scrubJournal(from: first, on: drive)
        case .page(let page): scrubPage(page, on: drive)
        case .leaf: scrubLeaf(drive)
        case .cell: scrubCell(drive)
        case .block: scrubPiece(drive)
        }
    }

    /// Reads `memory.length` bytes at `offset`, and charges them to the budget.
    mutating func scrubRead(at offset: ByteOffset, into memory: ArenaRange, on drive: DriveIndex) {
        hasWorked = true
        drives[drive].scrub.isReading = true
        drives[drive].scrub.generation = drives[drive].superblock.generation
        let bytes = memory.length.rawValue
        let pause = bytes * 1_000_000 / configuration.scrubBytesPerSecond
        // A budget that wasn't used isn't saved up.
        let start = max(drives[drive].scrub.nextPiece, now)
        drives[drive].scrub.nextPiece = start.advanced(byMicroseconds: max(1, pause))
        cells.drives[Int(drive.rawValue)].add(bytes, to: .scrubbedBytes)
        device.submit(.read, on: drive, at: offset, memory: memory, for: .scrub, now: now)
    }

    mutating func scrubMoved(on drive: DriveIndex, _ error: DeviceError?) {
        let isDone = drives[drive].scrub.isReading
        precondition(isDone, "a piece of a scrub that wasn't begun")
        drives[drive].scrub.isReading = false
        if case .block = drives[drive].scrub.stage {
            pieceScrubbed(drive, error)
            return
        }
        guard drives[drive].state == .online else { return }
        switch error {
        case .gone, .noSpace, .unsupported:
            fence(drive)
            return
        case .inputOutput: suspect(drive)
        case nil, .medium: break
        }
        // The index may have changed meanwhile: then it is read once more.
        guard drives[drive].scrub.generation == drives[drive].superblock.generation,
            !drives[drive].checkpoint.isRunning
        else { return }
        switch drives[drive].scrub.stage {
        case .superblock(let copy): superblockScrubbed(copy, on: drive, isRead: error == nil)
        case .journal(let first): journalScrubbed(from: first, on: drive, isRead: error == nil)
        case .page(let page): pageScrubbed(page, on: drive, isRead: error == nil)
        case .leaf: leafScrubbed(drive, isRead: error == nil)
        case .cell, .block: preconditionFailure("a scrub that reads nothing has read")
        }
    }

    // MARK: Leaves

    /// The leaf of the hand; nil in an empty tree.
    private func scrubPosition(_ drive: DriveIndex) -> LeafPosition? {
        drives[drive].tree.locate(drives[drive].scrub.hand)
    }

    private mutating func scrubLeaf(_ drive: DriveIndex) {
        guard let position = scrubPosition(drive) else {
            endScrubTurn(drive)
            return
        }
        let child = drives[drive].tree.child(position)
        if child.isCondemned {
            passScrubbedLeaf(at: position, on: drive)
            return
        }
        drives[drive].scrub.leaf = child.pointer
        scrubRead(
            at: drives[drive].superblock.layout.offset(of: child.pointer.page),
            into: drives[drive].memory.scrubLeaf, on: drive)
    }

    private mutating func leafScrubbed(_ drive: DriveIndex, isRead: Bool) {
        guard let position = scrubPosition(drive) else { return }
        let child = drives[drive].tree.child(position)
        guard child.pointer == drives[drive].scrub.leaf else { return }
        let isGood =
            isRead
            && IndexPageHeader.matches(
                memory.arena, at: drives[drive].memory.scrubLeaf.start, kind: .leaf,
                pointer: child.pointer, generation: child.generation,
                driveIDLow: drives[drive].superblock.driveID.low)
        if isGood {
            drives[drive].scrub.isSecondTry = false
            drives[drive].scrub.cell = 0
            drives[drive].scrub.stage = .cell
            return
        }
        if !drives[drive].scrub.isSecondTry {
            drives[drive].scrub.isSecondTry = true
            return
        }
        drives[drive].scrub.isSecondTry = false
        noteScrubFinding(on: drive)
        if !isRead { noteMediaError(on: drive) }
        mendLeaf(at: position, on: drive)
        passScrubbedLeaf(at: position, on: drive)
    }

    /// A leaf that is in memory is written anew where it was; another one is lost.
    private mutating func mendLeaf(at position: LeafPosition, on drive: DriveIndex) {
        let page = drives[drive].tree.page(at: position)
        guard drives[drive].leaves.isReady(page), let frame = drives[drive].leaves.frame(of: page)
        else {
            condemn(position, on: drive)
            return
        }
        cells.drives[Int(drive.rawValue)].add(to: .damagedPages)
        drives[drive].leaves.setWriting(frame, true)
        device.submit(
            .write, on: drive, at: drives[drive].superblock.layout.offset(of: page),
            memory: IndexPageHeader.range(at: drives[drive].leaves.place(of: frame)),
            for: .scrubRepair(frame), now: now)
    }

    mutating func leafMended(_ frame: FrameIndex, on drive: DriveIndex, _ error: DeviceError?) {
        drives[drive].leaves.setWriting(frame, false)
        if error != nil { fence(drive) }
    }

    private mutating func passScrubbedLeaf(at position: LeafPosition, on drive: DriveIndex) {
        guard let next = drives[drive].tree.upperBound(of: position) else {
            endScrubTurn(drive)
            return
        }
        drives[drive].scrub.hand = next
        drives[drive].scrub.isHandDone = false
        drives[drive].scrub.stage = .leaf
    }

    private mutating func endScrubTurn(_ drive: DriveIndex) {
        hasWorked = true
        cells.drives[Int(drive.rawValue)].add(to: .scrubTurns)
        drives[drive].scrub.hand = .lowest
        drives[drive].scrub.isHandDone = false
        drives[drive].scrub.blocksThisTurn = 0
        drives[drive].scrub.stage = .superblock(0)
        drives[drive].scrub.nextPiece = now.advanced(
            byMicroseconds: configuration.scrubPauseMicroseconds)
    }

    // MARK: Blocks

    private mutating func scrubCell(_ drive: DriveIndex) {
        let cell = drives[drive].scrub.cell
        let place = drives[drive].memory.scrubLeaf.start
        guard let position = scrubPosition(drive) else {
            endScrubTurn(drive)
            return
        }
        guard drives[drive].tree.child(position).pointer == drives[drive].scrub.leaf else {
            // A checkpoint has replaced the leaf.
            drives[drive].scrub.stage = .leaf
            return
        }
        guard cell < LeafPage.count(memory.arena, place),
            let entry = LeafPage.entry(
                memory.arena, place, at: cell, layout: drives[drive].superblock.layout)
        else {
            passScrubbedLeaf(at: position, on: drive)
            return
        }
        drives[drive].scrub.cell = cell + 1
        let hand = drives[drive].scrub.hand
        let isDone = entry.key < hand || drives[drive].scrub.isHandDone && entry.key == hand
        guard !isDone, isCurrent(entry, on: drive) else { return }
        drives[drive].scrub.entry = entry
        drives[drive].scrub.position = 0
        drives[drive].scrub.checksum.begin()
        drives[drive].scrub.stage = .block
        readers.begin(entry.slots[0], on: drive)
    }

    /// Nothing has changed or removed the block since its leaf was written.
    private func isCurrent(_ entry: BlockEntry, on drive: DriveIndex) -> Bool {
        drives[drive].dirty(entry.key) == nil && drives[drive].space.isCommitted(entry.extent)
    }

    private mutating func scrubPiece(_ drive: DriveIndex) {
        let entry = drives[drive].scrub.entry
        let layout = drives[drive].superblock.layout
        let position = drives[drive].scrub.position
        let block = UInt64(device.geometry(of: drive).logicalBlockBytes)
        let padded = (UInt64(entry.lengthBytes) + block - 1) / block * block
        let slotBytes = layout.classes.slotBytes(of: entry.sizeClass).rawValue
        let inSlot = position % slotBytes
        let length = min(Scrub.pieceBytes, padded - position, slotBytes - inSlot)
        let slot = layout.offset(of: entry.slots[Int(position / slotBytes)])
        scrubRead(
            at: ByteOffset(slot.rawValue + inSlot),
            into: drives[drive].memory.scrub.part(at: 0, length: ByteCount(length)), on: drive)
    }

    private mutating func pieceScrubbed(_ drive: DriveIndex, _ error: DeviceError?) {
        let entry = drives[drive].scrub.entry
        guard drives[drive].state == .online else {
            endScrubbedBlock(drive)
            return
        }
        switch error {
        case nil: break
        case .medium:
            blockRefused(drive)
            return
        case .inputOutput:
            suspect(drive)
            if drives[drive].scrub.isSecondTry {
                blockRefused(drive)
            } else {
                drives[drive].scrub.isSecondTry = true
            }
            return
        case .gone, .noSpace, .unsupported:
            endScrubbedBlock(drive)
            fence(drive)
            return
        }
        drives[drive].scrub.isSecondTry = false
        let position = drives[drive].scrub.position
        let slotBytes = drives[drive].superblock.layout.classes.slotBytes(of: entry.sizeClass)
        let rest = UInt64(entry.lengthBytes) - position
        let length = min(
            Scrub.pieceBytes, rest, slotBytes.rawValue - position % slotBytes.rawValue)
        memory.arena.add(
            drives[drive].memory.scrub.part(at: 0, length: ByteCount(length)),
            to: &drives[drive].scrub.checksum)
        drives[drive].scrub.position += length
        if length == rest { judgeScrubbedBlock(drive) }
    }

    private mutating func judgeScrubbedBlock(_ drive: DriveIndex) {
        let entry = drives[drive].scrub.entry
        var isRight = drives[drive].scrub.checksum.end() == entry.checksum
        #if PLANTED_BUGS
        if isPlanted(.scrubSkipsChecksums) { isRight = true }
        #endif
        if !isRight, isCurrent(entry, on: drive) {
            cells.add(to: .checksumFailures)
            noteScrubFinding(on: drive)
            removeDamaged(entry, on: drive)
        }
        endScrubbedBlock(drive)
    }

    private mutating func blockRefused(_ drive: DriveIndex) {
        noteMediaError(on: drive)
        let entry = drives[drive].scrub.entry
        if isCurrent(entry, on: drive) {
            noteScrubFinding(on: drive)
            removeDamaged(entry, on: drive)
        }
        endScrubbedBlock(drive)
    }

    private mutating func endScrubbedBlock(_ drive: DriveIndex) {
        drives[drive].scrub.blocksThisTurn += 1
        cells.drives[Int(drive.rawValue)].add(to: .scrubbedBlocks)
        leaveScrubbedBlock(drive)
    }

    /// Goes on behind the block, read to its end or not.
    private mutating func leaveScrubbedBlock(_ drive: DriveIndex) {
        hasWorked = true
        let entry = drives[drive].scrub.entry
        readers.end(entry.slots[0], on: drive)
        drives[drive].scrub.isSecondTry = false
        drives[drive].scrub.hand = entry.key
        drives[drive].scrub.isHandDone = true
        drives[drive].scrub.stage = .cell
    }

    mutating func noteScrubFinding(on drive: DriveIndex) {
        cells.drives[Int(drive.rawValue)].add(to: .scrubFindings)
    }
}
