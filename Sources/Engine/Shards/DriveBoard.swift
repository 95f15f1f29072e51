// DriveBoard: what every shard may know of every drive, as of a moment ago: whether it is stalled,
// how much slower than usual it is, and how many slabs all drives' requests hold.
//
// Always holds: a drive's notes are written by its shard alone; what a reader sees may be a step
// old and is good for decisions that a later look corrects.

private import Synchronization

/// One drive's notes.
private final class DriveNotes: Sendable {
    let standing = Atomic<UInt8>(0)
    /// Seconds in the high half, the ratio of that window in the low one.
    let reads = Atomic<UInt64>(0)
    let writes = Atomic<UInt64>(0)

    func ratio(isWrite: Bool) -> UInt64 {
        isWrite ? writes.load(ordering: .relaxed) : reads.load(ordering: .relaxed)
    }
}

/// How the other drives are, beside what each of them was.
struct PeerLatencies: Hashable, Sendable {
    /// Drives that have told; at least one.
    let drives: Int
    /// The median of what their operations take over what they took before, in 1/256.
    let medianRatio: UInt32
}

/// The board, shared by all shards.
final class DriveBoard: Sendable {
    /// A ratio older than this says nothing about now.
    private static let freshSeconds: UInt64 = 6

    private let drives: [DriveNotes]
    private let slabs = Atomic<UInt32>(0)

    init(driveCount: Int) { drives = (0..<driveCount).map { _ in DriveNotes() } }

    /// Drives of the daemon.
    var driveCount: Int { drives.count }

    /// Slabs of requests that drives have in hand.
    var slabsInHand: UInt32 { slabs.load(ordering: .relaxed) }

    func take(slabs count: UInt32) { slabs.add(count, ordering: .relaxed) }
    func give(slabs count: UInt32) { slabs.subtract(count, ordering: .relaxed) }

    func impairments(of drive: DriveNumber) -> DriveImpairments {
        DriveImpairments(rawValue: drives[Int(drive.rawValue)].standing.load(ordering: .relaxed))
    }

    func note(_ impairments: DriveImpairments, of drive: DriveNumber) {
        drives[Int(drive.rawValue)].standing.store(impairments.rawValue, ordering: .relaxed)
    }

    func note(ratio: UInt32, isWrite: Bool, of drive: DriveNumber, now: Instant) {
        let word = Self.seconds(now) << 32 | UInt64(ratio)
        let notes = drives[Int(drive.rawValue)]
        if isWrite {
            notes.writes.store(word, ordering: .relaxed)
        } else {
            notes.reads.store(word, ordering: .relaxed)
        }
    }

    /// The other drives' ratios of the last seconds; nil when none has one.
    func peers(isWrite: Bool, besides drive: DriveNumber, now: Instant) -> PeerLatencies? {
        var ratios = InlineArray<64, UInt32>(repeating: 0)
        var count = 0
        for index in drives.indices where index != Int(drive.rawValue) && count < 64 {
            let notes = drives[index]
            let word = notes.ratio(isWrite: isWrite)
            guard word != 0, Self.seconds(now) <= word >> 32 + Self.freshSeconds else { continue }
            var place = count
            let ratio = UInt32(truncatingIfNeeded: word)
            while place > 0, ratios[place - 1] > ratio {
                ratios[place] = ratios[place - 1]
                place -= 1
            }
            ratios[place] = ratio
            count += 1
        }
        return count == 0
            ? nil : PeerLatencies(drives: count, medianRatio: ratios[(count - 1) / 2])
    }

    private static func seconds(_ instant: Instant) -> UInt64 {
        instant.nanoseconds / 1_000_000_000
    }
}
