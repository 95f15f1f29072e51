// Fencing: the end of a drive's service: one error that leaves its state in doubt, and nothing is
// sent any more.
//
// Always holds: a fenced drive is fenced until the engine is started anew, and out of the store's
// next epoch; its own requests end (reads as misses, changes in doubt as outcomeUnknown, others go
// to their key's second drive).

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Takes `drive` out of service: for `cause`, or for what failed last there. Harmless when it
    /// is out already.
    mutating func fence(_ drive: DriveIndex, _ cause: FenceCause? = nil) {
        guard drives[drive].state == .online || drives[drive].state == .recovering else { return }
        hasWorked = true
        drives[drive].state = .offline
        drives[drive].watch.fence = cause ?? device.lastFailure(on: drive)
        drives[drive].watch.impairments = []
        noteStanding(of: drive)
        device.fence(drive)
        if let member = drives[drive].member {
            // Before anybody is told that the drive has failed them.
            place.post.attendance.noteOut(member)
            place.post.roster.noteChange()
            wakeAllPeers()
        }
        if isStoreEstablished { stayAway(drive) }
        drives[drive].epochRaise.stop()
        drives[drive].checkpoint.stop()
        drives[drive].eviction.stop()
        while let index = operations.popFirst(&drives[drive].awaitingFlush) {
            finish(index, .outcomeUnknown)
        }
        letGoOfKeys(of: drive)
        releaseWaiters(of: drive)
        operations.move(&epochWaiters, to: &ready)
    }

    /// Puts whose payload `drive` may never be done with give up their keys: the next change of one
    /// goes to the key's second drive. Nothing more comes of them here.
    private mutating func letGoOfKeys(of drive: DriveIndex) {
        for place in 0..<operations.count {
            let index = OperationIndex(Int32(place))
            guard operations[index].isActive, operations[index].drive == drive,
                !isForeign(index), operations[index].holdsKey,
                case .moving = operations[index].state
            else { continue }
            let key = operations[index].key
            if let heir = locks.release(key, by: index, in: &operations) {
                operations.append(heir, to: &ready)
            }
        }
    }
}
