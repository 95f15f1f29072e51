// EpochRaise: notes the present epoch in both superblocks of a drive.
//
//   idle ─► writingA ─► flushingA ─► writingB ─► flushingB ─► idle, noted
//
// Always holds: B is written when A is durable; nothing else of the superblocks changes, and no
// checkpoint writes them meanwhile; the drive has noted the epoch when B is durable. A crash
// between the copies leaves the old epoch or the new one: no change that needs the new one has been
// accepted.

/// One drive's raise.
struct EpochRaise: Sendable {
    enum Step: Sendable { case idle, writingA, flushingA, writingB, flushingB }

    var step = Step.idle
    /// What is being noted.
    var lineage: EpochLineage?

    var isRunning: Bool { step != .idle }

    mutating func stop() { self = EpochRaise() }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func pumpEpochRaise(_ drive: DriveIndex) {
        guard epochs.isDecided, !drives[drive].epochRaise.isRunning,
            drives[drive].superblock.lineage.counter < epochs.lineage.counter,
            !drives[drive].checkpoint.isWritingSuperblocks, !isForgetting(drive)
        else { return }
        hasWorked = true
        drives[drive].epochRaise.lineage = epochs.lineage
        var superblock = drives[drive].superblock
        superblock.lineage = epochs.lineage
        superblock.write(memory.arena, at: drives[drive].memory.superblockB.start)
        #if PLANTED_BUGS
        if isPlanted(.epochNotDurable) {
            endEpochRaise(drive)
            return
        }
        #endif
        writeEpoch(drive, at: FormatConstants.superblockA, then: .writingA)
    }

    private mutating func writeEpoch(
        _ drive: DriveIndex, at offset: ByteOffset, then step: EpochRaise.Step
    ) {
        drives[drive].epochRaise.step = step
        device.submit(
            .write, on: drive, at: offset, memory: drives[drive].memory.superblockB,
            for: .epochRaise, now: now)
    }

    mutating func epochMoved(_ drive: DriveIndex, _ error: DeviceError?) {
        guard drives[drive].state == .online else { return }
        if error != nil {
            fence(drive)
            return
        }
        switch drives[drive].epochRaise.step {
        case .writingA, .writingB:
            drives[drive].epochRaise.step =
                drives[drive].epochRaise.step == .writingA ? .flushingA : .flushingB
            device.submit(.flush, on: drive, for: .epochRaise, now: now)
        case .flushingA: writeEpoch(drive, at: FormatConstants.superblockB, then: .writingB)
        case .flushingB: endEpochRaise(drive)
        case .idle: preconditionFailure("an epoch noted that nobody raised")
        }
    }

    private mutating func endEpochRaise(_ drive: DriveIndex) {
        guard let lineage = drives[drive].epochRaise.lineage else {
            preconditionFailure("a raise without an epoch")
        }
        drives[drive].epochRaise.stop()
        drives[drive].superblock.lineage = lineage
        noteEpoch(drive)
    }

    /// Tells all shards which epoch the superblocks of `drive` have; its changes are of that epoch
    /// from now on.
    mutating func noteEpoch(_ drive: DriveIndex) {
        guard let member = drives[drive].member else { return }
        let counter = drives[drive].superblock.lineage.counter
        drives[drive].nextVersion = max(
            drives[drive].nextVersion, Version(before: counter).next)
        place.post.attendance.note(member, epoch: counter)
        place.post.roster.noteChange()
        wakeAllPeers()
        hasWorked = true
    }
}
