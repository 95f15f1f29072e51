// Placement: which drive a key belongs to: rendezvous hashing over the store's members.
//
// Always holds: the answer depends on the key and the members' ids alone, so it survives restarts,
// a changed order of drives in the configuration, and absent drives (Thaler and Ravishankar,
// IEEE/ACM ToN 6(1), 1998).

import Wire

/// The store's members and where they are in this shard.
struct Placement: Sendable {
    private(set) var storeID = StoreIdentity(high: 0, low: 0)
    private var members = InlineArray<64, StoreIdentity>(repeating: StoreIdentity(high: 0, low: 0))
    private var drives = InlineArray<64, UInt16>(repeating: 0)
    private var count = 0

    init() {}

    /// The members that `superblock` names; their drives are told by `assign`.
    init(_ superblock: Superblock) {
        storeID = superblock.storeID
        count = superblock.memberCount
        members = superblock.members
        for index in 0..<count { drives[index] = .max }
    }

    /// What became of an assignment.
    enum Assignment { case assigned, assignedBefore, noMember }

    /// Drive `drive` is the member `driveID`, unless another drive is it already.
    mutating func assign(_ driveID: StoreIdentity, to drive: DriveIndex) -> Assignment {
        for index in 0..<count where members[index] == driveID {
            if drives[index] != .max { return .assignedBefore }
            drives[index] = drive.rawValue
            return .assigned
        }
        return .noMember
    }

    /// Gives members without a drive to the configured drives without a member, in order: they are
    /// absent.
    mutating func assignAbsent(_ absent: DriveIndex) -> Bool {
        for index in 0..<count where drives[index] == .max {
            drives[index] = absent.rawValue
            return true
        }
        return false
    }

    /// Members that no configured drive stands for.
    var unassigned: Int {
        var missing = 0
        for index in 0..<count where drives[index] == .max { missing += 1 }
        return missing
    }

    func drive(of key: BlockKey) -> DriveIndex {
        if count <= 1 { return DriveIndex(0) }
        var best = 0
        var bestWeight: UInt64 = 0
        for index in 0..<count {
            let weight = key.mixed(seed: members[index].high ^ members[index].low)
            if index == 0 || weight > bestWeight {
                best = index
                bestWeight = weight
            }
        }
        return DriveIndex(drives[best])
    }
}

extension Engine where Device: ~Copyable, Link: ~Copyable {
    /// Once every drive's superblock has been read or the drive is absent: says which member each
    /// one is and lets them recover, or refuses. Nothing is written to any drive before.
    mutating func establishStore() {
        for index in 0..<drives.count where drives[index].state == .recovering {
            let isRead = drives[index].recovery.step == .awaitingOthers
            if !isRead, drives[index].refusal == nil { return }
        }
        isStoreEstablished = true
        hasWorked = true
        for index in 0..<drives.count where drives[index].refusal != nil { phase = .refused }
        if phase != .refused { establishPlacement() }
        if phase == .refused { return }
        for index in 0..<drives.count where drives[index].recovery.step == .awaitingOthers {
            beginIndexStep(.roots, on: DriveIndex(UInt16(index)))
        }
    }

    /// Says which member each drive is, or refuses.
    private mutating func establishPlacement() {
        guard let first = firstRead else { return }
        placement = Placement(drives[first].superblock)
        for index in 0..<drives.count where drives[index].superblock.memberCount > 0 {
            let superblock = drives[index].superblock
            guard superblock.storeID == placement.storeID else {
                refuse(index, .foreignStore)
                continue
            }
            switch placement.assign(superblock.driveID, to: DriveIndex(UInt16(index))) {
            case .assigned: break
            case .assignedBefore: refuse(index, .copyOfAnother)
            case .noMember: refuse(index, .foreignStore)
            }
        }
        for index in 0..<drives.count where drives[index].superblock.memberCount == 0 {
            _ = placement.assignAbsent(DriveIndex(UInt16(index)))
        }
        if placement.unassigned > 0, phase != .refused {
            refuse(
                first,
                .membersMissing(
                    configured: drives.count, members: drives[first].superblock.memberCount))
        }
    }

    /// A drive whose superblock is known.
    private var firstRead: Int? {
        for index in 0..<drives.count where drives[index].superblock.memberCount > 0 {
            return index
        }
        return nil
    }

    private mutating func refuse(_ drive: Int, _ refusal: DriveRefusal) {
        drives[drive].refusal = refusal
        phase = .refused
    }
}
