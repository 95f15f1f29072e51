// BlockDevice: the port through which the engine reaches its shard's drives.
//
// What a backend promises
//  - Completions come in any order, each submitted operation exactly once; a short read or write is
//    continued inside the backend and never shows, except that a read which ends before the drive's
//    known size means that the drive is gone.
//  - DURABLE: bytes of a write that completed before a flush was *submitted* survive a power cut
//    once that flush has completed without error. Nothing else does: not a completed write, not a
//    failed flush.
//  - ATOMIC: nothing. After a crash every sector (`logicalBlockBytes`) written since the last flush
//    is the old one, the new one, or damaged, each by itself.
//  - ORDERED: nothing between operations in flight together. Overlapping writes in flight are
//    forbidden.
//  - A discarded stretch reads as anything until it is written again.
//  - The memory of an operation belongs to the backend from `submit` until its completion is
//    polled.
//
// What the engine promises: offsets, lengths and memory are multiples of the logical block; at most
// `operationLimit` operations are in flight at once; everything lies inside the drive. The engine's
// `Drives` wrapper checks all of that, once, for every backend.

/// What to do to a drive.
package enum DeviceAction: UInt8, Sendable, CaseIterable {
    case read, write, flush, discard
}

/// One operation on one drive.
package struct DeviceOperation: Sendable {
    package var action: DeviceAction
    package var drive: DriveIndex
    /// First byte on the drive; 0 for a flush.
    package var offset: ByteOffset
    /// Bytes to move or discard; 0 for a flush.
    package var length: ByteCount
    /// Where the bytes are or go, in the arena the backend was made with; unused for flush and
    /// discard.
    package var memory: ArenaOffset
    package var tag: OperationTag

    package init(
        action: DeviceAction, drive: DriveIndex, offset: ByteOffset = ByteOffset(0),
        length: ByteCount = .zero, memory: ArenaOffset = ArenaOffset(0), tag: OperationTag
    ) {
        self.action = action
        self.drive = drive
        self.offset = offset
        self.length = length
        self.memory = memory
        self.tag = tag
    }
}

/// Why an operation failed. Its effect is unknown, except where a case says otherwise.
package enum DeviceError: UInt8, Error, Sendable, CaseIterable {
    /// The drive answered with an error (EIO and everything unlisted).
    case inputOutput
    /// These sectors can't be read (ENODATA, EILSEQ); others can.
    case medium
    /// The file system under a file drive is full (ENOSPC on a file); nothing was written past what
    /// fits.
    case noSpace
    /// The drive isn't there any more: ENODEV, ENXIO, 0 bytes read inside it, ENOSPC on a block
    /// device.
    case gone
    /// The drive can't do this at all (EOPNOTSUPP): a discard, on some.
    case unsupported
}

/// The end of one operation.
package struct DeviceCompletion: Sendable {
    package var tag: OperationTag
    /// nil when everything was done.
    package var error: DeviceError?
    /// The system's number for the error, for the log; 0 where there is none.
    package var code: Int32

    package init(tag: OperationTag, error: DeviceError?, code: Int32 = 0) {
        self.tag = tag
        self.error = error
        self.code = code
    }
}

/// How a drive is kept.
package enum DriveMode: UInt8, Sendable {
    /// A raw block device, O_DIRECT.
    case direct
    /// A preallocated or sparse file.
    case file
    /// No media at all: forgets everything at restart.
    case memory
}

/// A drive's fixed facts.
package struct DriveGeometry: Sendable {
    package var mode: DriveMode
    /// Raw size; nil length drives don't exist: an absent drive has `isPresent == false`.
    package var capacity: ByteCount
    /// 512 or 4096: the unit of reads, writes and tearing.
    package var logicalBlockBytes: UInt32
    package var supportsDiscard: Bool
    /// False when the drive could not be opened at start: it is then offline from the first step.
    package var isPresent: Bool

    package init(
        mode: DriveMode, capacity: ByteCount, logicalBlockBytes: UInt32, supportsDiscard: Bool,
        isPresent: Bool
    ) {
        self.mode = mode
        self.capacity = capacity
        self.logicalBlockBytes = logicalBlockBytes
        self.supportsDiscard = supportsDiscard
        self.isPresent = isPresent
    }
}

/// A shard's drives.
package protocol BlockDevice: ~Copyable {
    /// Drives, present or absent, in the order of the configuration.
    var driveCount: Int { get }
    /// Operations that may be in flight at once.
    var operationLimit: Int { get }

    func geometry(of drive: DriveIndex) -> DriveGeometry

    /// Takes `operation`; it reaches the drive at the latest when the step ends. Traps beyond the
    /// limit.
    mutating func submit(_ operation: DeviceOperation)

    /// The next finished operation, or nil when none is finished now.
    mutating func nextCompletion() -> DeviceCompletion?
}
