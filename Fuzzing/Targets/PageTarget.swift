// pages: the decoders of everything that lies on a drive, each over bytes that the input chooses,
// their checksums made right so that what lies behind is reached.
//
// Always holds, or the run traps: decoding ends, touches nothing outside its page, and what it
// believes can be written again and read back the same.
//
//   input   [which decoder: low three bits, mend the checksum: bit 3]
//           [the template's words to change: place u16, value of 1 to 8 bytes]…

import Wire

@testable import Engine

enum PageTarget {
    private enum Structure: UInt8 {
        case superblock, journal, leaf, inner, root, mapDirectory, map, raw
    }

    private static let pageBytes = ByteCount(FormatConstants.pageBytes)
    private static let arena = FuzzMemory.arena(byteCount: 3 * Int(pageBytes.rawValue))
    /// The bytes under test stand first, with a page of their own for writing behind them.
    private static let place = ArenaOffset(0)
    private static let second = ArenaOffset(pageBytes.rawValue)
    private static let driveID: UInt64 = 0x6472_6976_65

    private static let format = FormatConfiguration(
        storeID: StoreIdentity(high: 1, low: 2), driveID: StoreIdentity(high: 3, low: driveID),
        members: [StoreIdentity(high: 3, low: driveID)], blockSizeBytes: 16 << 10,
        minimumSlotBytes: 4 << 10, journalBlocks: 16)
    private static let layout: DriveLayout = {
        let classes = SizeClasses(minimumSlotBytes: 4 << 10, blockSizeBytes: 16 << 10)
        guard
            let layout = DriveLayout(
                capacityBytes: 6 << 20, classes: classes, journalBlocks: 16)
        else { preconditionFailure("no layout for the smallest drive") }
        return layout
    }()

    static func run(_ input: inout FuzzInput) {
        let choice = input.byte()
        guard let structure = Structure(rawValue: choice & 7) else { return }
        let isMended = choice & 8 != 0
        arena.zero(ArenaRange(start: place, length: pageBytes))
        writeTemplate(structure)
        while !input.isEmpty { change(&input) }
        switch structure {
        case .superblock: readSuperblock(isMended)
        case .journal: readJournal(isMended)
        case .leaf: readLeaf()
        case .inner: readInner()
        case .root: readRoot()
        case .mapDirectory: readDirectory()
        case .map: readMap()
        case .raw: readRaw()
        }
    }

    private static func word(_ index: UInt64) -> UInt64 {
        arena.loadWord(place.advanced(by: index * 8))
    }

    private static func store(_ word: UInt64, _ index: UInt64) {
        arena.storeWord(word, at: place.advanced(by: index * 8))
    }

    /// `[place u12, width − 1 in the upper bits]`, then the value.
    private static func change(_ input: inout FuzzInput) {
        let packed = input.number(bytes: 2)
        let index = packed & 2047
        let width = packed >> 11 & 7
        let isRelative = packed >> 14 & 1 != 0
        let value = input.number(bytes: Int(width) + 1)
        store(isRelative ? word(index) &+ value : value, index)
    }

    // MARK: Templates: something right, so that changing a few words is a believable mistake

    private static func key(_ index: UInt64) -> BlockKey {
        BlockKey(namespace: Namespace(1), littleEndianWords: [0, 0, 0, index << 56])
    }

    private static func entry(_ index: UInt64, length: UInt32) -> BlockEntry {
        let demand = layout.classes.demand(forLength: length)
        var slots = SlotList()
        for slot in 0..<demand.count {
            slots.append(
                SlotIndex(UInt32(index) * 16 + UInt32(slot) * demand.sizeClass.units))
        }
        return BlockEntry(
            key: key(index), version: Version(index + 1), lengthBytes: length, checksum: index,
            sizeClass: demand.sizeClass, slots: slots)
    }

    private static func writeTemplate(_ structure: Structure) {
        switch structure {
        case .superblock: Superblock(format: format, layout: layout).write(arena, at: place)
        case .journal: writeJournal()
        case .leaf:
            var writer = LeafPage.Writer(arena: arena, page: place)
            for index in 0..<6 { writer.append(entry(UInt64(index), length: 5000 << index)) }
            store(UInt64(writer.entries) << 16 | 1, 1)
        case .inner, .root:
            let bytes = structure == .inner ? IndexTree.childBytes : IndexTree.rootItemBytes
            for index in 0..<UInt64(3) {
                let item = IndexPageHeader.item(Int(index), bytes: bytes, in: place)
                arena.storeKey(key(index), at: item)
                arena.storeWord(1 | 5 << 32, at: item.advanced(by: 32))
                arena.storeWord(index, at: item.advanced(by: 40))
            }
        case .mapDirectory, .map, .raw: break
        }
    }

    private static func writeJournal() {
        let records: [JournalRecord] = [
            .commit(entry(1, length: 4000), freed: .none),
            .delete(
                key(2), version: Version(9), reason: .deleted, freed: entry(2, length: 1).extent),
            .commit(entry(3, length: 60000), freed: entry(4, length: 9000).extent),
            .void(Version(12)),
        ]
        var used = 0
        for record in records {
            record.encode { word, index in
                store(word, UInt64(JournalBlockHeader.wordCount + used + index))
            }
            used += record.wordCount
        }
        _ = JournalBlockHeader(
            driveIDLow: driveID, incarnation: 1, sequence: JournalSequence(5),
            previousChecksum: 6, durable: JournalSequence(4), settled: JournalSequence(3),
            usedWords: used
        ).seal(arena, at: place)
    }

    // MARK: Reading

    /// Makes word 2 the checksum of the first `byteCount` bytes, itself zero.
    private static func mend(_ byteCount: ByteCount) {
        store(0, 2)
        store(arena.checksum(ArenaRange(start: place, length: byteCount)), 2)
    }

    private static func readSuperblock(_ isMended: Bool) {
        if isMended { mend(FormatConstants.superblockBytes) }
        guard case .valid(let superblock) = Superblock.read(arena, at: place) else { return }
        let layout = superblock.layout
        let end = layout.dataStart.rawValue + layout.usableBytes
        precondition(
            layout.indexStart < layout.dataStart && end <= layout.journalCopyB.rawValue
                && layout.journalCopyB.rawValue + layout.journalBytes <= layout.capacityBytes
                && UInt64(layout.unitCount) * UInt64(layout.classes.minimumSlotBytes)
                    == layout.usableBytes,
            "regions that don't lie one behind the other")
        superblock.write(arena, at: second)
        guard case .valid(let again) = Superblock.read(arena, at: second),
            again.layout == layout, again.generation == superblock.generation,
            again.rootCount == superblock.rootCount, again.memberCount == superblock.memberCount
        else { preconditionFailure("a superblock that reads back otherwise") }
    }

    private static func readJournal(_ isMended: Bool) {
        if isMended { mend(ByteCount(FormatConstants.journalBlockBytes)) }
        guard
            let header = JournalBlockHeader.read(arena, at: place, driveIDLow: driveID)
        else { return }
        let limit = JournalBlockHeader.wordCount + header.usedWords
        var position = JournalBlockHeader.wordCount
        while let (record, words) = JournalRecord.decode(
            from: position, limit: limit, layout: layout, { word(UInt64($0)) })
        {
            precondition(words > 0 && position + words <= limit, "a record beyond its block")
            checkSame(record)
            position += words
        }
    }

    /// A record that was read is written and read again.
    private static func checkSame(_ record: JournalRecord) {
        func again(_ index: Int) -> UInt64 {
            arena.loadWord(second.advanced(by: UInt64(index) * 8))
        }
        guard record.wordCount <= JournalBlockHeader.recordWords else { return }
        record.encode { arena.storeWord($0, at: second.advanced(by: UInt64($1) * 8)) }
        guard
            let (copy, words) = JournalRecord.decode(
                from: 0, limit: record.wordCount, layout: layout, again),
            words == record.wordCount, copy.version == record.version, copy.key == record.key,
            copy.payloadBytes == record.payloadBytes,
            copy.freed.slots.count == record.freed.slots.count
        else { preconditionFailure("a record that reads back otherwise") }
    }

    private static func readLeaf() {
        let count = LeafPage.count(arena, place)
        for index in 0..<count {
            _ = LeafPage.isExtended(arena, place, at: index)
            guard
                let entry = LeafPage.entry(arena, place, at: index, layout: layout)
            else { continue }
            for slot in 0..<entry.slots.count {
                _ = layout.offset(of: entry.slots[slot])
            }
            precondition(
                layout.classes.demand(forLength: entry.lengthBytes).count == entry.slots.count,
                "an entry with too few slots")
        }
        for index in 0..<UInt64(8) {
            let key = key(index)
            precondition(LeafPage.lowerBound(arena, place, key) <= count, "beyond the leaf")
            if let entry = LeafPage.find(arena, place, key, layout: layout) {
                precondition(entry.key == key, "another key's entry")
            }
        }
    }

    private static func readInner() {
        var tree = IndexTree(nodeLimit: 4)
        let items = UInt32(truncatingIfNeeded: word(1) >> 16 & 0xFF)
        // The root item that points to this page.
        let item = IndexPageHeader.item(0, bytes: IndexTree.rootItemBytes, in: second)
        arena.storeWord(UInt64(items) << 32, at: item.advanced(by: 32))
        guard tree.addStored(arena, rootPage: second, item: 0), tree.load(0, arena, from: place)
        else { return }
        searchTree(tree)
    }

    private static func searchTree(_ tree: borrowing IndexTree) {
        for index in 0..<UInt64(8) {
            guard let position = tree.locate(key(index)) else { continue }
            let child = tree.child(position)
            precondition(
                child.pointer.items <= UInt32(LeafPage.cellCapacity), "a leaf of too many entries")
            _ = tree.mayContain(hash: index, at: position)
            _ = tree.upperBound(of: position)
        }
    }

    private static func readRoot() {
        var tree = IndexTree(nodeLimit: 4)
        for item in 0..<Int(word(1) >> 16 & 0xFF) {
            guard item < IndexTree.rootItemLimit,
                tree.addStored(arena, rootPage: place, item: item)
            else { return }
        }
        precondition(tree.nodeCount <= 4, "more nodes than there are")
    }

    private static func readDirectory() {
        for item in 0..<MapDirectory.itemLimit {
            guard let (pointer, _) = MapDirectory.load(arena, item: item, in: place) else {
                continue
            }
            precondition(pointer.items > 0, "a map page of nothing")
        }
    }

    private static func readMap() {
        var space = SpaceMap(layout: layout)
        guard space.load(page: 0, arena: arena, from: place) else { return }
        precondition(space.committedBytes <= layout.usableBytes, "more than there is")
        precondition(space.committedBytes == space.busyBytes, "busy slots that nobody owns")
        space.markAllStored()
    }

    /// Nothing is believed of bytes that no template gave.
    private static func readRaw() {
        _ = Superblock.read(arena, at: place)
        _ = JournalBlockHeader.read(arena, at: place, driveIDLow: driveID)
    }
}
