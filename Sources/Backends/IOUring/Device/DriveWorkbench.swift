// DriveWorkbench: one drive, opened and locked on a ring of its own, for a job that isn't serving:
// formatting it, or looking at what it carries.
//
// Always holds: the lock is held from `init` until the workbench ends. Made, used and ended by one
// thread.

#if IOUring

package import Engine
internal import Ring

/// Why a job on a drive failed.
package struct DriveFailure: Error, CustomStringConvertible {
    package enum Kind: Sendable {
        /// What was asked for doesn't fit the drive.
        case impossible
        /// Nothing can be done with that path: it isn't there, or is of another kind, or may not
        /// be opened.
        case unusable
        /// The drive or the kernel refused.
        case failed
    }

    package let kind: Kind
    package let description: String

    package init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }

    init(_ error: DriveOpenError) {
        switch error {
        case .notABlockDevice, .notAFile, .sizeNotWhole, .empty, .system:
            self.init(.unusable, error.description)
        case .inUse, .exists, .logicalBlock, .noMemory, .ring:
            self.init(.failed, error.description)
        }
    }
}

/// A ring with one drive.
package final class DriveWorkbench {
    package let arena: Arena
    let ring: ShardRing
    package let device: IOUringDevice
    private static let operationLimit = 128

    /// Opens `drive` with `memory` bytes of arena for the job.
    package init(
        _ drive: DriveDescription, access: DriveAccess, memory: ByteCount
    ) throws(DriveFailure) {
        do throws(SystemError) {
            arena = try mapArena(bytes: memory).arena
        } catch {
            throw DriveFailure(.failed, "no memory: \(error)")
        }
        do throws(RingError) {
            ring = try ShardRing(
                arena: arena, inFlightLimit: Self.operationLimit, entries: Self.operationLimit)
        } catch {
            throw DriveFailure(.failed, error.description)
        }
        do throws(DriveOpenError) {
            device = try IOUringDevice(
                shard: ring, arena: arena, drives: [drive], access: access,
                operationLimit: Self.operationLimit)
        } catch {
            throw DriveFailure(error)
        }
        if let absence = device.absence(of: DriveIndex(0)) {
            throw DriveFailure(.unusable, "\(drive.path ?? "it") can't be opened: \(absence)")
        }
    }

    package var geometry: DriveGeometry { device.geometry(of: DriveIndex(0)) }

    /// True when somebody else has the drive; known only with `look`.
    package var isInUse: Bool { device.isInUse(DriveIndex(0)) }

    /// Blocks until an operation has completed.
    package func wait() { _ = ring.enter(wait: true) }

    /// The drive for jobs that read it.
    package var inspected: InspectedDrive<IOUringDevice> {
        InspectedDrive(device: device, arena: arena, wait: { [self] _ in wait() })
    }
}

#endif
