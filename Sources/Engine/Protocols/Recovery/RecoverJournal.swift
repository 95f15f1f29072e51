// RecoverJournal: reads the journal twice: once to find its end, once to replay it.
//
// Scanning accepts block after block, from either copy, as each other's successor. The first
// sequence of which neither copy holds a successor is the end. If any block behind it says that the
// missing one was durable, it is damage and not a torn tail: what was deleted there is unknowable
// and the drive comes back empty. Replaying applies settled records and sets the others aside for
// verification. A damaged copy of a good block is written anew.

/// What scanning has found so far.
struct JournalScan: Sendable {
    /// The last accepted block.
    var last = JournalSequence(0)
    var chain: UInt64 = 0
    var incarnation: UInt32 = 0
    /// The highest marks of all accepted blocks.
    var settled = JournalSequence(0)
    /// The highest durable mark of any undamaged block of this ring, and the highest sequence.
    var highestDurable = JournalSequence(0)
    var highestSeen = JournalSequence(0)
    var hasEnded = false
    /// The chunk in memory: its first sequence and its blocks.
    var chunk = JournalSequence(0)
    var chunkBlocks = 0
    /// Blocks read so far in this pass.
    var progress: UInt64 = 0
    /// Chunks shrink to single blocks after a medium error, for as long as this says.
    var singles = 0
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Blocks of each copy in memory at once.
    private var chunkLimit: Int {
        DriveMemory.pageBuffers / 2
            * Int(FormatConstants.pageBytes / FormatConstants.journalBlockBytes)
    }

    mutating func beginScan(_ drive: DriveIndex) {
        let superblock = drives[drive].superblock
        drives[drive].recovery.step = .scanning
        drives[drive].recovery.scan = JournalScan(
            last: JournalSequence(superblock.journalStart.rawValue - 1),
            chain: superblock.journalChain,
            settled: JournalSequence(superblock.journalStart.rawValue - 1))
        drives[drive].recovery.highestVersion = superblock.nextVersion
        readChunk(drive)
    }

    private func memoryOfCopy(_ copy: Int, _ drive: DriveIndex) -> ArenaOffset {
        let half = UInt64(DriveMemory.pageBuffers / 2) * FormatConstants.pageBytes
        return drives[drive].memory.pages.start.advanced(by: copy == 0 ? 0 : half)
    }

    /// Reads the next chunk of both copies, or ends the pass.
    private mutating func readChunk(_ drive: DriveIndex) {
        let layout = drives[drive].superblock.layout
        let scan = drives[drive].recovery.scan
        let isReplay = drives[drive].recovery.step == .replaying
        if isReplay, drives[drive].recovery.isDamaged {
            returnEmpty(drive)
            return
        }
        let start = drives[drive].superblock.journalStart.rawValue
        let total =
            isReplay ? scan.last.rawValue + 1 - start : UInt64(layout.journalBlocks)
        guard scan.progress < total else {
            if isReplay { endReplay(drive) } else { endScan(drive) }
            return
        }
        let first = start + scan.progress
        let toWrap = UInt64(layout.journalBlocks) - first % UInt64(layout.journalBlocks)
        let limit = scan.singles > 0 ? 1 : UInt64(chunkLimit)
        let count = min(total - scan.progress, toWrap, limit)
        drives[drive].recovery.scan.chunk = JournalSequence(first)
        drives[drive].recovery.scan.chunkBlocks = Int(count)
        drives[drive].recovery.readsInFlight = 2
        let offsets = layout.journalOffsets(of: JournalSequence(first))
        for copy in 0..<2 {
            let range = ArenaRange(
                start: memoryOfCopy(copy, drive),
                length: ByteCount(count * FormatConstants.journalBlockBytes))
            device.submit(
                .read, on: drive, at: copy == 0 ? offsets.a : offsets.b, memory: range,
                for: .recovery(step: UInt32(copy)), now: now)
        }
    }

    mutating func journalChunkRead(_ copy: Int, on drive: DriveIndex, _ error: DeviceError?) {
        drives[drive].recovery.readErrors[copy] = error
        drives[drive].recovery.readsInFlight -= 1
        guard drives[drive].recovery.readsInFlight == 0 else { return }
        let hasError =
            drives[drive].recovery.readErrors[0] != nil
            || drives[drive].recovery.readErrors[1] != nil
        if hasError, drives[drive].recovery.scan.chunkBlocks > 1 {
            drives[drive].recovery.scan.singles = drives[drive].recovery.scan.chunkBlocks
            readChunk(drive)
            return
        }
        if drives[drive].recovery.scan.singles > 0 { drives[drive].recovery.scan.singles -= 1 }
        if drives[drive].recovery.step == .scanning {
            scanChunk(drive)
        } else {
            replayChunk(drive)
        }
    }

    private func header(
        _ copy: Int, _ block: Int, on drive: DriveIndex
    ) -> JournalBlockHeader? {
        guard drives[drive].recovery.readErrors[copy] == nil else { return nil }
        return JournalBlockHeader.read(
            memory.arena, at: blockPlace(copy, block, on: drive),
            driveIDLow: drives[drive].superblock.driveID.low)
    }

    private func blockPlace(_ copy: Int, _ block: Int, on drive: DriveIndex) -> ArenaOffset {
        memoryOfCopy(copy, drive).advanced(
            by: UInt64(block) * FormatConstants.journalBlockBytes)
    }

    private func isSuccessor(_ header: JournalBlockHeader, of scan: JournalScan) -> Bool {
        #if PLANTED_BUGS
        if isPlanted(.staleJournalBlockAccepted) { return header.sequence == scan.last.next }
        #endif
        return header.isSuccessor(of: scan)
    }

    private func isLeftOver(_ header: JournalBlockHeader, on drive: DriveIndex) -> Bool {
        #if PLANTED_BUGS
        if isPlanted(.staleJournalBlockAccepted) { return false }
        #endif
        return header.isLeftOver(drives[drive].superblock)
    }

    // MARK: Scanning

    private mutating func scanChunk(_ drive: DriveIndex) {
        var scan = drives[drive].recovery.scan
        for block in 0..<scan.chunkBlocks {
            let expected = JournalSequence(scan.chunk.rawValue + UInt64(block))
            var accepted: (header: JournalBlockHeader, copy: Int)?
            for copy in 0..<2 {
                guard let header = header(copy, block, on: drive) else { continue }
                // What an earlier turn of the ring left here has a lower sequence, and says
                // nothing.
                guard header.sequence >= expected else { continue }
                scan.highestSeen = max(scan.highestSeen, header.sequence)
                if isLeftOver(header, on: drive) { continue }
                scan.highestDurable = max(scan.highestDurable, header.durable)
                if !scan.hasEnded, accepted == nil, isSuccessor(header, of: scan) {
                    accepted = (header, copy)
                }
            }
            guard let (header, copy) = accepted else {
                scan.hasEnded = true
                continue
            }
            scan.last = header.sequence
            scan.chain = header.checksum
            scan.incarnation = header.incarnation
            scan.settled = max(scan.settled, header.settled)
            noteVersions(header, at: blockPlace(copy, block, on: drive), drive)
        }
        scan.progress += UInt64(scan.chunkBlocks)
        drives[drive].recovery.scan = scan
        readChunk(drive)
    }

    /// Collects void declarations and the highest version of an accepted block.
    private mutating func noteVersions(
        _ header: JournalBlockHeader, at place: ArenaOffset, _ drive: DriveIndex
    ) {
        forEachRecord(header, at: place, on: drive) { engine, record in
            let version = record.version
            if case .void = record { engine.drives[drive].recovery.voids.append(version) }
            if engine.drives[drive].recovery.highestVersion < version {
                engine.drives[drive].recovery.highestVersion = version
            }
        }
    }

    private mutating func forEachRecord(
        _ header: JournalBlockHeader, at place: ArenaOffset, on drive: DriveIndex,
        _ body: (inout Self, JournalRecord) -> Void
    ) {
        let layout = drives[drive].superblock.layout
        for record in header.records(memory.arena, at: place, layout: layout) {
            body(&self, record)
        }
    }

    private mutating func endScan(_ drive: DriveIndex) {
        let scan = drives[drive].recovery.scan
        let isTorn = scan.highestDurable <= scan.last
        if drives[drive].recovery.isDamaged || !isTorn {
            returnEmpty(drive)
            return
        }
        drives[drive].nextVersion = drives[drive].recovery.highestVersion.next
        drives[drive].recovery.voids.sort()
        drives[drive].recovery.step = .replaying
        let start = drives[drive].superblock.journalStart
        drives[drive].recovery.scan.progress = 0
        drives[drive].recovery.replayed = JournalScan(
            last: JournalSequence(start.rawValue - 1),
            chain: drives[drive].superblock.journalChain)
        readChunk(drive)
    }

    // MARK: Replaying

    private mutating func replayChunk(_ drive: DriveIndex) {
        let scan = drives[drive].recovery.scan
        drives[drive].recovery.readsInFlight = 0
        for block in 0..<scan.chunkBlocks {
            let headers = [header(0, block, on: drive), header(1, block, on: drive)]
            let replayed = drives[drive].recovery.replayed
            let good = (0..<2).first { copy in
                headers[copy].map {
                    isSuccessor($0, of: replayed) && !isLeftOver($0, on: drive)
                } ?? false
            }
            guard let good, let header = headers[good] else {
                // It was there a moment ago: the medium is failing.
                fence(drive, .unreadable)
                return
            }
            drives[drive].recovery.replayed.last = header.sequence
            drives[drive].recovery.replayed.chain = header.checksum
            drives[drive].recovery.replayed.incarnation = header.incarnation
            let isSettled = header.sequence <= scan.settled
            forEachRecord(header, at: blockPlace(good, block, on: drive), on: drive) {
                engine, record in
                engine.replay(record, in: header.sequence, isSettled: isSettled, on: drive)
            }
            let other = 1 - good
            if headers[other]?.checksum != header.checksum {
                repair(copy: other, from: good, block: block, header.sequence, on: drive)
            }
        }
        drives[drive].recovery.scan.progress += UInt64(scan.chunkBlocks)
        if drives[drive].recovery.readsInFlight > 0 {
            drives[drive].recovery.step = .repairing
        } else {
            readChunk(drive)
        }
    }

    private mutating func repair(
        copy: Int, from good: Int, block: Int, _ sequence: JournalSequence, on drive: DriveIndex
    ) {
        cells.drives[Int(drive.rawValue)].add(to: .journalRepairs)
        let offsets = drives[drive].superblock.layout.journalOffsets(of: sequence)
        drives[drive].recovery.readsInFlight += 1
        device.submit(
            .write, on: drive, at: copy == 0 ? offsets.a : offsets.b,
            memory: JournalBlockHeader.range(at: blockPlace(good, block, on: drive)),
            for: .recovery(step: 0), now: now)
    }

    mutating func journalRepaired(_ drive: DriveIndex) {
        drives[drive].recovery.readsInFlight -= 1
        if drives[drive].recovery.readsInFlight > 0 { return }
        drives[drive].recovery.step = .replaying
        readChunk(drive)
    }

    private mutating func replay(
        _ record: JournalRecord, in sequence: JournalSequence, isSettled: Bool,
        on drive: DriveIndex
    ) {
        if case .void = record { return }
        if case .commit(let entry, _, _) = record, isVoid(entry.version, on: drive) { return }
        cells.drives[Int(drive.rawValue)].add(to: .recoveredRecords)
        #if PLANTED_BUGS
        if isPlanted(.journalNotReplayed), isSettled { return }
        #endif
        if isSettled {
            if !apply(record, freeing: nil, on: drive) { drives[drive].recovery.isDamaged = true }
        } else {
            drives[drive].recovery.unsettled.append((record, sequence))
        }
    }

    private func isVoid(_ version: Version, on drive: DriveIndex) -> Bool {
        var low = 0
        var high = drives[drive].recovery.voids.count
        while low < high {
            let middle = (low + high) / 2
            if drives[drive].recovery.voids[middle] < version {
                low = middle + 1
            } else {
                high = middle
            }
        }
        return low < drives[drive].recovery.voids.count
            && drives[drive].recovery.voids[low] == version
    }

    /// Makes a record's effect. `freeing` replaces the slots that the record itself says it freed.
    /// False when it contradicts the records before it or the map, which those of an undamaged
    /// journal can't: then nothing of the drive is known for certain.
    mutating func apply(
        _ record: JournalRecord, freeing override: SlotExtent?, on drive: DriveIndex
    ) -> Bool {
        if let key = record.key, drives[drive].active[key] == nil,
            drives[drive].active.count == drives[drive].active.capacity
        {
            return false
        }
        switch record {
        case .commit(let entry, let freed, _):
            let wasLive = drives[drive].space.replayFree(override ?? freed)
            guard drives[drive].space.replayCommit(entry.extent) else { return false }
            if !wasLive { countBlock(entry.key, on: drive) }
            drives[drive].active.set(DirtyEntry(entry: entry, isTombstone: false))
        case .delete(let key, let version, let reason, let freed, _):
            let wasLive: Bool
            if reason == .damaged {
                // What the first of a key's unsettled records freed is free; the bad slots are not.
                let isOwn = override?.isSame(as: freed) ?? true
                wasLive =
                    isOwn
                    ? drives[drive].space.isCommitted(freed)
                    : drives[drive].space.replayFree(override ?? freed)
                guard drives[drive].space.replayQuarantine(freed) else { return false }
            } else {
                wasLive = drives[drive].space.replayFree(override ?? freed)
            }
            if wasLive, drives[drive].blockCount == 0 { return false }
            if wasLive { discountBlock(key, on: drive) }
            var entry = DirtyEntry.none.entry
            entry.key = key
            entry.version = version
            drives[drive].active.set(DirtyEntry(entry: entry, isTombstone: true))
        case .void: break
        }
        noteListing(of: record, on: drive)
        return true
    }

    /// Notes the key of `record` in the change list, if it belongs there.
    mutating func noteListing(of record: JournalRecord, on drive: DriveIndex) {
        if let epoch = record.listing.epoch(of: record.version), let key = record.key {
            drives[drive].changes.note(key, epoch: epoch)
        }
    }

    private mutating func endReplay(_ drive: DriveIndex) {
        beginVerifying(drive)
    }
}
