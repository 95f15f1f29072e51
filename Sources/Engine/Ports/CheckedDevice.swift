// CheckedDevice: the one way from the engine to its drives. Checks, counts, times and bounds every
// operation.
//
// Always holds: what reaches a backend is aligned, inside its drive, inside the arena, and overlaps
// no write in flight; at most the backend's limit is in flight, shared evenly between drives, the
// rest waits in queues per drive, so that a slow drive holds up its own alone. A fenced drive's
// queued operations end as `gone` and nothing more is sent to it. Time during which nobody looked
// (a frozen process) isn't held against a drive.

/// What an operation is for: the state machine that its completion goes to.
enum DevicePurpose: Sendable {
    case payloadRead(OperationIndex)
    case payloadWrite(OperationIndex)
    case leafRead(FrameIndex)
    case leafWrite(FrameIndex)
    case journalWrite(buffer: Int)
    case flush
    case checkpoint(buffer: Int)
    case discard(batch: Int)
    case recovery(step: UInt32)
    case epochRaise
    /// Whether the drive still answers.
    case probe(copy: Int)
    case scrub
    case scrubRepair(FrameIndex)
}

/// The wrapper around a backend.
struct CheckedDevice<Device: BlockDevice & ~Copyable>: ~Copyable {
    var backend: Device
    private let cells: ShardCells
    private let arenaLength: ByteCount
    private var slots: FixedArray<Submission?>
    private var freeSlots: RingQueue<Int>
    private var lanes: FixedArray<DeviceLane>
    #if PLANTED_BUGS
    var skipsFlushes = false
    private var skipped = RingQueue<(DeviceOperation, DevicePurpose)>(capacity: 256)
    #endif

    struct Submission {
        var operation: DeviceOperation
        var purpose: DevicePurpose
        var submitted: Instant
        /// What the drive had in flight when it was submitted, its own included.
        var bytesAhead: UInt64
    }

    /// `queueLimit` is how many operations the engine may have waiting for one drive.
    init(backend: consuming Device, cells: ShardCells, arenaLength: ByteCount, queueLimit: Int) {
        let limit = backend.operationLimit
        let driveCount = backend.driveCount
        precondition(
            driveCount > 0 && limit >= 2 * driveCount, "a device without room for operations")
        var geometries: [DriveGeometry] = []
        for drive in 0..<driveCount {
            geometries.append(backend.geometry(of: DriveIndex(UInt16(drive))))
        }
        self.backend = backend
        self.cells = cells
        self.arenaLength = arenaLength
        slots = FixedArray(count: limit, repeating: nil)
        freeSlots = RingQueue(capacity: limit)
        for index in 0..<limit { freeSlots.append(index) }
        lanes = FixedArray(count: driveCount) { drive in
            DeviceLane(
                geometry: geometries[drive], limit: limit / driveCount, queueLimit: queueLimit)
        }
    }

    var driveCount: Int { lanes.count }

    func geometry(of drive: DriveIndex) -> DriveGeometry { lanes[drive].geometry }

    /// What failed last on `drive`.
    func lastFailure(on drive: DriveIndex) -> FenceCause? { lanes[drive].lastFailure }

    /// Operations of `drive` that haven't completed, the waiting ones included.
    func outstanding(on drive: DriveIndex) -> Int {
        lanes[drive].reads.outstanding + lanes[drive].changes.outstanding
    }

    /// Sends an operation, now or when the drive's share of the limit allows.
    mutating func submit(
        _ action: DeviceAction, on drive: DriveIndex, at offset: ByteOffset = ByteOffset(0),
        memory: ArenaRange = ArenaRange(start: ArenaOffset(0), length: .zero),
        length: ByteCount? = nil, for purpose: DevicePurpose, now: Instant
    ) {
        let operation = DeviceOperation(
            action: action, drive: drive, offset: offset, length: length ?? memory.length,
            memory: memory.start, tag: OperationTag(0))
        check(operation)
        #if PLANTED_BUGS
        if skipsFlushes, action == .flush {
            skipped.append((operation, purpose))
            return
        }
        #endif
        lanes[drive].append(WaitingOperation(operation: operation, purpose: purpose, since: now))
        feed(Int(drive.rawValue), now: now)
    }

    /// Sends nothing more to `drive`; what waits for it completes as `gone`.
    mutating func fence(_ drive: DriveIndex) { lanes[drive].isFenced = true }

    /// The next completion with its purpose, or nil. Counted and timed on the way.
    mutating func nextCompletion(
        now: Instant
    ) -> (purpose: DevicePurpose, operation: DeviceOperation, error: DeviceError?)? {
        #if PLANTED_BUGS
        if let (operation, purpose) = skipped.popFirst() { return (purpose, operation, nil) }
        #endif
        for lane in 0..<lanes.count where lanes[lane].isFenced {
            if let abandoned = lanes[lane].nextAbandoned() {
                return (abandoned.purpose, abandoned.operation, .gone)
            }
        }
        guard let completion = backend.nextCompletion() else { return nil }
        let slot = Int(completion.tag.rawValue)
        guard let submission = slots[slot] else {
            preconditionFailure("completion of operation \(slot), which is not in flight")
        }
        slots[slot] = nil
        freeSlots.append(slot)
        let lane = Int(submission.operation.drive.rawValue)
        lanes[lane].ended(submission.operation)
        if let error = completion.error {
            lanes[lane].lastFailure = .failed(
                submission.operation.action, error, code: completion.code)
        }
        record(submission, error: completion.error, now: now)
        feed(lane, now: now)
        return (submission.purpose, submission.operation, completion.error)
    }

    private mutating func feed(_ lane: Int, now: Instant) {
        while let waiting = lanes[lane].next() {
            guard let slot = freeSlots.popFirst() else {
                preconditionFailure("no free slot below the limit")
            }
            var operation = waiting.operation
            operation.tag = OperationTag(UInt64(slot))
            lanes[lane].bytesInFlight += operation.length.rawValue
            slots[slot] = Submission(
                operation: operation, purpose: waiting.purpose, submitted: now,
                bytesAhead: lanes[lane].bytesInFlight)
            if case .payloadWrite = waiting.purpose {
                cells.record(now.microseconds(since: waiting.since), in: .writerWait)
            }
            backend.submit(operation)
        }
    }

    // MARK: Time

    /// Another second has passed: what the drive's reads and writes took, where that ends a window.
    mutating func closeSecond(
        on drive: DriveIndex
    ) -> (reads: LatencyTrack.Closed?, writes: LatencyTrack.Closed?) {
        (lanes[drive].readLatency.closeSecond(), lanes[drive].writeLatency.closeSecond())
    }

    /// The last windows of `drive` were usual ones.
    mutating func learn(on drive: DriveIndex) {
        lanes[drive].readLatency.learn()
        lanes[drive].writeLatency.learn()
    }

    /// Operations in flight on any drive.
    var inFlight: Int { slots.count - freeSlots.count }

    func oldest(on drive: DriveIndex) -> OldestOperations {
        var oldest = OldestOperations()
        for slot in 0..<slots.count {
            guard let submission = slots[slot], submission.operation.drive == drive else {
                continue
            }
            switch submission.operation.action {
            case .read: oldest.read = min(oldest.read ?? .never, submission.submitted)
            case .write, .flush: oldest.change = min(oldest.change ?? .never, submission.submitted)
            case .discard:
                oldest.discard = min(oldest.discard ?? .never, submission.submitted)
            }
        }
        return oldest
    }

    /// Nobody has looked for a while: what is in flight counts as submitted now, and the latencies
    /// of these seconds count for nothing.
    mutating func excuse(now: Instant) {
        for slot in 0..<slots.count where slots[slot] != nil { slots[slot]?.submitted = now }
        dropLatencies()
    }

    /// The latencies of these seconds count for nothing.
    mutating func dropLatencies() {
        for lane in 0..<lanes.count {
            lanes[lane].readLatency.dropWindow()
            lanes[lane].writeLatency.dropWindow()
        }
    }

    private func check(_ operation: DeviceOperation) {
        let geometry = lanes[operation.drive].geometry
        let unit = UInt64(geometry.logicalBlockBytes)
        if operation.action == .flush { return }
        precondition(
            operation.length.rawValue > 0 && operation.offset.rawValue % unit == 0
                && operation.length.rawValue % unit == 0,
            "\(operation.action) of \(operation.length.rawValue) bytes at "
                + "\(operation.offset.rawValue) is not aligned to \(unit)")
        precondition(
            operation.offset.rawValue + operation.length.rawValue <= geometry.capacity.rawValue,
            "\(operation.action) past the end of the drive")
        if operation.action == .discard { return }
        precondition(
            operation.memory.rawValue % unit == 0
                && operation.memory.rawValue + operation.length.rawValue <= arenaLength.rawValue,
            "\(operation.action) with memory outside the arena or unaligned")
        if operation.action == .write { checkOverlap(of: operation) }
    }

    private func checkOverlap(of operation: DeviceOperation) {
        let start = operation.offset.rawValue
        let end = start + operation.length.rawValue
        for slot in 0..<slots.count {
            guard let other = slots[slot]?.operation, other.drive == operation.drive,
                other.action == .write || other.action == .discard
            else { continue }
            precondition(
                other.offset.rawValue + other.length.rawValue <= start
                    || other.offset.rawValue >= end,
                "a write at \(start) overlaps a \(other.action) at \(other.offset.rawValue)"
            )
        }
    }

    private mutating func record(_ submission: Submission, error: DeviceError?, now: Instant) {
        let operation = submission.operation
        let drive = cells.drives[Int(operation.drive.rawValue)]
        let latency = now.microseconds(since: submission.submitted)
        switch operation.action {
        case .read:
            lanes[operation.drive].readLatency.record(
                latencyMicroseconds: latency, bytesAhead: submission.bytesAhead)
            drive.record(latency, in: .read)
            cells.record(latency, in: .deviceRead)
            drive.add(operation.length.rawValue, to: .bytesRead)
            if error != nil { drive.add(to: .readErrors) }
        case .write:
            lanes[operation.drive].writeLatency.record(
                latencyMicroseconds: latency, bytesAhead: submission.bytesAhead)
            drive.record(latency, in: .write)
            cells.record(latency, in: .deviceWrite)
            drive.add(operation.length.rawValue, to: .bytesWritten)
            if error != nil { drive.add(to: .writeErrors) }
            if error == .noSpace { drive.add(to: .fileSystemFull) }
        case .flush:
            drive.record(latency, in: .flush)
            cells.record(latency, in: .deviceFlush)
            drive.add(to: .flushes)
            if error != nil { drive.add(to: .flushErrors) }
        case .discard:
            drive.record(latency, in: .trim)
            if error != nil {
                drive.add(to: .trimErrors)
            } else {
                drive.add(to: .trimExtents)
                drive.add(operation.length.rawValue, to: .trimBytes)
            }
        }
    }
}
