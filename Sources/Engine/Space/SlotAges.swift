// SlotAges: how long ago each slot's block was last stored or read, coarsely, for eviction.
//
// One byte a slot: the epoch of its last use. An epoch passes each time as many blocks have been
// used as a thirty-second of the drive holds, so ages tell apart what was used within the last
// eight turnovers; sampled leaf by leaf they choose nearly what least-recently-used would (Redis's
// sampled LRU rests on the same).

/// One drive's ages.
struct SlotAges: ~Copyable {
    private var epochs: FixedArray<UInt8>
    private var epoch: UInt8 = 0
    private var usesInEpoch: UInt64 = 0

    init(unitCount: UInt32) { epochs = FixedArray(count: Int(unitCount), repeating: 0) }

    /// The block at `slot` is used now; `blocks` are on the drive.
    mutating func use(_ slot: SlotIndex, blocks: UInt64) {
        epochs[Int(slot.rawValue)] = epoch
        usesInEpoch += 1
        if usesInEpoch > max(1, blocks / 32) {
            usesInEpoch = 0
            epoch &+= 1
        }
    }

    /// Epochs since the last use; unknown after a restart, when everything counts from one point.
    func age(_ slot: SlotIndex) -> UInt8 { epoch &- epochs[Int(slot.rawValue)] }
}
