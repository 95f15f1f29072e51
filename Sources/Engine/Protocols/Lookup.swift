// Lookup: what a drive knows of a key: the dirty queue first, then the tree, its filter, its leaf.
//
// Always holds: a lookup never waits; when it needs a leaf it puts the operation in the leaf's
// queue, and the operation looks again from the start when it is woken, so nothing that changed
// meanwhile is missed. A leaf that can't be read or isn't what its pointer says is damage: its keys
// are misses.

import Wire

/// What a lookup found.
enum LookupResult {
    case found(BlockEntry)
    /// `isCertain`: not only is nothing found, nothing was lost that could be found again.
    case absent(isCertain: Bool)
    /// The operation is in a queue and will be resumed.
    case waiting
    /// The drive isn't online, or doesn't answer.
    case unavailable
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Looks up the key of `index` on its drive.
    mutating func lookUp(_ index: OperationIndex) -> LookupResult {
        let drive = operations[index].drive
        let key = operations[index].key
        guard drives[drive].state == .online else { return .unavailable }
        if let dirty = drives[drive].dirty(key) {
            return dirty.isTombstone
                ? .absent(isCertain: true) : owned(dirty.entry, on: drive)
        }
        guard let position = drives[drive].tree.locate(key) else {
            return .absent(isCertain: true)
        }
        guard mayContain(key, at: position, on: drive) else {
            return .absent(isCertain: !drives[drive].tree.child(position).isCondemned)
        }
        let page = drives[drive].tree.page(at: position)
        if !drives[drive].leaves.isReady(page) {
            if let cause = readRefusal(index, slabs: 0) {
                count(cause, on: drive)
                return .unavailable
            }
            charge(index, slabs: operations[index].chargedSlabs)
        }
        guard let frame = leaf(page, covering: key, on: drive, for: index) else {
            return .waiting
        }
        let place = drives[drive].leaves.place(of: frame)
        guard
            let entry = LeafPage.find(
                memory.arena, place, key, layout: drives[drive].superblock.layout)
        else { return .absent(isCertain: true) }
        return owned(entry, on: drive)
    }

    /// An entry whose slots the allocation map knows to be nobody's, or another class's, is in
    /// doubt: nothing is read or freed by it.
    @inline(__always)
    private func owned(_ entry: BlockEntry, on drive: DriveIndex) -> LookupResult {
        drives[drive].space.isCommitted(entry.extent)
            ? .found(entry) : .absent(isCertain: false)
    }

    private func mayContain(
        _ key: BlockKey, at position: LeafPosition, on drive: DriveIndex
    ) -> Bool {
        let hash = key.mixed(seed: drives[drive].superblock.driveID.low)
        return drives[drive].tree.mayContain(hash: hash, at: position)
    }

    /// Whether a lookup that gets to `entry`'s leaf, which is at `position`, finds it.
    func isFound(_ entry: BlockEntry, at position: LeafPosition, on drive: DriveIndex) -> Bool {
        mayContain(entry.key, at: position, on: drive)
            && drives[drive].space.isCommitted(entry.extent)
    }

    /// The frame that holds leaf `page`, or nil when `index` has to wait for it.
    mutating func leaf(
        _ page: PageIndex, covering key: BlockKey, on drive: DriveIndex, for index: OperationIndex
    ) -> FrameIndex? {
        if let frame = drives[drive].leaves.frame(of: page) {
            drives[drive].leaves.markUsed(frame)
            if case .ready = drives[drive].leaves.state(of: frame) {
                cells.add(to: .leafCacheHits)
                return frame
            }
            waitForFrame(frame, on: drive, index)
            return nil
        }
        cells.add(to: .leafCacheMisses)
        guard let frame = loadLeaf(page, covering: key, on: drive) else {
            operations.append(index, to: &drives[drive].frameWaiters)
            return nil
        }
        waitForFrame(frame, on: drive, index)
        return nil
    }

    private mutating func waitForFrame(
        _ frame: FrameIndex, on drive: DriveIndex, _ index: OperationIndex
    ) {
        drives[drive].leaves.pin(frame)
        operations[index].pinnedFrame = frame
        var waiters = drives[drive].leaves.waiters(of: frame)
        operations.append(index, to: &waiters)
        drives[drive].leaves.setWaiters(waiters, of: frame)
    }

    /// Begins to load leaf `page` into a frame; nil when every frame is in use.
    mutating func loadLeaf(
        _ page: PageIndex, covering key: BlockKey, on drive: DriveIndex
    ) -> FrameIndex? {
        guard let frame = drives[drive].leaves.take(for: page, state: .loading) else { return nil }
        drives[drive].leaves.noteLoad(of: frame, covering: key, began: now)
        readLeaf(into: frame, on: drive)
        return frame
    }

    private mutating func readLeaf(into frame: FrameIndex, on drive: DriveIndex) {
        let page = drives[drive].leaves.page(of: frame)
        let place = drives[drive].leaves.place(of: frame)
        device.submit(
            .read, on: drive, at: drives[drive].superblock.layout.offset(of: page),
            memory: IndexPageHeader.range(at: place), for: .leafRead(frame), now: now)
    }

    /// The leaf can't be read, twice: its blocks are gone, counted. Their slots stay taken, because
    /// nobody knows any more which they are.
    mutating func condemn(_ position: LeafPosition, on drive: DriveIndex) {
        let child = drives[drive].tree.child(position)
        let upper = drives[drive].tree.upperBound(of: position)
        let changed = drives[drive].dirtyKeys(from: child.separator, below: upper)
        let lost = UInt64(child.pointer.items) - min(UInt64(child.pointer.items), changed)
        drives[drive].blockCount -= min(drives[drive].blockCount, lost)
        cells.drives[Int(drive.rawValue)].add(to: .damagedLeaves)
        drives[drive].tree.condemn(position)
    }

    mutating func leafLoaded(_ frame: FrameIndex, on drive: DriveIndex, _ error: DeviceError?) {
        let page = drives[drive].leaves.page(of: frame)
        let load = drives[drive].leaves.load(of: frame)
        cells.record(now.microseconds(since: load.began), in: .leafMiss)
        var isGood = error == nil
        if let position = drives[drive].tree.locate(load.key),
            drives[drive].tree.child(position).pointer.page == page
        {
            let child = drives[drive].tree.child(position)
            isGood =
                isGood
                && IndexPageHeader.matches(
                    memory.arena, at: drives[drive].leaves.place(of: frame), kind: .leaf,
                    pointer: child.pointer, generation: child.generation,
                    driveIDLow: drives[drive].superblock.driveID.low)
                && LeafPage.isLeaf(
                    memory.arena, drives[drive].leaves.place(of: frame),
                    from: position == .first ? .lowest : child.separator,
                    below: drives[drive].tree.upperBound(of: position),
                    layout: drives[drive].superblock.layout)
            // A drive that is gone says nothing about the leaf.
            if !isGood, error == nil || error == .medium || error == .inputOutput {
                if !load.isSecondTry {
                    drives[drive].leaves.noteSecondTry(of: frame)
                    readLeaf(into: frame, on: drive)
                    return
                }
                condemn(position, on: drive)
            }
        } else {
            // The leaf was replaced while it was read: whoever waits looks again.
            isGood = false
        }
        var waiters = drives[drive].leaves.loaded(frame, isGood: isGood)
        operations.move(&waiters, to: &ready)
        switch error {
        case nil: break
        case .medium: noteMediaError(on: drive)
        case .inputOutput:
            noteMediaError(on: drive)
            suspect(drive)
        case .gone, .noSpace, .unsupported: fence(drive)
        }
    }

    mutating func leafWritten(_ frame: FrameIndex, on drive: DriveIndex, _ error: DeviceError?) {
        drives[drive].leaves.setWriting(frame, false)
        checkpointPageWritten(on: drive, error)
    }
}
