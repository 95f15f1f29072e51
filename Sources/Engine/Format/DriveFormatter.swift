// DriveFormatter: makes a drive an empty member of a store.
//
// Always holds: superblock B is written when A is durable; old journal blocks and pages on the
// drive can't be taken for this store's, because they carry another drive's id.

/// Formats one drive: writes both superblocks, each behind a flush, and nothing else.
package struct DriveFormatter: Sendable {
    /// Arena bytes it needs.
    package static let memoryBytes = FormatConstants.superblockBytes

    private enum Step {
        case begin, writingA, flushingA, writingB, flushingB, done
    }

    private let drive: DriveIndex
    private let memory: ArenaRange
    /// Where superblocks, journal and index lie: what a file drive should have allocated.
    package let metadata: [(start: ByteOffset, length: ByteCount)]
    private var step = Step.begin

    /// A sentence naming what is impossible, or nil.
    package static func impossibility(
        of format: FormatConfiguration, on geometry: DriveGeometry
    ) -> String? {
        var configuration = EngineConfiguration()
        configuration.blockSizeBytes = format.blockSizeBytes
        configuration.minimumSlotBytes = format.minimumSlotBytes
        configuration.valueLimitBytes = min(
            configuration.valueLimitBytes, format.blockSizeBytes)
        if let impossibility = configuration.impossibility { return impossibility }
        if format.members.isEmpty || format.members.count > FormatConstants.memberLimit {
            return "a store has 1 to \(FormatConstants.memberLimit) drives, not "
                + "\(format.members.count)"
        }
        guard let layout = layout(of: format, on: geometry) else {
            return "\(geometry.capacity.rawValue) bytes are too few for a store with blocks of "
                + "\(format.blockSizeBytes) bytes; use a larger drive or a smaller block size"
        }
        if layout.expectedPointers > Superblock.pointerLimit {
            return "\(layout.unitCount) slots of \(format.minimumSlotBytes) bytes are too many for "
                + "one drive; raise the smallest slot (storage.min_slot)"
        }
        return nil
    }

    private static func layout(
        of format: FormatConfiguration, on geometry: DriveGeometry
    ) -> DriveLayout? {
        DriveLayout(
            capacityBytes: geometry.capacity.rawValue,
            classes: SizeClasses(
                minimumSlotBytes: format.minimumSlotBytes, blockSizeBytes: format.blockSizeBytes),
            journalBlocks: format.journalBlocks)
    }

    /// Prepares to format. `impossibility` was nil; `memory` holds `memoryBytes`.
    package init(
        drive: DriveIndex, geometry: DriveGeometry, format: FormatConfiguration, arena: Arena,
        memory: ArenaRange
    ) {
        guard let layout = Self.layout(of: format, on: geometry) else {
            preconditionFailure("formatting a drive that is too small")
        }
        self.drive = drive
        self.memory = memory
        metadata = [
            (ByteOffset(0), ByteCount(layout.dataStart.rawValue)),
            (
                layout.changesStart,
                ByteCount(
                    layout.journalCopyB.rawValue + layout.journalBytes
                        - layout.changesStart.rawValue)
            ),
        ]
        Superblock(format: format, layout: layout).write(arena, at: memory.start)
    }

    /// Submits the next write or flush and takes completions; returns true when the drive is
    /// formatted. The caller waits on its device between calls.
    package mutating func step(
        device: inout some BlockDevice & ~Copyable
    ) throws(DeviceError) -> Bool {
        if case .begin = step { advance(&device) }
        while let completion = device.nextCompletion() {
            if let error = completion.error { throw error }
            advance(&device)
        }
        if case .done = step { return true }
        return false
    }

    private mutating func advance(_ device: inout some BlockDevice & ~Copyable) {
        switch step {
        case .begin:
            step = .writingA
            write(to: FormatConstants.superblockA, &device)
        case .writingA:
            step = .flushingA
            flush(&device)
        case .flushingA:
            step = .writingB
            write(to: FormatConstants.superblockB, &device)
        case .writingB:
            step = .flushingB
            flush(&device)
        case .flushingB: step = .done
        case .done: preconditionFailure("a completion after formatting was done")
        }
    }

    private func write(to offset: ByteOffset, _ device: inout some BlockDevice & ~Copyable) {
        device.submit(
            DeviceOperation(
                action: .write, drive: drive, offset: offset, length: memory.length,
                memory: memory.start, tag: OperationTag(0)))
    }

    private func flush(_ device: inout some BlockDevice & ~Copyable) {
        device.submit(DeviceOperation(action: .flush, drive: drive, tag: OperationTag(0)))
    }
}
