// DriveCheck: an offline check of every structure of a drive: both superblocks, both copies of the
// journal, every page of the tree and of the allocation map, the entries against the map, and the
// values when asked.
//
// Always holds: it only reads. What recovery would do, the engine's own recovery says; the surveys
// say where the damage is, by the parsers that the engine uses.

/// A check of one drive.
package enum DriveCheck<Device: BlockDevice & ~Copyable> {
    /// Arena bytes that `run` needs, from the arena's start.
    package static var memoryBytes: ByteCount {
        ByteCount(
            InspectedDrive<Device>.contentMemoryBytes.rawValue
                + PageSurvey<Device>.memoryBytes.rawValue + RehearsalMemory.privateBytes.rawValue
                + FormatConstants.largestValueBytes + 4 * 4096)
    }

    private struct Memory {
        let superblocks, pages, values: ArenaRange
        let rehearsal: RehearsalMemory

        init(_ arena: Arena) {
            var planner = ArenaPlanner(length: arena.length)
            func take(_ bytes: ByteCount) -> ArenaRange {
                guard let range = planner.take(bytes) else {
                    preconditionFailure("too little memory for a check")
                }
                return range
            }
            superblocks = take(InspectedDrive<Device>.contentMemoryBytes)
            pages = take(PageSurvey<Device>.memoryBytes)
            values = take(ByteCount(FormatConstants.largestValueBytes))
            rehearsal = RehearsalMemory(
                arena: arena, privateRange: take(RehearsalMemory.privateBytes), values: values)
        }
    }

    /// Checks `drive`. Nil when it carries no store that this build reads: `content` says what
    /// then. `dirtyEntryLimit` is that of the engine that would recover it: a journal that changes
    /// more keys than it allows is damage. `progress` is told the bytes of each value that was
    /// compared.
    package static func run(
        _ drive: InspectedDrive<Device>, verifiesValues: Bool = false,
        dirtyEntryLimit: Int = EngineConfiguration().dirtyEntryLimit,
        progress: @escaping (UInt64) -> Void = { _ in }
    ) -> DriveReport? {
        let memory = Memory(drive.arena)
        guard let copies = drive.readSuperblocks(to: memory.superblocks.start) else { return nil }
        var report = DriveReport()
        switch SuperblockChoice(copies.a, copies.b) {
        case .refuse(.bothSuperblocksDamaged): return bothSuperblocksDamaged()
        case .refuse: return nil
        case .use(let superblock, _, _):
            report.facts = DriveFacts(superblock)
            guard superblock.layout.capacityBytes <= drive.geometry.capacity.rawValue else {
                report.refusal = .largerThanDrive(
                    stored: superblock.layout.capacityBytes,
                    capacity: drive.geometry.capacity.rawValue)
                report.loss = DriveLoss(
                    blocks: superblock.blockCount, slotBytes: nil, isExact: false)
                return report
            }
            note(copies.a, copies.b, in: &report, consequence: .repaired)
            let state = rehearseRecovery(
                of: drive, superblock, memory: memory.rehearsal, dirtyEntryLimit: dirtyEntryLimit)
            guard state.outcome != .served || state.space.layout == superblock.layout else {
                report.findings.append(
                    DriveFinding(
                        structure: .superblock, offset: nil,
                        problem: "it reads differently the second time", consequence: .refused))
                report.loss = DriveLoss(
                    blocks: superblock.blockCount, slotBytes: nil, isExact: false)
                return report
            }
            survey(drive, superblock, state, memory, verifiesValues, progress, &report)
            return report
        }
    }

    /// The report of a store's drive that no superblock tells anything of; also of one that was
    /// recognised by other means, where `run` finds no store.
    package static func bothSuperblocksDamaged() -> DriveReport {
        var report = DriveReport()
        report.refusal = .bothSuperblocksDamaged
        report.loss = DriveLoss(blocks: 0, slotBytes: nil, isExact: false)
        note(.damaged, .damaged, in: &report, consequence: .refused)
        return report
    }

    private static func note(
        _ a: Superblock.Reading, _ b: Superblock.Reading, in report: inout DriveReport,
        consequence: DriveConsequence
    ) {
        let places = [
            ("A", a, FormatConstants.superblockA), ("B", b, FormatConstants.superblockB),
        ]
        for (name, reading, offset) in places {
            if case .valid = reading { continue }
            report.findings.append(
                DriveFinding(
                    structure: .superblock, offset: offset,
                    problem: "copy \(name) is damaged", consequence: consequence))
        }
    }

    private static func survey(
        _ drive: InspectedDrive<Device>, _ superblock: Superblock,
        _ state: borrowing RecoveredState, _ memory: Memory, _ verifiesValues: Bool,
        _ progress: @escaping (UInt64) -> Void, _ report: inout DriveReport
    ) {
        var journal = JournalSurvey(superblock)
        journal.run(drive, memory: memory.pages.part(at: 0, length: JournalSurvey.memoryBytes))
        report.findings += journal.findings
        surveyChanges(drive, superblock, memory: memory.pages, &report)
        var pages = PageSurvey(drive, superblock, memory: memory.pages)
        let mappedBytes = pages.readMap()
        var blocks = BlockSurvey(
            pages, memory: memory.values, verifiesValues: verifiesValues, progress: progress)
        blocks.run(state)
        report.findings += blocks.pages.findings
        report.replayedRecords = state.replayedRecords
        report.unlandedPuts = state.unlandedPuts
        report.verifiedValues = blocks.verifiedValues
        switch state.outcome {
        case .served: compare(blocks, state, superblock, &report)
        case .returnedEmpty:
            report.loss = emptied(
                superblock, journal,
                slotBytes: mappedBytes ?? (blocks.isWhole ? blocks.slotBytes : nil))
        case .refused(let refusal):
            report.refusal = refusal
        case .fenced:
            report.findings.append(
                DriveFinding(
                    structure: .superblock, offset: nil,
                    problem: "the drive answers reads with errors", consequence: .refused))
            report.loss = emptied(superblock, journal, slotBytes: nil)
        }
    }

    /// Looks at each page of the change list that the superblock names.
    private static func surveyChanges(
        _ drive: InspectedDrive<Device>, _ superblock: Superblock, memory: ArenaRange,
        _ report: inout DriveReport
    ) {
        let place = memory.part(at: 0, length: ByteCount(FormatConstants.pageBytes))
        for page in 0..<ChangePage.pages(for: Int(superblock.changeCount)) {
            let offset = superblock.layout.changeOffset(area: superblock.changeArea, page: page)
            let error = drive.read([(offset, place)])[0]
            let isGood = ChangePage.matches(
                ChangePage.Identity(superblock, page: page), drive.arena, at: place.start)
            if error == nil, isGood { continue }
            report.findings.append(
                DriveFinding(
                    structure: .changePage, offset: offset,
                    problem: "page \(page): "
                        + (error.map { "it can't be read (\($0))" }
                            ?? "it isn't what the superblock says"),
                    consequence: .awayDrivesReturnEmpty))
        }
    }

    /// Everything that the checkpoint and the journal knew.
    private static func emptied(
        _ superblock: Superblock, _ journal: JournalSurvey, slotBytes: UInt64?
    ) -> DriveLoss {
        DriveLoss(
            blocks: UInt64(max(0, Int64(superblock.blockCount) + journal.addedBlocks)),
            slotBytes: slotBytes.map { UInt64(max(0, Int64($0) + journal.addedSlotBytes)) },
            isExact: journal.isExact)
    }

    /// Holds what was found against what recovery counts.
    private static func compare(
        _ found: borrowing BlockSurvey<Device>, _ state: borrowing RecoveredState,
        _ superblock: Superblock, _ report: inout DriveReport
    ) {
        report.blocks = found.blocks - found.damagedValues
        // Quarantined slots are taken on purpose.
        let ownable = state.space.ownedBytes
        report.usedBytes = ownable
        report.loss.blocks = found.damagedValues
        report.loss.slotBytes = found.damagedSlotBytes
        let missing = Int64(state.blockCount) - Int64(found.blocks)
        let orphaned = ownable - min(found.slotBytes, ownable)
        if missing > 0 {
            report.loss.blocks += UInt64(missing)
            report.loss.slotBytes = found.damagedSlotBytes + orphaned
        }
        if missing < 0 || missing > 0 && found.isWhole && report.findings.isEmpty {
            report.findings.append(
                DriveFinding(
                    structure: .blockCount, offset: nil,
                    problem: "it says \(state.blockCount) and there are \(found.blocks)",
                    consequence: .nothing))
        }
        if orphaned > 0 {
            report.findings.append(
                DriveFinding(
                    structure: .slot, offset: nil,
                    problem: "slots of \(orphaned) bytes are taken and no block owns them",
                    consequence: .spaceLost(ByteCount(orphaned))))
        }
    }
}
