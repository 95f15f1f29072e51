// Roster: what all shards of a daemon must know of each other before one of them may serve: every
// drive's superblock, what each drive tells of its epoch when it has been recovered, who has
// recovered, who will ask for nothing more.
//
// Always holds: a drive is announced once and attends or stays away once, by the shard that has it,
// and stays as announced; counts only rise; `epoch` rises with every change, so that a shard can
// tell whether it has seen the last one.
//
// One of the files that may say `unsafe`.

private import Synchronization

/// A drive's number in the daemon's configuration, whichever shard has it.
package struct DriveNumber: Hashable, Comparable, Sendable {
    package let rawValue: UInt16
    package init(_ rawValue: UInt16) { self.rawValue = rawValue }
    package static func < (left: DriveNumber, right: DriveNumber) -> Bool {
        left.rawValue < right.rawValue
    }
}

/// Where a drive is: its shard, and its place there.
struct DriveHome: Hashable, Sendable {
    var shard: ShardIndex
    var drive: DriveIndex
}

/// What a shard says of a drive.
struct DriveAnnouncement: Sendable {
    enum Standing: Sendable {
        case member(Superblock)
        /// Not there, or failed before it told who it is.
        case absent
        case refused
    }

    var home: DriveHome
    var standing: Standing
}

/// The table, shared by all shards.
@safe
final class Roster: @unchecked Sendable {
    // Sendable because an announcement is written before `announced` rises and read only once it
    // has reached the number of drives; an attendance likewise.
    private let drives: UnsafeMutablePointer<DriveAnnouncement?>
    private let attendances: UnsafeMutablePointer<DriveAttendance?>
    private let attended = Atomic<Int>(0)
    let driveCount: Int
    private let announced = Atomic<Int>(0)
    private let recovered = Atomic<Int>(0)
    private let quiet = Atomic<Int>(0)
    private let changes = Atomic<UInt64>(0)

    init(driveCount: Int) {
        self.driveCount = driveCount
        unsafe drives = .allocate(capacity: max(1, driveCount))
        unsafe attendances = .allocate(capacity: max(1, driveCount))
        for index in 0..<driveCount {
            unsafe (drives + index).initialize(to: nil)
            unsafe (attendances + index).initialize(to: nil)
        }
    }

    deinit {
        unsafe drives.deinitialize(count: driveCount)
        unsafe drives.deallocate()
        unsafe attendances.deinitialize(count: driveCount)
        unsafe attendances.deallocate()
    }

    /// Every drive has been announced.
    var isComplete: Bool { announced.load(ordering: .acquiring) == driveCount }
    /// Shards whose drives are all recovered, or as good as they will get.
    var recoveredShards: Int { recovered.load(ordering: .acquiring) }
    /// Shards that send no request to another one any more.
    var quietShards: Int { quiet.load(ordering: .acquiring) }
    var epoch: UInt64 { changes.load(ordering: .acquiring) }

    func announce(_ drive: DriveNumber, _ announcement: DriveAnnouncement) {
        let index = Int(drive.rawValue)
        precondition(index < driveCount, "drive \(index) of \(driveCount)")
        precondition(unsafe drives[index] == nil, "drive \(index) was announced before")
        unsafe drives[index] = announcement
        announced.add(1, ordering: .releasing)
        changes.add(1, ordering: .releasing)
    }

    /// What was said of a drive; only once the roster is complete.
    func announcement(of drive: DriveNumber) -> DriveAnnouncement {
        precondition(isComplete, "the roster is read before it is complete")
        guard let announcement = unsafe drives[Int(drive.rawValue)] else {
            preconditionFailure("a drive without an announcement")
        }
        return announcement
    }

    /// Every drive attends or stays away.
    var isAttended: Bool { attended.load(ordering: .acquiring) == driveCount }

    /// A drive has been recovered and tells what it knows; nil when it stays away.
    func attend(_ drive: DriveNumber, _ attendance: DriveAttendance?) {
        let index = Int(drive.rawValue)
        precondition(index < driveCount, "drive \(index) of \(driveCount)")
        unsafe attendances[index] = attendance
        attended.add(1, ordering: .releasing)
        noteChange()
    }

    /// All that attend; only once every drive attends or stays away.
    var attending: [DriveAttendance] {
        precondition(isAttended, "the attendance is read before it is complete")
        return (0..<driveCount).compactMap { unsafe attendances[$0] }
    }

    /// Something that all shards share has changed.
    func noteChange() { changes.add(1, ordering: .releasing) }

    func noteRecovered() {
        recovered.add(1, ordering: .releasing)
        changes.add(1, ordering: .releasing)
    }

    func noteQuiet() {
        quiet.add(1, ordering: .releasing)
        changes.add(1, ordering: .releasing)
    }
}
