// Operation: one thing in progress: a request, an item of a batch, or the engine's own eviction.
//
// Always holds: an operation's memory (its lease) stays with it until every device operation on
// that memory has completed, however long ago its client was answered; an operation is answered
// once; an operation that has staged a record stays until that record's outcome is known.
//
// One of the files that may say `unsafe`: the table's accessor goes by address, as FixedArray's do.

import Wire

/// What an operation does.
enum OperationKind: UInt8, Sendable {
    case put, get, remove
    /// Looks keys up one after the other: exists and stat.
    case lookups
    case batchGet, batchPut, batchDelete
    /// Looks one key up for another shard.
    case peerLookup
    /// A drive's eviction hand, walking the leaves.
    case evictor
}

/// Where an operation is. One set for all protocols; each file in `Protocols` says which it uses
/// and how.
enum OperationState: UInt8, Sendable {
    /// Nothing done yet.
    case begun
    /// Its payload is being compared with its checksum, a piece in each step.
    case verifying
    /// Waits behind another change of the same key.
    case waitingForKey
    /// Owns its key; is finding out what the key holds.
    case lookingUp
    /// Knows the previous value; needs journal room, dirty room and slots.
    case placing
    /// Device operations on its payload are in flight.
    case moving
    /// Record and payload are on the drive; needs a flush.
    case awaitingFlush
    /// Its payload didn't fit the file system; its record must be declared void.
    case voiding
    /// The void record is staged; needs a flush.
    case awaitingVoid
    /// A batch: items are in progress.
    case collecting
    /// Its key's shard has it.
    case forwarded
}

/// An operation in progress.
struct Operation: ~Copyable {
    var kind = OperationKind.get
    var state = OperationState.begun
    var isActive = false
    var isWaiting = false
    var nextWaiting = OperationIndex.none

    /// The client's request; nil for items of a batch and for the engine's own operations.
    var request: Request?
    /// The batch that this is an item of, and which item.
    var parent = OperationIndex.none
    var item: UInt32 = 0
    /// The operation of another shard that this one is done for.
    var caller: Caller?
    /// The client has its answer, or there is no client.
    var isAnswered = false
    var deadline = Instant.never
    var arrival = Instant(nanoseconds: 0)

    var key = BlockKey.lowest
    /// Where the key belongs: a shard, and a drive there.
    var shard = ShardIndex(0)
    var drive = DriveIndex(0)
    /// What a client's get, put or delete, or an item of a batch, does beside its own work; nil for
    /// what is done for others and for the engine's own operations.
    var lead: Lead?
    var holdsKey = false
    /// The frame pinned for this operation while it was waiting for it.
    var pinnedFrame: FrameIndex?

    /// A put's new entry; a get's or a removal's present one.
    var entry = DirtyEntry.none.entry
    /// The slots that the key's previous value leaves.
    var previous = SlotExtent.none
    var hasPrevious = false
    var reason = RemovalReason.deleted
    /// Why a block is evicted; nothing for other removals.
    var evictionCause = EvictionCause.watermark
    /// Where the payload is: in the operation's own lease, its batch's, or its caller's, all of
    /// which last longer than the operation's work on it.
    var payload: SlabChain?
    var payloadOffset: UInt64 = 0
    var lease: SlabLease?
    /// A get whose place was planned for the value that `entry` describes, and for no other.
    var isPlanned = false
    /// A get whose first read ended with an error that may be the drive's or the place's.
    var isSecondTry = false
    /// The slabs it waits for.
    var slabsWanted: UInt32 = 0
    var deviceOperations = 0
    var deviceError: DeviceError?
    var readsSlots = false
    /// It counts among its drive's requests, with so many slabs.
    var isHeld = false
    var heldSlabs: UInt32 = 0
    /// The drive that has it in hand, and its slabs there.
    var chargedDrive: DriveIndex?
    var chargedSlabs: UInt32 = 0

    /// Where the operation's record is, and where the record that voids it.
    var sequence = JournalSequence(0)
    var voidSequence = JournalSequence(0)
    /// Flushes submitted on the drive when the payload was complete: a later one covers it.
    var payloadTicket: UInt64 = 0
    var handedOver = Instant(nanoseconds: 0)
    var payloadDone = Instant(nanoseconds: 0)

    /// A batch: the next item to begin, items in progress, items in all, payload bytes so far.
    var nextItem: UInt32 = 0
    var itemsInProgress: UInt32 = 0
    var itemCount: UInt32 = 0
    var payloadBytes: UInt64 = 0
    /// A batch of gets: where the last value ends, which is where the payload ends.
    var payloadEnd: UInt64 = 0

    /// A get that concerns two shards: the longest value that the client's session has room for.
    var admittedBytes: UInt64 = 0
    /// A stat: the key is there.
    var isFound = false
    /// Lookups: the keys' second drives are asked, for strays; they have been, or need not be.
    var looksForStrays = false
    var hasAskedSeconds = false
    /// Whether a put's or a removal's record goes into the change list.
    var listing = Listing.none
    /// A put: an older entry of its key is on the key's second drive.
    var replacesStray = false
    /// A put: its drive has nothing of its key, and has lost nothing that could be found again.
    var isKeyNew = false
    /// A put: every entry of its key elsewhere has a lower version.
    var versionFloor = Version(0)
    /// A put that its key's first drive, which has nothing of the key, doesn't take now: it may go
    /// to the second with a version not below this one.
    var elsewhere: Version?
    /// A removal that found nothing but must be remembered.
    var hadNothing = false
}

/// All operations of an engine. Other shards' operations have places of their own.
struct OperationTable: ~Copyable {
    private var operations: FixedArray<Operation>
    private var free: RingQueue<OperationIndex>
    let count: Int
    private let shard: ShardIndex
    private let peerLimit: Int
    private var peersInUse = 0

    /// Places for `ownLimit` operations of shard `shard` and `peerLimit` of others.
    init(shard: ShardIndex, ownLimit: Int, peerLimit: Int) {
        self.shard = shard
        count = ownLimit + peerLimit
        self.peerLimit = peerLimit
        operations = FixedArray(count: count) { _ in Operation() }
        free = RingQueue(capacity: count)
        for index in 0..<count { free.append(OperationIndex(Int32(index))) }
    }

    var inUse: Int { count - free.count }
    /// This shard's own, and its places.
    var ownInUse: Int { inUse - peersInUse }
    var ownCount: Int { count - peerLimit }

    var hasRoomForPeers: Bool { peersInUse < peerLimit }

    /// A fresh operation, or nil when no more than `reserve` of this shard's places are left.
    mutating func take(_ kind: OperationKind, leaving reserve: Int) -> OperationIndex? {
        ownCount - ownInUse > reserve ? take(kind) : nil
    }

    /// A fresh operation for another shard; traps without room.
    mutating func takeForPeer(_ kind: OperationKind) -> OperationIndex {
        precondition(hasRoomForPeers, "more operations of other shards than places")
        peersInUse += 1
        return take(kind)
    }

    private mutating func take(_ kind: OperationKind) -> OperationIndex {
        guard let index = free.popFirst() else { preconditionFailure("no place below the limit") }
        operations[Int(index.rawValue)] = Operation()
        operations[Int(index.rawValue)].kind = kind
        operations[Int(index.rawValue)].shard = shard
        operations[Int(index.rawValue)].isActive = true
        return index
    }

    /// Ends an operation. Its lease, if it still has one, goes back to the pool.
    mutating func giveBack(_ index: OperationIndex) {
        let operation = Int(index.rawValue)
        precondition(operations[operation].isActive, "an operation ended twice")
        precondition(operations[operation].deviceOperations == 0, "ended with I/O in flight")
        precondition(!operations[operation].isWaiting, "ended while it waits")
        precondition(!operations[operation].holdsKey, "ended while it owns its key")
        if let caller = operations[operation].caller, caller.shard != shard { peersInUse -= 1 }
        operations[operation] = Operation()
        free.append(index)
    }

    subscript(index: OperationIndex) -> Operation {
        @inline(__always)
        unsafeAddress { unsafe UnsafePointer(operations.address(of: Int(index.rawValue))) }
        @inline(__always)
        unsafeMutableAddress { unsafe operations.address(of: Int(index.rawValue)) }
    }
}
