// RecoveryRehearsal: the engine's own recovery, run on a drive that must not change, up to the
// moment when everything is decided and the first superblock would be written.
//
// Always holds: what it yields is what a start of memkvd would serve, since it is made by the same
// code; nothing is written to the drive.

import Wire

/// What recovery makes of a drive.
struct RecoveredState: ~Copyable {
    enum Outcome: Hashable {
        case served
        case returnedEmpty
        case refused(DriveRefusal)
        /// The drive answers with errors that take it out of service.
        case fenced
    }

    var outcome: Outcome
    /// Who owns which slot.
    var space: SpaceMap
    /// Keys changed since the last checkpoint.
    var changes: [BlockKey: DirtyEntry] = [:]
    var blockCount: UInt64 = 0
    var replayedRecords: UInt64 = 0
    var unlandedPuts: UInt64 = 0
}

/// A transport that nobody uses.
private struct SilentTransport: Transport {
    mutating func nextRequest(now: Instant) -> Request? { nil }
    mutating func takePayload(of request: RequestHandle) -> SlabLease? { nil }
    mutating func respond(
        to request: RequestHandle, with response: Response, payload: consuming SlabLease?
    ) {}
}

/// The memory of a rehearsal.
struct RehearsalMemory {
    let arena: Arena
    /// At least `privateBytes`.
    let privateRange: ArenaRange
    /// For values, `FormatConstants.largestValueBytes` of them.
    let values: ArenaRange

    static var privateBytes: ByteCount { DriveMemory.bytes(leafCacheBytes: 0) }
}

/// Recovers `drive`, which `superblock` describes, as an engine with this `dirtyEntryLimit` would.
func rehearseRecovery<Device: BlockDevice & ~Copyable>(
    of drive: InspectedDrive<Device>, _ superblock: Superblock, memory: RehearsalMemory,
    dirtyEntryLimit: Int
) -> RecoveredState {
    var configuration = EngineConfiguration()
    // Nobody sends requests.
    configuration.operationLimit = 1
    configuration.dirtyEntryLimit = dirtyEntryLimit
    configuration.blockSizeBytes = superblock.layout.classes.blockSizeBytes
    configuration.minimumSlotBytes = superblock.layout.classes.minimumSlotBytes
    configuration.valueLimitBytes = UInt32(
        min(
            FormatConstants.largestValueBytes,
            UInt64(configuration.blockSizeBytes) * UInt64(SlotList.capacity)))
    configuration.leafCacheBytes = 0
    let cells = ShardCells(driveCount: 1)
    var engine = Engine(
        configuration: configuration, device: OverlayDevice(over: drive),
        transport: SilentTransport(),
        memory: EngineMemory(
            arena: memory.arena, privateRange: memory.privateRange,
            slabs: SlabPool(
                arena: memory.arena, region: memory.values, slabBytes: memory.values.length)),
        cells: cells)
    engine.recoverAlone { drive.wait() }
    var state = engine.recoveredState()
    state.replayedRecords = cells.drives[0].value(.recoveredRecords)
    state.unlandedPuts = cells.drives[0].value(.recoveredTornPayloads)
    return state
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Recovers the first drive by itself, whatever store it belongs to, until it would write.
    fileprivate mutating func recoverAlone(wait: () -> Void) {
        let drive = DriveIndex(0)
        beginRecovery(drive)
        while drives[drive].state == .recovering, drives[drive].refusal == nil,
            drives[drive].recovery.step != .raisingOther
        {
            var hasMoved = false
            while drives[drive].recovery.step != .raisingOther,
                let (purpose, _, error) = device.nextCompletion(now: now)
            {
                hasMoved = true
                guard case .recovery(let step) = purpose else {
                    preconditionFailure("a recovery that does something else")
                }
                recoveryMoved(step, on: drive, error)
            }
            if drives[drive].recovery.step == .awaitingOthers {
                beginIndexStep(.roots, on: drive)
                hasMoved = true
            }
            pumpRecovery(drive)
            if !hasMoved { wait() }
        }
    }

    fileprivate mutating func recoveredState() -> RecoveredState {
        let drive = DriveIndex(0)
        var state = RecoveredState(
            outcome: .served, space: SpaceMap(layout: drives[drive].superblock.layout))
        if let refusal = drives[drive].refusal {
            state.outcome = .refused(refusal)
        } else if drives[drive].state == .offline {
            state.outcome = .fenced
        } else if drives[drive].recovery.isEmptied {
            state.outcome = .returnedEmpty
        }
        swap(&state.space, &drives[drive].space)
        for index in 0..<drives[drive].active.count {
            let change = drives[drive].active.entry(at: index)
            state.changes[change.entry.key] = change
        }
        state.blockCount = drives[drive].blockCount
        return state
    }
}
