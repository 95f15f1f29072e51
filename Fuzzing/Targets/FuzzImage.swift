// FuzzImage: small drives as an engine leaves them, and what can become of them.
//
// Always holds: an image is made by the engine itself, the same in every process; where its
// structures lie is read off its superblock, so that a change of the format shows here as a trap
// and not as a fuzzer that changes nothing.

import Wire

@testable import Engine

/// One drive.
struct FuzzImage: Sendable {
    /// A structure on the drive.
    struct Extent: Sendable {
        let offset: Int
        let byteCount: Int
    }

    /// A page and the word that holds its checksum.
    private struct Link: Sendable {
        let page: Extent
        let checksums: [Int]
    }

    let device: FlatDevice
    private let superblocks: [Extent]
    /// Each journal block in use, first copies and second ones.
    private let journal: [[Extent]]
    /// Leaves and map pages first, those that point to them behind them.
    private let links: [Link]
    /// Everything above, and the first slots.
    private let extents: [Extent]

    // MARK: Keys and values

    static let keyCount = 12
    private static let lengths = [100, 4096, 5000, 9000, 17000, 40000]

    static func key(_ number: Int) -> BlockKey {
        BlockKey(
            namespace: Namespace(1),
            littleEndianWords: [UInt64(number) &* 0x9E37_79B9_7F4A_7C15, 1, 2, 3])
    }

    /// The value put under key `number` in turn `turn`.
    static func value(_ number: Int, turn: Int) -> [UInt8] { values[number][turn] }

    private static let values: [[[UInt8]]] = (0...keyCount).map { number in
        (0..<4).map { makeValue(number, turn: $0) }
    }

    private static func makeValue(_ number: Int, turn: Int) -> [UInt8] {
        let count = lengths[(number + turn) % lengths.count] + number
        var word = UInt64(number * 8 + turn + 1) &* 0x9E37_79B9_7F4A_7C15
        return (0..<count).map { _ in
            word = word &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return UInt8(truncatingIfNeeded: word >> 40)
        }
    }

    private static let valueChecksums: [Set<UInt64>] = (0...keyCount).map { number in
        Set((0..<4).map { FuzzMemory.checksum(value(number, turn: $0)) })
    }

    static func wasPut(_ value: [UInt8], under number: Int) -> Bool {
        valueChecksums[number].contains(FuzzMemory.checksum(value))
    }

    // MARK: Images

    /// Empty; journal alone; checkpoint alone; both; one key over and over; two incarnations.
    static let all: [FuzzImage] = [
        FuzzImage { _ in },
        FuzzImage { store in fill(&store, turn: 0) },
        FuzzImage { store in
            fill(&store, turn: 0)
            store.checkpoint()
        },
        FuzzImage { store in
            fill(&store, turn: 0)
            store.checkpoint()
            fill(&store, turn: 1)
            for number in stride(from: 0, to: keyCount, by: 4) {
                _ = store.request(.tcpDelete, key(number))
            }
        },
        FuzzImage { store in
            fill(&store, turn: 1)
            for turn in 0..<3 {
                _ = store.request(.tcpPut, key(5), payload: value(5, turn: turn))
            }
        },
        FuzzImage(lives: 2) { store in
            fill(&store, turn: 0)
            store.checkpoint()
            fill(&store, turn: 2)
        },
    ]

    private static func fill(_ store: inout FuzzStore, turn: Int) {
        for number in 0..<keyCount {
            _ = store.request(.tcpPut, key(number), payload: value(number, turn: turn))
        }
    }

    private init(lives: Int = 1, _ work: (inout FuzzStore) -> Void) {
        device = FlatDevice(capacityBytes: FuzzSizes.driveBytes, arena: FuzzSizes.arena)
        FuzzStore.format(device)
        for _ in 0..<lives {
            var store = FuzzStore(device)
            precondition(store.recover(), "a new drive is refused")
            work(&store)
            store.settle()
        }
        let device = device
        func extents(_ offset: ByteOffset, _ count: Int) -> Extent {
            Extent(offset: Int(offset.rawValue), byteCount: count)
        }
        superblocks = [FormatConstants.superblockA, FormatConstants.superblockB].map {
            extents($0, Int(FormatConstants.superblockBytes.rawValue))
        }
        guard let superblock = Self.superblock(of: device, at: superblocks[0]) else {
            preconditionFailure("an image without a superblock")
        }
        let layout = superblock.layout
        let start = superblock.journalStart.rawValue
        journal = (0..<2).map { copy in
            (start..<start + UInt64(layout.journalBlocks)).map { sequence in
                let offsets = layout.journalOffsets(of: JournalSequence(sequence))
                return extents(
                    copy == 0 ? offsets.a : offsets.b, Int(FormatConstants.journalBlockBytes))
            }.filter { device.word(at: $0.offset) != 0 }
        }
        links = Self.links(of: superblock, on: device, superblocks)
        let slots = (0..<16).map { extents(layout.offset(of: SlotIndex($0)), 4096) }
        self.extents =
            superblocks + links.map(\.page) + journal[0] + journal[1] + slots
        device.remember()
    }

    private static func superblock(of device: FlatDevice, at extent: Extent) -> Superblock? {
        for word in 0..<extent.byteCount / 8 {
            FuzzSizes.arena.storeWord(
                device.word(at: extent.offset + word * 8), at: ArenaOffset(UInt64(word) * 8))
        }
        guard case .valid(let superblock) = Superblock.read(FuzzSizes.arena, at: ArenaOffset(0))
        else { return nil }
        return superblock
    }

    /// Every page that the superblock leads to, children before parents.
    private static func links(
        of superblock: Superblock, on device: FlatDevice, _ superblocks: [Extent]
    ) -> [Link] {
        let layout = superblock.layout
        var levels: [[Link]] = [[], [], []]
        func link(_ page: UInt64, _ checksums: [Int]) -> Link {
            let offset = layout.offset(of: PageIndex(UInt32(truncatingIfNeeded: page)))
            return Link(
                page: Extent(
                    offset: Int(offset.rawValue), byteCount: Int(FormatConstants.pageBytes)),
                checksums: checksums)
        }
        /// Items of `bytes` in `parent`, their page and checksum at these words.
        func children(
            _ parent: Link, bytes: Int, page: Int, checksum: Int
        ) -> [Link] {
            let items = Int(device.word(at: parent.page.offset + 8) >> 16 & 0xFFFF)
            return (0..<items).compactMap { item in
                let place =
                    parent.page.offset + Int(FormatConstants.pageHeaderBytes) + item * bytes
                let pageWord = device.word(at: place + page * 8)
                // A map page that was never written.
                if page == 0, pageWord >> 32 == 0 { return nil }
                return link(pageWord & 0xFFFF_FFFF, [place + checksum * 8])
            }
        }
        for index in 0..<superblock.rootCount + superblock.mapDirectoryCount {
            let top = link(
                UInt64(superblock.pointers[index].page.rawValue),
                superblocks.map { $0.offset + (161 + index * 2) * 8 })
            levels[2].append(top)
            if index < superblock.rootCount {
                let inners = children(
                    top, bytes: Int(IndexTree.rootItemBytes), page: 5, checksum: 6)
                levels[1] += inners
                for inner in inners {
                    levels[0] += children(
                        inner, bytes: Int(IndexTree.childBytes), page: 5, checksum: 6)
                }
            } else {
                levels[1] += children(top, bytes: 24, page: 0, checksum: 1)
            }
        }
        return levels.flatMap { $0 }
    }

    // MARK: Damage

    private enum Damage: UInt8 {
        case flip, set, zero, misdirect, tear, unreadable, fail, setTwin
    }

    /// One change to the drive.
    func damage(_ input: inout FuzzInput) {
        let byte = input.byte()
        guard let damage = Damage(rawValue: byte & 7) else { return }
        let place = Int(byte >> 3) | Int(input.byte() & 7) << 5
        let extent = extents[place % extents.count]
        switch damage {
        case .flip:
            let word = Int(input.number(bytes: 2)) % (extent.byteCount / 8)
            let old = device.word(at: extent.offset + word * 8)
            device.store(old ^ 1 << UInt64(input.byte() & 63), at: extent.offset + word * 8)
        case .set: set(extent, &input)
        case .zero: device.copySectors(from: nil, to: extent.offset, count: extent.byteCount)
        case .misdirect:
            let other = extents[Int(input.byte()) % extents.count]
            device.copySectors(
                from: other.offset, to: extent.offset,
                count: min(other.byteCount, extent.byteCount))
        case .tear:
            let other = extents[Int(input.byte()) % extents.count]
            for word in extent.byteCount / 16..<extent.byteCount / 8
            where word < other.byteCount / 8 {
                device.store(
                    device.word(at: other.offset + word * 8), at: extent.offset + word * 8)
            }
        case .unreadable: device.unreadable.insert(extent.offset / FlatDevice.sectorBytes)
        case .fail:
            let errors = DeviceError.allCases
            device.failure = (Int(input.byte()), errors[input.below(errors.count)])
        case .setTwin:
            // The same change in both superblocks or both copies of a journal block.
            var again = input
            let twin = twin(of: place % extents.count)
            set(extent, &input)
            if let twin { set(twin, &again) }
        }
    }

    private func twin(of place: Int) -> Extent? {
        if place < superblocks.count { return superblocks[1 - place] }
        let first = superblocks.count + links.count
        let blocks = journal[0].count
        if place >= first, place < first + blocks, place - first < journal[1].count {
            return journal[1][place - first]
        }
        return nil
    }

    /// `[word u13, adds: bit 13, bytes: the two upper bits]`, then the value.
    private func set(_ extent: Extent, _ input: inout FuzzInput) {
        let packed = input.number(bytes: 2)
        let offset = extent.offset + Int(packed & 0x1FFF) % (extent.byteCount / 8) * 8
        let width = 1 << (packed >> 14)
        let value = input.number(bytes: Int(width))
        let old = device.word(at: offset)
        device.store(packed >> 13 & 1 != 0 ? old &+ value : value, at: offset)
    }

    // MARK: Mending

    /// Makes every checksum right again, from the leaves up, each copy of the journal by itself.
    func mend() {
        for link in links {
            let checksum = device.checksum(at: link.page.offset, count: link.page.byteCount)
            for place in link.checksums { device.store(checksum, at: place) }
        }
        for superblock in superblocks { mendSelf(superblock) }
        for copy in journal {
            var previous: UInt64?
            for block in copy {
                if let previous { device.store(previous, at: block.offset + 40) }
                mendSelf(block)
                previous = device.word(at: block.offset + 16)
            }
        }
    }

    /// Superblocks and journal blocks carry their checksum in word 2, which counts as zero.
    private func mendSelf(_ extent: Extent) {
        device.store(0, at: extent.offset + 16)
        device.store(
            device.checksum(at: extent.offset, count: extent.byteCount), at: extent.offset + 16)
    }
}
