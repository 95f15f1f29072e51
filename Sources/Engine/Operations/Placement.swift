// Placement: which drives a key belongs to: rendezvous hashing over the store's members. The first
// is the key's own; the second has it while the first one is out.
//
// Always holds: the answer depends on the key and the members' ids alone, so it survives restarts,
// a changed order of drives in the configuration, and absent drives (Thaler and Ravishankar,
// IEEE/ACM ToN 6(1), 1998).

import Wire

/// The store's members and where they are among the daemon's shards.
struct Placement: Sendable {
    private(set) var storeID = StoreIdentity(high: 0, low: 0)
    private var members = InlineArray<64, StoreIdentity>(repeating: StoreIdentity(high: 0, low: 0))
    private var homes = InlineArray<64, DriveHome?>(repeating: nil)
    private var count = 0
    /// Where every key is while no member is known.
    private let ownHome: DriveHome

    init(ownShard: ShardIndex) {
        ownHome = DriveHome(shard: ownShard, drive: DriveIndex(0))
    }

    /// Takes the members that `superblock` names; their homes are told by `assign`.
    mutating func adopt(_ superblock: Superblock) {
        storeID = superblock.storeID
        count = superblock.memberCount
        members = superblock.members
        for index in 0..<count { homes[index] = nil }
    }

    /// What became of an assignment.
    enum Assignment { case assigned, assignedBefore, noMember }

    /// The drive at `home` is the member `driveID`, unless another drive is it already.
    mutating func assign(_ driveID: StoreIdentity, to home: DriveHome) -> Assignment {
        for index in 0..<count where members[index] == driveID {
            if homes[index] != nil { return .assignedBefore }
            homes[index] = home
            return .assigned
        }
        return .noMember
    }

    /// Makes the first member without a drive that of a configured drive that isn't there.
    mutating func assignAbsent(_ absent: DriveHome) {
        for index in 0..<count where homes[index] == nil {
            homes[index] = absent
            return
        }
    }

    /// Members that no configured drive stands for.
    var unassigned: Int {
        var missing = 0
        for index in 0..<count where homes[index] == nil { missing += 1 }
        return missing
    }

    var memberCount: Int { count }
    func id(ofMember member: Int) -> StoreIdentity { members[member] }
    func home(ofMember member: Int) -> DriveHome { homes[member] ?? ownHome }

    /// The member whose drive is at `home`.
    func member(at home: DriveHome) -> Int? { (0..<count).first { homes[$0] == home } }

    /// The members of highest and second highest weight for `key`; no second in a store of one.
    func ranks(of key: BlockKey) -> (first: Int, second: Int?) {
        if count <= 1 { return (0, nil) }
        var (first, second) = (0, 1)
        var (firstWeight, secondWeight) = (weight(of: key, 0), weight(of: key, 1))
        if secondWeight > firstWeight {
            swap(&first, &second)
            swap(&firstWeight, &secondWeight)
        }
        for index in 2..<max(2, count) {
            let weight = weight(of: key, index)
            if weight > firstWeight {
                (second, secondWeight) = (first, firstWeight)
                (first, firstWeight) = (index, weight)
            } else if weight > secondWeight {
                (second, secondWeight) = (index, weight)
            }
        }
        return (first, second)
    }

    private func weight(of key: BlockKey, _ member: Int) -> UInt64 {
        key.mixed(seed: members[member].high ^ members[member].low)
    }

    /// The shard and the drive of the member that comes first for `key`.
    func home(of key: BlockKey) -> DriveHome { home(ofMember: ranks(of: key).first) }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Once this shard's superblocks have been read or their drives are known to be absent: tells
    /// the other shards. Once all shards have: says which member each drive is and lets this
    /// shard's recover, or refuses. Nothing is written to any drive before.
    mutating func establishStore() {
        if !hasAnnounced, isEveryDriveKnown { announceDrives() }
        guard hasAnnounced, place.post.roster.isComplete else { return }
        isStoreEstablished = true
        hasWorked = true
        guard establishPlacement() else {
            var isRefusedHere = false
            for index in 0..<drives.count where drives[index].refusal != nil {
                isRefusedHere = true
            }
            // Another shard says why.
            phase = isRefusedHere ? .refused : .stopped
            return
        }
        for index in 0..<drives.count {
            let drive = DriveIndex(UInt16(index))
            drives[index].member = placement.member(
                at: DriveHome(shard: place.shard, drive: drive))
            if drives[index].recovery.step == .awaitingOthers {
                beginIndexStep(.roots, on: drive)
            } else {
                stayAway(drive)
            }
        }
    }

    private var isEveryDriveKnown: Bool {
        for index in 0..<drives.count where drives[index].state == .recovering {
            let isRead = drives[index].recovery.step == .awaitingOthers
            if !isRead, drives[index].refusal == nil { return false }
        }
        return true
    }

    private mutating func announceDrives() {
        hasAnnounced = true
        hasWorked = true
        for index in 0..<drives.count {
            let standing: DriveAnnouncement.Standing =
                drives[index].refusal != nil
                ? .refused
                : drives[index].superblock.memberCount > 0
                    ? .member(drives[index].superblock) : .absent
            let home = DriveHome(shard: place.shard, drive: DriveIndex(UInt16(index)))
            place.post.roster.announce(
                place.driveNumbers[index], DriveAnnouncement(home: home, standing: standing))
        }
        wakeAllPeers()
    }

    /// Says which member each drive is; false when a drive is refused. Every shard comes to the
    /// same result, since all of them go by the same roster.
    private mutating func establishPlacement() -> Bool {
        let roster = place.post.roster
        let numbers = (0..<roster.driveCount).map { DriveNumber(UInt16($0)) }
        var isAccepted = true
        var first: (home: DriveHome, superblock: Superblock)?
        for number in numbers {
            let announcement = roster.announcement(of: number)
            switch announcement.standing {
            case .refused: isAccepted = false
            case .member(let superblock):
                // The store of most drives is meant: the drive that differs is to be blamed.
                let votes = first.map { drives(of: $0.superblock.storeID, in: roster) } ?? 0
                if drives(of: superblock.storeID, in: roster) > votes {
                    first = (announcement.home, superblock)
                }
            case .absent: break
            }
        }
        guard isAccepted, let first else { return isAccepted }
        placement.adopt(first.superblock)
        for number in numbers {
            let announcement = roster.announcement(of: number)
            guard case .member(let superblock) = announcement.standing else { continue }
            var refusal: DriveRefusal?
            if superblock.storeID != placement.storeID {
                refusal = .foreignStore
            } else {
                switch placement.assign(superblock.driveID, to: announcement.home) {
                case .assigned: break
                case .assignedBefore: refusal = .copyOfAnother
                case .noMember: refusal = .foreignStore
                }
            }
            if let refusal {
                isAccepted = false
                refuse(announcement.home, refusal)
            }
        }
        for number in numbers {
            let announcement = roster.announcement(of: number)
            if case .absent = announcement.standing { placement.assignAbsent(announcement.home) }
        }
        if placement.unassigned > 0, isAccepted {
            isAccepted = false
            refuse(
                first.home,
                .membersMissing(
                    configured: numbers.count, members: first.superblock.memberCount))
        }
        return isAccepted
    }

    /// How many drives of the roster belong to `storeID`.
    private func drives(of storeID: StoreIdentity, in roster: Roster) -> Int {
        var count = 0
        for number in 0..<roster.driveCount {
            if case .member(let superblock) = roster.announcement(
                of: DriveNumber(UInt16(number))
            ).standing, superblock.storeID == storeID {
                count += 1
            }
        }
        return count
    }

    /// Refuses a drive, if it is this shard's.
    private mutating func refuse(_ home: DriveHome, _ refusal: DriveRefusal) {
        if home.shard == place.shard { drives[home.drive].refusal = refusal }
    }
}
