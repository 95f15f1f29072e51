// Docs/on-drive-format.md against the constants that it describes: what the page says is what is
// written.

@testable import Engine
import Glibc
import Sim
import Testing
import Wire

@Suite struct FormatDocumentTests {
    private let page = Self.read("Docs/on-drive-format.md")

    /// The text of a file of this repository.
    private static func read(_ path: String) -> String {
        let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        guard let file = unsafe fopen("/\(root)/\(path)", "r") else { return "" }
        defer { unsafe fclose(file) }
        var bytes: [UInt8] = []
        while true {
            let byte = unsafe fgetc(file)
            if byte == EOF { break }
            bytes.append(UInt8(truncatingIfNeeded: byte))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// The page says `text`, whatever its line breaks.
    private func says(_ text: String) -> Bool {
        page.split(whereSeparator: \.isWhitespace).joined(separator: " ").contains(text)
    }

    private func hexadecimal(_ word: UInt64) -> String {
        let digits = String(word, radix: 16, uppercase: true)
        return "0x" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    @Test func magicsAreTheOnesWritten() {
        #expect(!page.isEmpty)
        for kind in [IndexPageKind.leaf, .inner, .root, .map, .mapDirectory] {
            var text = hexadecimal(kind.rawValue)
            text.insert(" ", at: text.index(text.startIndex, offsetBy: 10))
            #expect(says(text), "\(kind)")
        }
        let memory = SimulatedMemory(length: ByteCount(UInt64(8192)))
        let superblock = Superblock.unread(EngineConfiguration())
        superblock.write(memory.arena, at: ArenaOffset(0))
        #expect(says(hexadecimal(memory.arena.loadWord(ArenaOffset(0)))))
        #expect(says(hexadecimal(ChangePage.magic)))
        let header = JournalBlockHeader(
            driveIDLow: 1, incarnation: 1, sequence: JournalSequence(1), previousChecksum: 0,
            durable: JournalSequence(0), settled: JournalSequence(0), usedWords: 0)
        _ = header.seal(memory.arena, at: ArenaOffset(4096))
        #expect(says(hexadecimal(memory.arena.loadWord(ArenaOffset(4096)))))
    }

    @Test func sizesAndPlacesAreTheOnesUsed() {
        #expect(FormatConstants.version == 2 && says("# The format of a drive, version 2"))
        #expect(says("| \(FormatConstants.superblockB.rawValue) | 4096 | superblock B |"))
        #expect(says("| \(FormatConstants.headBytes) | `journalBlocks` × 4096 |"))
        #expect(FormatConstants.journalBlockBytes == 4096 && says("A ring of blocks of 4096 bytes"))
        #expect(FormatConstants.pageBytes == 16384 && FormatConstants.pageHeaderBytes == 64)
        #expect(says("16384 bytes: a header of 64, then 16320 for items"))
        #expect(says("\(LeafPage.cellCapacity) cells of 64 bytes"))
        #expect(says("Up to \(IndexTree.childLimit) items of \(IndexTree.childBytes) bytes"))
        #expect(says("Up to \(IndexTree.rootItemLimit) items of \(IndexTree.rootItemBytes) bytes"))
        #expect(says("\(MapDirectory.itemLimit) items of 24 bytes"))
        #expect(says("page pointers, two words each, \(Superblock.pointerLimit) at most"))
        #expect(says("two words each, \(FormatConstants.memberLimit) at most, in an order"))
        #expect(says("\(PresenceFilter.wordCount * 64) bits in \(PresenceFilter.wordCount) words"))
        #expect(says("up to \(ChangePage.itemLimit) items of 40 bytes"))
        #expect(says("epochs in the lineage, 1 to \(EpochLineage.limit)"))
        #expect(Version.countBits == 42 && says("Bits 42 and up: the epoch"))
        #expect(says("slots of the largest class, \(SlotList.capacity) at most"))
    }

    /// The layout that the page's formulas give for a drive.
    private func layoutByThePage(
        capacity: UInt64, blockSize: UInt64, minSlot: UInt64
    ) -> (
        journalBlocks: UInt64, indexPages: UInt64, segments: UInt64, data: UInt64, journalB: UInt64,
        changes: UInt64
    ) {
        func ceil(_ a: UInt64, _ b: UInt64) -> UInt64 { (a + b - 1) / b }
        let journal = min(16384, max(64, capacity / 1024 / 4096))
        let segmentBytes = max(4 * blockSize, 64 * minSlot)
        let available = capacity - 2_097_152 - 2 * journal * 4096
        let units = segmentBytes / minSlot
        var segments = available / segmentBytes
        var pages: UInt64 = 0
        var changePages: UInt64 = 0
        while true {
            let leaves = segments * units / 120 + 1
            let inners = leaves / 20 + 1
            let maps = segments / (16320 / (8 + ceil(units, 64) * 8)) + 1
            pages = 2 * (leaves + inners + maps + inners / 200 + maps / 600 + 2) + 128
            changePages = min(192, segments * units / 16 / 408 + 1)
            let needed = segments * segmentBytes + (pages + 2 * changePages) * 16384
            if needed <= available { break }
            segments -= max(1, (needed - available) / segmentBytes)
        }
        let index = ceil(2_097_152 + journal * 4096, 16384) * 16384
        let journalB = (capacity - journal * 4096) / 16384 * 16384
        return (
            journal, pages, segments, index + pages * 16384, journalB,
            journalB - 2 * changePages * 16384
        )
    }

    @Test(arguments: [1 << 30, 3_000_005_632, 64 << 30, 7_680_000_000_000] as [UInt64])
    func theFormulasGiveTheLayout(capacity: UInt64) throws {
        for (block, slot) in [(4 << 20, 64 << 10), (1 << 20, 4 << 10), (64 << 10, 64 << 10)] {
            let layout = try #require(
                DriveLayout(
                    capacityBytes: capacity,
                    classes: SizeClasses(
                        minimumSlotBytes: UInt32(slot), blockSizeBytes: UInt32(block)),
                    journalBlocks: nil))
            let page = layoutByThePage(
                capacity: capacity, blockSize: UInt64(block), minSlot: UInt64(slot))
            #expect(UInt64(layout.journalBlocks) == page.journalBlocks)
            #expect(UInt64(layout.segmentCount) == page.segments)
            #expect(UInt64(layout.indexPages) == page.indexPages)
            #expect(layout.dataStart.rawValue == page.data)
            #expect(layout.journalCopyB.rawValue == page.journalB)
            #expect(layout.changesStart.rawValue == page.changes)
        }
    }

    @Test func theFilterIsThePagesFormula() {
        let key = BlockKey(namespace: Namespace(9), words: (0x0102_0304_0506_0708, 2, 3, 4))
        let driveIDLow: UInt64 = 0xFEDC_BA98_7654_3210
        for constant in ["9E3779B97F4A7C15", "BF58476D1CE4E5B9", "94D049BB133111EB"] {
            #expect(says("0x\(constant)"))
        }
        func finalize(_ x: UInt64) -> UInt64 {
            var x = x &+ 0x9E37_79B9_7F4A_7C15
            x = (x ^ (x >> 30)) &* 0xBF58_476D_1CE4_E5B9
            x = (x ^ (x >> 27)) &* 0x94D0_49BB_1331_11EB
            return x ^ (x >> 31)
        }
        var hash = driveIDLow &+ 9 &* 0x9E37_79B9_7F4A_7C15
        for word in [0x0102_0304_0506_0708, 2, 3, 4] as [UInt64] { hash = finalize(hash ^ word) }
        var words = [UInt64](repeating: 0, count: 32)
        for probe in 0..<5 as Range<UInt64> {
            let bit = Int((hash &+ probe &* (hash >> 32 | 1)) % 2048)
            words[bit / 64] |= 1 << UInt64(bit % 64)
        }
        var filter = PresenceFilter()
        filter.insert(hash: key.mixed(seed: driveIDLow))
        #expect((0..<32).map { filter.words[$0] } == words)
    }
}
