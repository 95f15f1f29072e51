// DriveLayout: where everything lies on a drive. Docs/on-drive-format.md draws it.
//
//   0                  superblock A (4 KiB)
//   512 KiB            drive-state registry (64 KiB, reserved)
//   1 MiB              superblock B (4 KiB)
//   2 MiB              journal, first copy
//   then               index pages of 16 KiB
//   then               data area: segments of slots
//   before the end     change list: two areas of 16 KiB pages, written in turn
//   at the end         journal, second copy
//
// Always holds: regions don't overlap, each is a multiple of its unit, and the index region has
// room for every block that the data area could hold, twice: the old tree and the new one beside
// it.

/// A page of the index or of the allocation map, counted from the start of the index region.
package struct PageIndex: Hashable, Comparable, Sendable {
    package let rawValue: UInt32
    package init(_ rawValue: UInt32) { self.rawValue = rawValue }
    package static func < (left: PageIndex, right: PageIndex) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// A segment of the data area.
package struct SegmentIndex: Hashable, Comparable, Sendable {
    package let rawValue: UInt32
    package init(_ rawValue: UInt32) { self.rawValue = rawValue }
    package static func < (left: SegmentIndex, right: SegmentIndex) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// The fixed places and sizes of the format.
package enum FormatConstants {
    package static let version: UInt16 = 2
    /// Version 1 had no room for epochs and change lists.
    package static let oldestVersion: UInt16 = 2
    package static let superblockBytes = ByteCount(4096)
    package static let superblockA = ByteOffset(0)
    package static let superblockB = ByteOffset(1 << 20)
    package static let headBytes: UInt64 = 2 << 20
    package static let journalBlockBytes: UInt64 = 4096
    package static let pageBytes: UInt64 = 16384
    package static let memberLimit = 64
    /// Sequences, versions and generations stay below it: no drive lives so long, and whatever is
    /// added to one that was read can't overflow.
    static let counterLimit: UInt64 = 1 << 62
    /// Largest value that any configuration accepts.
    package static let largestValueBytes: UInt64 = 16 << 20
    static let pageHeaderBytes: UInt64 = 64
}

/// The regions of one drive.
package struct DriveLayout: Hashable, Sendable {
    package let capacityBytes: UInt64
    package let classes: SizeClasses
    package let journalBlocks: UInt32
    package let segmentBytes: UInt64
    package let segmentCount: UInt32
    package let indexPages: UInt32
    /// Pages of each of the change list's two areas.
    package let changePages: UInt32

    /// The layout that fills a drive of `capacityBytes`; nil when not even two segments fit.
    package init?(capacityBytes: UInt64, classes: SizeClasses, journalBlocks: UInt32?) {
        let journal = journalBlocks ?? Self.suitableJournal(capacityBytes: capacityBytes)
        let segment = Self.segmentBytes(of: classes)
        let fixed =
            FormatConstants.headBytes + 2 * UInt64(journal) * FormatConstants.journalBlockBytes
        guard capacityBytes > fixed else { return nil }
        let available = capacityBytes - fixed
        var count = min(
            available / segment, UInt64(UInt32.max) / (segment / UInt64(classes.minimumSlotBytes)))
        while count >= 2 {
            let pages = Self.indexPages(
                segmentCount: count, segmentBytes: segment, classes: classes)
            let changePages = Self.changePages(
                units: count * (segment / UInt64(classes.minimumSlotBytes)))
            let needed =
                count * segment + (pages + 2 * changePages) * FormatConstants.pageBytes
            if needed <= available {
                self.init(
                    capacityBytes: capacityBytes, classes: classes, journalBlocks: journal,
                    segmentCount: UInt32(count), indexPages: UInt32(pages),
                    changePages: UInt32(changePages))
                return
            }
            count -= max(1, (needed - available) / segment)
        }
        return nil
    }

    /// The layout that a superblock tells; nil when its parts don't fit the drive it was made for.
    init?(
        capacityBytes: UInt64, classes: SizeClasses, journalBlocks: UInt32, segmentBytes: UInt64,
        segmentCount: UInt32, indexPages: UInt32, changePages: UInt32
    ) {
        let units = segmentBytes / UInt64(classes.minimumSlotBytes)
        guard journalBlocks >= 16, segmentCount >= 1, indexPages >= 16,
            segmentBytes == Self.segmentBytes(of: classes),
            UInt64(segmentCount) * units <= UInt64(UInt32.max),
            (1...Self.changePageLimit).contains(UInt64(changePages)),
            capacityBytes >= UInt64(journalBlocks) * FormatConstants.journalBlockBytes
                + 2 * UInt64(changePages) * FormatConstants.pageBytes
        else { return nil }
        self.init(
            capacityBytes: capacityBytes, classes: classes, journalBlocks: journalBlocks,
            segmentCount: segmentCount, indexPages: indexPages, changePages: changePages)
        guard changesStart.rawValue >= dataStart.rawValue + UInt64(segmentCount) * segmentBytes,
            journalCopyB.rawValue + journalBytes <= capacityBytes
        else { return nil }
    }

    private init(
        capacityBytes: UInt64, classes: SizeClasses, journalBlocks: UInt32, segmentCount: UInt32,
        indexPages: UInt32, changePages: UInt32
    ) {
        self.capacityBytes = capacityBytes
        self.classes = classes
        self.journalBlocks = journalBlocks
        segmentBytes = Self.segmentBytes(of: classes)
        self.segmentCount = segmentCount
        self.indexPages = indexPages
        self.changePages = changePages
    }

    /// A segment has room for four of the largest slots and for 64 of the smallest.
    static func segmentBytes(of classes: SizeClasses) -> UInt64 {
        max(UInt64(classes.blockSizeBytes) * 4, UInt64(classes.minimumSlotBytes) * 64)
    }

    private static func suitableJournal(capacityBytes: UInt64) -> UInt32 {
        let share = capacityBytes / 1024 / FormatConstants.journalBlockBytes
        return UInt32(min(16384, max(64, share)))
    }

    /// Leaves at least 47 % full, their inner pages, the map and its directory: all twice, and some
    /// to spare.
    private static func indexPages(
        segmentCount: UInt64, segmentBytes: UInt64, classes: SizeClasses
    ) -> UInt64 {
        let unitsPerSegment = segmentBytes / UInt64(classes.minimumSlotBytes)
        let leaves = segmentCount * unitsPerSegment / 120 + 1
        let inners = leaves / 20 + 1
        let recordBytes = 8 + (unitsPerSegment + 63) / 64 * 8
        let perPage = (FormatConstants.pageBytes - FormatConstants.pageHeaderBytes) / recordBytes
        let maps = segmentCount / perPage + 1
        return 2 * (leaves + inners + maps + inners / 200 + maps / 600 + 2) + 128
    }

    private static let changePageLimit: UInt64 = 192

    /// Room for a changed key for each 16 of the smallest slots.
    private static func changePages(units: UInt64) -> UInt64 {
        min(changePageLimit, units / 16 / UInt64(ChangePage.itemLimit) + 1)
    }

    /// Keys that the drive's change list has room for.
    var changeLimit: Int { Int(changePages) * ChangePage.itemLimit }

    /// Page pointers that the superblock of a full drive needs: leaves of 150 entries, inner pages
    /// half full, and the map's directory.
    var expectedPointers: Int {
        let leaves = UInt64(unitCount) / 150 + 1
        let roots = leaves / UInt64(IndexTree.childLimit / 2) / UInt64(IndexTree.rootItemLimit) + 1
        let recordBytes = 8 + (UInt64(unitsPerSegment) + 63) / 64 * 8
        let maps = UInt64(segmentCount) * recordBytes / FormatConstants.pageBytes + 1
        return Int(roots + maps / UInt64(MapDirectory.itemLimit) + 1)
    }

    package var unitsPerSegment: UInt32 {
        UInt32(segmentBytes / UInt64(classes.minimumSlotBytes))
    }

    package var unitCount: UInt32 { segmentCount * unitsPerSegment }

    package var journalBytes: UInt64 {
        UInt64(journalBlocks) * FormatConstants.journalBlockBytes
    }
    package var journalCopyA: ByteOffset { ByteOffset(FormatConstants.headBytes) }
    package var journalCopyB: ByteOffset {
        ByteOffset(
            (capacityBytes - journalBytes) / FormatConstants.pageBytes * FormatConstants.pageBytes)
    }
    package var changesStart: ByteOffset {
        ByteOffset(journalCopyB.rawValue - 2 * changeAreaBytes)
    }
    private var changeAreaBytes: UInt64 { UInt64(changePages) * FormatConstants.pageBytes }
    package var indexStart: ByteOffset {
        ByteOffset(
            (FormatConstants.headBytes + journalBytes + FormatConstants.pageBytes - 1)
                / FormatConstants.pageBytes * FormatConstants.pageBytes)
    }
    package var dataStart: ByteOffset {
        ByteOffset(indexStart.rawValue + UInt64(indexPages) * FormatConstants.pageBytes)
    }
    /// Bytes for users' blocks.
    package var usableBytes: UInt64 { UInt64(segmentCount) * segmentBytes }

    package func offset(of page: PageIndex) -> ByteOffset {
        precondition(page.rawValue < indexPages, "page \(page.rawValue) of \(indexPages)")
        return ByteOffset(indexStart.rawValue + UInt64(page.rawValue) * FormatConstants.pageBytes)
    }

    /// Where page `page` of area 0 or 1 of the change list is.
    package func changeOffset(area: Int, page: Int) -> ByteOffset {
        precondition(area < 2 && page < Int(changePages), "change page \(page) of \(changePages)")
        return ByteOffset(
            changesStart.rawValue + UInt64(area) * changeAreaBytes
                + UInt64(page) * FormatConstants.pageBytes)
    }

    package func offset(of slot: SlotIndex) -> ByteOffset {
        precondition(slot.rawValue < unitCount, "slot \(slot.rawValue) of \(unitCount)")
        return ByteOffset(
            dataStart.rawValue + UInt64(slot.rawValue) * UInt64(classes.minimumSlotBytes))
    }

    package func segment(of slot: SlotIndex) -> SegmentIndex {
        SegmentIndex(slot.rawValue / unitsPerSegment)
    }

    /// Both copies' places of the journal block with `sequence`.
    func journalOffsets(of sequence: JournalSequence) -> (a: ByteOffset, b: ByteOffset) {
        let place = sequence.rawValue % UInt64(journalBlocks) * FormatConstants.journalBlockBytes
        return (
            ByteOffset(journalCopyA.rawValue + place), ByteOffset(journalCopyB.rawValue + place)
        )
    }
}
