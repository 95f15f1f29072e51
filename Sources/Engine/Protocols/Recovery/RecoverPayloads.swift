// RecoverPayloads: decides what the unsettled records mean: those whose flush nobody knows to have
// happened.
//
// Always holds: a key's newest unsettled record counts if it is a removal, or if its payload reads
// back with its checksum; otherwise the one before it is asked, and so on; if none counts the key
// keeps the value it had before. What doesn't count is declared void before anything new is
// written, so that a later recovery decides the same. Within the unsettled records no slot is both
// freed and given away: a freed slot is handed out only once the record that freed it is settled.

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func beginVerifying(_ drive: DriveIndex) {
        var places: [BlockKey: Int] = [:]
        for index in drives[drive].recovery.unsettled.indices {
            guard let key = drives[drive].recovery.unsettled[index].record.key else { continue }
            if let place = places[key] {
                drives[drive].recovery.chains[place].records.append(index)
                drives[drive].recovery.chains[place].believed += 1
            } else {
                places[key] = drives[drive].recovery.chains.count
                drives[drive].recovery.chains.append(UnsettledChain(records: [index], believed: 1))
            }
        }
        drives[drive].recovery.step = .verifying
        advanceVerifying(drive)
    }

    /// Goes on to the next record that has to be read; ends when there is none.
    mutating func advanceVerifying(_ drive: DriveIndex) {
        while drives[drive].recovery.chain < drives[drive].recovery.chains.count {
            guard let entry = entryToVerify(drive) else {
                decide(drive)
                if drives[drive].recovery.isDamaged {
                    returnEmpty(drive)
                    return
                }
                continue
            }
            if drives[drive].recovery.readsInFlight == 0 { readPayload(of: entry, on: drive) }
            return
        }
        attend(drive)
    }

    /// The value that the present chain's state depends on; nil when it is decided.
    private func entryToVerify(_ drive: DriveIndex) -> BlockEntry? {
        #if PLANTED_BUGS
        if isPlanted(.tornTailAccepted) { return nil }
        #endif
        let chain = drives[drive].recovery.chains[drives[drive].recovery.chain]
        guard chain.believed > 0 else { return nil }
        let record = drives[drive].recovery.unsettled[chain.records[chain.believed - 1]].record
        guard case .commit(let entry, _, _) = record, !chain.isVerified else { return nil }
        // What no get could answer here is believed; a get with more memory will verify it.
        return isHoldable(entry) ? entry : nil
    }

    private mutating func readPayload(of entry: BlockEntry, on drive: DriveIndex) {
        let length = ByteCount(UInt64(entry.lengthBytes))
        guard let lease = memory.slabs.lease(lengthBytes: length) else { return }
        hasWorked = true
        let layout = drives[drive].superblock.layout
        let block = UInt64(device.geometry(of: drive).logicalBlockBytes)
        let padded = (length.rawValue + block - 1) / block * block
        let slotBytes = layout.classes.slotBytes(of: entry.sizeClass).rawValue
        var position: UInt64 = 0
        while position < padded {
            let limit = min(padded - position, slotBytes - position % slotBytes)
            let piece = lease.piece(at: position, limit: ByteCount(limit))
            let slot = layout.offset(of: entry.slots[Int(position / slotBytes)])
            drives[drive].recovery.readsInFlight += 1
            device.submit(
                .read, on: drive, at: ByteOffset(slot.rawValue + position % slotBytes),
                memory: piece, for: .recovery(step: 0), now: now)
            position += piece.length.rawValue
        }
        drives[drive].recovery.readErrors[0] = nil
        drives[drive].recovery.lease = consume lease
    }

    mutating func payloadRead(_ drive: DriveIndex, _ error: DeviceError?) {
        if error != nil { drives[drive].recovery.readErrors[0] = error }
        drives[drive].recovery.readsInFlight -= 1
        guard drives[drive].recovery.readsInFlight == 0 else { return }
        guard let entry = entryToVerify(drive), let lease = drives[drive].recovery.lease.take()
        else { preconditionFailure("a payload read that nobody asked for") }
        let length = ByteCount(UInt64(entry.lengthBytes))
        let isGood =
            drives[drive].recovery.readErrors[0] == nil
            && lease.checksum(length: length, using: &streaming) == entry.checksum
        let place = drives[drive].recovery.chain
        if isGood {
            drives[drive].recovery.chains[place].isVerified = true
        } else {
            cells.drives[Int(drive.rawValue)].add(to: .recoveredTornPayloads)
            drives[drive].recovery.newVoids.append(entry.version)
            drives[drive].recovery.chains[place].believed -= 1
        }
        advanceVerifying(drive)
    }

    /// A read of a fenced drive has completed; the last one's slabs are free again.
    mutating func abandonVerifying(_ drive: DriveIndex) {
        guard case .verifying = drives[drive].recovery.step else { return }
        drives[drive].recovery.readsInFlight -= 1
        if drives[drive].recovery.readsInFlight == 0 { drives[drive].recovery.lease = nil }
    }

    /// Applies the present chain's last believed record, of those before it what belongs into the
    /// change list, and goes on to the next chain.
    private mutating func decide(_ drive: DriveIndex) {
        let chain = drives[drive].recovery.chains[drives[drive].recovery.chain]
        drives[drive].recovery.chain += 1
        guard chain.believed > 0 else { return }
        // What has been changed was changed, whatever became of it then.
        for place in chain.records[..<(chain.believed - 1)] {
            noteListing(of: drives[drive].recovery.unsettled[place].record, on: drive)
        }
        let first = drives[drive].recovery.unsettled[chain.records[0]].record
        let last = drives[drive].recovery.unsettled[chain.records[chain.believed - 1]].record
        if !apply(last, freeing: first.freed, on: drive) { drives[drive].recovery.isDamaged = true }
    }
}

extension JournalRecord {
    /// The key that the record is about.
    var key: BlockKey? {
        switch self {
        case .commit(let entry, _, _): entry.key
        case .delete(let key, _, _, _, _): key
        case .void: nil
        }
    }

    /// The slots that the record frees.
    var freed: SlotExtent {
        switch self {
        case .commit(_, let freed, _): freed
        case .delete(_, _, _, let freed, _): freed
        case .void: .none
        }
    }
}
