// Get: reads the value of a key and verifies it.
//
//   begun ──► moving ──► verifying ──► ok
//     │                      └─ bytes that don't match ─► notFound, and the block is removed
//     ├─ absent ─► notFound
//     ├─ the drive answers with an error ─► probed: begun once more, or the drive is fenced
//     ├─ larger than the value limit, which was lowered since ─► tooLarge
//     └─ no room for the response ─► back to the transport, unanswered
//
// Always holds: slots being read are not handed to anyone else until the read is over; nothing
// leaves this file as data that wasn't compared with the checksum kept in the index. Any doubt is a
// miss.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advanceGet(_ index: OperationIndex) {
        guard case .begun = operations[index].state else {
            preconditionFailure("a get resumed in state \(operations[index].state)")
        }
        if giveUpEarly(index) { return }
        hold(index)
        switch lookUp(index) {
        case .waiting: return
        case .absent, .unavailable: miss(index)
        case .found(let entry): read(entry, for: index)
        }
    }

    private mutating func read(_ entry: BlockEntry, for index: OperationIndex) {
        let drive = operations[index].drive
        let slabs = memory.slabs.slabs(for: ByteCount(UInt64(entry.lengthBytes)))
        if let cause = readRefusal(index, slabs: slabs) {
            count(cause, on: drive)
            miss(index)
            return
        }
        guard isWithinShare(index, slabs: slabs) else {
            if mayWait(index) { waitForShare(index) }
            return
        }
        guard isHoldable(entry) else {
            finish(index, .tooLarge)
            return
        }
        if !operations[index].isPlanned {
            // A lease from an earlier try may be for a value of another length.
            let length = ByteCount(UInt64(entry.lengthBytes))
            operations[index].lease = nil
            if entry.lengthBytes > configuration.valueLimitBytes {
                finish(index, .tooLarge)
                return
            }
            if operations[index].caller != nil, length.rawValue > operations[index].admittedBytes {
                operations[index].entry = entry
                finish(index, .ok)
                return
            }
            guard isAdmitted(index, lengthBytes: length.rawValue) else { return }
            guard let lease = memory.slabs.lease(lengthBytes: length) else {
                waitForSlabs(index, length)
                return
            }
            operations[index].payload = lease.chain
            operations[index].lease = consume lease
        } else if isOffPlan(entry, index) {
            miss(index)
            return
        }
        operations[index].entry = entry
        operations[index].state = .moving
        operations[index].readsSlots = true
        operations[index].handedOver = now
        charge(index, slabs: slabs)
        #if PLANTED_BUGS
        if !isPlanted(.readsNotHeld) { readers.begin(entry.slots[0], on: drive) }
        #else
        readers.begin(entry.slots[0], on: drive)
        #endif
        drives[drive].ages.use(entry.slots[0], blocks: drives[drive].blockCount)
        submitPayload(of: index, .read)
    }

    /// Whether a batch's plan was made for another value.
    private func isOffPlan(_ entry: BlockEntry, _ index: OperationIndex) -> Bool {
        #if PLANTED_BUGS
        if isPlanted(.staleBatchPlan) {
            return entry.lengthBytes > operations[index].entry.lengthBytes
        }
        #endif
        return entry.lengthBytes != operations[index].entry.lengthBytes
            || entry.checksum != operations[index].entry.checksum
    }

    /// Whether the shard has memory for the value at all; a store may have been filled with more.
    func isHoldable(_ entry: BlockEntry) -> Bool {
        memory.slabs.slabs(for: ByteCount(UInt64(entry.lengthBytes))) <= memory.slabs.slabCount
    }

    private mutating func miss(_ index: OperationIndex) { finish(index, .notFound) }

    /// The value's last read has completed.
    mutating func getMoved(_ index: OperationIndex) {
        let drive = operations[index].drive
        let entry = operations[index].entry
        operations[index].readsSlots = false
        #if PLANTED_BUGS
        let isKept = isPlanted(.lateReadKeepsSlots) && operations[index].isAnswered
        if !isKept, !isPlanted(.readsNotHeld) { readers.end(entry.slots[0], on: drive) }
        #else
        readers.end(entry.slots[0], on: drive)
        #endif
        switch operations[index].deviceError {
        case nil: verify(index)
        case .medium: readRefused(index, entry)
        case .inputOutput:
            if drives[drive].state != .online {
                miss(index)
            } else if operations[index].isSecondTry {
                readRefused(index, entry)
            } else {
                // The drive's error or these sectors' own: a probe tells, then once more.
                operations[index].isSecondTry = true
                operations[index].state = .begun
                suspect(drive)
                operations.append(index, to: &drives[drive].probeWaiters)
            }
        case .gone, .noSpace, .unsupported:
            fence(drive)
            miss(index)
        }
    }

    /// The drive answers, but doesn't give these sectors.
    private mutating func readRefused(_ index: OperationIndex, _ entry: BlockEntry) {
        let drive = operations[index].drive
        noteMediaError(on: drive)
        removeDamaged(entry, on: drive)
        #if PLANTED_BUGS
        if isPlanted(.mediaErrorServed) {
            finish(index, .ok)
            return
        }
        #endif
        miss(index)
    }

    /// The bytes were compared with the checksum that the index holds.
    mutating func getVerified(_ index: OperationIndex, isRight: Bool) {
        let drive = operations[index].drive
        let entry = operations[index].entry
        var isRight = isRight
        #if PLANTED_BUGS
        if isPlanted(.checksumNotCompared) { isRight = true }
        #endif
        guard isRight else {
            cells.add(to: .checksumFailures)
            removeDamaged(entry, on: drive)
            miss(index)
            return
        }
        #if PLANTED_BUGS
        if isPlanted(.hitsReadAgain), operations[index].parent == .none,
            operations[index].sequence < JournalSequence(16)
        {
            operations[index].sequence = operations[index].sequence.next
            operations[index].state = .begun
            operations.append(index, to: &ready)
            return
        }
        #endif
        cells.add(UInt64(entry.lengthBytes), to: .bytesRead)
        finish(index, .ok)
    }
}
