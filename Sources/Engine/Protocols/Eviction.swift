// Eviction: makes room before it is needed: a hand that goes round the leaves and removes, in each,
// what was used longest ago.
//
// Always holds: a block that is being read, written or removed is not a victim, nor an entry that a
// lookup doesn't find, as its removal wouldn't either; the removal is an ordinary one, with its
// record; a block whose version changed meanwhile is left alone. When a size
// class needs a segment and has none, the emptiest segment of another class is drained: whatever
// the hand meets in it goes. A whole turn that finds nothing asks for a checkpoint, which brings
// new blocks into the leaves; a second one gives up, and who waits for room is told so.

import Wire

/// Why a block is evicted.
enum EvictionCause: UInt8, Sendable {
    /// The drive is filled above its watermark.
    case watermark
    /// A put waits for slots.
    case space
    /// Somebody asked for bytes to be freed.
    case request

    var counter: ShardCounter {
        switch self {
        case .watermark: .evictionsForWatermark
        case .space: .evictionsForSpace
        case .request: .evictionsRequested
        }
    }
}

/// One drive's eviction.
struct Eviction: Sendable {
    /// Removals in progress at once.
    static let parallelRemovals = 32

    /// The operation that walks; none while nothing is to be evicted.
    var walker = OperationIndex.none
    /// The hand: every key below it has been looked at in this turn.
    var hand = BlockKey.lowest
    /// Victims of this turn so far, and turns without any.
    var victimsThisTurn = 0
    var fruitlessTurns = 0
    /// The class that somebody waits for.
    var demand: SizeClass?
    /// Bytes that a test or an operator wants gone.
    var requestedBytes: UInt64 = 0

    /// Why the next victim goes.
    var cause: EvictionCause {
        if requestedBytes > 0 { return .request }
        return demand == nil ? .watermark : .space
    }

    mutating func stop() {
        demand = nil
        requestedBytes = 0
    }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Whether slots of `sizeClass` may still become free; begins to make them free.
    mutating func spaceMayCome(on drive: DriveIndex, for sizeClass: SizeClass) -> Bool {
        if !drives[drive].releases.isEmpty || drives[drive].stagedRemovals > 0 { return true }
        guard configuration.evictionEnabled else { return false }
        if drives[drive].eviction.fruitlessTurns >= 3 {
            drives[drive].eviction.fruitlessTurns = 0
            drives[drive].eviction.demand = nil
            return false
        }
        if drives[drive].eviction.demand == nil { drives[drive].eviction.demand = sizeClass }
        return true
    }

    private func wantsEviction(_ drive: DriveIndex) -> Bool {
        if drives[drive].stagedRemovals >= Eviction.parallelRemovals { return false }
        let isFolding =
            drives[drive].checkpoint.isRequested || drives[drive].checkpoint.isRunning
        if drives[drive].eviction.fruitlessTurns > 0, isFolding { return false }
        if drives[drive].eviction.requestedBytes > 0 { return true }
        guard configuration.evictionEnabled else { return false }
        #if PLANTED_BUGS
        if isPlanted(.neverEvicts) { return false }
        #endif
        if drives[drive].eviction.demand != nil { return true }
        return drives[drive].space.busyPercent > UInt64(configuration.evictionWatermarkPercent)
            && drives[drive].releases.isEmpty && drives[drive].eviction.fruitlessTurns == 0
    }

    mutating func pumpEviction(_ drive: DriveIndex) {
        guard drives[drive].eviction.walker == .none, wantsEviction(drive) else { return }
        guard let index = operations.take(.evictor, leaving: 1) else { return }
        hasWorked = true
        operations[index].isAnswered = true
        operations[index].drive = drive
        drives[drive].eviction.walker = index
        if let demand = drives[drive].eviction.demand,
            drives[drive].space.poolCount == 0, !drives[drive].space.hasSegments(of: demand)
        {
            drives[drive].space.beginDraining()
        }
        operations.append(index, to: &ready)
    }

    /// Looks at one leaf and begins to remove its victims.
    mutating func advanceEvictor(_ index: OperationIndex) {
        let drive = operations[index].drive
        guard drives[drive].state == .online, wantsEviction(drive) else {
            endWalk(index)
            return
        }
        let hand = drives[drive].eviction.hand
        guard let position = drives[drive].tree.locate(hand) else {
            endTurn(index)
            return
        }
        let child = drives[drive].tree.child(position)
        if child.isCondemned {
            passLeaf(at: position, index)
            return
        }
        operations[index].key = hand
        guard let frame = leaf(child.pointer.page, covering: hand, on: drive, for: index) else {
            return
        }
        let isRemoved = removeVictims(in: frame, at: position, on: drive)
        guard isRemoved else {
            // No operation is free: the same leaf again when one is.
            endWalk(index)
            return
        }
        passLeaf(at: position, index)
    }

    /// The hand goes on to the next leaf.
    private mutating func passLeaf(at position: LeafPosition, _ index: OperationIndex) {
        let drive = operations[index].drive
        if let next = drives[drive].tree.upperBound(of: position) {
            drives[drive].eviction.hand = next
            endWalk(index)
        } else {
            endTurn(index)
        }
    }

    private mutating func endWalk(_ index: OperationIndex) {
        drives[operations[index].drive].eviction.walker = .none
        finish(index, .ok)
    }

    private mutating func endTurn(_ index: OperationIndex) {
        let drive = operations[index].drive
        drives[drive].eviction.hand = .lowest
        if drives[drive].eviction.victimsThisTurn > 0 {
            drives[drive].eviction.fruitlessTurns = 0
        } else {
            drives[drive].eviction.fruitlessTurns += 1
            if drives[drive].dirtyDemand > 0 {
                drives[drive].checkpoint.isRequested = true
            } else if drives[drive].eviction.demand != nil {
                drives[drive].space.abandonDraining()
                drives[drive].space.beginDraining()
            }
            if drives[drive].eviction.fruitlessTurns >= 3 {
                drives[drive].eviction.requestedBytes = 0
                drives[drive].eviction.demand = nil
                wakeSpaceWaiters(drive)
            }
        }
        drives[drive].eviction.victimsThisTurn = 0
        endWalk(index)
    }

    /// False when no operation was free for a victim.
    private mutating func removeVictims(
        in frame: FrameIndex, at position: LeafPosition, on drive: DriveIndex
    ) -> Bool {
        let place = drives[drive].leaves.place(of: frame)
        let layout = drives[drive].superblock.layout
        let count = LeafPage.count(memory.arena, place)
        var histogram = InlineArray<256, UInt16>(repeating: 0)
        var candidates = 0
        for cell in 0..<count {
            guard let entry = LeafPage.entry(memory.arena, place, at: cell, layout: layout),
                isVictim(entry, at: position, on: drive)
            else { continue }
            histogram[Int(drives[drive].ages.age(entry.slots[0]))] += 1
            candidates += 1
        }
        if candidates == 0 { return true }
        let wanted = UInt16(max(1, candidates / 16))
        var threshold = 255
        var older: UInt16 = histogram[255]
        while older < wanted, threshold > 0 {
            threshold -= 1
            older += histogram[threshold]
        }
        var taken = 0
        for cell in 0..<count {
            guard let entry = LeafPage.entry(memory.arena, place, at: cell, layout: layout),
                isVictim(entry, at: position, on: drive)
            else { continue }
            let isDraining = drives[drive].space.isDraining(entry.slots[0])
            let isOld = Int(drives[drive].ages.age(entry.slots[0])) >= threshold
            guard isDraining || isOld && taken < Int(wanted) else { continue }
            guard drives[drive].stagedRemovals < Eviction.parallelRemovals,
                beginRemoval(
                    of: entry, on: drive, reason: .evicted, cause: drives[drive].eviction.cause)
            else { return taken > 0 }
            drives[drive].stagedRemovals += 1
            noteVictim(entry, on: drive)
            taken += 1
        }
        return true
    }

    private func isVictim(
        _ entry: BlockEntry, at position: LeafPosition, on drive: DriveIndex
    ) -> Bool {
        if drives[drive].dirty(entry.key) != nil || locks.isLocked(entry.key)
            || readers.isRead(entry.slots[0], on: drive)
            || !isFound(entry, at: position, on: drive)
        {
            return false
        }
        guard let demand = drives[drive].eviction.demand else { return true }
        return entry.sizeClass == demand || drives[drive].space.isDraining(entry.slots[0])
    }

    private mutating func noteVictim(_ entry: BlockEntry, on drive: DriveIndex) {
        drives[drive].eviction.victimsThisTurn += 1
        drives[drive].eviction.demand = nil
        let slotBytes = drives[drive].superblock.layout.classes.slotBytes(of: entry.sizeClass)
        let bytes = slotBytes.rawValue * UInt64(entry.slots.count)
        drives[drive].eviction.requestedBytes -= min(
            bytes, drives[drive].eviction.requestedBytes)
    }
}
