// RecoverChanges: reads the change list that the superblock names.
//
// Always holds: every page is compared with what the superblock says it must be. With one damaged
// or unreadable page the list is lost: it is complete above the drive's own epoch only, so drives
// of an older epoch return empty. This drive's blocks are as good as before.

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func beginReadingChanges(_ drive: DriveIndex) {
        drives[drive].recovery.step = .changes
        drives[drive].recovery.begun = 0
        drives[drive].recovery.finished = 0
        issueChangeReads(drive)
    }

    private mutating func issueChangeReads(_ drive: DriveIndex) {
        let count = ChangePage.pages(for: Int(drives[drive].superblock.changeCount))
        while drives[drive].recovery.begun < count, let buffer = drives[drive].takePageBuffer() {
            let page = drives[drive].recovery.begun
            drives[drive].recovery.begun += 1
            drives[drive].recovery.itemOfBuffer[buffer] = page
            device.submit(
                .read, on: drive,
                at: drives[drive].superblock.layout.changeOffset(
                    area: drives[drive].superblock.changeArea, page: page),
                memory: drives[drive].memory.page(buffer), for: .recovery(step: UInt32(buffer)),
                now: now)
        }
        if drives[drive].recovery.finished == count { endReadingChanges(drive) }
    }

    mutating func changePageRead(_ buffer: Int, on drive: DriveIndex, _ error: DeviceError?) {
        let page = drives[drive].recovery.itemOfBuffer[buffer]
        let place = drives[drive].memory.page(buffer).start
        let identity = ChangePage.Identity(drives[drive].superblock, page: page)
        if error == nil, ChangePage.matches(identity, memory.arena, at: place) {
            for item in 0..<identity.items {
                let changed = ChangePage.load(memory.arena, item: item, in: place)
                drives[drive].changes.note(changed.key, epoch: changed.epoch)
            }
        } else {
            cells.drives[Int(drive.rawValue)].add(to: .damagedPages)
            drives[drive].recovery.hasLostChanges = true
        }
        drives[drive].givePageBuffer(buffer)
        drives[drive].recovery.finished += 1
        issueChangeReads(drive)
    }

    private mutating func endReadingChanges(_ drive: DriveIndex) {
        if drives[drive].recovery.hasLostChanges {
            drives[drive].changes.empty(floor: drives[drive].superblock.lineage.counter)
        } else {
            drives[drive].changes.isChanged = false
        }
        beginScan(drive)
    }
}
