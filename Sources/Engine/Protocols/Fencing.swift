// Fencing: the end of a drive's service: one error that leaves its state in doubt, and nothing is
// sent any more.
//
// Always holds: a fenced drive is fenced until the engine is started anew; its own requests end
// (reads as misses, changes in doubt as outcomeUnknown, others as driveUnavailable); other drives
// notice nothing.

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
        drives[drive].checkpoint.stop()
        drives[drive].eviction.stop()
        while let index = operations.popFirst(&drives[drive].awaitingFlush) {
            finish(index, .outcomeUnknown)
        }
        releaseWaiters(of: drive)
    }
}
