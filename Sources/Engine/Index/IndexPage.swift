// IndexPage: the 64-byte header common to all 16 KiB pages of the index region.
//
//   word 0  magic, by kind            word 3  generation of the checkpoint that wrote it
//   word 1  version u16, items u16,   word 4  its own page index
//           extensions u16, zero u16  word 5–7 zero
//   word 2  drive id, low half
//
// Always holds: a page is written once and never changed; the pointer to it carries its checksum
// and its generation, so a page that is damaged, stale or another drive's is recognised by whoever
// follows the pointer.

/// What a page is.
enum IndexPageKind: UInt64, Sendable {
    case leaf = 0x3146_4145_4C56_4B4D
    case inner = 0x3152_4E4E_4956_4B4D
    case root = 0x3154_4F4F_5256_4B4D
    case map = 0x3150_414D_5F56_4B4D
    case mapDirectory = 0x3144_414D_5F56_4B4D
}

/// A page's header.
struct IndexPageHeader: Sendable {
    var kind: IndexPageKind
    var items: Int
    var extensions: Int = 0
    var driveIDLow: UInt64
    var generation: UInt64
    var page: PageIndex

    static func range(at place: ArenaOffset) -> ArenaRange {
        ArenaRange(start: place, length: ByteCount(FormatConstants.pageBytes))
    }

    /// Where item `index` of `bytes` each stands in the page at `place`.
    static func item(_ index: Int, bytes: UInt64, in place: ArenaOffset) -> ArenaOffset {
        place.advanced(by: FormatConstants.pageHeaderBytes + UInt64(index) * bytes)
    }

    /// Writes the header and gives the page's checksum; the items stand there already.
    func seal(_ arena: Arena, at place: ArenaOffset) -> UInt64 {
        func store(_ word: UInt64, _ index: Int) {
            arena.storeWord(word, at: place.advanced(by: UInt64(index) * 8))
        }
        store(kind.rawValue, 0)
        store(
            UInt64(FormatConstants.version) | UInt64(items) << 16 | UInt64(extensions) << 32, 1)
        store(driveIDLow, 2)
        store(generation, 3)
        store(UInt64(page.rawValue), 4)
        for index in 5..<8 { store(0, index) }
        return arena.checksum(Self.range(at: place))
    }

    /// True when the page at `place` is the one that a pointer with these facts means.
    static func matches(
        _ arena: Arena, at place: ArenaOffset, kind: IndexPageKind, pointer: PagePointer,
        generation: UInt64?, driveIDLow: UInt64
    ) -> Bool {
        func word(_ index: Int) -> UInt64 { arena.loadWord(place.advanced(by: UInt64(index) * 8)) }
        return arena.checksum(range(at: place)) == pointer.checksum && word(0) == kind.rawValue
            && UInt16(truncatingIfNeeded: word(1)) <= FormatConstants.version
            && UInt32(word(1) >> 16 & 0xFFFF) == pointer.items && word(2) == driveIDLow
            && word(4) == UInt64(pointer.page.rawValue)
            && (generation == nil || word(3) == generation)
    }
}
