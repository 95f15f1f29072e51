// JournalBlock: 4 KiB of journal: a header that chains it to its predecessor, then records.
//
// Always holds: a block is written once per turn of the ring, whole, in two copies; a reader
// accepts it only as the successor of the block before: next sequence, that block's checksum, an
// incarnation not lower, this drive's id. So nothing left over from an earlier turn, run or format
// is ever taken for news.
//
//   word 0  magic "MKVJRNL1"            word 4  sequence
//   word 1  version u16, words of       word 5  checksum of the block before
//           records u16, incarnation    word 6  highest sequence known durable when it was sealed
//           u32                         word 7  highest sequence known settled: payloads too
//   word 2  checksum XXH3-64, its own   word 8… records
//           word zero
//   word 3  drive id, low half

/// A journal block's header.
struct JournalBlockHeader: Sendable {
    private static let magic: UInt64 = 0x314C_4E52_4A56_4B4D
    static let wordCount = 8
    static let blockWords = Int(FormatConstants.journalBlockBytes / 8)
    /// Words for records in one block.
    static let recordWords = blockWords - wordCount

    var driveIDLow: UInt64
    var incarnation: UInt32
    var sequence: JournalSequence
    var previousChecksum: UInt64
    var durable: JournalSequence
    var settled: JournalSequence
    var usedWords: Int
    var checksum: UInt64 = 0

    /// Completes the block at `place`, whose records are there already; returns its checksum.
    func seal(_ arena: Arena, at place: ArenaOffset) -> UInt64 {
        func store(_ word: UInt64, _ index: Int) {
            arena.storeWord(word, at: place.advanced(by: UInt64(index) * 8))
        }
        let used = UInt64(Self.wordCount + usedWords) * 8
        let rest = FormatConstants.journalBlockBytes - used
        if rest > 0 {
            arena.zero(ArenaRange(start: place.advanced(by: used), length: ByteCount(rest)))
        }
        store(Self.magic, 0)
        store(
            UInt64(FormatConstants.version) | UInt64(usedWords) << 16 | UInt64(incarnation) << 32, 1
        )
        store(0, 2)
        store(driveIDLow, 3)
        store(sequence.rawValue, 4)
        store(previousChecksum, 5)
        store(durable.rawValue, 6)
        store(settled.rawValue, 7)
        let checksum = arena.checksum(Self.range(at: place))
        store(checksum, 2)
        return checksum
    }

    static func range(at place: ArenaOffset) -> ArenaRange {
        ArenaRange(start: place, length: ByteCount(FormatConstants.journalBlockBytes))
    }

    /// Whether the 4 KiB at `place` are an undamaged block of any drive.
    static func isBlock(_ arena: Arena, at place: ArenaOffset) -> Bool {
        read(arena, at: place, driveIDLow: arena.loadWord(place.advanced(by: 24))) != nil
    }

    /// The header at `place`, or nil when those 4 KiB are not an undamaged block of this drive.
    static func read(_ arena: Arena, at place: ArenaOffset, driveIDLow: UInt64) -> Self? {
        func word(_ index: Int) -> UInt64 { arena.loadWord(place.advanced(by: UInt64(index) * 8)) }
        guard word(0) == magic, word(3) == driveIDLow,
            UInt16(truncatingIfNeeded: word(1)) <= FormatConstants.version
        else { return nil }
        let stored = word(2)
        arena.storeWord(0, at: place.advanced(by: 16))
        let actual = arena.checksum(range(at: place))
        arena.storeWord(stored, at: place.advanced(by: 16))
        let used = Int(word(1) >> 16 & 0xFFFF)
        guard stored == actual, used <= recordWords, word(4) < FormatConstants.counterLimit
        else { return nil }
        return JournalBlockHeader(
            driveIDLow: driveIDLow, incarnation: UInt32(truncatingIfNeeded: word(1) >> 32),
            sequence: JournalSequence(word(4)), previousChecksum: word(5),
            durable: JournalSequence(word(6)), settled: JournalSequence(word(7)), usedWords: used,
            checksum: stored)
    }

    /// True for the block that recovery accepts behind what `scan` has accepted.
    func isSuccessor(of scan: JournalScan) -> Bool {
        sequence == scan.last.next && previousChecksum == scan.chain
            && incarnation >= scan.incarnation
    }

    /// True for a block that a recovery has cut off: it stands where the present incarnation
    /// writes, and is of an earlier one. A torn new block can bring such a block back whole.
    func isLeftOver(_ superblock: Superblock) -> Bool {
        sequence >= superblock.incarnationStart && incarnation < superblock.incarnation
    }

    /// The records of the block at `place`, in order.
    func records(_ arena: Arena, at place: ArenaOffset, layout: DriveLayout) -> [JournalRecord] {
        var records: [JournalRecord] = []
        let limit = Self.wordCount + usedWords
        var word = Self.wordCount
        while word < limit,
            let (record, words) = JournalRecord.decode(
                from: word, limit: limit, layout: layout,
                { arena.loadWord(place.advanced(by: UInt64($0) * 8)) })
        {
            records.append(record)
            word += words
        }
        return records
    }
}
