// StoreReport: what a store says of itself in public: its health, its status and its counters, as
// plain values.
//
// Always holds: counters only grow, over restarts too: whoever reads them adds up the lives of the
// store.

/// The store's word on its health.
package enum ReportedHealth: String, Hashable, Sendable, CaseIterable {
    case healthy, degraded, unhealthy
    /// No answer, or one that says it isn't ready.
    case unavailable
}

/// One look at a store's public status.
package struct StoreReport: Hashable, Sendable {
    package var health = ReportedHealth.unavailable
    package var drivesOnline: UInt64 = 0
    package var drivesMissing: UInt64 = 0
    package var drivesTotal: UInt64 = 0
    /// Blocks given up for room.
    package var evictions: UInt64 = 0
    /// Blocks given up because their bytes were in doubt, or because what named them was: an upper
    /// bound from the store's counters.
    package var doubts: UInt64 = 0
    /// Of these, values that were read and didn't match their checksum.
    package var damagedValues: UInt64 = 0
    /// Bytes of slots that are never used again.
    package var quarantinedBytes: UInt64 = 0
    /// Drives that came back with nothing.
    package var drivesEmptied: UInt64 = 0
    /// Values that a recovery found torn.
    package var tornValues: UInt64 = 0
    /// Requests turned away because their drive didn't answer, or had enough in hand; of reads,
    /// misses.
    package var shedRequests: UInt64 = 0
    package var blocks: UInt64 = 0
    package var usedBytes: UInt64 = 0
    package var usableBytes: UInt64 = 0
    package var operationsInFlight: UInt64 = 0
    package var slabsAllocated: UInt64 = 0
    package var slabsTotal: UInt64 = 0

    package init() {}
}

/// Why a block may be missing though nobody deleted it. The store must have reported it, and the
/// run must allow it.
package struct LossCauses: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8
    package init(rawValue: UInt8) { self.rawValue = rawValue }

    package static let eviction = LossCauses(rawValue: 1)
    /// A fault that damages what is on a drive.
    package static let damage = LossCauses(rawValue: 2)
    /// A fault that takes a drive away.
    package static let absence = LossCauses(rawValue: 4)
    /// A fault that keeps a drive from answering: its reads may be turned away.
    package static let shedding = LossCauses(rawValue: 16)
    /// A fault that may cost a whole drive's content.
    package static let emptiedDrive = LossCauses(rawValue: 8)
}
