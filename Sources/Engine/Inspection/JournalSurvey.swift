// JournalSurvey: every block of both copies of the journal, and what the records in it add to the
// last checkpoint.
//
// Always holds: it follows the chain as recovery does, by the same rules. A copy that is missing
// above the highest durable mark is what any crash leaves, and no damage. Behind a hole nothing can
// be believed; what is counted there is an estimate.

/// The journal of one drive, surveyed.
struct JournalSurvey {
    private(set) var findings: [DriveFinding] = []
    /// Blocks and slot bytes that the records add to those of the checkpoint.
    private(set) var addedBlocks: Int64 = 0
    private(set) var addedSlotBytes: Int64 = 0
    /// False when records are missing, or may not count.
    private(set) var isExact = true

    private let superblock: Superblock
    private var scan: JournalScan
    /// Sequences of which one copy isn't what the other is.
    private var halves: [(sequence: JournalSequence, copy: Int)] = []
    /// Sequences behind the end without any good copy.
    private var missing: [JournalSequence] = []
    /// What each commit added, so that a void can take it back.
    private var commits: [Version: (blocks: Int64, slotBytes: Int64)] = [:]

    private static let chunkBlocks: UInt64 = 64

    init(_ superblock: Superblock) {
        self.superblock = superblock
        scan = JournalScan(
            last: JournalSequence(superblock.journalStart.rawValue - 1),
            chain: superblock.journalChain,
            settled: JournalSequence(superblock.journalStart.rawValue - 1))
    }

    /// Arena bytes that `run` needs.
    static var memoryBytes: ByteCount {
        ByteCount(2 * chunkBlocks * FormatConstants.journalBlockBytes)
    }

    /// Reads the whole ring with `memory`.
    mutating func run<Device: BlockDevice & ~Copyable>(
        _ drive: InspectedDrive<Device>, memory: ArenaRange
    ) {
        let blocks = UInt64(superblock.layout.journalBlocks)
        var done: UInt64 = 0
        while done < blocks {
            let first = superblock.journalStart.rawValue + done
            let count = min(blocks - done, blocks - first % blocks, Self.chunkBlocks)
            look(at: JournalSequence(first), count: count, of: drive, memory: memory)
            done += count
        }
        conclude()
    }

    private mutating func look<Device: BlockDevice & ~Copyable>(
        at first: JournalSequence, count: UInt64, of drive: InspectedDrive<Device>,
        memory: ArenaRange
    ) {
        let bytes = FormatConstants.journalBlockBytes
        let offsets = superblock.layout.journalOffsets(of: first)
        func place(_ copy: Int, _ block: UInt64) -> ArenaRange {
            memory.part(
                at: (UInt64(copy) * Self.chunkBlocks + block) * bytes, length: ByteCount(bytes))
        }
        var reads: [(ByteOffset, ArenaRange)] = []
        for block in 0..<count {
            reads.append((ByteOffset(offsets.a.rawValue + block * bytes), place(0, block)))
            reads.append((ByteOffset(offsets.b.rawValue + block * bytes), place(1, block)))
        }
        let errors = drive.read(reads)
        for block in 0..<count {
            let expected = JournalSequence(first.rawValue + block)
            let headers = (0..<2).map { copy -> JournalBlockHeader? in
                guard errors[Int(block) * 2 + copy] == nil else { return nil }
                return JournalBlockHeader.read(
                    drive.arena, at: place(copy, block).start,
                    driveIDLow: superblock.driveID.low)
            }
            take(expected, headers) { copy in (drive.arena, place(copy, block).start) }
        }
    }

    private mutating func take(
        _ expected: JournalSequence, _ headers: [JournalBlockHeader?],
        _ memory: (Int) -> (Arena, ArenaOffset)
    ) {
        var accepted: (header: JournalBlockHeader, copy: Int)?
        var hasOther = false
        for case (let copy, let header?) in headers.enumerated()
        where header.sequence >= expected && !header.isLeftOver(superblock) {
            scan.highestDurable = max(scan.highestDurable, header.durable)
            if scan.hasEnded {
                if header.sequence == expected, !hasOther {
                    hasOther = true
                    accepted = (header, copy)
                }
            } else if accepted == nil, header.isSuccessor(of: scan) {
                accepted = (header, copy)
            }
        }
        guard let (header, copy) = accepted else {
            scan.hasEnded = true
            missing.append(expected)
            return
        }
        let (arena, place) = memory(copy)
        for record in header.records(arena, at: place, layout: superblock.layout) { add(record) }
        if scan.hasEnded { return }
        scan.last = header.sequence
        scan.chain = header.checksum
        scan.incarnation = header.incarnation
        scan.settled = max(scan.settled, header.settled)
        if headers[1 - copy]?.checksum != header.checksum { halves.append((expected, 1 - copy)) }
    }

    private mutating func add(_ record: JournalRecord) {
        func bytes(_ extent: SlotExtent) -> Int64 {
            Int64(superblock.layout.classes.slotBytes(of: extent.sizeClass).rawValue)
                * Int64(extent.slots.count)
        }
        switch record {
        case .commit(let entry, let freed, _):
            let added = (
                blocks: Int64(freed.isEmpty ? 1 : 0), slotBytes: bytes(entry.extent) - bytes(freed)
            )
            commits[entry.version] = added
            addedBlocks += added.blocks
            addedSlotBytes += added.slotBytes
        case .delete(_, _, _, let freed, _):
            addedBlocks -= freed.isEmpty ? 0 : 1
            addedSlotBytes -= bytes(freed)
        case .void(let version):
            guard let added = commits.removeValue(forKey: version) else { return }
            addedBlocks -= added.blocks
            addedSlotBytes -= added.slotBytes
        }
    }

    private mutating func conclude() {
        isExact = scan.settled >= scan.last
        for (sequence, copy) in halves where sequence <= scan.highestDurable {
            let offsets = superblock.layout.journalOffsets(of: sequence)
            findings.append(
                DriveFinding(
                    structure: .journal, offset: copy == 0 ? offsets.a : offsets.b,
                    problem: "copy \(copy == 0 ? "A" : "B") of block \(sequence.rawValue) is "
                        + "damaged or missing, the other one is good", consequence: .repaired))
        }
        guard scan.highestDurable > scan.last else { return }
        isExact = false
        for sequence in missing where sequence <= scan.highestDurable {
            findings.append(
                DriveFinding(
                    structure: .journal,
                    offset: superblock.layout.journalOffsets(of: sequence).a,
                    problem: "both copies of block \(sequence.rawValue) are damaged or missing, "
                        + "and it had been durable", consequence: .returnsEmpty))
        }
    }
}
