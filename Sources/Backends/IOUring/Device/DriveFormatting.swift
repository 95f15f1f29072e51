// DriveFormatting: formats drives.
//
// Always holds: a file drive's superblocks, journal and index pages are allocated when it is
// formatted, so that a file system that fills up later refuses blocks and nothing else.

#if IOUring

package import Engine
internal import Ring

/// Formats drives.
package enum DriveFormatting {
    /// Formats the drive, which must not be open elsewhere.
    package static func format(
        _ drive: DriveDescription, access: DriveAccess = .readWrite, as format: FormatConfiguration
    ) throws(DriveFailure) {
        let workbench = try DriveWorkbench(
            drive, access: access, memory: DriveFormatter.memoryBytes)
        try Self.format(workbench, as: format)
    }

    /// Formats a drive that is open for it.
    package static func format(
        _ workbench: DriveWorkbench, as format: FormatConfiguration
    ) throws(DriveFailure) {
        var device = workbench.device
        try Self.format(
            &device, ring: workbench.ring, arena: workbench.arena,
            memory: ArenaRange(start: ArenaOffset(0), length: DriveFormatter.memoryBytes),
            as: format)
    }

    /// Formats the first drive of a device that is open already. `memory` lies in `arena` and holds
    /// `DriveFormatter.memoryBytes`.
    package static func format(
        _ device: inout IOUringDevice, ring: ShardRing, arena: Arena, memory: ArenaRange,
        as format: FormatConfiguration
    ) throws(DriveFailure) {
        let drive = DriveIndex(0)
        let geometry = device.geometry(of: drive)
        if let problem = DriveFormatter.impossibility(of: format, on: geometry) {
            throw DriveFailure(.impossible, problem)
        }
        var formatter = DriveFormatter(
            drive: drive, geometry: geometry, format: format, arena: arena, memory: memory)
        for region in formatter.metadata {
            do throws(SystemError) {
                try device.reserve(region.start, length: region.length, on: drive)
            } catch {
                throw DriveFailure(
                    .failed, "its journal and index take more room than there is: \(error)")
            }
        }
        do throws(DeviceError) {
            while try !formatter.step(device: &device) { _ = ring.enter(wait: true) }
        } catch {
            throw DriveFailure(.failed, "writing its superblocks failed: \(error)")
        }
    }
}

#endif
