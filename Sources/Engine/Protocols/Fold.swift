// Fold: merges the dirty queue into the leaves, one group at a time: a leaf, the changes that fall
// into it, and its right neighbours when the result would fill pages badly.
//
// Always holds: a group is merged, written to new pages and hung into the tree within one step, so
// no lookup ever sees half of it; the leaves it replaces keep their pages until the checkpoint is
// complete. A group that would give pages less than three fifths full takes its right neighbour in
// (as B*-trees do: Knuth, TAOCP 6.2.4), so leaves stay two thirds full or better under random
// inserts.

import Wire

/// Where an entry of the merged group comes from.
struct FoldItem: Sendable {
    /// An input leaf, or `fromDirty`.
    var source: Int8
    var index: Int32
    var cells: Int8

    static let fromDirty: Int8 = -1
    static let none = FoldItem(source: 0, index: 0, cells: 0)
}

/// The leaves that one group replaces: neighbours under one parent.
struct FoldInputs: Sendable {
    static let limit = 3
    var count = 0
    var frames = InlineArray<3, FrameIndex>(repeating: FrameIndex(0))
    var pages = InlineArray<3, PageIndex>(repeating: PageIndex(0))
}

/// Memory for merging one group, shared by all drives of a shard.
struct FoldScratch: ~Copyable {
    /// Changes merged in one group at most.
    static let changeLimit = 512
    static let pageLimit = 8
    var items = FixedArray<FoldItem>(
        count: FoldInputs.limit * LeafPage.cellCapacity + changeLimit, repeating: .none)
    var itemCount = 0
    var cells = 0
    var emitted = FixedArray<IndexChild>(count: pageLimit, repeating: IndexChild())

    mutating func append(_ item: FoldItem) {
        items[itemCount] = item
        itemCount += 1
        cells += Int(item.cells)
    }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func advanceFold(_ drive: DriveIndex) {
        while drives[drive].checkpoint.position < changeCount(drive) {
            guard foldGroup(drive) else { return }
            hasWorked = true
        }
        tidy(drive)
        drives[drive].checkpoint.position = 0
        drives[drive].checkpoint.step = .storingNodes
    }

    /// Changes to fold in all.
    private func changeCount(_ drive: DriveIndex) -> Int {
        #if PLANTED_BUGS
        if isPlanted(.lastChangeNotFolded) { return max(0, drives[drive].folding.count - 1) }
        #endif
        return drives[drive].folding.count
    }

    private func change(_ place: Int, on drive: DriveIndex) -> DirtyEntry {
        drives[drive].folding.entry(at: Int(drives[drive].foldOrder[place]))
    }

    private func changeKey(_ place: Int, on drive: DriveIndex) -> BlockKey {
        drives[drive].folding.key(at: Int(drives[drive].foldOrder[place]))
    }

    /// Merges the next group; false when a leaf must be loaded or frames must become free first.
    private mutating func foldGroup(_ drive: DriveIndex) -> Bool {
        let first = drives[drive].checkpoint.position
        let start = drives[drive].tree.locate(changeKey(first, on: drive))
        var inputs = FoldInputs()
        var last = first
        if var position = start {
            while true {
                guard takeInput(position, into: &inputs, on: drive) else {
                    unpin(inputs, on: drive)
                    return false
                }
                last = changesEnd(
                    from: last, first: first, bound: drives[drive].tree.upperBound(of: position),
                    on: drive)
                merge(inputs, changes: first..<last, on: drive)
                let isWholeRange = last - first < FoldScratch.changeLimit
                guard isWholeRange, inputs.count < FoldInputs.limit, fillsBadly(scratch.cells),
                    let next = drives[drive].tree.next(after: position),
                    next.node == position.node
                else { break }
                position = next
            }
        } else {
            last = changesEnd(from: first, first: first, bound: nil, on: drive)
            merge(inputs, changes: first..<last, on: drive)
        }
        let isDone = emit(inputs, at: start, on: drive)
        unpin(inputs, on: drive)
        if isDone { drives[drive].checkpoint.position = last }
        return isDone
    }

    private func fillsBadly(_ cells: Int) -> Bool {
        cells < LeafPage.cellCapacity * 3 / 5
            || cells > LeafPage.cellCapacity && cells < LeafPage.cellCapacity * 3 / 2
    }

    /// Pins the frame of the leaf at `position`, or begins to load it and says false. A leaf that
    /// can't be read is an input without entries.
    private mutating func takeInput(
        _ position: LeafPosition, into inputs: inout FoldInputs, on drive: DriveIndex
    ) -> Bool {
        let child = drives[drive].tree.child(position)
        let page = child.pointer.page
        if child.isCondemned {
            // An earlier try of this group may have left the empty frame behind.
            guard
                let empty = drives[drive].leaves.frame(of: page)
                    ?? drives[drive].leaves.take(for: page, state: .ready)
            else { return false }
            memory.arena.zero(IndexPageHeader.range(at: drives[drive].leaves.place(of: empty)))
            pin(empty, page, into: &inputs, on: drive)
            return true
        }
        guard let frame = drives[drive].leaves.frame(of: page) else {
            if loadLeaf(page, covering: child.separator, on: drive) != nil { hasWorked = true }
            return false
        }
        guard case .ready = drives[drive].leaves.state(of: frame) else { return false }
        pin(frame, page, into: &inputs, on: drive)
        return true
    }

    private mutating func pin(
        _ frame: FrameIndex, _ page: PageIndex, into inputs: inout FoldInputs,
        on drive: DriveIndex
    ) {
        drives[drive].leaves.pin(frame)
        inputs.frames[inputs.count] = frame
        inputs.pages[inputs.count] = page
        inputs.count += 1
    }

    private mutating func unpin(_ inputs: FoldInputs, on drive: DriveIndex) {
        for index in 0..<inputs.count { drives[drive].leaves.unpin(inputs.frames[index]) }
    }

    /// The end of the changes whose keys are below `bound`, the limit of a group kept.
    private func changesEnd(
        from start: Int, first: Int, bound: BlockKey?, on drive: DriveIndex
    ) -> Int {
        var end = start
        let limit = min(changeCount(drive), first + FoldScratch.changeLimit)
        while end < limit {
            if let bound, !(changeKey(end, on: drive) < bound) { break }
            end += 1
        }
        return end
    }

    /// Fills the scratch with the merged group, in order.
    private mutating func merge(
        _ inputs: FoldInputs, changes: Range<Int>, on drive: DriveIndex
    ) {
        scratch.itemCount = 0
        scratch.cells = 0
        var change = changes.lowerBound
        for input in 0..<inputs.count {
            let place = drives[drive].leaves.place(of: inputs.frames[input])
            for cell in 0..<LeafPage.count(memory.arena, place) {
                let key = LeafPage.key(memory.arena, place, at: cell)
                while change < changes.upperBound, changeKey(change, on: drive) < key {
                    appendChange(change, on: drive)
                    change += 1
                }
                if change < changes.upperBound, changeKey(change, on: drive) == key {
                    appendChange(change, on: drive)
                    change += 1
                    continue
                }
                let isExtended = LeafPage.isExtended(memory.arena, place, at: cell)
                scratch.append(
                    FoldItem(
                        source: Int8(input), index: Int32(cell), cells: isExtended ? 2 : 1))
            }
        }
        while change < changes.upperBound {
            appendChange(change, on: drive)
            change += 1
        }
    }

    private mutating func appendChange(_ place: Int, on drive: DriveIndex) {
        let change = change(place, on: drive)
        if change.isTombstone { return }
        scratch.append(
            FoldItem(
                source: FoldItem.fromDirty, index: Int32(place),
                cells: Int8(LeafPage.cells(for: change.entry))))
    }

    /// Writes the merged group to new leaves and hangs them in; false when too few frames are free.
    private mutating func emit(
        _ inputs: FoldInputs, at position: LeafPosition?, on drive: DriveIndex
    ) -> Bool {
        // Entries of two cells may leave one cell of a page empty: 254 of 255 always fit.
        let pageCount = (scratch.cells + LeafPage.cellCapacity - 2) / (LeafPage.cellCapacity - 1)
        precondition(pageCount <= FoldScratch.pageLimit, "a group of \(pageCount) leaves")
        guard drives[drive].leaves.takeable >= pageCount,
            drives[drive].checkpoint.pagesInFlight + pageCount <= 64
        else { return false }
        let target = pageCount == 0 ? 0 : (scratch.cells + pageCount - 1) / pageCount
        var item = 0
        for leaf in 0..<pageCount {
            let isLast = leaf + 1 == pageCount
            item = emitLeaf(leaf, from: item, target: isLast ? .max : target, inputs, on: drive)
        }
        precondition(item == scratch.itemCount, "entries left over from a group")
        if pageCount > 0 {
            // The tree's first leaf takes all keys below its separator, so its new pages begin
            // lowest.
            scratch.emitted[0].separator = .lowest
            if let position, position != LeafPosition(node: 0, child: 0) {
                scratch.emitted[0].separator = drives[drive].tree.child(position).separator
            }
        }
        hang(inputs, at: position, count: pageCount, on: drive)
        return true
    }

    private mutating func hang(
        _ inputs: FoldInputs, at position: LeafPosition?, count: Int, on drive: DriveIndex
    ) {
        if let position {
            drives[drive].tree.replace(
                position, consumed: inputs.count, with: scratch.emitted, count: count)
        } else if count > 0 {
            drives[drive].tree.insertFirst(scratch.emitted, count: count)
        }
        for input in 0..<inputs.count { drives[drive].pages.retire(inputs.pages[input]) }
        if let position, drives[drive].tree.isNodeEmpty(position.node) {
            tidy(drive)
        }
    }

    private mutating func tidy(_ drive: DriveIndex) {
        while let orphan = drives[drive].tree.tidyOne() {
            if let page = orphan.page { drives[drive].pages.retire(page) }
        }
    }

    /// Fills one new leaf from item `first` on, up to `target` cells; the first item that didn't go
    /// in.
    private mutating func emitLeaf(
        _ leaf: Int, from first: Int, target: Int, _ inputs: FoldInputs, on drive: DriveIndex
    ) -> Int {
        let page = allocatePage(drive)
        guard let frame = drives[drive].leaves.take(for: page, state: .ready) else {
            preconditionFailure("no frame though \(drives[drive].leaves.takeable) were free")
        }
        let place = drives[drive].leaves.place(of: frame)
        let driveIDLow = drives[drive].superblock.driveID.low
        var writer = LeafPage.Writer(arena: memory.arena, page: place)
        var child = IndexChild(generation: generationInProgress(drive))
        var item = first
        while item < scratch.itemCount {
            let next = scratch.items[item]
            if writer.usedCells + Int(next.cells) > LeafPage.cellCapacity { break }
            if writer.usedCells >= target { break }
            let entry = entry(of: next, inputs, on: drive)
            if item == first { child.separator = entry.key }
            writer.append(entry)
            child.filter.insert(hash: entry.key.mixed(seed: driveIDLow))
            item += 1
        }
        let header = IndexPageHeader(
            kind: .leaf, items: writer.entries, extensions: writer.extensions,
            driveIDLow: driveIDLow, generation: child.generation, page: page)
        child.pointer = PagePointer(
            page: page, items: UInt32(writer.entries),
            checksum: header.seal(memory.arena, at: place))
        scratch.emitted[leaf] = child
        drives[drive].leaves.setWriting(frame, true)
        drives[drive].checkpoint.pagesInFlight += 1
        device.submit(
            .write, on: drive, at: drives[drive].superblock.layout.offset(of: page),
            memory: IndexPageHeader.range(at: place), for: .leafWrite(frame), now: now)
        return item
    }

    private func entry(
        of item: FoldItem, _ inputs: FoldInputs, on drive: DriveIndex
    ) -> BlockEntry {
        if item.source == FoldItem.fromDirty { return change(Int(item.index), on: drive).entry }
        let place = drives[drive].leaves.place(of: inputs.frames[Int(item.source)])
        guard
            let entry = LeafPage.entry(
                memory.arena, place, at: Int(item.index),
                layout: drives[drive].superblock.layout)
        else { preconditionFailure("an impossible entry in a verified leaf") }
        return entry
    }
}
