// PageSurvey: reads pages of the index region many at a time and compares each with the pointer
// that led to it.
//
// Always holds: every page is claimed once; a page of two owners is a finding of the second one.

/// A pointer to a page, with all that it says of it.
struct PageReference {
    let kind: IndexPageKind
    let pointer: PagePointer
    /// Nil for pages that the superblock points to: it doesn't tell.
    var generation: UInt64?
}

/// The pages of one drive.
struct PageSurvey<Device: BlockDevice & ~Copyable>: ~Copyable {
    /// Pages in memory at once.
    static var pageLimit: Int { 64 }
    static var memoryBytes: ByteCount {
        ByteCount(UInt64(pageLimit) * FormatConstants.pageBytes)
    }

    let drive: InspectedDrive<Device>
    let superblock: Superblock
    private let memory: ArenaRange
    private var claimed: Bitmap
    private(set) var findings: [DriveFinding] = []

    init(_ drive: InspectedDrive<Device>, _ superblock: Superblock, memory: ArenaRange) {
        self.drive = drive
        self.superblock = superblock
        self.memory = memory
        claimed = Bitmap(count: Int(superblock.layout.indexPages))
    }

    var arena: Arena { drive.arena }

    /// Where page `index` of the last `read` is.
    func place(_ index: Int) -> ArenaOffset {
        memory.part(
            at: UInt64(index) * FormatConstants.pageBytes,
            length: ByteCount(FormatConstants.pageBytes)
        ).start
    }

    /// Reads up to `pageLimit` pages; for each whether it is the one its pointer means.
    mutating func read(
        _ references: [PageReference], consequence: (PageReference) -> DriveConsequence
    ) -> [Bool] {
        precondition(references.count <= Self.pageLimit, "more pages than there is memory for")
        var isGood = references.map { _ in false }
        var reads: [(offset: ByteOffset, memory: ArenaRange)] = []
        var readers: [Int] = []
        for (index, reference) in references.enumerated() {
            let page = reference.pointer.page
            guard page.rawValue < superblock.layout.indexPages else {
                note(reference, "its pointer leads out of the index region", .returnsEmpty)
                continue
            }
            guard claimed.set(Int(page.rawValue)) else {
                note(reference, "another pointer leads there too", .returnsEmpty)
                continue
            }
            reads.append(
                (superblock.layout.offset(of: page), IndexPageHeader.range(at: place(index))))
            readers.append(index)
        }
        for (index, error) in zip(readers, drive.read(reads)) {
            let reference = references[index]
            if let error {
                note(reference, "it can't be read (\(error))", consequence(reference))
            } else if !matches(reference, at: place(index)) {
                note(reference, "it isn't what its pointer says", consequence(reference))
            } else {
                isGood[index] = true
            }
        }
        return isGood
    }

    private func matches(_ reference: PageReference, at place: ArenaOffset) -> Bool {
        IndexPageHeader.matches(
            arena, at: place, kind: reference.kind, pointer: reference.pointer,
            generation: reference.generation, driveIDLow: superblock.driveID.low)
    }

    /// Notes what is wrong with the page of `reference`.
    mutating func note(
        _ reference: PageReference, _ problem: String, _ consequence: DriveConsequence
    ) {
        let page = reference.pointer.page
        let isInside = page.rawValue < superblock.layout.indexPages
        findings.append(
            DriveFinding(
                structure: reference.kind.structure,
                offset: isInside ? superblock.layout.offset(of: page) : nil,
                problem: "page \(page.rawValue): \(problem)", consequence: consequence))
    }

    mutating func note(_ finding: DriveFinding) { findings.append(finding) }
}

extension IndexPageKind {
    fileprivate var structure: DriveStructure {
        switch self {
        case .leaf: .leafPage
        case .inner: .innerPage
        case .root: .rootPage
        case .map: .mapPage
        case .mapDirectory: .mapDirectoryPage
        }
    }
}
