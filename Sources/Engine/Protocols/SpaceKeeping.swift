// SpaceKeeping: room for changes: journal, dirty queue, slots; and freed slots on their way back.
//
// Always holds: a put is begun only when journal, dirty queue and slots have room for all of it;
// removals may use what puts must leave (the last eighth), so a full drive can be emptied. Waiting
// is first in, first out; whatever makes room wakes the waiters.

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Words of the largest Alloc and Commit there are.
    private var largestRecordWords: Int { 2 + 9 + SlotList.capacity }

    func hasRoom(on drive: DriveIndex, forPayload bytes: UInt64) -> Bool {
        let capacity = drives[drive].active.capacity
        return drives[drive].checkpoint.step != .quiescing
            && drives[drive].dirtyDemand < capacity - capacity / 8
            && !drives[drive].releases.isCrowded
            && (drives[drive].journal.unsettledPayloadBytes == 0
                || drives[drive].journal.unsettledPayloadBytes + bytes
                    <= configuration.unsettledPayloadLimitBytes)
            && drives[drive].journal.canStage(words: largestRecordWords, for: .put)
    }

    func hasRoomForRemoval(on drive: DriveIndex) -> Bool {
        drives[drive].checkpoint.step != .quiescing
            && drives[drive].dirtyDemand < drives[drive].active.capacity
            && !drives[drive].releases.isCrowded
            && drives[drive].journal.canStage(words: largestRecordWords, for: .removal)
    }

    mutating func waitForSpace(_ index: OperationIndex) {
        operations.append(index, to: &drives[operations[index].drive].spaceWaiters)
    }

    mutating func wakeSpaceWaiters(_ drive: DriveIndex) {
        operations.move(&drives[drive].spaceWaiters, to: &ready)
    }

    /// Slots that a durable record has taken away from their block.
    mutating func free(
        _ extent: SlotExtent, on drive: DriveIndex, by sequence: JournalSequence,
        quarantined: Bool = false
    ) {
        #if PLANTED_BUGS
        if isPlanted(.slotReusedBeforeDeleteDurable), extent.isEmpty { return }
        #endif
        #if PLANTED_BUGS
        if isPlanted(.replacedValueNotFreed), !quarantined, sequence.rawValue % 4 == 0 { return }
        #endif
        // Damage that looks right may give one slot to two keys: the first of them to go frees it.
        guard drives[drive].space.isCommitted(extent) else { return }
        var quarantined = quarantined
        #if PLANTED_BUGS
        if isPlanted(.quarantinedSlotReused) { quarantined = false }
        #endif
        if quarantined {
            drives[drive].space.quarantine(extent)
            cells.drives[Int(drive.rawValue)].add(
                UInt64(extent.slots.count), to: .quarantinedSlots)
        } else {
            drives[drive].space.uncommit(extent)
            drives[drive].releases.append(extent, freedBy: sequence)
        }
    }

    mutating func pumpReleases(_ drive: DriveIndex) {
        let settled = drives[drive].journal.settled
        var hasReleased = false
        while drives[drive].releases.canDiscard {
            guard
                let extent = drives[drive].releases.next(
                    settled: settled, on: drive, readers: readers)
            else { break }
            hasWorked = true
            if drives[drive].discardsWork {
                discard(extent, on: drive)
            } else {
                release(extent, on: drive)
                hasReleased = true
            }
        }
        if hasReleased { wakeSpaceWaiters(drive) }
    }

    private mutating func discard(_ extent: SlotExtent, on drive: DriveIndex) {
        guard
            let place = drives[drive].releases.beginDiscard(
                extent, operations: extent.slots.count)
        else { preconditionFailure("a discard beyond the limit") }
        let layout = drives[drive].superblock.layout
        for index in 0..<extent.slots.count {
            device.submit(
                .discard, on: drive, at: layout.offset(of: extent.slots[index]),
                length: layout.classes.slotBytes(of: extent.sizeClass),
                for: .discard(batch: place), now: now)
        }
    }

    mutating func discarded(_ place: Int, on drive: DriveIndex, _ error: DeviceError?) {
        let extent = drives[drive].releases.discarded(place)
        guard drives[drive].state == .online else { return }
        switch error {
        case nil: break
        case .unsupported: drives[drive].discardsWork = false
        case .gone:
            fence(drive)
            return
        case .inputOutput, .medium, .noSpace:
            // A discard is a hint; a slot that wasn't discarded can be written all the same.
            break
        }
        if let extent {
            release(extent, on: drive)
            wakeSpaceWaiters(drive)
        }
    }

    private mutating func release(_ extent: SlotExtent, on drive: DriveIndex) {
        drives[drive].space.release(extent)
        drives[drive].releases.finished()
    }
}
