// The engine against models: a dictionary of values, a count of bytes. Workloads are drawn from a
// seed that each test prints.

@testable import Engine
import Sim
import Testing
import Wire

/// What the store must hold: a number and a length for each key.
private struct StoreModel {
    struct Value: Equatable {
        var number: UInt64
        var count: Int
    }
    var values: [UInt64: Value] = [:]

    var usedBytes: UInt64 {
        values.values.reduce(0) { $0 + Self.slotBytes($1.count) }
    }

    /// Slots of 4, 8 and 16 KiB, and several of 16 KiB.
    static func slotBytes(_ count: Int) -> UInt64 {
        var slot = 4096
        while slot < count, slot < 16384 { slot *= 2 }
        return UInt64((count + slot - 1) / slot * slot)
    }
}

@Suite struct ModelTests {
    private let drive = BenchSettings.drive

    /// One put or delete of the model and the store alike.
    private func change(
        _ model: inout StoreModel, _ bench: EngineBench, _ random: inout RandomStream, keys: UInt64,
        number: UInt64, isPut: Bool
    ) throws {
        let key = random.below(keys)
        guard isPut else {
            let expected: Status = model.values.removeValue(forKey: key) == nil ? .notFound : .ok
            #expect(try bench.delete(EngineBench.key(key)) == expected)
            return
        }
        // Mostly one slot of the smallest class; some of the largest, some of several slots.
        let draw = random.below(100)
        let count = draw < 70 ? 100 : draw < 85 ? 16_000 : draw < 95 ? 5000 : 40_000
        #expect(try bench.put(EngineBench.key(key), number: number, count: count) == .ok)
        model.values[key] = StoreModel.Value(number: number, count: count)
    }

    private func compare(_ model: StoreModel, _ bench: EngineBench, keys: UInt64) throws {
        for key in 0..<keys {
            let expected = model.values[key].map { EngineBench.value($0.number, $0.count) }
            #expect(try bench.get(EngineBench.key(key)) == expected)
        }
        try bench.quiesce()
        let cells = bench.engine.cells.drives[0]
        #expect(cells.value(DriveGauge.usedBytes) == model.usedBytes)
        #expect(cells.value(DriveGauge.blocks) == UInt64(model.values.count))
    }

    @Test func theTreeIsADictionaryThroughFoldsAndRestarts() throws {
        var settings = BenchSettings()
        settings.driveBytes = 24 << 20
        settings.engine.dirtyEntryLimit = 96
        settings.engine.leafCacheBytes = 16 * FormatConstants.pageBytes
        var random = RandomStream(seed: 11, name: "tree model")
        print("tree model, seed 11")
        var model = StoreModel()
        let keys: UInt64 = 700
        var images: [DriveImage]?
        for round in 0..<3 as Range<UInt64> {
            let bench = try EngineBench(settings, images: images)
            try bench.serve()
            if round > 0 { try compare(model, bench, keys: keys) }
            for step in 0..<600 as Range<UInt64> {
                let isPut = random.chance(percent: round == 1 ? 35 : 75)
                try change(
                    &model, bench, &random, keys: keys, number: round << 32 | step, isPut: isPut)
            }
            try compare(model, bench, keys: keys)
            if round == 1 {
                // As a power cut leaves it: what is acknowledged is flushed.
                images = bench.images
            } else {
                try bench.drain()
                #expect(bench.engine.drives[drive].tree.blockCount == UInt64(model.values.count))
                images = bench.images
            }
        }
    }

    @Test func spaceIsConserved() throws {
        let bench = try EngineBench()
        let layout = bench.engine.drives[drive].superblock.layout
        var space = SpaceMap(layout: layout)
        var random = RandomStream(seed: 12, name: "space model")
        print("space model, seed 12")
        var held: [SlotExtent] = []
        var busyBytes: UInt64 = 0
        for _ in 0..<20_000 {
            if random.chance(percent: 52) || held.isEmpty {
                let sizeClass = SizeClass(UInt8(random.below(UInt64(layout.classes.count))))
                let isLarge = sizeClass == layout.classes.largest
                let demand = SlotDemand(
                    sizeClass: sizeClass, count: isLarge ? Int(random.below(4)) + 1 : 1)
                let before = space.busyBytes
                guard let extent = space.allocate(demand) else {
                    #expect(space.busyBytes == before)
                    continue
                }
                space.commit(extent)
                held.append(extent)
                busyBytes += layout.classes.slotBytes(of: sizeClass).rawValue * UInt64(demand.count)
            } else {
                let extent = held.remove(at: Int(random.below(UInt64(held.count))))
                space.uncommit(extent)
                space.release(extent)
                busyBytes -=
                    layout.classes.slotBytes(of: extent.sizeClass).rawValue
                    * UInt64(extent.slots.count)
            }
            #expect(space.busyBytes == busyBytes && space.committedBytes == busyBytes)
        }
        // No two hold the same bytes.
        var units: Set<UInt32> = []
        for extent in held {
            for index in 0..<extent.slots.count {
                for unit in 0..<extent.sizeClass.units {
                    #expect(units.insert(extent.slots[index].rawValue + unit).inserted)
                }
            }
        }
        for extent in held {
            space.uncommit(extent)
            space.release(extent)
        }
        #expect(space.busyBytes == 0 && space.poolCount == layout.segmentCount)
    }

    @Test func recordsComeBackFromTheirWords() throws {
        let layout = Superblock.unread(BenchSettings().engine).layout
        var random = RandomStream(seed: 13, name: "records")
        print("records, seed 13")
        func slots(_ count: Int, _ sizeClass: SizeClass) -> SlotExtent {
            var list = SlotList()
            for _ in 0..<count {
                let units = UInt64(sizeClass.units)
                list.append(
                    SlotIndex(UInt32(random.below(UInt64(layout.unitCount) / units) * units)))
            }
            return SlotExtent(sizeClass: sizeClass, slots: list)
        }
        for round in 0..<2000 {
            let count = Int(random.below(4)) + 1
            let length =
                UInt32(random.below(16 << 10)) + 1 + (count > 1 ? UInt32(count - 1) << 14 : 0)
            let demand = layout.classes.demand(forLength: length)
            let extent = slots(demand.count, demand.sizeClass)
            let freed = random.chance(percent: 50) ? slots(1, SizeClass(1)) : .none
            let entry = BlockEntry(
                key: EngineBench.key(random.next()), version: Version(random.next() >> 2),
                lengthBytes: length, checksum: random.next(), sizeClass: demand.sizeClass,
                slots: extent.slots)
            let record: JournalRecord =
                switch round % 3 {
                case 0: .commit(entry, freed: freed)
                case 1: .delete(entry.key, version: entry.version, reason: .evicted, freed: freed)
                default: .void(entry.version)
                }
            var words = [UInt64](repeating: 0, count: 64)
            record.encode { words[$1 + 3] = $0 }
            let decoded = JournalRecord.decode(
                from: 3, limit: 3 + record.wordCount, layout: layout, { words[$0] })
            let (found, length2) = try #require(decoded)
            #expect(length2 == record.wordCount)
            #expect("\(found)" == "\(record)")
            let isCut = JournalRecord.decode(
                from: 3, limit: 2 + record.wordCount, layout: layout, { words[$0] })
            #expect(isCut == nil)
        }
    }

    @Test func aLeafKeepsEntriesOfOneSlotAndOfMany() throws {
        let memory = SimulatedMemory(length: ByteCount(FormatConstants.pageBytes))
        let page = ArenaOffset(0)
        let classes = SizeClasses(minimumSlotBytes: 4096, blockSizeBytes: 16384)
        let layout = try #require(
            DriveLayout(capacityBytes: 256 << 20, classes: classes, journalBlocks: 16))
        var writer = LeafPage.Writer(arena: memory.arena, page: page)
        var entries: [BlockEntry] = []
        for number in 0..<400 as Range<UInt64> {
            let length: UInt32 = number % 3 == 0 ? 16384 * 16 : number % 3 == 1 ? 16385 : 1
            let demand = classes.demand(forLength: length)
            var slots = SlotList()
            for slot in 0..<demand.count {
                slots.append(SlotIndex(UInt32(number) * 64 + UInt32(slot) * 4))
            }
            let entry = BlockEntry(
                key: BlockKey(namespace: Namespace(2), words: (number, 1, 2, 3)),
                version: Version(number + 1), lengthBytes: length, checksum: number &* 77,
                sizeClass: demand.sizeClass, slots: slots)
            if writer.usedCells + LeafPage.cells(for: entry) > LeafPage.cellCapacity { break }
            writer.append(entry)
            entries.append(entry)
        }
        #expect(writer.usedCells >= 254)
        let header = IndexPageHeader(
            kind: .leaf, items: writer.entries, extensions: writer.extensions, driveIDLow: 1,
            generation: 1, page: PageIndex(0))
        _ = header.seal(memory.arena, at: page)
        for entry in entries {
            let found = LeafPage.find(memory.arena, page, entry.key, layout: layout)
            #expect("\(found as BlockEntry?)" == "\(entry as BlockEntry?)")
        }
        let absent = BlockKey(namespace: Namespace(2), words: (5, 1, 2, 4))
        #expect(LeafPage.find(memory.arena, page, absent, layout: layout) == nil)
    }
}
