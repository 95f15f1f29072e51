// Engine: one shard's store, a synchronous machine advanced by `step(now:)`.


/// The store of one shard, over its drives and its transport.
package struct Engine<Device: BlockDevice & ~Copyable, Link: Transport & ~Copyable>: ~Copyable {
    package var device: Device
    package var transport: Link
    package let cells: ShardCells
    package private(set) var phase = EnginePhase.recovering

    /// Bytes of private arena memory that an engine of this configuration needs for `driveCount` drives.
    package static func privateMemory(
        for configuration: EngineConfiguration, driveCount: Int
    ) -> ByteCount { .zero }

    /// An engine that begins to recover at its first step. Traps on an impossible configuration.
    package init(
        configuration: EngineConfiguration, device: consuming Device, transport: consuming Link,
        memory: EngineMemory, cells: ShardCells
    ) {
        self.device = device
        self.transport = transport
        self.cells = cells
    }

    /// Drains completions and requests, decides, submits. True when anything happened, so that a caller
    /// who gets false may wait until `nextWake` or the next completion.
    package mutating func step(now: Instant) -> Bool { false }

    /// When `step` must be called though nothing completes: the earliest deadline.
    package var nextWake: Instant { .never }

    /// Stops taking requests, finishes what is in flight, checkpoints; ends in `stopped`.
    package mutating func beginDrain() {}

    package func driveState(_ drive: DriveIndex) -> DriveState { .online }

    /// Why `drive` is refused; nil when it isn't.
    package func driveRefusal(_ drive: DriveIndex) -> DriveRefusal? { nil }

    /// Identity of the store, once a drive has been read.
    package var storeID: StoreIdentity { StoreIdentity(high: 0, low: 0) }
}

/// Formats one drive: writes both superblocks, each behind a flush, and nothing else.
package struct DriveFormatter: Sendable {
    /// Arena bytes it needs.
    package static let memoryBytes = ByteCount(8192)

    /// Nil with a sentence naming what is impossible: a drive that is too small, above all.
    package static func impossibility(
        of format: FormatConfiguration, on geometry: DriveGeometry
    ) -> String? { nil }

    package init(
        drive: DriveIndex, geometry: DriveGeometry, format: FormatConfiguration, arena: Arena,
        memory: ArenaRange
    ) {}

    /// Submits the next write or flush and takes completions; returns true when the drive is formatted.
    /// The caller waits on its device between calls.
    package mutating func step(
        device: inout some BlockDevice & ~Copyable
    ) throws(DeviceError) -> Bool { true }
}

/// What a drive already carries.
package enum DriveContent: Hashable, Sendable {
    case empty
    case store(storeID: StoreIdentity, driveID: StoreIdentity, blockSizeBytes: UInt32, minimumSlotBytes: UInt32)
    case damagedStore
}
