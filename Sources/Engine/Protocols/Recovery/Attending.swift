// Attending: a recovered drive waits for all others, and learns what it may serve.
//
//   verifying ─► awaitingAttendance ─► (the verdict) ─► raisingOther …
//   … voiding ─► forgetting ─► notingEpoch ─► recovered
//
// Always holds: until every drive attends or stays away nothing but repaired journal blocks is
// written anywhere. A drive that must forget keys notes the new epoch only when their removals are
// durable; a crash before makes it forget them again. A drive that returns empty has the new epoch
// in the superblock that makes it so.

import Wire

/// Removals of a returning drive in progress at once.
private let parallelRemovals = 32

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// The drive has been recovered as far as it can be by itself: tells what it knows.
    mutating func attend(_ drive: DriveIndex) {
        drives[drive].recovery.step = .awaitingAttendance
        hasWorked = true
        // A recovery that is rehearsed, of one drive by itself, tells nobody.
        guard let member = drives[drive].member else { return }
        let changes = (0..<drives[drive].changes.count).map { drives[drive].changes.entry(at: $0) }
        let isEmptied = drives[drive].recovery.isEmptied
        let lineage = drives[drive].superblock.lineage
        if drives[drive].strayCount > 0 { place.post.attendance.noteStrays(of: member, true) }
        var attendance = DriveAttendance(
            member: member, lineage: lineage, changes: changes,
            changeFloor: isEmptied ? lineage.counter : drives[drive].changes.floor,
            isEmptied: isEmptied)
        #if PLANTED_BUGS
        if isPlanted(.changeListOverflowIgnored) { attendance.changeFloor = 0 }
        if isPlanted(.forkUndetected) { attendance.lineage.forgetIDs() }
        #endif
        tell(attendance, of: drive)
    }

    /// The drive is absent or fenced before it could attend.
    mutating func stayAway(_ drive: DriveIndex) { tell(nil, of: drive) }

    private mutating func tell(_ attendance: DriveAttendance?, of drive: DriveIndex) {
        if drives[drive].hasAttended { return }
        drives[drive].hasAttended = true
        place.post.roster.attend(place.driveNumbers[Int(drive.rawValue)], attendance)
        wakeAllPeers()
    }

    /// Gives the verdict once every drive attends or stays away.
    mutating func decideEpochs() {
        guard isStoreEstablished, !epochs.isDecided, place.post.roster.isAttended else { return }
        epochs.isDecided = true
        hasWorked = true
        guard
            let verdict = EpochVerdict(
                place.post.roster.attending, entropy: configuration.epochEntropy)
        else { return }
        epochs.lineage = verdict.lineage
        for index in 0..<drives.count
        where drives[index].state == .recovering
            && drives[index].recovery.step == .awaitingAttendance
        {
            let drive = DriveIndex(UInt16(index))
            guard let member = drives[drive].member else { continue }
            follow(verdict.fate(of: member), on: drive)
        }
    }

    private mutating func follow(_ fate: EpochVerdict.Fate, on drive: DriveIndex) {
        switch fate {
        case .current: break
        case .forgets(let keys):
            drives[drive].recovery.keysToForget = keys
            #if PLANTED_BUGS
            if isPlanted(.changeListNotApplied) { drives[drive].recovery.keysToForget = [] }
            #endif
        case .returnsEmpty: if !drives[drive].recovery.isEmptied { makeEmpty(drive) }
        }
        if drives[drive].recovery.isEmptied {
            // What it changed in earlier epochs is not known any more; this one is new.
            drives[drive].changes.empty(floor: epochs.lineage.counter - 1)
            drives[drive].superblock.changeFloor = epochs.lineage.counter - 1
        }
        if drives[drive].recovery.keysToForget.isEmpty {
            drives[drive].superblock.lineage = epochs.lineage
            drives[drive].nextVersion = max(
                drives[drive].nextVersion, Version(before: epochs.lineage.counter).next)
        }
        beginRaising(drive)
    }

    // MARK: Forgetting

    /// True while the drive has keys to forget, durably.
    func isForgetting(_ drive: DriveIndex) -> Bool {
        drives[drive].recovery.step == .forgetting
    }

    /// True while a drive that is online must not serve yet.
    func isReturning(_ drive: DriveIndex) -> Bool {
        drives[drive].state == .online && drives[drive].recovery.step != .idle
    }

    /// The removal of a key to forget has ended: unless it is durable or there was nothing, the key
    /// is still to be forgotten.
    mutating func noteForgotten(_ index: OperationIndex, _ status: Status) {
        let drive = operations[index].drive
        drives[drive].recovery.removalsInFlight -= 1
        if status != .ok, status != .notFound, isForgetting(drive) {
            drives[drive].recovery.keysToForget.append(operations[index].key)
        }
    }

    /// Begins to remove the next keys to forget; ends when all removals are durable and the epoch
    /// is noted.
    mutating func pumpReturn(_ drive: DriveIndex) {
        switch drives[drive].recovery.step {
        case .forgetting:
            while phase == .recovering, let key = drives[drive].recovery.keysToForget.last,
                drives[drive].recovery.removalsInFlight < parallelRemovals
            {
                var entry = DirtyEntry.none.entry
                entry.key = key
                entry.version = Version(.max)
                guard beginRemoval(of: entry, on: drive, reason: .superseded) else { return }
                hasWorked = true
                drives[drive].recovery.keysToForget.removeLast()
                drives[drive].recovery.removalsInFlight += 1
            }
            guard drives[drive].recovery.keysToForget.isEmpty,
                drives[drive].recovery.removalsInFlight == 0
            else { return }
            drives[drive].recovery.step = .notingEpoch
            hasWorked = true
        case .notingEpoch:
            guard drives[drive].superblock.lineage.counter == epochs.lineage.counter else {
                return
            }
            drives[drive].recovery = Recovery()
            hasWorked = true
        default: break
        }
    }
}
