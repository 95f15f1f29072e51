// DriveFormatting: formats drives, and reads what they carry, on a ring of its own that lives for
// one call.
//
// Always holds: a file drive's superblocks, journal and index pages are allocated when it is
// formatted, so that a file system that fills up later refuses blocks and nothing else.

#if IOUring

package import Engine
internal import Ring

/// Why a drive couldn't be formatted or read.
package struct DriveFormattingFailure: Error, CustomStringConvertible {
    package enum Kind: Sendable {
        /// The format doesn't fit the drive.
        case impossible
        /// The drive or the kernel refused.
        case failed
    }

    package let kind: Kind
    package let description: String
}

/// Formats drives and tells what they carry.
package enum DriveFormatting {
    /// What the drive carries; `empty` when nothing is there. Changes nothing.
    package static func content(
        of drive: DriveDescription
    ) throws(DriveFormattingFailure) -> DriveContent {
        let superblock = FormatConstants.superblockBytes
        var workbench = try Workbench(drive, memory: ByteCount(2 * superblock.rawValue))
        let geometry = workbench.device.geometry(of: DriveIndex(0))
        guard geometry.isPresent,
            geometry.capacity.rawValue
                >= FormatConstants.superblockB.rawValue + superblock.rawValue
        else { return .empty }
        let copies = [FormatConstants.superblockA, FormatConstants.superblockB]
        for (index, offset) in copies.enumerated() {
            workbench.device.submit(
                DeviceOperation(
                    action: .read, drive: DriveIndex(0), offset: offset, length: superblock,
                    memory: ArenaOffset(UInt64(index) * superblock.rawValue),
                    tag: OperationTag(0)))
        }
        for _ in copies {
            if let error = workbench.awaitCompletion() {
                throw DriveFormattingFailure(
                    kind: .failed, description: "reading its superblocks failed: \(error)")
            }
        }
        return DriveContent(
            workbench.arena, superblockA: ArenaOffset(0),
            superblockB: ArenaOffset(superblock.rawValue))
    }

    /// Formats the drive, which must not be open elsewhere; a file with a size is made.
    package static func format(
        _ drive: DriveDescription, as format: FormatConfiguration
    ) throws(DriveFormattingFailure) {
        var workbench = try Workbench(drive, memory: DriveFormatter.memoryBytes)
        try Self.format(
            &workbench.device, ring: workbench.ring, arena: workbench.arena,
            memory: ArenaRange(start: ArenaOffset(0), length: DriveFormatter.memoryBytes),
            as: format)
    }

    /// Formats the first drive of a device that is open already. `memory` lies in `arena` and holds
    /// `DriveFormatter.memoryBytes`.
    package static func format(
        _ device: inout IOUringDevice, ring: ShardRing, arena: Arena, memory: ArenaRange,
        as format: FormatConfiguration
    ) throws(DriveFormattingFailure) {
        let drive = DriveIndex(0)
        let geometry = device.geometry(of: drive)
        if let problem = DriveFormatter.impossibility(of: format, on: geometry) {
            throw DriveFormattingFailure(kind: .impossible, description: problem)
        }
        var formatter = DriveFormatter(
            drive: drive, geometry: geometry, format: format, arena: arena, memory: memory)
        for region in formatter.metadata {
            do throws(SystemError) {
                try device.reserve(region.start, length: region.length, on: drive)
            } catch {
                throw DriveFormattingFailure(
                    kind: .failed,
                    description: "its journal and index take more room than there is: \(error)")
            }
        }
        do throws(DeviceError) {
            while try !formatter.step(device: &device) { _ = ring.enter(wait: true) }
        } catch {
            throw DriveFormattingFailure(
                kind: .failed, description: "writing its superblocks failed: \(error)")
        }
    }
}

/// A ring with one drive, for one job.
private struct Workbench {
    let arena: Arena
    let ring: ShardRing
    var device: IOUringDevice

    init(_ drive: DriveDescription, memory: ByteCount) throws(DriveFormattingFailure) {
        do {
            arena = try mapArena(bytes: memory).arena
            ring = try ShardRing(arena: arena, inFlightLimit: 16, entries: 16)
            device = try IOUringDevice(
                shard: ring, arena: arena, drives: [drive], operationLimit: 16)
        } catch {
            throw DriveFormattingFailure(kind: .failed, description: "\(error)")
        }
    }

    /// Waits for one operation; its error.
    mutating func awaitCompletion() -> DeviceError? {
        while true {
            if let completion = device.nextCompletion() { return completion.error }
            _ = ring.enter(wait: true)
        }
    }
}

#endif
