// DriveFaults: what is wrong with a simulated drive. Each fault is something real drives do.
//
// Always holds: faults are an overlay, so that asking again heals nothing: a damaged or unreadable
// sector stays so until it is written anew.

package import Engine

/// One operation that is going to fail.
package struct PlannedFailure: Sendable {
    package let action: DeviceAction
    /// Which of the drive's operations of this action, counted from 0 since the device was made.
    package let ordinal: UInt64
    package let error: DeviceError

    package init(action: DeviceAction, ordinal: UInt64, error: DeviceError) {
        self.action = action
        self.ordinal = ordinal
        self.error = error
    }
}

/// Bits that read flipped.
package struct BitDamage: Sendable {
    package let offset: ByteOffset
    package let mask: UInt8

    package init(offset: ByteOffset, mask: UInt8) {
        precondition(mask != 0, "damage of no bits")
        self.offset = offset
        self.mask = mask
    }
}

/// A drive's faults; none by default.
package struct DriveFaults: Sendable {
    /// A failed write may have landed in any of its sectors; a failed flush makes nothing durable,
    /// nor does any later flush for the writes it covered; a failed read leaves scribble in memory.
    package var failures: [PlannedFailure] = []
    /// From this operation of the drive on (counted over all actions), and for whatever is then in
    /// flight, the answer is `gone`.
    package var goneFromOperation: UInt64?
    /// Sectors of these byte ranges answer reads with `medium`, until they are written.
    package var unreadable: [Range<UInt64>] = []
    /// Applied to what a read returns, until the sector is written.
    package var damage: [BitDamage] = []
    /// Sectors never written before that still fit under a file drive; nil without limit. The part
    /// of a write that fits is written.
    package var newSectorLimit: UInt64?
    /// What everything is answered with while the drive is away; nil while it is there.
    package var offlineAnswer: DeviceError?
    /// Operations of these actions aren't completed until they are taken off the list.
    package var stalledActions = DeviceActions()
    /// How much longer an operation takes, in percent of what it should; 100 for no longer.
    package var latencyPercent: UInt64 = 100
    /// Operations of a hundred that this slowness meets.
    package var slowedSharePercent: UInt64 = 100
    /// What the next flush is answered with, once.
    package var nextFlushError: DeviceError?
    /// Writes, in a thousand, that are acknowledged and never land.
    package var lostWritesPerMille: UInt64 = 0
    /// Writes, in a thousand, that are acknowledged and of which only some sectors land.
    package var tornWritesPerMille: UInt64 = 0
    /// Writes, in a thousand, that land somewhere else.
    package var misdirectedWritesPerMille: UInt64 = 0
    /// Reads, in a thousand, that bring what stands somewhere else.
    package var misdirectedReadsPerMille: UInt64 = 0

    package init() {}

    /// The fault that meets a read of the sector at these bytes.
    func isUnreadable(_ bytes: Range<UInt64>) -> Bool {
        unreadable.contains { $0.overlaps(bytes) }
    }

    /// A sector written anew is a good sector.
    mutating func heal(_ bytes: Range<UInt64>) {
        damage.removeAll { bytes.contains($0.offset.rawValue) }
        guard isUnreadable(bytes) else { return }
        unreadable = unreadable.flatMap { range in
            [
                range.lowerBound..<max(range.lowerBound, min(range.upperBound, bytes.lowerBound)),
                min(range.upperBound, max(range.lowerBound, bytes.upperBound))..<range.upperBound,
            ].filter { !$0.isEmpty }
        }
    }
}

/// How long operations take: a fixed part and a random one, in microseconds.
package struct DriveLatency: Sendable {
    package var fixedMicroseconds: InlineArray<4, UInt64> = [60, 20, 400, 50]
    package var randomMicroseconds: InlineArray<4, UInt64> = [90, 180, 900, 200]

    package init() {}

    /// Sets both parts for one action; how a slow or stalled drive is made.
    package mutating func set(
        _ action: DeviceAction, fixedMicroseconds fixed: UInt64, randomMicroseconds random: UInt64
    ) {
        fixedMicroseconds[Int(action.rawValue)] = fixed
        randomMicroseconds[Int(action.rawValue)] = random
    }

    func draw(_ action: DeviceAction, from random: inout RandomStream) -> UInt64 {
        let index = Int(action.rawValue)
        return fixedMicroseconds[index] + random.below(randomMicroseconds[index] + 1)
    }
}

/// A set of actions.
package struct DeviceActions: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let flush = DeviceActions(.flush)
    package static let all = DeviceActions(rawValue: 15)

    package init(_ action: DeviceAction) { rawValue = 1 << action.rawValue }
}

/// What a drive's faults have done to it so far.
package struct FaultEffects: Hashable, Sendable {
    /// Operations answered with an error.
    package var failures: UInt64 = 0
    package var slowed: UInt64 = 0
    package var stalled: UInt64 = 0
    package var lostWrites: UInt64 = 0
    package var tornWrites: UInt64 = 0
    package var misdirected: UInt64 = 0
    /// Sectors read whose bytes were damaged.
    package var damagedReads: UInt64 = 0

    package init() {}

    package static func += (left: inout FaultEffects, right: FaultEffects) {
        left.failures += right.failures
        left.slowed += right.slowed
        left.stalled += right.stalled
        left.lostWrites += right.lostWrites
        left.tornWrites += right.tornWrites
        left.misdirected += right.misdirected
        left.damagedReads += right.damagedReads
    }
}

/// How much a drive does at once, and how fast it moves bytes.
package struct DriveService: Sendable {
    /// Operations served side by side; the others queue. 0 for no limit.
    package var channels = 0
    /// Bytes that one channel moves in a microsecond; 0 for no limit.
    package var bytesPerMicrosecond: UInt64 = 0

    package init() {}

    package init(channels: Int, bytesPerMicrosecond: UInt64) {
        self.channels = channels
        self.bytesPerMicrosecond = bytesPerMicrosecond
    }
}
