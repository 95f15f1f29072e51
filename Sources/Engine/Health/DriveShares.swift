// DriveShares: how much of what all drives share the requests of one drive may pin down.
//
// A drive that doesn't answer keeps what its requests hold: slabs, and places in the table of
// operations. Always holds: of both, a drive's requests in hand hold no more than half of what the
// drives together leave free, so that one stalled drive has a third at most and the others find
// room (the rule of Shares.swift: Choudhury and Hahne, IEEE/ACM Transactions on Networking 6,
// 1998); of the places for other shards a fifth, so that no mailbox fills up. A drive with nothing
// in hand may always begin something. A store of one drive has nobody to leave room for. Beyond its
// share a drive's requests wait while the drive makes progress, and are shed when it doesn't.

import Wire

/// What the requests of one drive have in hand: begun there and not ended.
struct DriveLoad: Sendable {
    /// What all requests for the drive hold, those that wait included.
    var heldOperations = 0
    var heldSlabs: UInt32 = 0
    var operations = 0
    var operationsOfPeers = 0
    var slabs: UInt32 = 0
}

/// Why a request was turned away instead of being begun on its drive.
enum ShedCause: Sendable {
    case writesStalled
    case unresponsive
    case overShare

    /// The drive doesn't complete what it has: nobody knows for how long.
    var isStall: Bool {
        switch self {
        case .writesStalled, .unresponsive: true
        case .overShare: false
        }
    }

    var counter: DriveCounter {
        switch self {
        case .writesStalled: .shedStalled
        case .unresponsive: .shedUnresponsive
        case .overShare: .shedOverShare
        }
    }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// A request for a key of its drive has come.
    mutating func hold(_ index: OperationIndex) {
        guard isRequest(index), !operations[index].isHeld else { return }
        let drive = operations[index].drive
        operations[index].isHeld = true
        operations[index].heldSlabs = operations[index].kind == .put ? slabs(of: index) : 0
        drives[drive].load.heldOperations += 1
        drives[drive].load.heldSlabs += operations[index].heldSlabs
        load.heldOperations += 1
        load.heldSlabs += operations[index].heldSlabs
    }

    /// It is over.
    mutating func letGo(ofHeld index: OperationIndex) {
        guard operations[index].isHeld else { return }
        let drive = operations[index].drive
        operations[index].isHeld = false
        drives[drive].load.heldOperations -= 1
        drives[drive].load.heldSlabs -= operations[index].heldSlabs
        load.heldOperations -= 1
        load.heldSlabs -= operations[index].heldSlabs
    }

    /// Whether requests may wait for `drive`. They may not while it lags, nor, when it is tardy,
    /// while they hold half as much again as their fair part of something that is getting scarce.
    func mayWait(for drive: DriveIndex) -> Bool {
        let count = place.post.board.driveCount
        #if PLANTED_BUGS
        if isPlanted(.noShareOfADrive) { return true }
        #endif
        if count == 1 || drives[drive].state != .online { return true }
        if drives[drive].watch.isLagging { return false }
        guard drives[drive].watch.isTardy else { return true }
        let own = drives[drive].load
        // Of this shard's drives: what the others have isn't known here.
        let areSlabsScarce = memory.slabs.freeSlabs * 4 < Int(memory.slabs.slabCount)
        if areSlabsScarce, 2 * drives.count * Int(own.heldSlabs) > 3 * Int(load.heldSlabs) {
            return false
        }
        let places = operations.ownCount / 2
        let arePlacesScarce = (places - operations.ownInUse) * 4 < places
        return !arePlacesScarce
            || 2 * drives.count * own.heldOperations <= 3 * load.heldOperations
    }

    /// Turns `index` away if it must not wait for its drive; true when it may.
    mutating func mayWait(_ index: OperationIndex) -> Bool {
        guard isRequest(index), !mayWait(for: operations[index].drive) else { return true }
        count(.overShare, on: operations[index].drive)
        finish(index, operations[index].kind == .get ? .notFound : .busy)
        return false
    }

    /// Counts `index` against its drive, until it ends. `slabs` are those that hold its value.
    mutating func charge(_ index: OperationIndex, slabs: UInt32) {
        let drive = operations[index].drive
        if operations[index].chargedDrive == drive, operations[index].chargedSlabs == slabs {
            return
        }
        uncharge(index)
        guard isRequest(index) else { return }
        operations[index].chargedDrive = drive
        operations[index].chargedSlabs = slabs
        if operations[index].caller == nil {
            drives[drive].load.operations += 1
            load.operations += 1
        } else {
            drives[drive].load.operationsOfPeers += 1
            load.operationsOfPeers += 1
        }
        drives[drive].load.slabs += slabs
        place.post.board.take(slabs: slabs)
    }

    /// `index` has ended, or goes on to another drive.
    mutating func uncharge(_ index: OperationIndex) {
        guard let drive = operations[index].chargedDrive else { return }
        let slabs = operations[index].chargedSlabs
        operations[index].chargedDrive = nil
        operations[index].chargedSlabs = 0
        if operations[index].caller == nil {
            drives[drive].load.operations -= 1
            load.operations -= 1
        } else {
            drives[drive].load.operationsOfPeers -= 1
            load.operationsOfPeers -= 1
        }
        drives[drive].load.slabs -= slabs
        place.post.board.give(slabs: slabs)
        // One goes, one may come; the last one leaves nobody waiting for ever.
        let rest = drives[drive].load
        if rest.operations + rest.operationsOfPeers == 0 {
            operations.move(&drives[drive].shareWaiters, to: &ready)
        } else if let waiter = operations.popFirst(&drives[drive].shareWaiters) {
            operations.append(waiter, to: &ready)
        }
    }

    /// Whether the drive of `index` may have it in hand too, with `slabs` for its value.
    func isWithinShare(_ index: OperationIndex, slabs: UInt32) -> Bool {
        #if PLANTED_BUGS
        if isPlanted(.noShareOfADrive) { return true }
        #endif
        let drive = operations[index].drive
        let held = drives[drive].load
        let isCharged = operations[index].chargedDrive == drive
        let others = held.operations + held.operationsOfPeers - (isCharged ? 1 : 0)
        if place.post.board.driveCount == 1 || others == 0 { return true }
        let hasPlace: Bool
        if operations[index].caller == nil {
            hasPlace = 2 * held.operations <= operations.ownCount / 2 - load.operations
        } else {
            let places = operations.count - operations.ownCount
            hasPlace = 4 * held.operationsOfPeers <= places - load.operationsOfPeers
        }
        let present = operations[index].chargedSlabs
        if slabs <= present { return hasPlace }
        let freeSlabs = Int(memory.slabs.slabCount) - Int(place.post.board.slabsInHand)
        return hasPlace && 2 * Int(held.slabs + slabs - present) <= freeSlabs
    }

    /// Slabs that hold the value of `index`, an item's share of its batch's.
    func slabs(of index: OperationIndex) -> UInt32 {
        memory.slabs.slabs(for: ByteCount(UInt64(operations[index].entry.lengthBytes)))
    }

    /// Makes `index` wait until its drive has less in hand.
    mutating func waitForShare(_ index: OperationIndex) {
        // Who waits has nothing in hand: otherwise two could wait for each other.
        uncharge(index)
        operations.append(index, to: &drives[operations[index].drive].shareWaiters)
    }

    /// Somebody waits for `index`: it is not the engine's own.
    private func isRequest(_ index: OperationIndex) -> Bool {
        operations[index].request != nil || operations[index].parent != .none
            || operations[index].caller != nil
    }

    // MARK: Shedding

    /// Why a change must not be begun on its drive now; nil when it may, or may wait.
    func changeRefusal(_ index: OperationIndex, slabs: UInt32) -> ShedCause? {
        let drive = operations[index].drive
        guard drives[drive].state == .online, isRequest(index) else { return nil }
        let watch = drives[drive].watch
        if watch.impairments.contains(.unresponsive) { return .unresponsive }
        var areStalled = watch.impairments.contains(.writesStalled)
        #if PLANTED_BUGS
        if isPlanted(.stalledWritesWait) { areStalled = false }
        #endif
        if areStalled { return .writesStalled }
        return watch.isLagging && !isWithinShare(index, slabs: slabs) ? .overShare : nil
    }

    /// Why nothing may be read for `index` now; nil when it may, or may wait.
    func readRefusal(_ index: OperationIndex, slabs: UInt32) -> ShedCause? {
        let drive = operations[index].drive
        guard drives[drive].state == .online, isRequest(index) else { return nil }
        let watch = drives[drive].watch
        if watch.impairments.contains(.unresponsive) { return .unresponsive }
        return watch.isLagging && !isWithinShare(index, slabs: slabs) ? .overShare : nil
    }

    mutating func count(_ cause: ShedCause, on drive: DriveIndex) {
        cells.drives[Int(drive.rawValue)].add(to: cause.counter)
    }

    /// What a change is told that its drive doesn't take.
    func refusalStatus(of drive: DriveIndex) -> Status {
        drives[drive].state == .online ? .busy : .driveUnavailable
    }
}
