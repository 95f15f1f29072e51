// Durability: from staged records to acknowledgements: journal blocks out, one flush for all that
// wait.
//
// Always holds: an operation is acknowledged when a flush has succeeded that was submitted after
// its journal block (and every one before it), both copies, and its payload had completed. One
// flush is in flight at a time; what completes meanwhile shares the next one (group commit). A
// failed flush is never retried: what it covered is unknown, the drive is fenced.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Lets everything of one drive that doesn't wait for a completion go on.
    mutating func pump(_ drive: DriveIndex) {
        if drives[drive].state == .recovering {
            pumpRecovery(drive)
            return
        }
        guard drives[drive].state == .online else { return }
        if !drives[drive].frameWaiters.isEmpty, drives[drive].leaves.takeable > 0 {
            operations.move(&drives[drive].frameWaiters, to: &ready)
        }
        pumpReturn(drive)
        pumpEpochRaise(drive)
        pumpChanges(drive)
        pumpReleases(drive)
        pumpEviction(drive)
        pumpCheckpoint(drive)
        pumpJournal(drive)
        pumpFlush(drive)
        pumpScrub(drive)
    }

    /// True when nothing of the drive is under way.
    func isQuiet(_ drive: DriveIndex) -> Bool {
        switch drives[drive].state {
        case .recovering: return drives[drive].refusal != nil
        case .absent, .offline: return true
        case .online:
            return drives[drive].journal.isQuiet && !drives[drive].flush.isInFlight
                && !drives[drive].checkpoint.isRunning && drives[drive].releases.isEmpty
                && !drives[drive].epochRaise.isRunning
                && !drives[drive].scrub.isReading && !drives[drive].watch.isProbing
        }
    }

    mutating func pumpJournal(_ drive: DriveIndex) {
        while let block = drives[drive].journal.takeSealed() {
            hasWorked = true
            let offsets = drives[drive].superblock.layout.journalOffsets(of: block.sequence)
            writeCopy(of: block.memory, to: offsets.a, buffer: block.buffer, on: drive)
            #if PLANTED_BUGS
            if isPlanted(.oneJournalCopy) {
                drives[drive].journal.copyWritten(buffer: block.buffer)
                continue
            }
            #endif
            writeCopy(of: block.memory, to: offsets.b, buffer: block.buffer, on: drive)
        }
    }

    private mutating func writeCopy(
        of block: ArenaRange, to offset: ByteOffset, buffer: Int, on drive: DriveIndex
    ) {
        device.submit(
            .write, on: drive, at: offset, memory: block, for: .journalWrite(buffer: buffer),
            now: now)
    }

    mutating func journalWritten(_ buffer: Int, on drive: DriveIndex, _ error: DeviceError?) {
        guard drives[drive].state == .online || drives[drive].state == .recovering else { return }
        if error != nil {
            fence(drive)
            return
        }
        drives[drive].journal.copyWritten(buffer: buffer)
        wakeSpaceWaiters(drive)
    }

    /// `index` needs nothing more than a flush.
    mutating func awaitFlush(_ index: OperationIndex) {
        let drive = operations[index].drive
        operations.append(index, to: &drives[drive].awaitingFlush)
    }

    private mutating func pumpFlush(_ drive: DriveIndex) {
        #if PLANTED_BUGS
        let sinceLook = watchTimes.nextLook.microseconds(since: now)
        if isPlanted(.flushWaitsForLook), sinceLook < 90_000 { return }
        #endif
        guard !drives[drive].flush.isInFlight, aFlushWouldAcknowledge(drive) else { return }
        submitFlush(drive)
    }

    mutating func submitFlush(_ drive: DriveIndex) {
        hasWorked = true
        drives[drive].flush.submitted += 1
        drives[drive].flush.isInFlight = true
        drives[drive].flush.covers = drives[drive].journal.written
        device.submit(.flush, on: drive, for: .flush, now: now)
    }

    private func aFlushWouldAcknowledge(_ drive: DriveIndex) -> Bool {
        let written = drives[drive].journal.written
        var index = drives[drive].awaitingFlush.first
        while index != .none {
            if recordSequence(of: index) <= written { return true }
            index = operations[index].nextWaiting
        }
        return false
    }

    private func recordSequence(of index: OperationIndex) -> JournalSequence {
        operations[index].state == .awaitingVoid
            ? operations[index].voidSequence : operations[index].sequence
    }

    mutating func journalFlushed(_ drive: DriveIndex, _ error: DeviceError?) {
        drives[drive].flush.isInFlight = false
        guard drives[drive].state == .online || drives[drive].state == .recovering else { return }
        var error = error
        #if PLANTED_BUGS
        if isPlanted(.failedFlushTrusted), error == .inputOutput { error = nil }
        #endif
        if error != nil {
            fence(drive)
            return
        }
        let covered = drives[drive].flush.covers
        let ticket = drives[drive].flush.submitted
        drives[drive].journal.flushed(through: covered)
        var waiting = drives[drive].awaitingFlush
        drives[drive].awaitingFlush = WaitQueue()
        var acknowledged: UInt64 = 0
        var oldest = now
        while let index = operations.popFirst(&waiting) {
            guard recordSequence(of: index) <= covered,
                operations[index].payloadTicket < ticket
            else {
                operations.append(index, to: &drives[drive].awaitingFlush)
                continue
            }
            acknowledged += 1
            oldest = min(oldest, operations[index].handedOver)
            switch (operations[index].kind, operations[index].state) {
            case (.put, .awaitingFlush): putDurable(index)
            case (.put, .awaitingVoid): putVoided(index)
            case (.remove, .awaitingFlush): removeDurable(index)
            default:
                preconditionFailure(
                    "a \(operations[index].kind) in state \(operations[index].state) was flushed")
            }
        }
        if acknowledged > 0 {
            cells.record(acknowledged, in: .flushBatchSize)
            cells.record(now.microseconds(since: oldest), in: .journalFlush)
        }
        wakeSpaceWaiters(drive)
    }
}
