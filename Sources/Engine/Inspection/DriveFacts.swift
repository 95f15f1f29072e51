// DriveFacts: who a drive is, as its superblock says, and what a drive carries at all.

/// What the superblock of a store's drive says.
package struct DriveFacts: Hashable, Sendable {
    package let formatVersion: UInt16
    package let storeID: StoreIdentity
    package let driveID: StoreIdentity
    /// Drives of the store, this one included.
    package let memberCount: Int
    package let blockSizeBytes: UInt32
    package let minimumSlotBytes: UInt32
    /// The drive's size when it was formatted.
    package let capacityBytes: UInt64
    package let usableBytes: UInt64
    /// Blocks at the last checkpoint.
    package let blockCount: UInt64
    /// The store's epoch that the drive has noted.
    package let epoch: UInt32
    /// Keys in the change list of the last checkpoint.
    package let changedKeys: UInt32

    package init(
        formatVersion: UInt16, storeID: StoreIdentity, driveID: StoreIdentity, memberCount: Int,
        blockSizeBytes: UInt32, minimumSlotBytes: UInt32, capacityBytes: UInt64,
        usableBytes: UInt64, blockCount: UInt64, epoch: UInt32 = 0, changedKeys: UInt32 = 0
    ) {
        self.formatVersion = formatVersion
        self.storeID = storeID
        self.driveID = driveID
        self.memberCount = memberCount
        self.blockSizeBytes = blockSizeBytes
        self.minimumSlotBytes = minimumSlotBytes
        self.capacityBytes = capacityBytes
        self.usableBytes = usableBytes
        self.blockCount = blockCount
        self.epoch = epoch
        self.changedKeys = changedKeys
    }

    init(_ superblock: Superblock) {
        self.init(
            formatVersion: superblock.formatVersion, storeID: superblock.storeID,
            driveID: superblock.driveID, memberCount: superblock.memberCount,
            blockSizeBytes: superblock.layout.classes.blockSizeBytes,
            minimumSlotBytes: superblock.layout.classes.minimumSlotBytes,
            capacityBytes: superblock.layout.capacityBytes,
            usableBytes: superblock.layout.usableBytes, blockCount: superblock.blockCount,
            epoch: superblock.lineage.counter, changedKeys: superblock.changeCount)
    }
}

/// What a drive carries.
package enum DriveContent: Hashable, Sendable {
    /// Nothing where the superblocks would be.
    case empty
    /// Something that is no store.
    case foreign
    case store(DriveFacts)
    /// A store of a version that this build doesn't read.
    case newerStore(version: UInt16)
    case olderStore(version: UInt16)
    case damagedStore
}

extension InspectedDrive where Device: ~Copyable {
    /// Arena bytes that `content` and `hasJournal` need, from the arena's start.
    package static var contentMemoryBytes: ByteCount {
        ByteCount(2 * FormatConstants.superblockBytes.rawValue)
    }

    /// What the drive carries; a superblock that can't be read counts as damaged.
    package func content() -> DriveContent {
        guard let copies = readSuperblocks(to: ArenaOffset(0)) else { return .empty }
        switch SuperblockChoice(copies.a, copies.b) {
        case .use(let superblock, _, _): return .store(DriveFacts(superblock))
        case .refuse(.newerFormat(let version, _)): return .newerStore(version: version)
        case .refuse(.olderFormat(let version)): return .olderStore(version: version)
        case .refuse(.notFormatted): return isZero(copies.memory) ? .empty : .foreign
        case .refuse: return .damagedStore
        }
    }

    struct SuperblockCopies {
        let a: Superblock.Reading
        let b: Superblock.Reading
        let memory: ArenaRange
    }

    /// Reads both superblocks to `memory`; nil when the drive is too small for one. One that was
    /// cut short before its second one counts as having a damaged one there.
    func readSuperblocks(to memory: ArenaOffset) -> SuperblockCopies? {
        let bytes = FormatConstants.superblockBytes
        let capacity = geometry.capacity.rawValue
        let offsets = [FormatConstants.superblockA, FormatConstants.superblockB].filter {
            $0.rawValue + bytes.rawValue <= capacity
        }
        if offsets.isEmpty { return nil }
        let range = ArenaRange(
            start: memory, length: ByteCount(UInt64(offsets.count) * bytes.rawValue))
        let places = offsets.indices.map { range.part(at: UInt64($0) * 4096, length: bytes) }
        let errors = read(zip(offsets, places).map { ($0, $1) })
        let readings = places.indices.map { copy in
            errors[copy] == nil ? Superblock.read(arena, at: places[copy].start) : .damaged
        }
        return SuperblockCopies(a: readings[0], b: readings[readings.count - 1], memory: range)
    }

    /// Whether a journal is where a store's drive has it, though its superblocks say nothing: among
    /// the first blocks of its first copy is an undamaged one.
    package func hasJournal() -> Bool {
        let bytes = ByteCount(FormatConstants.journalBlockBytes)
        let memory = ArenaRange(start: ArenaOffset(0), length: bytes)
        let ends = stride(
            from: FormatConstants.headBytes + bytes.rawValue, through: geometry.capacity.rawValue,
            by: Int(bytes.rawValue))
        return ends.prefix(16).contains { end in
            read([(ByteOffset(end - bytes.rawValue), memory)]) == [nil]
                && JournalBlockHeader.isBlock(arena, at: memory.start)
        }
    }

    private func isZero(_ range: ArenaRange) -> Bool {
        (0..<range.length.rawValue / 8).allSatisfy {
            arena.loadWord(range.start.advanced(by: $0 * 8)) == 0
        }
    }
}
