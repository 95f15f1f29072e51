// ScrubPages: the part of a scrub that reads what blocks are found by: superblocks, both copies of
// the journal, and the upper pages of the index.
//
// Always holds: all of it is in memory too, so damage on the drive costs nothing but a checkpoint,
// which writes both superblocks, moves the journal's start behind what is damaged, and writes the
// damaged page anew.

/// A page that the drive's memory has too: which kind, and which of its kind.
enum ScrubPage: Hashable, Sendable {
    case root(Int)
    case inner(Int)
    case directory(Int)
    case map(Int)

    var kind: IndexPageKind {
        switch self {
        case .root: .root
        case .inner: .inner
        case .directory: .mapDirectory
        case .map: .map
        }
    }

    var next: ScrubPage {
        switch self {
        case .root(let item): .root(item + 1)
        case .inner(let item): .inner(item + 1)
        case .directory(let item): .directory(item + 1)
        case .map(let item): .map(item + 1)
        }
    }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    private var journalBlocksPerPiece: UInt64 {
        Scrub.pieceBytes / 2 / FormatConstants.journalBlockBytes
    }

    /// A checkpoint mends what was found.
    private mutating func mendByCheckpoint(_ drive: DriveIndex) {
        noteScrubFinding(on: drive)
        cells.drives[Int(drive.rawValue)].add(to: .damagedPages)
        drives[drive].checkpoint.isRequested = true
    }

    // MARK: Superblocks

    mutating func scrubSuperblock(_ copy: Int, on drive: DriveIndex) {
        guard copy < 2 else {
            drives[drive].scrub.stage = .journal(drives[drive].journal.start)
            return
        }
        scrubRead(
            at: copy == 0 ? FormatConstants.superblockA : FormatConstants.superblockB,
            into: drives[drive].memory.scrub.part(
                at: 0, length: FormatConstants.superblockBytes), on: drive)
    }

    mutating func superblockScrubbed(_ copy: Int, on drive: DriveIndex, isRead: Bool) {
        drives[drive].scrub.stage = .superblock(copy + 1)
        let reading = Superblock.read(memory.arena, at: drives[drive].memory.scrub.start)
        if isRead, case .valid(let superblock) = reading,
            superblock.driveID == drives[drive].superblock.driveID,
            superblock.generation == drives[drive].superblock.generation
        {
            return
        }
        mendByCheckpoint(drive)
    }

    // MARK: Journal

    mutating func scrubJournal(from first: JournalSequence, on drive: DriveIndex) {
        let journal = (drives[drive].journal.start, drives[drive].journal.durable)
        let first = max(first, journal.0)
        guard first <= journal.1 else {
            drives[drive].scrub.stage = .page(.root(0))
            return
        }
        let blocks = UInt64(drives[drive].superblock.layout.journalBlocks)
        let toWrap = blocks - first.rawValue % blocks
        let count = min(journalBlocksPerPiece, toWrap, journal.1.rawValue - first.rawValue + 1)
        drives[drive].scrub.stage = .journal(first)
        drives[drive].scrub.journalBlocks = count
        let offsets = drives[drive].superblock.layout.journalOffsets(of: first)
        let offset = drives[drive].scrub.isSecondCopy ? offsets.b : offsets.a
        scrubRead(
            at: offset,
            into: drives[drive].memory.scrub.part(
                at: 0, length: ByteCount(count * FormatConstants.journalBlockBytes)), on: drive)
    }

    mutating func journalScrubbed(from first: JournalSequence, on drive: DriveIndex, isRead: Bool) {
        let count = drives[drive].scrub.journalBlocks
        var isGood = isRead
        for block in 0..<count where isGood {
            let header = JournalBlockHeader.read(
                memory.arena,
                at: drives[drive].memory.scrub.start.advanced(
                    by: block * FormatConstants.journalBlockBytes),
                driveIDLow: drives[drive].superblock.driveID.low)
            isGood = header?.sequence.rawValue == first.rawValue + block
        }
        if !isGood { mendByCheckpoint(drive) }
        let isSecondCopy = drives[drive].scrub.isSecondCopy
        drives[drive].scrub.isSecondCopy = !isSecondCopy
        if isSecondCopy {
            drives[drive].scrub.stage = .journal(JournalSequence(first.rawValue + count))
        }
    }

    // MARK: Pages

    /// The pointer to `page`, and its generation where the pointer tells it; nil behind the last
    /// one, and for a map page that was never written.
    private func pointer(
        to page: ScrubPage, on drive: DriveIndex
    ) -> (pointer: PagePointer, generation: UInt64?)? {
        let superblock = drives[drive].superblock
        switch page {
        case .root(let item):
            return item < superblock.rootCount ? (superblock.pointers[item], nil) : nil
        case .inner(let item):
            guard item < drives[drive].tree.nodeCount else { return nil }
            let node = drives[drive].tree.node(at: item)
            return node.stored.map { ($0, node.generation) }
        case .directory(let item):
            guard item < superblock.mapDirectoryCount else { return nil }
            return (superblock.pointers[superblock.rootCount + item], nil)
        case .map(let item):
            guard item < drives[drive].mapPointers.count else { return nil }
            let generation = drives[drive].mapGenerations[item]
            return drives[drive].mapPointers[item].map { ($0, generation) }
        }
    }

    /// The page after `page`, of the same kind or the next one; nil behind the last.
    private func successor(of page: ScrubPage, on drive: DriveIndex) -> ScrubPage? {
        switch page {
        case .root(let item):
            item + 1 < drives[drive].superblock.rootCount ? page.next : .inner(0)
        case .inner(let item):
            item + 1 < drives[drive].tree.nodeCount ? page.next : .directory(0)
        case .directory(let item):
            item + 1 < drives[drive].superblock.mapDirectoryCount ? page.next : .map(0)
        case .map(let item):
            item + 1 < drives[drive].mapPointers.count ? page.next : nil
        }
    }

    private mutating func passScrubbed(_ page: ScrubPage, on drive: DriveIndex) {
        if let next = successor(of: page, on: drive) {
            drives[drive].scrub.stage = .page(next)
        } else {
            drives[drive].scrub.stage = .leaf
        }
    }

    mutating func scrubPage(_ page: ScrubPage, on drive: DriveIndex) {
        guard let (pointer, _) = pointer(to: page, on: drive) else {
            passScrubbed(page, on: drive)
            return
        }
        drives[drive].scrub.leaf = pointer
        scrubRead(
            at: drives[drive].superblock.layout.offset(of: pointer.page),
            into: drives[drive].memory.scrubLeaf, on: drive)
    }

    mutating func pageScrubbed(_ page: ScrubPage, on drive: DriveIndex, isRead: Bool) {
        guard let (pointer, generation) = pointer(to: page, on: drive),
            pointer == drives[drive].scrub.leaf
        else { return }
        passScrubbed(page, on: drive)
        let isGood =
            isRead
            && IndexPageHeader.matches(
                memory.arena, at: drives[drive].memory.scrubLeaf.start, kind: page.kind,
                pointer: pointer, generation: generation,
                driveIDLow: drives[drive].superblock.driveID.low)
        if isGood { return }
        switch page {
        case .inner(let item): drives[drive].tree.rewrite(item)
        case .map(let item): drives[drive].space.rewrite(page: item)
        case .root, .directory: break
        }
        mendByCheckpoint(drive)
    }
}
