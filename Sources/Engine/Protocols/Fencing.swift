// Fencing: the end of a drive's service: one error that leaves its state in doubt, and nothing is
// sent any more.
//
// Always holds: a fenced drive is fenced until the engine is started anew, and out of the store's
// next epoch; its own requests end (reads as misses, changes in doubt as outcomeUnknown, others go
// to their key's second drive).

import Wire

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Takes `drive` out of service. Harmless when it is out already.
    mutating func fence(_ drive: DriveIndex) {
        guard drives[drive].state == .online || drives[drive].state == .recovering else { return }
        hasWorked = true
        drives[drive].state = .offline
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
        operations.move(&drives[drive].spaceWaiters, to: &ready)
        operations.move(&drives[drive].frameWaiters, to: &ready)
        operations.move(&epochWaiters, to: &ready)
    }
}
