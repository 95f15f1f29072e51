// SlotReaders: slots that are being read, so that nobody writes into them before the last reader is
// done.

/// Names a value by its drive and first slot.
struct SlotKey: FixedMapKey {
    let drive: DriveIndex
    let slot: SlotIndex

    func mapHash(seed: UInt64) -> UInt64 {
        (UInt64(drive.rawValue) << 32 | UInt64(slot.rawValue)).mapHash(seed: seed)
    }
}

/// How many read what.
struct SlotReaders: ~Copyable {
    private var counts: FixedMap<SlotKey, UInt32>

    /// Room for `capacity` values being read at once: one per operation, one per scrub.
    init(capacity: Int, seed: UInt64) { counts = FixedMap(capacity: capacity, seed: seed) }

    /// Values being read.
    var count: Int { counts.count }

    func isRead(_ slot: SlotIndex, on drive: DriveIndex) -> Bool {
        counts[SlotKey(drive: drive, slot: slot)] != nil
    }

    mutating func begin(_ slot: SlotIndex, on drive: DriveIndex) {
        let key = SlotKey(drive: drive, slot: slot)
        precondition(counts.set(key, to: (counts[key] ?? 0) + 1), "more readers than operations")
    }

    mutating func end(_ slot: SlotIndex, on drive: DriveIndex) {
        let key = SlotKey(drive: drive, slot: slot)
        guard let count = counts[key] else { preconditionFailure("a read ended that never began") }
        if count == 1 { counts.remove(key) } else { counts.set(key, to: count - 1) }
    }
}
