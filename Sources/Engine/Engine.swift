// Engine: one shard's store, a synchronous machine advanced by `step(now:)`.
//
// A step takes completions, runs the operations they wake, takes requests, lets every drive's
// machines (journal, flush, releases, checkpoint, eviction) go as far as they can, and answers
// deadlines. Always holds: nothing here waits, allocates, reads a clock or touches a file; what
// happens depends on `now`, the completions and the requests alone, in the order in which they are
// handed over.

import Wire

/// Slabs may be freed by other shards, which don't say so: how often a waiting engine looks.
private let slabPauseMicroseconds: UInt64 = 1000

/// The store of one shard, over its drives and its transport.
package struct Engine<Device: BlockDevice & ~Copyable, Link: Transport & ~Copyable>: ~Copyable {
    /// Operations kept free for what a request has begun (items of batches), and for eviction.
    var reservedForItems: Int { min(16, operations.ownCount / 4) }

    var device: CheckedDevice<Device>
    package var transport: Link
    package let cells: ShardCells
    package internal(set) var phase = EnginePhase.recovering
    package let configuration: EngineConfiguration

    let memory: EngineMemory
    let place: ShardPlace
    var drives: FixedArray<Drive>
    var placement: Placement
    var operations: OperationTable
    var locks: KeyLocks
    var readers: SlotReaders
    var streaming = StreamingChecksum()
    var verification = Verification()
    var scratch = FoldScratch()
    /// Operations that can go on.
    var ready = WaitQueue()
    /// Operations that need slabs.
    var slabWaiters = WaitQueue()
    /// Batches that need a free operation for their next item.
    var itemWaiters = WaitQueue()
    /// Changes that wait until the present epoch is active.
    var epochWaiters = WaitQueue()
    var epochs = StoreEpochs()
    /// The step's time.
    var now = Instant(nanoseconds: 0)
    var began: Instant?
    /// The drives of all shards are known to be one store; until then none of them recovers.
    var isStoreEstablished = false
    /// The other shards know this one's drives, know that they have recovered, and know that this
    /// one will ask for nothing more.
    var hasAnnounced = false
    var hasNotedRecovery = false
    var hasNotedQuiet = false
    /// One for each shard, this one's own unused.
    var peers: FixedArray<Peer>
    var peersToWake: UInt64 = 0
    /// Whose requests are taken first in the next step.
    var nextPeer = 0
    /// The roster's epoch when the step began.
    var seenEpoch: UInt64 = 0
    var earliestDeadline = Instant.never
    /// What the requests of all this shard's drives have in hand.
    var load = DriveLoad()
    var watchTimes = WatchTimes()
    var hasWorked = false

    /// Bytes of private arena memory that an engine of this configuration needs for `driveCount`
    /// drives.
    package static func privateMemory(
        for configuration: EngineConfiguration, driveCount: Int
    ) -> ByteCount {
        ByteCount(
            UInt64(driveCount)
                * DriveMemory.bytes(leafCacheBytes: configuration.leafCacheBytes).rawValue)
    }

    /// An engine that begins to recover at its first step; without a `place`, the only one of its
    /// daemon. Traps on an impossible configuration.
    package init(
        configuration: EngineConfiguration, device: consuming Device, transport: consuming Link,
        memory: EngineMemory, cells: ShardCells, place: ShardPlace? = nil
    ) {
        if let impossibility = configuration.impossibility { preconditionFailure(impossibility) }
        let driveCount = device.driveCount
        let place = place ?? .alone(driveCount: driveCount)
        precondition(place.driveNumbers.count == driveCount, "drives without a number")
        precondition(cells.drives.count == driveCount, "cells for another number of drives")
        var planner = ArenaPlanner(length: memory.privateRange.length)
        var memories: [DriveMemory] = []
        for _ in 0..<driveCount {
            guard
                let part = DriveMemory(
                    planner: &planner, base: memory.privateRange.start,
                    leafCacheBytes: configuration.leafCacheBytes)
            else { preconditionFailure("too little private memory for \(driveCount) drives") }
            memories.append(part)
        }
        self.configuration = configuration
        self.memory = memory
        self.cells = cells
        self.transport = transport
        self.place = place
        placement = Placement(ownShard: place.shard)
        peers = FixedArray(count: place.post.shardCount, repeating: Peer())
        operations = OperationTable(
            shard: place.shard, ownLimit: configuration.operationLimit + driveCount,
            peerLimit: place.post.shardCount > 1 ? configuration.operationLimit : 0)
        locks = KeyLocks(capacity: operations.count, seed: configuration.hashSeed)
        readers = SlotReaders(
            capacity: operations.count + driveCount, seed: configuration.hashSeed)
        self.device = CheckedDevice(
            backend: device, cells: cells, arenaLength: memory.arena.length,
            queueLimit: configuration.queueLimit(
                operationCount: operations.count, slabs: memory.slabs))
        #if PLANTED_BUGS
        self.device.skipsFlushes = configuration.plantedBug == .noFlush
        #endif
        drives = FixedArray(count: driveCount) { index in
            Drive(
                index: DriveIndex(UInt16(index)), memory: memories[index],
                superblock: .unread(configuration), arena: memory.arena,
                configuration: configuration, discardsWork: false)
        }
    }

    /// Drains completions and requests, decides, submits. True when anything happened, so that a
    /// caller who gets false may wait until `nextWake` or the next completion.
    package mutating func step(now: Instant) -> Bool {
        precondition(self.now <= now, "time went backwards")
        self.now = now
        let hadWork = hasWorked
        hasWorked = false
        seenEpoch = place.post.roster.epoch
        if began == nil { begin() }
        watchDrives(afterWork: hadWork)
        while let (purpose, operation, error) = device.nextCompletion(now: now) {
            hasWorked = true
            complete(purpose, operation, error)
            runReady()
        }
        if peers.count > 1 {
            takeReplies()
            takePeerRequests()
            runReady()
        }
        advanceEpoch()
        runReady()
        takeRequests()
        runReady()
        advanceVerification()
        runReady()
        for index in 0..<drives.count {
            pump(DriveIndex(UInt16(index)))
            runReady()
        }
        wakeSlabWaiters()
        if !itemWaiters.isEmpty, operations.ownCount - operations.ownInUse > reservedForItems {
            operations.move(&itemWaiters, to: &ready)
            runReady()
        }
        answerDeadlines()
        advancePhase()
        if hasWorked { publish() }
        return hasWorked
    }

    private mutating func begin() {
        began = now
        for index in 0..<drives.count { beginRecovery(DriveIndex(UInt16(index))) }
    }

    /// When `step` must be called though nothing completes: the earliest deadline, the next look at
    /// the drives while they have anything to do, and soon while slabs are awaited that another
    /// shard may free.
    package var nextWake: Instant {
        let wake = min(earliestDeadline, nextLookAtDrives, nextScrub)
        if peers.count == 1 || slabWaiters.isEmpty { return wake }
        return min(wake, now.advanced(byMicroseconds: slabPauseMicroseconds))
    }

    /// Stops taking requests, finishes what is in flight, here and for other shards, checkpoints;
    /// ends in `stopped`. All shards of a daemon are to be told.
    package mutating func beginDrain() {
        guard phase == .recovering || phase == .serving else { return }
        phase = .draining
        if isStoreEstablished { return }
        // Nothing has begun, and another shard may be why it never will.
        noteQuiet()
        phase = .stopped
    }

    /// Begins a checkpoint of every drive that has anything to fold.
    package mutating func requestCheckpoint() {
        for index in 0..<drives.count { drives[index].checkpoint.isRequested = true }
    }

    /// True when no checkpoint is requested or in progress.
    package var isCheckpointed: Bool {
        for index in 0..<drives.count
        where drives[index].state == .online
            && (drives[index].checkpoint.isRequested || drives[index].checkpoint.isRunning)
        {
            return false
        }
        return true
    }

    /// Begins to evict until at least `bytes` less are in use on every drive.
    package mutating func requestEviction(bytes: ByteCount) {
        for index in 0..<drives.count {
            drives[index].eviction.requestedBytes += bytes.rawValue
        }
    }

    /// True when nothing is in progress but what waits for its clients.
    package var isIdle: Bool {
        for index in 0..<drives.count where !isQuiet(DriveIndex(UInt16(index))) { return false }
        return operations.inUse == 0
    }

    package func driveState(_ drive: DriveIndex) -> DriveState { drives[drive].state }

    /// How `drive` is, with the reasons.
    package func driveCondition(_ drive: DriveIndex) -> DriveCondition {
        DriveCondition(
            state: drives[drive].state, impairments: drives[drive].watch.impairments,
            fence: drives[drive].watch.fence)
    }

    /// Why `drive` is refused; nil when it isn't.
    package func driveRefusal(_ drive: DriveIndex) -> DriveRefusal? { drives[drive].refusal }

    /// Identity of the store, once a drive has been read.
    package var storeID: StoreIdentity { placement.storeID }

    mutating func runReady() {
        while let index = operations.popFirst(&ready) {
            hasWorked = true
            resume(index)
        }
    }

    /// Wakes those whose slabs are free, in order: who needs many isn't overtaken by who waits
    /// behind it.
    private mutating func wakeSlabWaiters() {
        var free = memory.slabs.freeSlabs
        while slabWaiters.first != .none {
            let wanted = Int(operations[slabWaiters.first].slabsWanted)
            guard wanted <= free, let index = operations.popFirst(&slabWaiters) else { break }
            free -= wanted
            operations.append(index, to: &ready)
        }
        runReady()
    }

    /// Makes `index` wait until the slabs for `length` bytes are free.
    mutating func waitForSlabs(_ index: OperationIndex, _ length: ByteCount) {
        operations[index].slabsWanted = memory.slabs.slabs(for: length)
        operations.append(index, to: &slabWaiters)
    }

    private mutating func resume(_ index: OperationIndex) {
        let drive = operations[index].drive
        let pinned = operations[index].pinnedFrame
        operations[index].pinnedFrame = nil
        switch operations[index].kind {
        case .put, .get, .remove: advanceLed(index)
        case .lookups: advanceLookups(index)
        case .batchGet, .batchPut, .batchDelete: advanceBatch(index)
        case .peerLookup: advancePeerLookup(index)
        case .evictor: advanceEvictor(index)
        }
        if let pinned { drives[drive].leaves.unpin(pinned) }
    }

    /// A put, a get or a removal goes on: with what must be asked of another drive first, where its
    /// key is, or in another shard.
    private mutating func advanceLed(_ index: OperationIndex) {
        guard isOnMainLeg(index) else { return }
        if isForeign(index) {
            forward(index)
            return
        }
        switch operations[index].kind {
        case .put: advancePut(index)
        case .get: advanceGet(index)
        case .remove: advanceRemove(index)
        case .lookups, .batchGet, .batchPut, .batchDelete, .peerLookup, .evictor:
            preconditionFailure("a \(operations[index].kind) is not led")
        }
    }

    private mutating func complete(
        _ purpose: DevicePurpose, _ operation: DeviceOperation, _ error: DeviceError?
    ) {
        let drive = operation.drive
        switch purpose {
        case .payloadRead(let index), .payloadWrite(let index): payloadMoved(index, error)
        case .leafRead(let frame): leafLoaded(frame, on: drive, error)
        case .leafWrite(let frame): leafWritten(frame, on: drive, error)
        case .journalWrite(let buffer): journalWritten(buffer, on: drive, error)
        case .flush: journalFlushed(drive, error)
        case .checkpoint(let buffer): checkpointMoved(buffer, on: drive, error)
        case .discard(let place): discarded(place, on: drive, error)
        case .recovery(let step): recoveryMoved(step, on: drive, error)
        case .epochRaise: epochMoved(drive, error)
        case .probe(let copy): probed(copy, on: drive, error)
        case .scrub: scrubMoved(on: drive, error)
        case .scrubRepair(let frame): leafMended(frame, on: drive, error)
        }
    }

    private mutating func advancePhase() {
        if !isStoreEstablished, phase == .recovering || phase == .draining { establishStore() }
        decideEpochs()
        switch phase {
        case .recovering:
            for index in 0..<drives.count
            where drives[index].state == .recovering || isReturning(DriveIndex(UInt16(index))) {
                return
            }
            noteRecovery()
            guard place.post.roster.recoveredShards == peers.count else { return }
            phase = .serving
            cells.record(now.microseconds(since: began ?? now), in: .recovery)
            hasWorked = true
        case .draining:
            if operations.ownInUse > 0 { return }
            noteQuiet()
            guard place.post.roster.quietShards == peers.count, operations.inUse == 0 else {
                return
            }
            for index in 0..<drives.count where !isDrained(DriveIndex(UInt16(index))) { return }
            phase = .stopped
            hasWorked = true
        case .serving, .stopped, .refused: break
        }
    }

    private mutating func noteRecovery() {
        if hasNotedRecovery { return }
        hasNotedRecovery = true
        place.post.roster.noteRecovered()
        wakeAllPeers()
    }

    private mutating func noteQuiet() {
        if hasNotedQuiet { return }
        hasNotedQuiet = true
        place.post.roster.noteQuiet()
        wakeAllPeers()
    }

    private mutating func answerDeadlines() {
        guard earliestDeadline <= now else { return }
        earliestDeadline = .never
        for place in 0..<operations.count {
            let index = OperationIndex(Int32(place))
            guard operations[index].isActive, !operations[index].isAnswered,
                operations[index].request != nil
            else { continue }
            let deadline = operations[index].deadline
            #if PLANTED_BUGS
            if isPlanted(.batchAwaitsEveryItem), operations[index].itemsInProgress > 0 { continue }
            #endif
            if deadline <= now {
                hasWorked = true
                answerLate(index)
            } else if deadline < earliestDeadline {
                earliestDeadline = deadline
            }
        }
    }
}
