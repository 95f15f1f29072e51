// Remove: takes a key away: on a client's word (delete), for room (evict), or because its bytes are
// damaged.
//
//   begun ──► waitingForKey ──► lookingUp ──► placing ──► awaitingFlush ──► ok
//                                   └─ absent, or not the version meant ─► notFound
//
// A client's delete of a key that a drive which is out may have is recorded though it finds
// nothing; so is one of a key that may be in a leaf which can't be read.
//
// Always holds: the key is gone for readers, and its slots begin their way back, only when the
// record is durable. A removal may use the journal's and the dirty queue's reserve, so a full drive
// can be emptied.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advanceRemove(_ index: OperationIndex) {
        switch operations[index].state {
        case .begun:
            operations[index].state = .waitingForKey
            hold(index)
            if ownsKeyToRemove(index) { lookUpForRemove(index) }
        case .waitingForKey, .lookingUp: if ownsKeyToRemove(index) { lookUpForRemove(index) }
        case .placing: stageRemove(index)
        case .verifying, .moving, .awaitingFlush, .voiding, .awaitingVoid, .collecting, .forwarded:
            preconditionFailure("a removal resumed in state \(operations[index].state)")
        }
    }

    /// Whether the removal owns its key; otherwise it waits for it, or was turned away.
    private mutating func ownsKeyToRemove(_ index: OperationIndex) -> Bool {
        if operations[index].holdsKey { return true }
        // Of what a stalled drive doesn't have nothing needs to be written.
        if let cause = changeRefusal(index, slabs: 0), !cause.isStall {
            count(cause, on: operations[index].drive)
            finish(index, .busy)
            return false
        }
        guard drives[operations[index].drive].state == .online else {
            finish(index, .driveUnavailable)
            return false
        }
        if locks.isLocked(operations[index].key), !mayWait(index) { return false }
        return locks.acquire(operations[index].key, for: index, in: &operations)
    }

    private mutating func lookUpForRemove(_ index: OperationIndex) {
        operations[index].state = .lookingUp
        if giveUpEarly(index) { return }
        switch lookUp(index) {
        case .waiting: return
        case .unavailable: finish(index, refusalStatus(of: operations[index].drive))
        case .absent(let isCertain):
            guard mustRemember(index, isCertain: isCertain) else {
                finish(index, .notFound)
                return
            }
            operations[index].hadNothing = true
            operations[index].entry.key = operations[index].key
            operations[index].state = .placing
            stageRemove(index)
        case .found(let entry):
            let isMeant =
                switch operations[index].reason {
                case .deleted: true
                case .superseded: entry.version < operations[index].entry.version
                case .evicted, .expired, .damaged:
                    entry.version == operations[index].entry.version
                }
            let isInUse =
                operations[index].reason == .evicted
                && readers.isRead(entry.slots[0], on: operations[index].drive)
            guard isMeant, !isInUse else {
                finish(index, .notFound)
                return
            }
            operations[index].entry = entry
            operations[index].previous = entry.extent
            operations[index].state = .placing
            stageRemove(index)
        }
    }

    /// Whether a removal that finds nothing must be recorded all the same: a leaf that can't be
    /// read now may be read after the next start, and a drive that is out may have the key.
    private mutating func mustRemember(_ index: OperationIndex, isCertain: Bool) -> Bool {
        switch operations[index].reason {
        case .evicted, .expired, .damaged: return false
        case .superseded: return !isCertain
        case .deleted:
            if case .open(isListed: false) = gate(of: operations[index].key) { return !isCertain }
            return true
        }
    }

    private mutating func stageRemove(_ index: OperationIndex) {
        if giveUpEarly(index) { return }
        let drive = operations[index].drive
        guard drives[drive].state == .online else {
            finish(index, .driveUnavailable)
            return
        }
        if operations[index].reason == .deleted {
            switch gate(of: operations[index].key) {
            case .open(let isListed): operations[index].listing = isListed ? .now : .none
            case .closed:
                waitForEpoch(index)
                return
            }
        }
        if let cause = changeRefusal(index, slabs: 0) {
            count(cause, on: drive)
            finish(index, .busy)
            return
        }
        guard hasRoomForRemoval(on: drive) else {
            if mayWait(index) { waitForSpace(index) }
            return
        }
        guard isWithinShare(index, slabs: 0) else {
            if mayWait(index) { waitForShare(index) }
            return
        }
        charge(index, slabs: 0)
        operations[index].handedOver = now
        let version = drives[drive].nextVersion
        drives[drive].nextVersion = version.next
        operations[index].sequence = drives[drive].journal.stage(
            .delete(
                operations[index].key, version: version, reason: operations[index].reason,
                freed: operations[index].previous, listing: operations[index].listing))
        operations[index].entry.version = version
        drives[drive].stagedKeys += 1
        operations[index].state = .awaitingFlush
        operations[index].payloadTicket = 0
        #if PLANTED_BUGS
        if isPlanted(.slotReusedBeforeDeleteDurable) {
            drives[drive].space.uncommit(operations[index].previous)
            drives[drive].space.release(operations[index].previous)
            operations[index].previous = .none
        }
        #endif
        awaitFlush(index)
    }

    /// A flush has made the removal's record durable.
    mutating func removeDurable(_ index: OperationIndex) {
        let drive = operations[index].drive
        drives[drive].stagedKeys -= 1
        list(index)
        if !operations[index].hadNothing { discountBlock(operations[index].key, on: drive) }
        drives[drive].active.set(DirtyEntry(entry: operations[index].entry, isTombstone: true))
        if operations[index].reason == .evicted {
            #if PLANTED_BUGS
            if !isPlanted(.evictionNotCounted) { cells.add(to: .evictions) }
            #else
            cells.add(to: .evictions)
            #endif
            cells.add(to: operations[index].evictionCause.counter)
            cells.add(UInt64(operations[index].entry.lengthBytes), to: .evictedBytes)
        }
        if operations[index].reason == .superseded, !operations[index].hadNothing {
            cells.drives[Int(drive.rawValue)].add(to: .supersededBlocks)
        }
        if operations[index].hadNothing {
            finish(index, .notFound)
            return
        }
        free(
            operations[index].previous, on: drive, by: operations[index].sequence,
            quarantined: operations[index].reason == .damaged)
        finish(index, .ok)
    }

    /// Begins to remove a block whose bytes can't be trusted; its slots are not used again.
    mutating func removeDamaged(_ entry: BlockEntry, on drive: DriveIndex) {
        beginRemoval(of: entry, on: drive, reason: .damaged)
    }

    /// Begins a removal of the engine's own; false when no operation is free for it.
    @discardableResult
    mutating func beginRemoval(
        of entry: BlockEntry, on drive: DriveIndex, reason: RemovalReason,
        cause: EvictionCause = .watermark
    ) -> Bool {
        guard let index = operations.take(.remove, leaving: 0) else { return false }
        operations[index].isAnswered = true
        operations[index].key = entry.key
        operations[index].drive = drive
        operations[index].entry = entry
        operations[index].reason = reason
        operations[index].evictionCause = cause
        operations[index].arrival = now
        operations.append(index, to: &ready)
        return true
    }
}
