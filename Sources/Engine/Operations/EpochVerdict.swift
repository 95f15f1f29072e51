// EpochVerdict: what becomes of each drive at a start, told from the epochs and change lists of all
// that are there. Docs/absent-drives.md says why.
//
// Always holds: a function of what was told alone, so every shard comes to the same verdict. A
// drive serves what it has only when every change that could concern it is known; any doubt makes
// it empty.

import Wire

/// What a drive tells when it has been recovered.
struct DriveAttendance: Sendable {
    var member: Int
    var lineage: EpochLineage
    var changes: [ChangedKey]
    /// The change list is complete above this epoch.
    var changeFloor: UInt32
    /// Recovery found damage: the drive is empty, and so is its change list.
    var isEmptied: Bool
}

/// The verdict on all drives of a store.
struct EpochVerdict: Sendable {
    enum Fate: Sendable {
        /// It has what it should.
        case current
        /// It was away, and forgets these keys.
        case forgets([BlockKey])
        /// It was away, and nobody knows what to forget.
        case returnsEmpty
    }

    /// The epoch that begins or goes on.
    private(set) var lineage: EpochLineage
    private var fates: [Int: Fate] = [:]

    func fate(of member: Int) -> Fate { fates[member] ?? .returnsEmpty }

    /// The verdict on those who attend; nil when nobody does.
    init?(_ attending: [DriveAttendance], entropy: UInt64) {
        guard let reference = Self.reference(attending) else { return nil }
        lineage = reference
        var present = MemberSet(bits: 0)
        var isAnyEmptied = false
        for drive in attending {
            present.insert(drive.member)
            let fate = Self.fate(of: drive, among: attending, reference)
            if case .returnsEmpty = fate { isAnyEmptied = true }
            if drive.isEmptied { isAnyEmptied = true }
            fates[drive.member] = fate
        }
        if present != reference.members || isAnyEmptied {
            lineage.advance(to: present, entropy: entropy)
        }
    }

    /// The lineage that counts: of the highest epoch; of two with one counter, one that can have
    /// been active, then the one that more drives have, then the one of the higher id.
    private static func reference(_ attending: [DriveAttendance]) -> EpochLineage? {
        func isOf(_ drive: DriveAttendance, _ lineage: EpochLineage) -> Bool {
            drive.lineage.counter == lineage.counter && drive.lineage.id == lineage.id
        }
        func rank(_ lineage: EpochLineage) -> (UInt32, Int, Int, UInt64) {
            // A drive that is in and hasn't noted it says that nothing was changed in it.
            let isRefuted = attending.contains {
                lineage.members.contains($0.member) && !$0.lineage.contains(lineage)
            }
            let votes = attending.count { isOf($0, lineage) }
            return (lineage.counter, isRefuted ? 0 : 1, votes, lineage.id)
        }
        return attending.map(\.lineage).max { rank($0) < rank($1) }
    }

    private static func fate(
        of drive: DriveAttendance, among attending: [DriveAttendance], _ reference: EpochLineage
    ) -> Fate {
        guard reference.contains(drive.lineage) else { return .returnsEmpty }
        let epoch = drive.lineage.counter
        if epoch == reference.counter || drive.isEmptied { return .current }
        // An epoch that the drive is in without having noted it never became active.
        var changers = MemberSet(bits: 0)
        for later in reference.sets(after: epoch) where !later.members.contains(drive.member) {
            changers = changers.union(later.members)
        }
        var keys: Set<BlockKey> = []
        for member in 0..<64 where changers.contains(member) {
            guard let changer = attending.first(where: { $0.member == member }),
                reference.contains(changer.lineage), changer.changeFloor <= epoch
            else { return .returnsEmpty }
            for change in changer.changes where change.epoch > epoch { keys.insert(change.key) }
        }
        return .forgets(keys.sorted())
    }
}
