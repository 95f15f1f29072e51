// BlockSurvey: the tree down to its last entry, held against the allocation map and, when asked,
// against the values themselves.
//
// Always holds: an entry counts only if its key wasn't changed since the checkpoint; what was
// changed counts as the journal says. Each entry's slots are owned by it alone and the map knows.

import Wire

/// The blocks of one drive.
struct BlockSurvey<Device: BlockDevice & ~Copyable>: ~Copyable {
    var pages: PageSurvey<Device>
    /// Blocks found, and their slots' bytes.
    private(set) var blocks: UInt64 = 0
    private(set) var slotBytes: UInt64 = 0
    /// Of these, blocks that a get would not be given.
    private(set) var damagedValues: UInt64 = 0
    private(set) var damagedSlotBytes: UInt64 = 0
    private(set) var verifiedValues: UInt64 = 0
    /// All pages of the tree were good.
    private(set) var isWhole = true

    private let memory: ArenaRange
    private let verifiesValues: Bool
    private let progress: (UInt64) -> Void
    private var owned: Bitmap

    /// `memory`: `FormatConstants.largestValueBytes`, for values. `progress` is told the bytes of
    /// each value that was compared.
    init(
        _ pages: consuming PageSurvey<Device>, memory: ArenaRange, verifiesValues: Bool,
        progress: @escaping (UInt64) -> Void
    ) {
        owned = Bitmap(count: Int(pages.superblock.layout.unitCount))
        self.pages = pages
        self.memory = memory
        self.verifiesValues = verifiesValues
        self.progress = progress
    }

    /// A child as its parent's item says.
    private struct Child {
        let separator: BlockKey
        let reference: PageReference
        var filter = PresenceFilter()
    }

    // MARK: The tree

    /// Walks the tree of the last checkpoint and what `state` has changed since.
    mutating func run(_ state: borrowing RecoveredState) {
        let inners = readRoots()
        for (place, inner) in inners.enumerated() {
            let end = place + 1 < inners.count ? inners[place + 1].separator : nil
            survey(inner, isFirst: place == 0, end: end, state)
        }
        for change in state.changes.values where !change.isTombstone {
            own(change.entry, state)
        }
    }

    private mutating func readRoots() -> [Child] {
        var inners: [Child] = []
        for root in 0..<pages.superblock.rootCount {
            let reference = PageReference(kind: .root, pointer: pages.superblock.pointers[root])
            guard pages.read([reference], consequence: { _ in .returnsEmpty })[0] else {
                isWhole = false
                continue
            }
            inners += children(
                of: reference, at: pages.place(0), bytes: IndexTree.rootItemBytes, kind: .inner)
        }
        return inners
    }

    /// The items of a root or inner page; those that can't be are findings.
    private mutating func children(
        of reference: PageReference, at place: ArenaOffset, bytes: UInt64, kind: IndexPageKind
    ) -> [Child] {
        let limit = kind == .inner ? IndexTree.childLimit : LeafPage.cellCapacity
        var children: [Child] = []
        for index in 0..<Int(reference.pointer.items) {
            let item = IndexPageHeader.item(index, bytes: bytes, in: place)
            let (separator, pointer, generation) = IndexTree.loadItem(pages.arena, at: item)
            guard pointer.items > 0 || kind == .leaf, pointer.items <= UInt32(limit) else {
                pages.note(reference, "item \(index) is impossible", .returnsEmpty)
                isWhole = false
                continue
            }
            var child = Child(
                separator: separator,
                reference: PageReference(kind: kind, pointer: pointer, generation: generation))
            if kind == .leaf {
                for word in 0..<PresenceFilter.wordCount {
                    child.filter.words[word] = pages.arena.loadWord(
                        item.advanced(by: 64 + UInt64(word) * 8))
                }
            }
            if let last = children.last, !(last.separator < separator) {
                note(disorderOf: reference, "item \(index) isn't behind the one before it")
            }
            children.append(child)
        }
        return children
    }

    private mutating func note(disorderOf reference: PageReference, _ problem: String) {
        let blocks = UInt64(reference.pointer.items)
        pages.note(reference, problem, .blocksAtRisk(blocks))
    }

    private mutating func survey(
        _ inner: Child, isFirst: Bool, end: BlockKey?, _ state: borrowing RecoveredState
    ) {
        guard pages.read([inner.reference], consequence: { _ in .returnsEmpty })[0] else {
            isWhole = false
            return
        }
        let leaves = children(
            of: inner.reference, at: pages.place(0), bytes: IndexTree.childBytes, kind: .leaf)
        if let first = leaves.first, first.separator != inner.separator {
            note(disorderOf: inner.reference, "its first separator isn't the one above it")
        }
        if let last = leaves.last, let end, !(last.separator < end) {
            note(disorderOf: inner.reference, "its last separator belongs to the next page")
        }
        let isGood = pages.read(leaves.map(\.reference)) {
            .blocksLost(UInt64($0.pointer.items))
        }
        for (index, leaf) in leaves.enumerated() {
            guard isGood[index] else {
                isWhole = false
                continue
            }
            let next = index + 1 < leaves.count ? leaves[index + 1].separator : end
            survey(
                leaf, at: pages.place(index), isFirst: isFirst && index == 0, end: next, state)
        }
    }

    private mutating func survey(
        _ leaf: Child, at place: ArenaOffset, isFirst: Bool, end: BlockKey?,
        _ state: borrowing RecoveredState
    ) {
        let layout = pages.superblock.layout
        let count = LeafPage.count(pages.arena, place)
        // As the engine judges it before its first lookup.
        guard
            LeafPage.isLeaf(
                pages.arena, place, from: isFirst ? .lowest : leaf.separator, below: end,
                layout: layout)
        else {
            pages.note(
                leaf.reference, "its entries are impossible or out of order",
                .blocksLost(UInt64(count)))
            return
        }
        var lost: UInt64 = 0
        for index in 0..<count {
            let key = LeafPage.key(pages.arena, place, at: index)
            let hash = key.mixed(seed: pages.superblock.driveID.low)
            if state.changes[key] != nil { continue }
            guard leaf.filter.mayContain(hash: hash),
                let entry = LeafPage.entry(pages.arena, place, at: index, layout: layout)
            else {
                lost += 1
                continue
            }
            own(entry, state)
        }
        if lost > 0 {
            pages.note(
                leaf.reference, "\(lost) of its entries can't be found",
                .blocksLost(lost))
        }
    }

    // MARK: Slots and values

    private mutating func own(_ entry: BlockEntry, _ state: borrowing RecoveredState) {
        let layout = pages.superblock.layout
        let bytes =
            layout.classes.slotBytes(of: entry.sizeClass).rawValue * UInt64(entry.slots.count)
        blocks += 1
        for index in 0..<entry.slots.count where !owned.set(Int(entry.slots[index].rawValue)) {
            note(entry.slots[index], "two blocks own it", .blocksAtRisk(1))
        }
        if state.outcome == .served, !state.space.isCommitted(entry.extent) {
            // A lookup doesn't believe it either. Its bytes are free already.
            note(
                entry.slots[0],
                "a block owns it and the allocation map calls one of its slots free",
                .blocksLost(1))
            damagedValues += 1
            return
        }
        slotBytes += bytes
        guard verifiesValues else { return }
        verifiedValues += 1
        progress(UInt64(entry.lengthBytes))
        if let problem = problem(ofValue: entry) {
            damagedValues += 1
            damagedSlotBytes += bytes
            pages.note(
                DriveFinding(
                    structure: .value, offset: layout.offset(of: entry.slots[0]),
                    problem: "\(entry.key.hexadecimal) of namespace "
                        + "\(entry.key.namespace.rawValue): \(problem)",
                    consequence: .blocksLost(1)))
        }
    }

    private mutating func note(
        _ slot: SlotIndex, _ problem: String, _ consequence: DriveConsequence
    ) {
        pages.note(
            DriveFinding(
                structure: .slot, offset: pages.superblock.layout.offset(of: slot),
                problem: "slot \(slot.rawValue): \(problem)", consequence: consequence))
    }

    /// Reads the value of `entry` and says what is wrong with it.
    private func problem(ofValue entry: BlockEntry) -> String? {
        let drive = pages.drive
        let layout = pages.superblock.layout
        let unit = UInt64(drive.geometry.logicalBlockBytes)
        let padded = (UInt64(entry.lengthBytes) + unit - 1) / unit * unit
        let slotBytes = layout.classes.slotBytes(of: entry.sizeClass).rawValue
        var reads: [(offset: ByteOffset, memory: ArenaRange)] = []
        for index in 0..<entry.slots.count {
            let start = UInt64(index) * slotBytes
            reads.append(
                (
                    layout.offset(of: entry.slots[index]),
                    memory.part(at: start, length: ByteCount(min(slotBytes, padded - start)))
                ))
        }
        for case let error? in drive.read(reads) { return "its value can't be read (\(error))" }
        let value = memory.part(at: 0, length: ByteCount(UInt64(entry.lengthBytes)))
        return drive.arena.checksum(value) == entry.checksum
            ? nil : "its value doesn't have its checksum"
    }
}
