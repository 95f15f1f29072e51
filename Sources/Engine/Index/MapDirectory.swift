// MapDirectory: the pages that point to the pages of the allocation map.
//
//   item, 24 bytes: word 0 page u32, items u32 (0 for a map page that was never written: all free)
//                   word 1 checksum            word 2 generation

/// Reads and writes map directory pages.
enum MapDirectory {
    static let itemLimit = 680
    private static let itemBytes: UInt64 = 24

    static func store(
        _ pointer: PagePointer?, generation: UInt64, _ arena: Arena, item: Int,
        in page: ArenaOffset
    ) {
        let place = IndexPageHeader.item(item, bytes: itemBytes, in: page)
        let pointer = pointer ?? PagePointer()
        arena.storeWord(
            UInt64(pointer.page.rawValue) | UInt64(pointer.items) << 32, at: place)
        arena.storeWord(pointer.checksum, at: place.advanced(by: 8))
        arena.storeWord(generation, at: place.advanced(by: 16))
    }

    static func load(
        _ arena: Arena, item: Int, in page: ArenaOffset
    ) -> (pointer: PagePointer, generation: UInt64)? {
        let place = IndexPageHeader.item(item, bytes: itemBytes, in: page)
        let word = arena.loadWord(place)
        guard word >> 32 > 0 else { return nil }
        let pointer = PagePointer(
            page: PageIndex(UInt32(truncatingIfNeeded: word)), items: UInt32(word >> 32),
            checksum: arena.loadWord(place.advanced(by: 8)))
        return (pointer, arena.loadWord(place.advanced(by: 16)))
    }
}
