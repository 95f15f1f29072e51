// SpaceMap: who owns which slot of a drive's data area.
//
// Two truths about every slot. *Committed*: a durable record gave it to a block and none took it
// away; this is what checkpoints store. *Busy*: not to be handed out: committed, being written,
// read, or on its way back. Always holds: committed ⊆ busy; a segment holds slots of one class; a
// segment without busy slots belongs to the pool. A slot is one bit, that of its first unit of the
// smallest class.
//
// Refuses an allocation that it can't give whole.

/// One drive's data area.
struct SpaceMap: ~Copyable {
    static let unassigned: UInt8 = 0xFF
    private static let none: UInt32 = .max

    let layout: DriveLayout
    private let wordsPerSegment: Int
    /// Segments whose records share one map page.
    let segmentsPerPage: Int
    private var committed: FixedArray<UInt64>
    private var busy: FixedArray<UInt64>
    private var snapshot: FixedArray<UInt64>
    private var snapshotClass: FixedArray<UInt8>
    private var segments: FixedArray<Segment>
    private var openHeads: FixedArray<UInt32>
    private var poolHead: UInt32 = none
    private(set) var poolCount: UInt32 = 0
    private var changedPages: Bitmap
    private var pagesToStore: Bitmap
    private(set) var committedBytes: UInt64 = 0
    /// Bytes of committed slots that no block has: they can't be trusted, and stay taken for good.
    private(set) var quarantinedBytes: UInt64 = 0
    /// Bytes of the slots that blocks have. What a superblock told of quarantined bytes can be more
    /// than is left.
    var ownedBytes: UInt64 { committedBytes - min(quarantinedBytes, committedBytes) }
    private(set) var busyBytes: UInt64 = 0

    struct Segment {
        var sizeClass = SpaceMap.unassigned
        var busySlots: UInt32 = 0
        var committedSlots: UInt32 = 0
        /// It can't become empty: a slot of it is quarantined, or nobody knows any more whose it
        /// is.
        var cannotDrain = false
        var isDraining = false
        var isListed = false
        var next: UInt32 = SpaceMap.none
        var previous: UInt32 = SpaceMap.none
    }

    /// An empty data area.
    init(layout: DriveLayout) {
        self.layout = layout
        wordsPerSegment = Int(layout.unitsPerSegment + 63) / 64
        segmentsPerPage =
            Int(FormatConstants.pageBytes - FormatConstants.pageHeaderBytes)
            / (8 + wordsPerSegment * 8)
        let words = Int(layout.segmentCount) * wordsPerSegment
        committed = FixedArray(count: words, repeating: 0)
        busy = FixedArray(count: words, repeating: 0)
        snapshot = FixedArray(count: words, repeating: 0)
        snapshotClass = FixedArray(count: Int(layout.segmentCount), repeating: Self.unassigned)
        segments = FixedArray(count: Int(layout.segmentCount), repeating: Segment())
        openHeads = FixedArray(count: layout.classes.count, repeating: Self.none)
        let pages = (Int(layout.segmentCount) + segmentsPerPage - 1) / segmentsPerPage
        changedPages = Bitmap(count: pages)
        pagesToStore = Bitmap(count: pages)
        for segment in (0..<layout.segmentCount).reversed() { addToPool(segment) }
    }

    var pageCount: Int { changedPages.count }

    /// True when a block owns the slot, and it is of that class.
    func isCommitted(_ slot: SlotIndex, as sizeClass: SizeClass) -> Bool {
        let (word, bit) = place(slot)
        return committed[word] & bit != 0
            && segments[Int(layout.segment(of: slot).rawValue)].sizeClass == sizeClass.rawValue
    }

    /// Share of the usable bytes that is busy, in percent, rounded up.
    var busyPercent: UInt64 { (busyBytes * 100 + layout.usableBytes - 1) / layout.usableBytes }

    // MARK: Allocating

    /// Slots for `demand`, busy from now on; nil when there aren't enough.
    mutating func allocate(_ demand: SlotDemand) -> SlotExtent? {
        var extent = SlotExtent(sizeClass: demand.sizeClass, slots: SlotList())
        for _ in 0..<demand.count {
            guard let slot = allocateSlot(demand.sizeClass) else {
                release(extent)
                return nil
            }
            extent.slots.append(slot)
        }
        return extent
    }

    private mutating func allocateSlot(_ sizeClass: SizeClass) -> SlotIndex? {
        if openHeads[Int(sizeClass.rawValue)] == Self.none {
            guard let segment = takeFromPool() else { return nil }
            segments[Int(segment)].sizeClass = sizeClass.rawValue
            list(segment)
        }
        let segment = openHeads[Int(sizeClass.rawValue)]
        guard let slot = findFree(in: segment, sizeClass) else {
            preconditionFailure("an open segment without a free slot")
        }
        markBusy(slot, sizeClass)
        return slot
    }

    private func findFree(in segment: UInt32, _ sizeClass: SizeClass) -> SlotIndex? {
        let first = Int(segment) * wordsPerSegment
        let units = Int(sizeClass.units)
        let wordStep = max(1, units / 64)
        let mask = Self.alignedMask(units)
        for word in stride(from: 0, to: wordsPerSegment, by: wordStep) {
            let free = ~busy[first + word] & mask
            if free == 0 { continue }
            let unit = UInt32(word * 64 + free.trailingZeroBitCount)
            if unit + UInt32(units) > layout.unitsPerSegment { return nil }
            return SlotIndex(segment * layout.unitsPerSegment + unit)
        }
        return nil
    }

    /// Bits of a word where slots of `units` units may begin.
    private static func alignedMask(_ units: Int) -> UInt64 {
        if units >= 64 { return 1 }
        var mask: UInt64 = 0
        for bit in stride(from: 0, to: 64, by: units) { mask |= 1 << UInt64(bit) }
        return mask
    }

    /// Gives slots back: nobody uses them, durably. They are not committed any more.
    mutating func release(_ extent: SlotExtent) {
        for index in 0..<extent.slots.count {
            let slot = extent.slots[index]
            let (word, bit) = place(slot)
            precondition(busy[word] & bit != 0, "slot \(slot.rawValue) released twice")
            precondition(
                committed[word] & bit == 0, "slot \(slot.rawValue) released while committed")
            busy[word] &= ~bit
            busyBytes -= layout.classes.slotBytes(of: extent.sizeClass).rawValue
            let segment = layout.segment(of: slot).rawValue
            segments[Int(segment)].busySlots -= 1
            if segments[Int(segment)].busySlots == 0 {
                unlist(segment)
                addToPool(segment)
            } else if !segments[Int(segment)].isDraining {
                list(segment)
            }
        }
    }

    private mutating func markBusy(_ slot: SlotIndex, _ sizeClass: SizeClass) {
        let (word, bit) = place(slot)
        precondition(busy[word] & bit == 0, "slot \(slot.rawValue) has two owners")
        busy[word] |= bit
        busyBytes += layout.classes.slotBytes(of: sizeClass).rawValue
        let segment = layout.segment(of: slot).rawValue
        segments[Int(segment)].busySlots += 1
        if segments[Int(segment)].busySlots == slots(perSegmentOf: sizeClass) { unlist(segment) }
    }

    private func slots(perSegmentOf sizeClass: SizeClass) -> UInt32 {
        layout.unitsPerSegment / sizeClass.units
    }

    private func place(_ slot: SlotIndex) -> (word: Int, bit: UInt64) {
        let segment = Int(slot.rawValue / layout.unitsPerSegment)
        let unit = Int(slot.rawValue % layout.unitsPerSegment)
        return (segment * wordsPerSegment + unit / 64, 1 << UInt64(unit % 64))
    }

    // MARK: Committing

    /// Whether every slot of `extent` belongs to a block, in a segment of its class.
    func isCommitted(_ extent: SlotExtent) -> Bool {
        for index in 0..<extent.slots.count
        where !isCommitted(extent.slots[index], as: extent.sizeClass) {
            return false
        }
        return true
    }

    /// A durable record gives `extent` to a block.
    mutating func commit(_ extent: SlotExtent) {
        for index in 0..<extent.slots.count { commitSlot(extent.slots[index], extent.sizeClass) }
    }

    private mutating func commitSlot(_ slot: SlotIndex, _ sizeClass: SizeClass) {
        let (word, bit) = place(slot)
        precondition(busy[word] & bit != 0, "slot \(slot.rawValue) committed without being taken")
        precondition(committed[word] & bit == 0, "slot \(slot.rawValue) committed twice")
        committed[word] |= bit
        committedBytes += layout.classes.slotBytes(of: sizeClass).rawValue
        touch(slot, committed: 1)
    }

    /// A durable record takes `extent` away from its block; the slots stay busy until released.
    mutating func uncommit(_ extent: SlotExtent) {
        for index in 0..<extent.slots.count {
            uncommitSlot(extent.slots[index], extent.sizeClass)
        }
    }

    private mutating func uncommitSlot(_ slot: SlotIndex, _ sizeClass: SizeClass) {
        let (word, bit) = place(slot)
        precondition(committed[word] & bit != 0, "slot \(slot.rawValue) freed without being owned")
        committed[word] &= ~bit
        committedBytes -= layout.classes.slotBytes(of: sizeClass).rawValue
        touch(slot, committed: -1)
    }

    private mutating func touch(_ slot: SlotIndex, committed change: Int32) {
        let segment = Int(layout.segment(of: slot).rawValue)
        segments[segment].committedSlots =
            UInt32(Int32(segments[segment].committedSlots) + change)
        changedPages.set(segment / segmentsPerPage)
    }

    /// A block's slots stay committed though it is gone: checkpoints keep them taken, so no restart
    /// hands them out. Their segments can't become empty, so nobody shall try to drain them.
    mutating func quarantine(_ extent: SlotExtent) {
        for index in 0..<extent.slots.count {
            let (word, bit) = place(extent.slots[index])
            precondition(committed[word] & bit != 0, "a slot quarantined that no block had")
            quarantinedBytes += layout.classes.slotBytes(of: extent.sizeClass).rawValue
            keepFromDraining(layout.segment(of: extent.slots[index]).rawValue)
        }
    }

    /// The same while replaying, where the slots may not have been committed yet; false when they
    /// belong to a segment of another class.
    mutating func replayQuarantine(_ extent: SlotExtent) -> Bool {
        for index in 0..<extent.slots.count {
            var single = SlotList()
            single.append(extent.slots[index])
            let slot = SlotExtent(sizeClass: extent.sizeClass, slots: single)
            if !isCommitted(slot), !replayCommit(slot) { return false }
        }
        quarantine(extent)
        return true
    }

    /// What the checkpoint knows of quarantined bytes.
    mutating func setQuarantinedBytes(_ bytes: UInt64) {
        quarantinedBytes = min(bytes, committedBytes)
    }

    private mutating func keepFromDraining(_ segment: UInt32) {
        segments[Int(segment)].cannotDrain = true
        guard segments[Int(segment)].isDraining else { return }
        segments[Int(segment)].isDraining = false
        let sizeClass = SizeClass(segments[Int(segment)].sizeClass)
        if segments[Int(segment)].busySlots < slots(perSegmentOf: sizeClass) { list(segment) }
    }

    /// The segment that is being emptied still has slots though no block is left in it: they were
    /// quarantined before a restart, or a damaged leaf had them. Another one can be tried.
    mutating func abandonDraining() {
        for segment in 0..<segments.count where segments[segment].isDraining {
            keepFromDraining(UInt32(segment))
        }
    }

    // MARK: Replaying

    /// Replays that a block owns `extent`; false when a slot belongs to a segment of another class
    /// or is owned already.
    mutating func replayCommit(_ extent: SlotExtent) -> Bool {
        for index in 0..<extent.slots.count {
            let slot = extent.slots[index]
            let (word, bit) = place(slot)
            if committed[word] & bit != 0 { return false }
            let segment = layout.segment(of: slot).rawValue
            if segments[Int(segment)].sizeClass == Self.unassigned {
                takeFromPool(segment)
                segments[Int(segment)].sizeClass = extent.sizeClass.rawValue
                list(segment)
            }
            guard segments[Int(segment)].sizeClass == extent.sizeClass.rawValue else {
                return false
            }
            markBusy(slot, extent.sizeClass)
            commitSlot(slot, extent.sizeClass)
        }
        return true
    }

    /// Replays that `extent` was freed; false when it wasn't owned, or there is none.
    mutating func replayFree(_ extent: SlotExtent) -> Bool {
        var wasOwned = false
        for index in 0..<extent.slots.count {
            let slot = extent.slots[index]
            let (word, bit) = place(slot)
            let segment = Int(layout.segment(of: slot).rawValue)
            guard committed[word] & bit != 0,
                segments[segment].sizeClass == extent.sizeClass.rawValue
            else { continue }
            uncommitSlot(slot, extent.sizeClass)
            var single = SlotList()
            single.append(slot)
            release(SlotExtent(sizeClass: extent.sizeClass, slots: single))
            wasOwned = true
        }
        return wasOwned
    }

    // MARK: Lists of segments

    private mutating func list(_ segment: UInt32) {
        let index = Int(segment)
        if segments[index].isListed { return }
        let sizeClass = Int(segments[index].sizeClass)
        let head = openHeads[sizeClass]
        segments[index].next = head
        segments[index].previous = Self.none
        if head != Self.none { segments[Int(head)].previous = segment }
        openHeads[sizeClass] = segment
        segments[index].isListed = true
    }

    private mutating func unlist(_ segment: UInt32) {
        let entry = segments[Int(segment)]
        if !entry.isListed { return }
        if entry.previous == Self.none {
            openHeads[Int(entry.sizeClass)] = entry.next
        } else {
            segments[Int(entry.previous)].next = entry.next
        }
        if entry.next != Self.none { segments[Int(entry.next)].previous = entry.previous }
        segments[Int(segment)].isListed = false
        segments[Int(segment)].next = Self.none
        segments[Int(segment)].previous = Self.none
    }

    private mutating func addToPool(_ segment: UInt32) {
        segments[Int(segment)] = Segment()
        segments[Int(segment)].next = poolHead
        if poolHead != Self.none { segments[Int(poolHead)].previous = segment }
        poolHead = segment
        poolCount += 1
    }

    private mutating func takeFromPool() -> UInt32? {
        if poolHead == Self.none { return nil }
        let segment = poolHead
        takeFromPool(segment)
        return segment
    }

    private mutating func takeFromPool(_ segment: UInt32) {
        let entry = segments[Int(segment)]
        if entry.previous == Self.none {
            poolHead = entry.next
        } else {
            segments[Int(entry.previous)].next = entry.next
        }
        if entry.next != Self.none { segments[Int(entry.next)].previous = entry.previous }
        segments[Int(segment)] = Segment()
        poolCount -= 1
    }

    // MARK: Draining

    /// True when eviction should empty the slot's segment.
    func isDraining(_ slot: SlotIndex) -> Bool {
        segments[Int(layout.segment(of: slot).rawValue)].isDraining
    }

    /// True when slots of `sizeClass` are busy anywhere.
    func hasSegments(of sizeClass: SizeClass) -> Bool {
        for segment in 0..<segments.count
        where segments[segment].sizeClass == sizeClass.rawValue && !segments[segment].isDraining {
            return true
        }
        return false
    }

    /// Chooses the segment with the fewest busy bytes for eviction to empty; false when there is
    /// none or one is being emptied already.
    @discardableResult
    mutating func beginDraining() -> Bool {
        var best: Int?
        var bestBytes = UInt64.max
        for segment in 0..<segments.count where segments[segment].sizeClass != Self.unassigned {
            if segments[segment].isDraining { return false }
            if segments[segment].cannotDrain { continue }
            let slotBytes = layout.classes.slotBytes(of: SizeClass(segments[segment].sizeClass))
            let bytes = UInt64(segments[segment].busySlots) * slotBytes.rawValue
            if bytes < bestBytes {
                best = segment
                bestBytes = bytes
            }
        }
        guard let best else { return false }
        unlist(UInt32(best))
        segments[best].isDraining = true
        return true
    }

    // MARK: Checkpointing

    /// Copies what changed since the last snapshot; the pages to store are those that
    /// `takePageToStore` knows.
    mutating func takeSnapshot() {
        for page in 0..<changedPages.count where changedPages.clear(page) {
            pagesToStore.set(page)
            for segment in segments(ofPage: page) {
                let first = segment * wordsPerSegment
                for word in first..<first + wordsPerSegment { snapshot[word] = committed[word] }
                snapshotClass[segment] =
                    segments[segment].committedSlots == 0
                    ? Self.unassigned : segments[segment].sizeClass
            }
        }
    }

    private func segments(ofPage page: Int) -> Range<Int> {
        let first = page * segmentsPerPage
        return first..<min(first + segmentsPerPage, segments.count)
    }

    /// Map page `page` is written anew by the next checkpoint, changed or not.
    mutating func rewrite(page: Int) { changedPages.set(page) }

    /// Whether the last snapshot changed `page`.
    func isPageToStore(_ page: Int) -> Bool { pagesToStore[page] }

    /// The same; asking forgets it.
    mutating func takePageToStore(_ page: Int) -> Bool { pagesToStore.clear(page) }

    /// Writes the snapshot's records of map page `page`; the count of records.
    func store(page: Int, arena: Arena, at memory: ArenaOffset) -> Int {
        arena.zero(IndexPageHeader.range(at: memory))
        let range = segments(ofPage: page)
        for segment in range {
            let record = IndexPageHeader.item(
                segment - range.lowerBound, bytes: UInt64(8 + wordsPerSegment * 8), in: memory)
            arena.storeWord(UInt64(snapshotClass[segment]), at: record)
            for word in 0..<wordsPerSegment {
                arena.storeWord(
                    snapshot[segment * wordsPerSegment + word],
                    at: record.advanced(by: 8 + UInt64(word) * 8))
            }
        }
        return range.count
    }

    /// Takes over the records of map page `page`; false when one is impossible.
    mutating func load(page: Int, arena: Arena, from memory: ArenaOffset) -> Bool {
        let range = segments(ofPage: page)
        for segment in range {
            let record = IndexPageHeader.item(
                segment - range.lowerBound, bytes: UInt64(8 + wordsPerSegment * 8), in: memory)
            let raw = UInt8(truncatingIfNeeded: arena.loadWord(record))
            if raw == Self.unassigned { continue }
            guard Int(raw) < layout.classes.count else { return false }
            let sizeClass = SizeClass(raw)
            for word in 0..<wordsPerSegment {
                var bits = arena.loadWord(record.advanced(by: 8 + UInt64(word) * 8))
                while bits != 0 {
                    let unit = UInt32(word * 64 + bits.trailingZeroBitCount)
                    bits &= bits - 1
                    guard unit < layout.unitsPerSegment, unit % sizeClass.units == 0 else {
                        return false
                    }
                    var slots = SlotList()
                    slots.append(SlotIndex(UInt32(segment) * layout.unitsPerSegment + unit))
                    guard replayCommit(SlotExtent(sizeClass: sizeClass, slots: slots)) else {
                        return false
                    }
                }
            }
        }
        return true
    }

    /// Recovery has loaded what the checkpoint knows: nothing is changed against it yet.
    mutating func markAllStored() {
        takeSnapshot()
        pagesToStore.clearAll()
    }
}
