// StoreEpochs: the present epoch as a shard sees it, which drives are out, and where that sends a
// key.
//
// Always holds: a change of a key whose first or second drive is out waits until the epoch without
// that drive is active, and is listed. Drives only go out; what is derived here from the attendance
// is the same on every shard, sooner or later.

import Wire

/// What a shard knows of the store's epochs.
struct StoreEpochs: Sendable {
    /// The epoch that every drive that is in has noted or is to note.
    var lineage = EpochLineage(storeID: StoreIdentity(high: 0, low: 0), memberCount: 0)
    /// The verdict has been given.
    var isDecided = false
    /// All drives that are in have noted the epoch.
    var isActive = false
    /// Members of the attendance's list that have been seen.
    var seenOuts = 0

    func isOut(_ member: Int) -> Bool { !lineage.members.contains(member) }
}

/// Where the requests of one key go.
struct KeyRoute: Sendable {
    /// Where the key is put and deleted, and looked for last.
    var home: DriveHome
    /// Where a stray may be that must be looked for first; nil when there can be none.
    var stray: DriveHome?
    /// The key's second drive may have strays.
    var mayHaveStray = false
    var isSecondOut = false
}

/// What a change must do about drives that are out.
enum ChangeGate {
    case open(isListed: Bool)
    /// The epoch isn't active yet.
    case closed
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Where the requests of `key` go at this moment.
    mutating func route(of key: BlockKey) -> KeyRoute {
        #if PLANTED_BUGS
        let ranks = placement.ranks(of: isPlanted(.placementByShards) ? rotated(key) : key)
        #else
        let ranks = placement.ranks(of: key)
        #endif
        let first = placement.home(ofMember: ranks.first)
        guard let secondMember = ranks.second else { return KeyRoute(home: first) }
        seeOuts()
        let second = placement.home(ofMember: secondMember)
        let isSecondOut = epochs.isOut(secondMember)
        if epochs.isOut(ranks.first), !isSecondOut { return KeyRoute(home: second) }
        var route = KeyRoute(home: first, isSecondOut: isSecondOut)
        #if PLANTED_BUGS
        if isPlanted(.straysNotLookedFor) { return route }
        #endif
        route.mayHaveStray = place.post.attendance.mayHaveStrays.contains(secondMember)
        if route.mayHaveStray, !isSecondOut { route.stray = second }
        return route
    }

    /// What a change of `key` has to do, on whichever drive it is made.
    mutating func gate(of key: BlockKey) -> ChangeGate {
        seeOuts()
        if epochs.lineage.members == MemberSet(first: placement.memberCount) {
            return .open(isListed: false)
        }
        let ranks = placement.ranks(of: key)
        guard let second = ranks.second else { return .open(isListed: false) }
        guard epochs.isOut(ranks.first) || epochs.isOut(second) else {
            return .open(isListed: false)
        }
        #if PLANTED_BUGS
        if isPlanted(.epochNotAwaited) { return .open(isListed: true) }
        #endif
        return epochs.isActive ? .open(isListed: true) : .closed
    }

    /// True when what the drive at `route` has may not be shown yet: the key's second drive has
    /// just gone out, perhaps with an older entry, and would still return with it.
    mutating func awaitsEpoch(_ route: KeyRoute) -> Bool {
        guard route.isSecondOut, route.mayHaveStray,
            let member = placement.member(at: route.home), !epochs.isOut(member)
        else { return false }
        return !place.post.attendance.hasNoted(member, epoch: epochs.lineage.counter)
    }

    /// Makes `index` wait until the present epoch is active; turns it away when a drive that hasn't
    /// noted it is stalled, because nobody knows for how long.
    mutating func waitForEpoch(_ index: OperationIndex) {
        if isEpochStalled {
            finish(index, operations[index].kind == .get ? .notFound : .busy)
            return
        }
        operations.append(index, to: &epochWaiters)
    }

    private var isEpochStalled: Bool {
        let roster = place.post.roster
        for number in 0..<roster.driveCount {
            let drive = DriveNumber(UInt16(number))
            let impairments = place.post.board.impairments(of: drive)
            guard impairments.contains(.writesStalled) || impairments.contains(.unresponsive),
                let member = placement.member(at: roster.announcement(of: drive).home)
            else { continue }
            if !epochs.isOut(member),
                !place.post.attendance.hasNoted(member, epoch: epochs.lineage.counter)
            {
                return true
            }
        }
        return false
    }

    /// Takes notice of the drives that have gone out since.
    mutating func seeOuts() {
        guard epochs.isDecided else { return }
        while let member = place.post.attendance.out(at: epochs.seenOuts) {
            epochs.seenOuts += 1
            guard epochs.lineage.members.contains(member) else { continue }
            var members = epochs.lineage.members
            members.remove(member)
            epochs.lineage.advance(to: members, entropy: configuration.epochEntropy)
            epochs.isActive = false
            hasWorked = true
            // Their drive may be the one.
            operations.move(&epochWaiters, to: &ready)
        }
    }

    /// Sees whether the epoch has become active.
    mutating func advanceEpoch() {
        seeOuts()
        guard epochs.isDecided, !epochs.isActive else { return }
        for member in 0..<64 where epochs.lineage.members.contains(member) {
            guard place.post.attendance.hasNoted(member, epoch: epochs.lineage.counter) else {
                return
            }
        }
        epochs.isActive = true
        hasWorked = true
        operations.move(&epochWaiters, to: &ready)
    }

    /// Nobody needs what change lists say of this epoch and those before it: every
    /// member is in, or was in at least so long.
    var forgettableEpoch: UInt32 {
        var epoch = epochs.lineage.counter
        for member in 0..<placement.memberCount where epochs.isOut(member) {
            // One that left before all known epochs returns empty.
            if let last = epochs.lineage.lastEpoch(of: member) { epoch = min(epoch, last) }
        }
        return epoch
    }

    /// What needs no completion: shortens the change list, tells when no strays are left.
    mutating func pumpChanges(_ drive: DriveIndex) {
        guard epochs.isActive, let member = drives[drive].member else { return }
        if drives[drive].changes.count > 0, !drives[drive].checkpoint.isRunning {
            let epoch = forgettableEpoch
            if drives[drive].changes.floor < epoch {
                drives[drive].changes.forget(through: epoch)
                hasWorked = true
            }
        }
        // No drive can go out with an older entry of what has come home.
        if drives[drive].changes.hasLater(than: epochs.lineage.counter),
            epochs.lineage.members == MemberSet(first: placement.memberCount),
            place.post.attendance.mayHaveStrays.bits == 0, !drives[drive].checkpoint.isRunning
        {
            drives[drive].changes.forget(after: epochs.lineage.counter)
            hasWorked = true
        }
        if drives[drive].strayCount == 0,
            place.post.attendance.mayHaveStrays.contains(member)
        {
            place.post.attendance.noteStrays(of: member, false)
        }
    }

    /// A key's first drive is another one than `drive`.
    func isStray(_ key: BlockKey, on drive: DriveIndex) -> Bool {
        placement.memberCount > 1
            && placement.id(ofMember: placement.ranks(of: key).first)
                != drives[drive].superblock.driveID
    }

    /// One more block on `drive`.
    mutating func countBlock(_ key: BlockKey, on drive: DriveIndex) {
        drives[drive].blockCount += 1
        guard isStray(key, on: drive) else { return }
        drives[drive].strayCount += 1
        // While the key's first drive is out, this one is looked at anyway.
        if epochs.isDecided, !epochs.isOut(placement.ranks(of: key).first),
            let member = drives[drive].member,
            !place.post.attendance.mayHaveStrays.contains(member)
        {
            place.post.attendance.noteStrays(of: member, true)
        }
    }

    /// One block less on `drive`.
    mutating func discountBlock(_ key: BlockKey, on drive: DriveIndex) {
        drives[drive].blockCount -= min(drives[drive].blockCount, 1)
        if isStray(key, on: drive) {
            drives[drive].strayCount -= min(drives[drive].strayCount, 1)
        }
    }
}
