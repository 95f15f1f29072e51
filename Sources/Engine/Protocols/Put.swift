// Put: stores a value under a key, replacing what was there.
//
//   begun ─► verifying ─► waitingForKey ─► lookingUp ─► placing ─► moving ─► awaitingFlush ─► ok
//                                                          │         └─ no space ─► voiding
//                                                          │         ─► awaitingVoid ─► noSpace
//                                                          └─ no slot and none to come ─► noSpace
//
// A stalled drive turns a put away (busy), but not before it has looked: when it is sure to have
// nothing of the key, whoever leads may put it to the key's second drive.
//
// Always holds: the payload is verified against its checksum before anything is staged; the records
// (Alloc and Commit, together) and the payload go out at the same time; the answer is given only
// when a flush that was submitted after both had completed has succeeded. A deadline that passes
// before `moving` answers deadlineExceeded and nothing happens; after it, outcomeUnknown and the
// put goes on by itself.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advancePut(_ index: OperationIndex) {
        switch operations[index].state {
        case .begun:
            hold(index)
            if isTaken(index) { verify(index) }
        case .waitingForKey, .lookingUp: if ownsKey(index) { lookUpForPut(index) }
        case .placing: placePut(index)
        case .voiding: voidPut(index)
        case .verifying, .moving, .awaitingFlush, .awaitingVoid, .collecting, .forwarded:
            preconditionFailure("a put resumed in state \(operations[index].state)")
        }
    }

    /// The payload was compared with its checksum.
    mutating func putVerified(_ index: OperationIndex, isRight: Bool) {
        guard isRight else {
            cells.add(to: .rejectedPayloads)
            finish(index, .checksumMismatch)
            return
        }
        operations[index].state = .waitingForKey
        if ownsKey(index) { lookUpForPut(index) }
    }

    /// False when the drive turned the put away.
    private mutating func isTaken(_ index: OperationIndex) -> Bool {
        guard let cause = changeRefusal(index, slabs: slabs(of: index)) else { return true }
        if cause.isStall, hasSecondDrive(index) {
            guard case .placing = operations[index].state else { return true }
            var isSure = operations[index].isKeyNew
            #if PLANTED_BUGS
            if isPlanted(.placedElsewhereUnlooked) { isSure = true }
            #endif
            if isSure {
                // Newer than whatever was here.
                operations[index].elsewhere = drives[operations[index].drive].nextVersion
            }
        }
        count(cause, on: operations[index].drive)
        finish(index, .busy)
        return false
    }

    /// Whether the put is at its key's first drive, and the second is in.
    private mutating func hasSecondDrive(_ index: OperationIndex) -> Bool {
        seeOuts()
        let ranks = placement.ranks(of: operations[index].key)
        guard let second = ranks.second, epochs.isDecided else { return false }
        return drives[operations[index].drive].member == ranks.first && !epochs.isOut(second)
    }

    /// Whether the put owns its key; otherwise it waits for it, or was turned away.
    private mutating func ownsKey(_ index: OperationIndex) -> Bool {
        if operations[index].holdsKey { return true }
        guard isTaken(index) else { return false }
        guard drives[operations[index].drive].state == .online else {
            finish(index, .driveUnavailable)
            return false
        }
        if locks.isLocked(operations[index].key), !mayWait(index) { return false }
        return locks.acquire(operations[index].key, for: index, in: &operations)
    }

    private mutating func lookUpForPut(_ index: OperationIndex) {
        operations[index].state = .lookingUp
        if giveUpEarly(index) { return }
        switch lookUp(index) {
        case .waiting: return
        case .unavailable: finish(index, refusalStatus(of: operations[index].drive))
        case .absent(let isCertain):
            operations[index].hasPrevious = false
            operations[index].isKeyNew = isCertain
            enterPlacing(index)
        case .found(let entry):
            operations[index].isKeyNew = false
            operations[index].hasPrevious = true
            operations[index].previous = entry.extent
            enterPlacing(index)
        }
    }

    private mutating func enterPlacing(_ index: OperationIndex) {
        operations[index].state = .placing
        operations[index].handedOver = now
        cells.add(to: .slotRequests)
        placePut(index)
    }

    private mutating func placePut(_ index: OperationIndex) {
        if giveUpEarly(index) { return }
        let drive = operations[index].drive
        guard drives[drive].state == .online else {
            finish(index, .driveUnavailable)
            return
        }
        switch gate(of: operations[index].key) {
        case .open(isListed: true): operations[index].listing = .now
        case .open(isListed: false):
            operations[index].listing = operations[index].replacesStray ? .next : .none
        case .closed:
            waitForEpoch(index)
            return
        }
        guard isTaken(index) else { return }
        if operations[index].versionFloor.epoch > drives[drive].superblock.lineage.counter {
            // A moment, and this drive has noted that epoch too.
            finish(index, .busy)
            return
        }
        let slabs = slabs(of: index)
        guard isWithinShare(index, slabs: slabs) else {
            if mayWait(index) { waitForShare(index) }
            return
        }
        var entry = operations[index].entry
        let demand = drives[drive].superblock.layout.classes.demand(forLength: entry.lengthBytes)
        guard hasRoom(on: drive, forPayload: UInt64(entry.lengthBytes)) else {
            if mayWait(index) { waitForSpace(index) }
            return
        }
        guard let extent = drives[drive].space.allocate(demand) else {
            if spaceMayCome(on: drive, for: demand.sizeClass) {
                if mayWait(index) { waitForSpace(index) }
            } else {
                finish(index, .noSpace)
            }
            return
        }
        cells.record(
            now.microseconds(since: operations[index].handedOver), in: .slotAllocate)
        entry.version = max(drives[drive].nextVersion, operations[index].versionFloor)
        entry.sizeClass = extent.sizeClass
        entry.slots = extent.slots
        drives[drive].nextVersion = entry.version.next
        let freed = operations[index].hasPrevious ? operations[index].previous : .none
        operations[index].sequence = drives[drive].journal.stage(
            .commit(entry, freed: freed, listing: operations[index].listing))
        operations[index].entry = entry
        drives[drive].stagedKeys += 1
        cells.add(to: .commits)
        operations[index].state = .moving
        operations[index].handedOver = now
        charge(index, slabs: slabs)
        cells.record(now.microseconds(since: operations[index].arrival), in: .persistPreWait)
        submitPayload(of: index, .write)
    }

    /// The payload's last write has completed.
    mutating func putMoved(_ index: OperationIndex) {
        let drive = operations[index].drive
        operations[index].payloadDone = now
        guard drives[drive].state == .online else {
            finish(index, .outcomeUnknown)
            return
        }
        switch operations[index].deviceError {
        case nil:
            operations[index].state = .awaitingFlush
            operations[index].payloadTicket = drives[drive].flush.submitted
            #if PLANTED_BUGS
            if isPlanted(.acknowledgeBeforeFlush), let request = operations[index].request,
                !operations[index].isAnswered
            {
                respond(index, to: request, Response(status: .ok))
            }
            #endif
            awaitFlush(index)
        case .noSpace:
            operations[index].state = .voiding
            voidPut(index)
        case .inputOutput, .medium, .gone, .unsupported:
            fence(drive)
            finish(index, .outcomeUnknown)
        }
    }

    private mutating func voidPut(_ index: OperationIndex) {
        let drive = operations[index].drive
        guard drives[drive].state == .online else {
            finish(index, .outcomeUnknown)
            return
        }
        let record = JournalRecord.void(operations[index].entry.version)
        guard drives[drive].journal.canStage(words: record.wordCount, for: .void) else {
            operations.append(index, to: &drives[drive].spaceWaiters)
            return
        }
        operations[index].payloadTicket = 0
        operations[index].voidSequence = drives[drive].journal.stage(record)
        operations[index].state = .awaitingVoid
        awaitFlush(index)
    }

    /// A flush has made the put's record and payload durable.
    mutating func putDurable(_ index: OperationIndex) {
        let drive = operations[index].drive
        let entry = operations[index].entry
        drives[drive].stagedKeys -= 1
        drives[drive].space.commit(entry.extent)
        drives[drive].ages.use(entry.slots[0], blocks: drives[drive].blockCount)
        drives[drive].active.set(DirtyEntry(entry: entry, isTombstone: false))
        if operations[index].hasPrevious {
            free(operations[index].previous, on: drive, by: operations[index].sequence)
        } else {
            countBlock(entry.key, on: drive)
        }
        list(index)
        if drives[drive].eviction.demand == nil { drives[drive].eviction.fruitlessTurns = 0 }
        drives[drive].journal.payloadSettled(in: operations[index].sequence)
        cells.record(now.microseconds(since: operations[index].arrival), in: .persist)
        cells.record(
            now.microseconds(since: operations[index].payloadDone), in: .persistPostWait)
        cells.add(UInt64(entry.lengthBytes), to: .bytesWritten)
        finish(index, .ok)
    }

    /// The change of `index` is durable, and so is its note in the change list, if it has one.
    mutating func list(_ index: OperationIndex) {
        let drive = operations[index].drive
        let version = operations[index].entry.version
        guard let epoch = operations[index].listing.epoch(of: version) else { return }
        let isLost = drives[drive].changes.note(operations[index].key, epoch: epoch)
        if isLost { cells.drives[Int(drive.rawValue)].add(to: .lostChangeLists) }
    }

    /// A flush has made the void record durable: the put never happened.
    mutating func putVoided(_ index: OperationIndex) {
        let drive = operations[index].drive
        drives[drive].stagedKeys -= 1
        drives[drive].releases.append(
            operations[index].entry.extent, freedBy: operations[index].voidSequence)
        drives[drive].journal.payloadSettled(in: operations[index].sequence)
        finish(index, .fileSystemFull)
    }
}
