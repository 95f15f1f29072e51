// MapSurvey: the allocation map as the last checkpoint wrote it, page by page.

extension PageSurvey where Device: ~Copyable {
    /// Reads all map directory and map pages; the bytes of slots that they say are owned, nil when
    /// one of them is damaged.
    mutating func readMap() -> UInt64? {
        var space = SpaceMap(layout: superblock.layout)
        var isWhole = true
        var maps: [(number: Int, reference: PageReference)] = []
        for item in 0..<superblock.mapDirectoryCount {
            let pointer = superblock.pointers[superblock.rootCount + item]
            let reference = PageReference(kind: .mapDirectory, pointer: pointer)
            guard read([reference], consequence: { _ in .returnsEmpty })[0] else {
                isWhole = false
                continue
            }
            for map in 0..<Int(pointer.items) {
                let number = item * MapDirectory.itemLimit + map
                guard number < space.pageCount else {
                    note(reference, "it has more items than there are map pages", .returnsEmpty)
                    isWhole = false
                    break
                }
                guard let (page, generation) = MapDirectory.load(arena, item: map, in: place(0))
                else { continue }
                maps.append(
                    (number, PageReference(kind: .map, pointer: page, generation: generation)))
            }
        }
        for start in stride(from: 0, to: maps.count, by: Self.pageLimit) {
            let batch = maps[start..<min(start + Self.pageLimit, maps.count)]
            let isGood = read(batch.map(\.reference), consequence: { _ in .returnsEmpty })
            for (index, map) in batch.enumerated() {
                guard isGood[index] else {
                    isWhole = false
                    continue
                }
                if !space.load(page: map.number, arena: arena, from: place(index)) {
                    note(map.reference, "a segment in it is impossible", .returnsEmpty)
                    isWhole = false
                }
            }
        }
        return isWhole ? space.committedBytes : nil
    }
}

extension InspectedDrive where Device: ~Copyable {
    /// Arena bytes that `usedBytes` needs, from the arena's start.
    package static var usageMemoryBytes: ByteCount {
        ByteCount(contentMemoryBytes.rawValue + PageSurvey<Device>.memoryBytes.rawValue)
    }

    /// Bytes of slots in use at the last checkpoint; nil when the map can't be read.
    package func usedBytes() -> UInt64? {
        guard let copies = readSuperblocks(to: ArenaOffset(0)),
            case .use(let superblock, _, _) = SuperblockChoice(copies.a, copies.b),
            superblock.layout.capacityBytes <= geometry.capacity.rawValue
        else { return nil }
        var survey = PageSurvey(
            self, superblock,
            memory: ArenaRange(
                start: ArenaOffset(Self.contentMemoryBytes.rawValue),
                length: PageSurvey<Device>.memoryBytes))
        return survey.readMap()
    }
}
