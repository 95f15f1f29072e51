// Superblock: the root of a drive: who it is, how it is laid out, where its last checkpoint is.
//
// Always holds: 4096 bytes of little-endian words; magic, version and checksum keep their places in
// every version; the checksum covers all 4096 bytes with its own word zero. Two copies, written one
// after the other with a flush behind each, so that one of them is whole at any moment.
//
//   word 0     magic "MKVSUPER"                 word 16      data area: segment count u32
//   word 1     version u16                      word 17      checkpoint generation
//   word 2     checksum XXH3-64                 word 18      recovery incarnation u32
//   word 3–4   store id                         word 19      first journal sequence to replay
//   word 5–6   drive id                         word 20      checksum of the block before it
//   word 7     capacity in bytes                word 21      next version
//   word 8     block size u32, min slot u32     word 22      blocks in the tree
//   word 9     segment bytes                    word 23      cells in the tree's leaves
//   word 10    journal blocks u32, index pages  word 24      root pages u16, map directories
//   word 11    change pages u32                              u16, members u16, zero u16
//   word 12–15 zero                             word 25      first journal sequence of this
//                                                            incarnation
//   word 26    epoch u32, epochs known u32      word 29      strays
//   word 27    change list: floor u32,          word 30      zero
//              keys u32
//   word 28    change list: generation that wrote it, its area in bit 63
//   word 31    bytes of slots in quarantine: taken in the allocation map, and no block's
//   word 32–159   members: 64 × id of two words
//   word 160–479  page pointers, root pages first, then map directory pages: two words each,
//                 [page u32, items u32][checksum]
//   word 480–511  lineage, newest epoch first: 16 × [id][set of members]

import Wire

/// Names a journal block for ever: the block at place `sequence mod journal blocks`, in its turn.
package struct JournalSequence: Hashable, Comparable, Sendable {
    package let rawValue: UInt64
    package init(_ rawValue: UInt64) { self.rawValue = rawValue }
    package static func < (left: JournalSequence, right: JournalSequence) -> Bool {
        left.rawValue < right.rawValue
    }
    var next: JournalSequence { JournalSequence(rawValue + 1) }
}

/// A pointer to a page with what the page must be.
struct PagePointer: Sendable, Hashable {
    var page = PageIndex(0)
    /// Cells, children or records in the page.
    var items: UInt32 = 0
    /// XXH3-64 of the page's 16 KiB.
    var checksum: UInt64 = 0
}

/// A decoded superblock.
package struct Superblock: Sendable {
    /// Page pointers that fit.
    static let pointerLimit = 160
    private static let magic: UInt64 = 0x5245_5055_5356_4B4D

    var formatVersion = FormatConstants.version
    package var storeID: StoreIdentity
    package var driveID: StoreIdentity
    package var layout: DriveLayout
    var generation: UInt64 = 1
    var incarnation: UInt32 = 1
    /// The first journal block of this incarnation: from there on, lower ones are left over.
    var incarnationStart = JournalSequence(1)
    var journalStart = JournalSequence(1)
    var journalChain: UInt64 = 0
    var nextVersion = Version(1)
    var blockCount: UInt64 = 0
    var leafCells: UInt64 = 0
    /// Blocks whose first drive is another one.
    var strayCount: UInt64 = 0
    package var lineage: EpochLineage
    /// The stored change list: how many keys, in which area, written by which checkpoint, and the
    /// epoch above which it is complete.
    var changeCount: UInt32 = 0
    var changeArea = 0
    var changeGeneration: UInt64 = 0
    var changeFloor: UInt32 = 0
    var quarantinedBytes: UInt64 = 0
    package var memberCount = 0
    package var members = InlineArray<64, StoreIdentity>(
        repeating: StoreIdentity(high: 0, low: 0))
    var rootCount = 0
    var mapDirectoryCount = 0
    var pointers = InlineArray<160, PagePointer>(repeating: PagePointer())

    init(format: FormatConfiguration, layout: DriveLayout) {
        storeID = format.storeID
        driveID = format.driveID
        self.layout = layout
        lineage = EpochLineage(storeID: format.storeID, memberCount: format.members.count)
        memberCount = format.members.count
        for (index, member) in format.members.enumerated() { members[index] = member }
    }

    /// What stands for a drive that hasn't been read: the smallest store there is, of nobody.
    static func unread(_ configuration: EngineConfiguration) -> Superblock {
        let classes = SizeClasses(
            minimumSlotBytes: configuration.minimumSlotBytes,
            blockSizeBytes: configuration.blockSizeBytes)
        let nobody = StoreIdentity(high: 0, low: 0)
        guard
            let layout = DriveLayout(
                capacityBytes: 4 * DriveLayout.segmentBytes(of: classes) + (16 << 20),
                classes: classes, journalBlocks: 16)
        else { preconditionFailure("no layout for the smallest store") }
        let format = FormatConfiguration(
            storeID: nobody, driveID: nobody, members: [],
            blockSizeBytes: configuration.blockSizeBytes,
            minimumSlotBytes: configuration.minimumSlotBytes)
        return Superblock(format: format, layout: layout)
    }

    mutating func addRoot(_ pointer: PagePointer) {
        precondition(mapDirectoryCount == 0, "root pages stand before map directory pages")
        precondition(rootCount < Self.pointerLimit, "too many root pages")
        pointers[rootCount] = pointer
        rootCount += 1
    }

    mutating func addMapDirectory(_ pointer: PagePointer) {
        let place = rootCount + mapDirectoryCount
        precondition(place < Self.pointerLimit, "too many map directory pages")
        pointers[place] = pointer
        mapDirectoryCount += 1
    }

    /// What reading one copy found.
    enum Reading {
        case valid(Superblock)
        case newer(version: UInt16)
        case older(version: UInt16)
        /// The magic is there, the rest doesn't hold.
        case damaged
        /// Nothing that was ever a superblock.
        case foreign
    }

    /// Reads the copy at `place`, 4096 bytes of the arena.
    static func read(
        _ arena: Arena, at place: ArenaOffset,
        readsVersionsUpTo limit: UInt16 = FormatConstants.version
    ) -> Reading {
        func word(_ index: Int) -> UInt64 { arena.loadWord(place.advanced(by: UInt64(index) * 8)) }
        guard word(0) == magic else { return .foreign }
        let stored = word(2)
        arena.storeWord(0, at: place.advanced(by: 16))
        let actual = arena.checksum(
            ArenaRange(start: place, length: FormatConstants.superblockBytes))
        arena.storeWord(stored, at: place.advanced(by: 16))
        guard stored == actual else { return .damaged }
        let version = UInt16(truncatingIfNeeded: word(1))
        guard version <= limit else { return .newer(version: version) }
        guard version >= FormatConstants.oldestVersion else { return .older(version: version) }
        return decode(word)
    }

    private static func decode(_ word: (Int) -> UInt64) -> Reading {
        let blockSize = UInt32(truncatingIfNeeded: word(8))
        let minimumSlot = UInt32(truncatingIfNeeded: word(8) >> 32)
        guard blockSize.nonzeroBitCount == 1, minimumSlot.nonzeroBitCount == 1,
            blockSize >= minimumSlot, minimumSlot >= 4096,
            let layout = DriveLayout(
                capacityBytes: word(7),
                classes: SizeClasses(minimumSlotBytes: minimumSlot, blockSizeBytes: blockSize),
                journalBlocks: UInt32(truncatingIfNeeded: word(10)), segmentBytes: word(9),
                segmentCount: UInt32(truncatingIfNeeded: word(16)),
                indexPages: UInt32(truncatingIfNeeded: word(10) >> 32),
                changePages: UInt32(truncatingIfNeeded: word(11))),
            let lineage = EpochLineage(
                counter: UInt32(truncatingIfNeeded: word(26)), known: Int(word(26) >> 32),
                words: { word(480 + $0) })
        else { return .damaged }
        let format = FormatConfiguration(
            storeID: StoreIdentity(high: word(3), low: word(4)),
            driveID: StoreIdentity(high: word(5), low: word(6)), members: [],
            blockSizeBytes: blockSize, minimumSlotBytes: minimumSlot)
        var superblock = Superblock(format: format, layout: layout)
        superblock.formatVersion = UInt16(truncatingIfNeeded: word(1))
        superblock.generation = word(17)
        superblock.incarnation = UInt32(truncatingIfNeeded: word(18))
        superblock.journalStart = JournalSequence(word(19))
        superblock.journalChain = word(20)
        superblock.nextVersion = Version(word(21))
        superblock.incarnationStart = JournalSequence(word(25))
        superblock.blockCount = word(22)
        superblock.leafCells = word(23)
        superblock.lineage = lineage
        superblock.changeFloor = UInt32(truncatingIfNeeded: word(27))
        superblock.changeCount = UInt32(truncatingIfNeeded: word(27) >> 32)
        superblock.changeArea = Int(word(28) >> 63)
        superblock.changeGeneration = word(28) & ~(1 << 63)
        superblock.strayCount = word(29)
        superblock.quarantinedBytes = word(31)
        superblock.rootCount = Int(word(24) & 0xFFFF)
        superblock.mapDirectoryCount = Int(word(24) >> 16 & 0xFFFF)
        superblock.memberCount = Int(word(24) >> 32 & 0xFFFF)
        let counters = [
            superblock.generation, superblock.journalStart.rawValue,
            superblock.incarnationStart.rawValue, superblock.nextVersion.rawValue,
            superblock.blockCount, superblock.changeGeneration, superblock.strayCount,
        ]
        guard superblock.rootCount + superblock.mapDirectoryCount <= pointerLimit,
            (1...FormatConstants.memberLimit).contains(superblock.memberCount),
            Int(superblock.changeCount) <= layout.changeLimit,
            superblock.changeFloor <= lineage.counter + 1,
            superblock.incarnation < .max, superblock.journalStart.rawValue > 0,
            counters.allSatisfy({ $0 < FormatConstants.counterLimit })
        else { return .damaged }
        for index in 0..<superblock.memberCount {
            superblock.members[index] = StoreIdentity(
                high: word(32 + index * 2), low: word(33 + index * 2))
        }
        for index in 0..<superblock.rootCount + superblock.mapDirectoryCount {
            let first = word(160 + index * 2)
            superblock.pointers[index] = PagePointer(
                page: PageIndex(UInt32(truncatingIfNeeded: first)),
                items: UInt32(truncatingIfNeeded: first >> 32), checksum: word(161 + index * 2))
        }
        return .valid(superblock)
    }

    /// Writes the 4096 bytes at `place`, its checksum last.
    func write(_ arena: Arena, at place: ArenaOffset) {
        let range = ArenaRange(start: place, length: FormatConstants.superblockBytes)
        arena.zero(range)
        func store(_ word: UInt64, _ index: Int) {
            arena.storeWord(word, at: place.advanced(by: UInt64(index) * 8))
        }
        store(Self.magic, 0)
        store(UInt64(FormatConstants.version), 1)
        store(storeID.high, 3)
        store(storeID.low, 4)
        store(driveID.high, 5)
        store(driveID.low, 6)
        store(layout.capacityBytes, 7)
        store(
            UInt64(layout.classes.blockSizeBytes) | UInt64(layout.classes.minimumSlotBytes) << 32, 8
        )
        store(layout.segmentBytes, 9)
        store(UInt64(layout.journalBlocks) | UInt64(layout.indexPages) << 32, 10)
        store(UInt64(layout.changePages), 11)
        store(UInt64(layout.segmentCount), 16)
        store(generation, 17)
        store(UInt64(incarnation), 18)
        store(journalStart.rawValue, 19)
        store(journalChain, 20)
        store(nextVersion.rawValue, 21)
        store(blockCount, 22)
        store(leafCells, 23)
        store(incarnationStart.rawValue, 25)
        store(UInt64(lineage.counter) | UInt64(lineage.known) << 32, 26)
        store(UInt64(changeFloor) | UInt64(changeCount) << 32, 27)
        store(changeGeneration | UInt64(changeArea) << 63, 28)
        store(strayCount, 29)
        lineage.store { store($0, 480 + $1) }
        store(quarantinedBytes, 31)
        store(
            UInt64(rootCount) | UInt64(mapDirectoryCount) << 16 | UInt64(memberCount) << 32, 24)
        for index in 0..<memberCount {
            store(members[index].high, 32 + index * 2)
            store(members[index].low, 33 + index * 2)
        }
        for index in 0..<rootCount + mapDirectoryCount {
            store(
                UInt64(pointers[index].page.rawValue) | UInt64(pointers[index].items) << 32,
                160 + index * 2)
            store(pointers[index].checksum, 161 + index * 2)
        }
        store(arena.checksum(range), 2)
    }
}
