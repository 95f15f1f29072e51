// RecoverIndex: loads the upper levels of the tree and the allocation map, page by page.
//
// Always holds: every page is compared with the pointer that led to it; every page is claimed once.
// A page that is damaged, stale or claimed twice means that blocks and space can't be told any
// more: the drive comes back empty.

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func beginIndexStep(_ step: Recovery.Step, on drive: DriveIndex) {
        drives[drive].recovery.step = step
        drives[drive].recovery.begun = 0
        drives[drive].recovery.finished = 0
        issueIndexReads(drive)
    }

    /// Pages that the present step reads.
    private func pageCount(_ drive: DriveIndex) -> Int {
        switch drives[drive].recovery.step {
        case .roots: drives[drive].superblock.rootCount
        case .nodes: drives[drive].tree.nodeCount
        case .directories: drives[drive].superblock.mapDirectoryCount
        case .maps: drives[drive].mapPointers.count
        default: 0
        }
    }

    /// The pointer to page `item` of the present step, and its generation where the pointer tells
    /// it.
    private func pointer(_ item: Int, on drive: DriveIndex) -> (PagePointer, UInt64?)? {
        switch drives[drive].recovery.step {
        case .roots:
            return (drives[drive].superblock.pointers[item], nil)
        case .nodes:
            let node = drives[drive].tree.node(at: item)
            return node.stored.map { ($0, node.generation) }
        case .directories:
            let first = drives[drive].superblock.rootCount
            return (drives[drive].superblock.pointers[first + item], nil)
        case .maps:
            let generation = drives[drive].mapGenerations[item]
            return drives[drive].mapPointers[item].map { ($0, generation) }
        default:
            return nil
        }
    }

    private mutating func issueIndexReads(_ drive: DriveIndex) {
        // Root pages are read one at a time: their order is the nodes' order.
        let limit = drives[drive].recovery.step == .roots ? 1 : DriveMemory.pageBuffers
        while drives[drive].recovery.begun < pageCount(drive) {
            let item = drives[drive].recovery.begun
            guard let (pointer, _) = pointer(item, on: drive) else {
                drives[drive].recovery.begun += 1
                drives[drive].recovery.finished += 1
                continue
            }
            let inFlight = drives[drive].recovery.begun - drives[drive].recovery.finished
            guard inFlight < limit, let buffer = drives[drive].takePageBuffer() else { return }
            guard drives[drive].pages.claim(pointer.page) else {
                drives[drive].givePageBuffer(buffer)
                damagedIndex(drive)
                return
            }
            drives[drive].recovery.begun += 1
            drives[drive].recovery.itemOfBuffer[buffer] = item
            device.submit(
                .read, on: drive, at: drives[drive].superblock.layout.offset(of: pointer.page),
                memory: drives[drive].memory.page(buffer),
                for: .recovery(step: UInt32(buffer)), now: now)
        }
        if drives[drive].recovery.finished == pageCount(drive) { endIndexStep(drive) }
    }

    mutating func indexPageRead(_ buffer: Int, on drive: DriveIndex, _ error: DeviceError?) {
        let item = drives[drive].recovery.itemOfBuffer[buffer]
        let place = drives[drive].memory.page(buffer).start
        if drives[drive].recovery.isDamaged {
            drives[drive].givePageBuffer(buffer)
            drives[drive].recovery.finished += 1
            damagedIndex(drive)
            return
        }
        let isGood = error == nil && takeOver(item, from: place, on: drive)
        drives[drive].givePageBuffer(buffer)
        drives[drive].recovery.finished += 1
        if isGood { issueIndexReads(drive) } else { damagedIndex(drive) }
    }

    private mutating func takeOver(
        _ item: Int, from place: ArenaOffset, on drive: DriveIndex
    ) -> Bool {
        let kind: IndexPageKind
        switch drives[drive].recovery.step {
        case .roots: kind = .root
        case .nodes: kind = .inner
        case .directories: kind = .mapDirectory
        case .maps: kind = .map
        default: return false
        }
        guard let (pointer, generation) = pointer(item, on: drive),
            IndexPageHeader.matches(
                memory.arena, at: place, kind: kind, pointer: pointer, generation: generation,
                driveIDLow: drives[drive].superblock.driveID.low)
        else { return false }
        switch kind {
        case .root:
            guard pointer.items <= UInt32(IndexTree.rootItemLimit) else { return false }
            for root in 0..<Int(pointer.items)
            where !drives[drive].tree.addStored(memory.arena, rootPage: place, item: root) {
                return false
            }
            return true
        case .inner:
            return drives[drive].tree.load(item, memory.arena, from: place)
        case .mapDirectory:
            guard pointer.items <= UInt32(MapDirectory.itemLimit) else { return false }
            for map in 0..<Int(pointer.items) {
                let index = item * MapDirectory.itemLimit + map
                guard index < drives[drive].mapPointers.count else { return false }
                if let (pointer, generation) = MapDirectory.load(
                    memory.arena, item: map, in: place)
                {
                    drives[drive].mapPointers[index] = pointer
                    drives[drive].mapGenerations[index] = generation
                }
            }
            return true
        case .map:
            return drives[drive].space.load(page: item, arena: memory.arena, from: place)
        case .leaf:
            return false
        }
    }

    private mutating func endIndexStep(_ drive: DriveIndex) {
        switch drives[drive].recovery.step {
        case .roots: beginIndexStep(.nodes, on: drive)
        case .nodes:
            for place in 0..<drives[drive].tree.nodeCount {
                for child in 0..<drives[drive].tree.node(at: place).count {
                    let leaf = drives[drive].tree.child(LeafPosition(node: place, child: child))
                    guard leaf.pointer.page.rawValue < drives[drive].superblock.layout.indexPages,
                        drives[drive].pages.claim(leaf.pointer.page)
                    else {
                        damagedIndex(drive)
                        return
                    }
                }
            }
            beginIndexStep(.directories, on: drive)
        case .directories: beginIndexStep(.maps, on: drive)
        case .maps:
            drives[drive].space.markAllStored()
            drives[drive].space.setQuarantinedBytes(drives[drive].superblock.quarantinedBytes)
            drives[drive].blockCount = drives[drive].superblock.blockCount
            beginScan(drive)
        default: preconditionFailure("the end of a step that reads no pages")
        }
    }

    /// Gives up the drive's content, once the reads in flight have completed.
    private mutating func damagedIndex(_ drive: DriveIndex) {
        if !drives[drive].recovery.isDamaged {
            drives[drive].recovery.isDamaged = true
            cells.drives[Int(drive.rawValue)].add(to: .damagedPages)
        }
        if drives[drive].freePageBuffers.setCount == 0 {
            // The journal is scanned all the same: its highest sequence must never come again.
            beginScan(drive)
        }
    }
}
