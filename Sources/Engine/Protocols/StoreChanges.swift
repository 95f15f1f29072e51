// StoreChanges: a checkpoint writes the change list, when it has changed since the last one did.
//
// Always holds: what is written is the list at the checkpoint's cut, in the area that the last
// superblock doesn't name; later notes are in the journal behind the cut. When the list has
// overflowed meanwhile, what was written is nothing and its floor says so.

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Keeps in mind what of the change list is the checkpoint's.
    mutating func freezeChanges(_ drive: DriveIndex) {
        drives[drive].checkpoint.storesChanges = drives[drive].changes.isChanged
        drives[drive].checkpoint.changeCount = drives[drive].changes.count
        drives[drive].checkpoint.changeMoves = drives[drive].changes.moves
        drives[drive].changes.isChanged = false
    }

    private func isStored(_ drive: DriveIndex) -> Bool {
        drives[drive].checkpoint.storesChanges
            && drives[drive].checkpoint.changeMoves == drives[drive].changes.moves
    }

    mutating func storeChanges(_ drive: DriveIndex) {
        let count = isStored(drive) ? drives[drive].checkpoint.changeCount : 0
        while drives[drive].checkpoint.position * ChangePage.itemLimit < count {
            guard let buffer = takeCheckpointBuffer(drive) else { return }
            let page = drives[drive].checkpoint.position
            let first = page * ChangePage.itemLimit
            let place = drives[drive].memory.page(buffer).start
            let items = min(ChangePage.itemLimit, count - first)
            for item in 0..<items {
                ChangePage.store(
                    drives[drive].changes.entry(at: first + item), memory.arena, item: item,
                    in: place)
            }
            ChangePage.seal(
                ChangePage.Identity(
                    driveIDLow: drives[drive].superblock.driveID.low,
                    generation: generationInProgress(drive), number: page, items: items),
                memory.arena, at: place)
            writeCheckpointPage(
                from: buffer,
                to: drives[drive].superblock.layout.changeOffset(
                    area: 1 - drives[drive].superblock.changeArea, page: page), on: drive)
            drives[drive].checkpoint.position += 1
        }
        drives[drive].checkpoint.step = .settling
    }

    /// Says in the superblock to be written where the list is.
    func nameChanges(in superblock: inout Superblock, on drive: DriveIndex) {
        guard drives[drive].checkpoint.storesChanges else { return }
        superblock.changeCount =
            isStored(drive) ? UInt32(drives[drive].checkpoint.changeCount) : 0
        superblock.changeArea = 1 - drives[drive].superblock.changeArea
        superblock.changeGeneration = superblock.generation
        superblock.changeFloor = drives[drive].changes.floor
    }
}
