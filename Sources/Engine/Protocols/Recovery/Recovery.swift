// Recovery: from what is on a drive to a drive that serves.
//
//   superblocks ─► awaitingOthers ─► roots ─► nodes ─► directories ─► maps ─► scanning
//        ─► replaying ─► verifying ─► raisingOther ─► flushingOther ─► raisingUsed
//        ─► flushingUsed ─► voiding ─► online
//   any damage that makes deletions unknowable ─► the drive comes back empty (counted)
//
// Always holds: no drive goes beyond `awaitingOthers` before all drives are known to be one store,
// so that a refused store stays as it was. Until `raisingOther` nothing is written but journal
// blocks that repair their damaged twins, so a crash at any step changes nothing about the result.
// The superblock that recovery went by is written anew only when the other copy is durable: the
// other one may be damaged. Before the first new block is written both superblocks carry a higher
// incarnation, durably, and records that were found not to have landed are declared void, durably.
// Its time is bounded by the journal, the map and the upper levels of the tree. Recovery is not the
// steady state: it may allocate.

/// One drive's recovery.
struct Recovery: ~Copyable {
    enum Step: Sendable {
        case idle, superblocks, awaitingOthers
        case roots, nodes, directories, maps, scanning, replaying, repairing
        case verifying, raisingOther, flushingOther, raisingUsed, flushingUsed, voiding
    }

    var step = Step.idle
    var began = Instant(nanoseconds: 0)
    var readsInFlight = 0
    var readErrors: [DeviceError?] = [nil, nil]
    /// Items of the step begun and finished; what each page buffer holds.
    var begun = 0
    var finished = 0
    var itemOfBuffer = [Int](repeating: 0, count: DriveMemory.pageBuffers)
    var isEmptied = false
    /// Recovery goes by superblock A, not B.
    var usesCopyA = true
    /// The index can't be trusted: the drive will come back empty.
    var isDamaged = false

    /// The journal as scanned: the last good block and what follows it.
    var scan = JournalScan()
    /// How far replaying has followed the same chain.
    var replayed = JournalScan()
    /// Commits declared void, ascending once the scan has ended.
    var voids: [Version] = []
    /// Records above the settled mark, in order.
    var unsettled: [(record: JournalRecord, sequence: JournalSequence)] = []
    var highestVersion = Version(0)
    /// Keys with unsettled records; for each the places of its records, and which one is looked at.
    var chains: [UnsettledChain] = []
    var chain = 0
    var lease: SlabLease?
    var newVoids: [Version] = []
}

/// The unsettled records of one key, oldest first.
struct UnsettledChain: Sendable {
    var records: [Int]
    /// How many of them are still believed; the last believed one is the key's state.
    var believed: Int
    /// The last believed record's payload has been read and is right.
    var isVerified = false
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func beginRecovery(_ drive: DriveIndex) {
        let geometry = device.geometry(of: drive)
        cells.drives[Int(drive.rawValue)].set(.rawBytes, to: geometry.capacity.rawValue)
        guard geometry.isPresent else {
            drives[drive].state = .absent
            return
        }
        guard geometry.capacity.rawValue > FormatConstants.headBytes else {
            drives[drive].refusal = .notFormatted
            return
        }
        drives[drive].recovery.began = now
        drives[drive].recovery.step = .superblocks
        drives[drive].recovery.readsInFlight = 2
        let memories = [drives[drive].memory.superblockA, drives[drive].memory.superblockB]
        let offsets = [FormatConstants.superblockA, FormatConstants.superblockB]
        for copy in 0..<2 {
            device.submit(
                .read, on: drive, at: offsets[copy], memory: memories[copy],
                for: .recovery(step: UInt32(copy)), now: now)
        }
    }

    /// A device operation of the recovery has completed.
    mutating func recoveryMoved(_ tag: UInt32, on drive: DriveIndex, _ error: DeviceError?) {
        if let error, drives[drive].state == .recovering,
            error != .medium || isWriting(drives[drive].recovery.step)
        {
            fence(drive)
        }
        guard drives[drive].state == .recovering else {
            abandonVerifying(drive)
            return
        }
        switch drives[drive].recovery.step {
        case .superblocks: superblockRead(Int(tag), on: drive, error)
        case .roots, .nodes, .directories, .maps: indexPageRead(Int(tag), on: drive, error)
        case .scanning, .replaying: journalChunkRead(Int(tag), on: drive, error)
        case .repairing: journalRepaired(drive)
        case .verifying: payloadRead(drive, error)
        case .raisingOther:
            drives[drive].recovery.step = .flushingOther
            device.submit(.flush, on: drive, for: .recovery(step: 0), now: now)
        case .flushingOther: raise(drive, .raisingUsed)
        case .raisingUsed:
            drives[drive].recovery.step = .flushingUsed
            device.submit(.flush, on: drive, for: .recovery(step: 0), now: now)
        case .flushingUsed: beginVoiding(drive)
        case .idle, .awaitingOthers, .voiding:
            preconditionFailure("recovery I/O in step \(drives[drive].recovery.step)")
        }
    }

    private func isWriting(_ step: Recovery.Step) -> Bool {
        switch step {
        case .repairing, .raisingOther, .flushingOther, .raisingUsed, .flushingUsed, .voiding: true
        case .idle, .superblocks, .awaitingOthers, .roots, .nodes, .directories, .maps, .scanning,
            .replaying, .verifying:
            false
        }
    }

    /// Goes on where recovery waits for slabs or for the journal instead of for a read.
    mutating func pumpRecovery(_ drive: DriveIndex) {
        switch drives[drive].recovery.step {
        case .verifying: if drives[drive].recovery.readsInFlight == 0 { advanceVerifying(drive) }
        case .voiding: advanceVoiding(drive)
        default: break
        }
    }

    // MARK: Superblocks

    private mutating func superblockRead(
        _ copy: Int, on drive: DriveIndex, _ error: DeviceError?
    ) {
        drives[drive].recovery.readErrors[copy] = error
        drives[drive].recovery.readsInFlight -= 1
        guard drives[drive].recovery.readsInFlight == 0 else { return }
        let places = [
            drives[drive].memory.superblockA.start, drives[drive].memory.superblockB.start,
        ]
        #if PLANTED_BUGS
        let newest: UInt16 = isPlanted(.versionIgnored) ? .max : FormatConstants.version
        #else
        let newest = FormatConstants.version
        #endif
        var readings: [Superblock.Reading] = []
        for index in 0..<2 {
            readings.append(
                drives[drive].recovery.readErrors[index] == nil
                    ? Superblock.read(
                        memory.arena, at: places[index], readsVersionsUpTo: newest) : .damaged)
        }
        switch SuperblockChoice(readings[0], readings[1]) {
        case .refuse(let refusal): drives[drive].refusal = refusal
        case .use(let superblock, let isCopyA, let damagedCopies):
            if let refusal = mismatch(of: superblock, on: drive) {
                drives[drive].refusal = refusal
                return
            }
            cells.drives[Int(drive.rawValue)].add(
                UInt64(damagedCopies), to: .superblockRepairs)
            adopt(superblock, isCopyA: isCopyA, on: drive)
        }
    }

    private func mismatch(of superblock: Superblock, on drive: DriveIndex) -> DriveRefusal? {
        let geometry = device.geometry(of: drive)
        let classes = superblock.layout.classes
        if classes.blockSizeBytes != configuration.blockSizeBytes {
            return .otherBlockSize(
                stored: classes.blockSizeBytes, configured: configuration.blockSizeBytes)
        }
        if classes.minimumSlotBytes != configuration.minimumSlotBytes {
            return .otherMinimumSlot(
                stored: classes.minimumSlotBytes, configured: configuration.minimumSlotBytes)
        }
        if superblock.layout.capacityBytes > geometry.capacity.rawValue {
            return .largerThanDrive(
                stored: superblock.layout.capacityBytes, capacity: geometry.capacity.rawValue)
        }
        return nil
    }

    private mutating func adopt(
        _ superblock: Superblock, isCopyA: Bool, on drive: DriveIndex
    ) {
        let began = drives[drive].recovery.began
        drives[drive] = Drive(
            index: drive, memory: drives[drive].memory, superblock: superblock,
            arena: memory.arena, configuration: configuration,
            discardsWork: configuration.discardEnabled
                && device.geometry(of: drive).supportsDiscard)
        drives[drive].recovery.began = began
        drives[drive].recovery.usesCopyA = isCopyA
        drives[drive].recovery.step = .awaitingOthers
    }

    // MARK: Going online

    /// Writes the superblock with a higher incarnation, the copy that recovery went by last.
    mutating func beginRaising(_ drive: DriveIndex) {
        drives[drive].superblock.incarnation += 1
        drives[drive].superblock.incarnationStart = drives[drive].recovery.scan.last.next
        drives[drive].superblock.nextVersion = drives[drive].nextVersion
        let last = drives[drive].recovery.scan.last
        drives[drive].journal = Journal(
            arena: memory.arena, memory: drives[drive].memory.journal,
            superblock: drives[drive].superblock, start: drives[drive].superblock.journalStart,
            last: last, chain: drives[drive].recovery.scan.chain)
        drives[drive].superblock.write(
            memory.arena, at: drives[drive].memory.superblockA.start)
        raise(drive, .raisingOther)
    }

    private mutating func raise(_ drive: DriveIndex, _ step: Recovery.Step) {
        drives[drive].recovery.step = step
        let writesA = (step == .raisingUsed) == drives[drive].recovery.usesCopyA
        let offset = writesA ? FormatConstants.superblockA : FormatConstants.superblockB
        device.submit(
            .write, on: drive, at: offset, memory: drives[drive].memory.superblockA,
            for: .recovery(step: 0), now: now)
    }

    private mutating func beginVoiding(_ drive: DriveIndex) {
        drives[drive].recovery.step = .voiding
        advanceVoiding(drive)
    }

    /// Declares void what was found not to have landed; online when that is durable.
    mutating func advanceVoiding(_ drive: DriveIndex) {
        while let version = drives[drive].recovery.newVoids.last,
            drives[drive].journal.canStage(words: 2, for: .void)
        {
            drives[drive].recovery.newVoids.removeLast()
            _ = drives[drive].journal.stage(.void(version))
        }
        if drives[drive].recovery.newVoids.isEmpty, drives[drive].journal.isQuiet {
            goOnline(drive)
            return
        }
        pumpJournal(drive)
        let isWritten = drives[drive].journal.written.next == drives[drive].journal.next
        if isWritten, !drives[drive].flush.isInFlight {
            submitFlush(drive)
        }
    }

    private mutating func goOnline(_ drive: DriveIndex) {
        hasWorked = true
        let cells = cells.drives[Int(drive.rawValue)]
        var isEmptied = drives[drive].recovery.isEmptied
        #if PLANTED_BUGS
        if isPlanted(.emptiedNotCounted) { isEmptied = false }
        #endif
        if isEmptied { cells.add(to: .returnedEmpty) }
        drives[drive].recovery = Recovery()
        drives[drive].state = .online
    }

    /// What is on the drive can't be told from what was deleted: it starts anew, with nothing.
    mutating func returnEmpty(_ drive: DriveIndex) {
        var superblock = drives[drive].superblock
        let last = drives[drive].recovery.scan.highestSeen
        superblock.generation += 1
        superblock.rootCount = 0
        superblock.mapDirectoryCount = 0
        superblock.blockCount = 0
        superblock.leafCells = 0
        superblock.quarantinedBytes = 0
        let blocks = UInt64(superblock.layout.journalBlocks)
        let start = max(last.rawValue, superblock.journalStart.rawValue) + blocks
        superblock.journalStart = JournalSequence(start)
        superblock.journalChain = 0
        let version = max(drives[drive].recovery.highestVersion, superblock.nextVersion).next
        let began = drives[drive].recovery.began
        let usesCopyA = drives[drive].recovery.usesCopyA
        drives[drive] = Drive(
            index: drive, memory: drives[drive].memory, superblock: superblock,
            arena: memory.arena, configuration: configuration,
            discardsWork: drives[drive].discardsWork)
        drives[drive].nextVersion = version
        drives[drive].recovery.usesCopyA = usesCopyA
        drives[drive].recovery.began = began
        drives[drive].recovery.isEmptied = true
        drives[drive].recovery.scan.last = JournalSequence(start - 1)
        beginRaising(drive)
    }
}

/// Which superblock to go by.
enum SuperblockChoice {
    case use(Superblock, isCopyA: Bool, damagedCopies: Int)
    case refuse(DriveRefusal)

    init(_ a: Superblock.Reading, _ b: Superblock.Reading) {
        switch (a, b) {
        case (.newer(let version), _), (_, .newer(let version)):
            self = .refuse(
                .newerFormat(version: version, supported: FormatConstants.version))
        case (.valid(let first), .valid(let second)):
            let isSecondNewer =
                (second.generation, second.incarnation) > (first.generation, first.incarnation)
            self = .use(
                isSecondNewer ? second : first, isCopyA: !isSecondNewer, damagedCopies: 0)
        case (.valid(let only), _): self = .use(only, isCopyA: true, damagedCopies: 1)
        case (_, .valid(let only)): self = .use(only, isCopyA: false, damagedCopies: 1)
        case (.foreign, .foreign): self = .refuse(.notFormatted)
        case (.damaged, _), (_, .damaged): self = .refuse(.bothSuperblocksDamaged)
        }
    }
}
