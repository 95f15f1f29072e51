// LeafPage: entries of adjacent keys, sorted, in cells of 64 bytes.
//
// Always holds: cells 0..<count are entries in ascending order of key; a value of several slots
// keeps its slot list in an extension cell, counted from the page's end; entries and extensions
// never meet.
//
//   words 0–3  key                              word 5  version
//   word 4     namespace u32,                   word 6  checksum
//              length − 1 (24 bits), class      word 7  expiry u32,
//              (4 bits), flags (4 bits: bit 0           slot u32, or the extension's cell number
//              extended; others for checksums
//              of ranges, zero)
//
//   extension  up to 16 slots, u32 each

import Wire

/// Reads and writes leaf pages in an arena.
enum LeafPage {
    /// Cells of a page, entries and extensions together.
    static let cellCapacity = 255
    private static let cellBytes: UInt64 = 64
    private static let extendedFlag: UInt64 = 1 << 28

    /// Cells that an entry takes.
    static func cells(for entry: BlockEntry) -> Int { entry.slots.count > 1 ? 2 : 1 }

    static func count(_ arena: Arena, _ page: ArenaOffset) -> Int {
        min(cellCapacity, Int(arena.loadWord(page.advanced(by: 8)) >> 16 & 0xFFFF))
    }

    private static func cell(_ index: Int, _ page: ArenaOffset) -> ArenaOffset {
        IndexPageHeader.item(index, bytes: cellBytes, in: page)
    }

    static func key(_ arena: Arena, _ page: ArenaOffset, at index: Int) -> BlockKey {
        let cell = cell(index, page)
        let namespace = UInt32(truncatingIfNeeded: arena.loadWord(cell.advanced(by: 32)))
        return arena.loadKey(cell, namespace: Namespace(namespace))
    }

    /// True when the entry in cell `index` has an extension cell.
    static func isExtended(_ arena: Arena, _ page: ArenaOffset, at index: Int) -> Bool {
        arena.loadWord(cell(index, page).advanced(by: 32)) >> 32 & extendedFlag != 0
    }

    /// Whether every cell is a possible entry, keys ascend from `first` on and stay below `bound`.
    /// A page that is what its pointer says and yet no leaf was written by a mistake.
    static func isLeaf(
        _ arena: Arena, _ page: ArenaOffset, from first: BlockKey, below bound: BlockKey?,
        layout: DriveLayout
    ) -> Bool {
        let count = count(arena, page)
        var cells = 0
        var least = first
        for index in 0..<count {
            guard let entry = entry(arena, page, at: index, layout: layout) else { return false }
            cells += Self.cells(for: entry)
            if entry.key < least || index > 0 && entry.key == least { return false }
            least = entry.key
        }
        if let bound, count > 0, !(least < bound) { return false }
        return cells <= cellCapacity
    }

    /// The entry in cell `index`, nil when the cell is no possible entry.
    static func entry(
        _ arena: Arena, _ page: ArenaOffset, at index: Int, layout: DriveLayout
    ) -> BlockEntry? {
        let cell = cell(index, page)
        func word(_ index: UInt64) -> UInt64 { arena.loadWord(cell.advanced(by: index * 8)) }
        let packed = word(4) >> 32
        let length = UInt32(packed & 0xFF_FFFF) + 1
        let sizeClass = SizeClass(UInt8(packed >> 24 & 0xF))
        let demand = layout.classes.demand(forLength: length)
        guard demand.sizeClass == sizeClass else { return nil }
        var slots = SlotList()
        let slot = UInt32(truncatingIfNeeded: word(7) >> 32)
        if packed & extendedFlag == 0 {
            slots.append(SlotIndex(slot))
        } else {
            guard slot < UInt32(cellCapacity), demand.count <= SlotList.capacity else { return nil }
            let list = Self.cell(Int(slot), page)
            for index in 0..<demand.count {
                let pair = arena.loadWord(list.advanced(by: UInt64(index / 2) * 8))
                slots.append(
                    SlotIndex(UInt32(truncatingIfNeeded: pair >> (index % 2 == 0 ? 0 : 32))))
            }
        }
        guard slots.count == demand.count else { return nil }
        for index in 0..<slots.count
        where slots[index].rawValue >= layout.unitCount
            || slots[index].rawValue % sizeClass.units != 0
        {
            return nil
        }
        return BlockEntry(
            key: key(arena, page, at: index), version: Version(word(5)), lengthBytes: length,
            expirySeconds: UInt32(truncatingIfNeeded: word(7)), checksum: word(6),
            sizeClass: sizeClass, slots: slots)
    }

    /// Whether the key in cell `index` is below `key`. The first words tell most keys apart.
    @inline(__always)
    private static func isBelow(
        _ key: BlockKey, _ arena: Arena, _ page: ArenaOffset, at index: Int
    ) -> Bool {
        let cell = cell(index, page)
        let namespace = UInt32(truncatingIfNeeded: arena.loadWord(cell.advanced(by: 32)))
        if namespace != key.namespace.rawValue { return namespace < key.namespace.rawValue }
        let word = arena.loadWord(cell).byteSwapped
        if word != key.word0 { return word < key.word0 }
        return self.key(arena, page, at: index) < key
    }

    /// The first cell whose key is not below `key`.
    static func lowerBound(_ arena: Arena, _ page: ArenaOffset, _ key: BlockKey) -> Int {
        var low = 0
        var high = count(arena, page)
        while low < high {
            let middle = (low + high) / 2
            if isBelow(key, arena, page, at: middle) { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The entry of `key`, nil when the page has none.
    static func find(
        _ arena: Arena, _ page: ArenaOffset, _ key: BlockKey, layout: DriveLayout
    ) -> BlockEntry? {
        let index = lowerBound(arena, page, key)
        guard index < count(arena, page), self.key(arena, page, at: index) == key else {
            return nil
        }
        return entry(arena, page, at: index, layout: layout)
    }

    /// Fills a fresh page, entry by entry, in ascending order.
    struct Writer {
        private let arena: Arena
        private let page: ArenaOffset
        private(set) var entries = 0
        private(set) var extensions = 0

        init(arena: Arena, page: ArenaOffset) {
            self.arena = arena
            self.page = page
            arena.zero(IndexPageHeader.range(at: page))
        }

        var usedCells: Int { entries + extensions }

        mutating func append(_ entry: BlockEntry) {
            precondition(
                usedCells + LeafPage.cells(for: entry) <= LeafPage.cellCapacity, "leaf full")
            var packed = UInt64(entry.lengthBytes - 1) | UInt64(entry.sizeClass.rawValue) << 24
            var slot = entry.slots[0].rawValue
            if entry.slots.count > 1 {
                packed |= LeafPage.extendedFlag
                extensions += 1
                let number = LeafPage.cellCapacity - extensions
                slot = UInt32(number)
                storeList(entry.slots, at: LeafPage.cell(number, page))
            }
            let cell = LeafPage.cell(entries, page)
            arena.storeKey(entry.key, at: cell)
            arena.storeWord(
                UInt64(entry.key.namespace.rawValue) | packed << 32, at: cell.advanced(by: 32))
            arena.storeWord(entry.version.rawValue, at: cell.advanced(by: 40))
            arena.storeWord(entry.checksum, at: cell.advanced(by: 48))
            arena.storeWord(
                UInt64(entry.expirySeconds) | UInt64(slot) << 32, at: cell.advanced(by: 56))
            entries += 1
        }

        private func storeList(_ slots: SlotList, at place: ArenaOffset) {
            for index in 0..<(slots.count + 1) / 2 {
                let low = UInt64(slots[index * 2].rawValue)
                let high =
                    index * 2 + 1 < slots.count ? UInt64(slots[index * 2 + 1].rawValue) : 0
                arena.storeWord(low | high << 32, at: place.advanced(by: UInt64(index) * 8))
            }
        }
    }
}
