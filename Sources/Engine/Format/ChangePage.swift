// ChangePage: 16 KiB of a drive's change list, in one of two areas.
//
//   word 0  magic "MKVCHNG1"                  word 4    its number in its area
//   word 1  version u16, items u16            word 5    generation of the checkpoint that wrote it
//   word 2  checksum XXH3-64, its own         word 6–7  zero
//           word zero                         word 8…   items of 40 bytes:
//   word 3  drive id, low half                          [key × 4][namespace u32, epoch u32]
//
// Always holds: the two areas are written in turn, so that the list that the last superblock names
// stays whole until the next one is durable. The generation that wrote a page stands in it: one
// left from an earlier turn isn't taken for the present one.

import Wire

/// A key that was changed while its first or its second drive was out.
struct ChangedKey: Hashable, Sendable {
    var key: BlockKey
    /// Of the last such change.
    var epoch: UInt32
}

/// Reads and writes pages of change lists.
enum ChangePage {
    static let itemLimit = 408
    private static let itemBytes: UInt64 = 40
    static let magic: UInt64 = 0x3147_4E48_4356_4B4D

    /// What a page must be.
    struct Identity {
        var driveIDLow: UInt64
        var generation: UInt64
        var number: Int
        var items: Int
    }

    /// Pages that `count` keys take.
    static func pages(for count: Int) -> Int { (count + itemLimit - 1) / itemLimit }

    static func store(_ changed: ChangedKey, _ arena: Arena, item: Int, in page: ArenaOffset) {
        let place = IndexPageHeader.item(item, bytes: itemBytes, in: page)
        let words = changed.key.littleEndianWords
        for index in 0..<4 {
            arena.storeWord(words[index], at: place.advanced(by: UInt64(index * 8)))
        }
        arena.storeWord(
            UInt64(changed.key.namespace.rawValue) | UInt64(changed.epoch) << 32,
            at: place.advanced(by: 32))
    }

    static func load(_ arena: Arena, item: Int, in page: ArenaOffset) -> ChangedKey {
        let place = IndexPageHeader.item(item, bytes: itemBytes, in: page)
        func word(_ index: UInt64) -> UInt64 { arena.loadWord(place.advanced(by: index * 8)) }
        let key = BlockKey(
            namespace: Namespace(UInt32(truncatingIfNeeded: word(4))),
            littleEndianWords: [word(0), word(1), word(2), word(3)])
        return ChangedKey(key: key, epoch: UInt32(truncatingIfNeeded: word(4) >> 32))
    }

    /// Completes the page, whose items stand there already; what is behind them is zeroed.
    static func seal(_ identity: Identity, _ arena: Arena, at place: ArenaOffset) {
        let used = FormatConstants.pageHeaderBytes + UInt64(identity.items) * itemBytes
        if used < FormatConstants.pageBytes {
            arena.zero(
                ArenaRange(
                    start: place.advanced(by: used),
                    length: ByteCount(FormatConstants.pageBytes - used)))
        }
        let words: [8 of UInt64] = [
            magic, UInt64(FormatConstants.version) | UInt64(identity.items) << 16, 0,
            identity.driveIDLow, UInt64(identity.number), identity.generation, 0, 0,
        ]
        for index in 0..<8 {
            arena.storeWord(words[index], at: place.advanced(by: UInt64(index * 8)))
        }
        arena.storeWord(
            arena.checksum(IndexPageHeader.range(at: place)), at: place.advanced(by: 16))
    }

    /// True when the page at `place` is undamaged and the one that `identity` means.
    static func matches(_ identity: Identity, _ arena: Arena, at place: ArenaOffset) -> Bool {
        func word(_ index: UInt64) -> UInt64 { arena.loadWord(place.advanced(by: index * 8)) }
        let stored = word(2)
        arena.storeWord(0, at: place.advanced(by: 16))
        let actual = arena.checksum(IndexPageHeader.range(at: place))
        arena.storeWord(stored, at: place.advanced(by: 16))
        return stored == actual && word(0) == magic
            && UInt16(truncatingIfNeeded: word(1)) <= FormatConstants.version
            && word(1) >> 16 & 0xFFFF == UInt64(identity.items) && word(3) == identity.driveIDLow
            && word(4) == UInt64(identity.number) && word(5) == identity.generation
    }
}

extension ChangePage.Identity {
    /// What page `page` of the list that `superblock` names must be.
    init(_ superblock: Superblock, page: Int) {
        self.init(
            driveIDLow: superblock.driveID.low, generation: superblock.changeGeneration,
            number: page,
            items: min(
                ChangePage.itemLimit, Int(superblock.changeCount) - page * ChangePage.itemLimit))
    }
}
