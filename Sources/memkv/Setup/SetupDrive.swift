// SetupDrive: a drive on its way into a store: looked at, kept locked, formatted.
//
// Always holds: a drive that exists stays locked from the first look until it is formatted, and
// looking changes nothing; a file that wasn't there is made by formatting alone, and taken away
// again when that fails.

import Engine
import Settings
#if IOUring
import IOUring
import Ring
#endif

/// A drive to be formatted.
struct SetupDrive: Hashable {
    enum Kind: Hashable {
        case direct
        /// A file of that many bytes, made if absent.
        case file(bytes: UInt64)
    }

    /// An absolute path.
    let path: String
    let kind: Kind
}

#if IOUring

/// A drive as it was found.
final class LookedAtDrive {
    let drive: SetupDrive
    let load: DriveLoad
    /// Nil for a file that isn't there.
    let sizeBytes: UInt64?
    private var workbench: DriveWorkbench?

    /// Looks at `drive`. Refuses one that somebody uses, whatever it carries.
    init(_ drive: SetupDrive, tables: SystemTables) throws(CommandFailure) {
        self.drive = drive
        if let use = tables.uses(of: drive.path).first {
            throw CommandFailure(
                .refused, "\(use); nothing was changed. A drive in use is never formatted")
        }
        if LocalFiles.kind(of: drive.path) == .nothing {
            try LocalFiles.checkDirectory(of: drive.path)
            load = .nothing
            sizeBytes = nil
            return
        }
        if LocalFiles.isEmpty(drive.path) {
            load = .nothing
            sizeBytes = 0
            return
        }
        let workbench = try Self.open(drive, .readWrite)
        load = try DriveLoad(workbench, path: drive.path)
        sizeBytes = workbench.geometry.capacity.rawValue
        self.workbench = workbench
    }

    private static func open(
        _ drive: SetupDrive, _ access: DriveAccess
    ) throws(CommandFailure) -> DriveWorkbench {
        do throws(DriveFailure) {
            return try DriveWorkbench(
                drive.description(access), access: access,
                memory: ByteCount(
                    max(
                        DriveFormatter.memoryBytes.rawValue,
                        InspectedDrive<IOUringDevice>.contentMemoryBytes.rawValue)))
        } catch {
            throw CommandFailure(drive.path, error)
        }
    }

    /// What is wrong with making it a drive of `format`; nil when nothing is.
    func impossibility(of format: FormatConfiguration) -> String? {
        let geometry: DriveGeometry
        switch (drive.kind, workbench) {
        case (.direct, let workbench?): geometry = workbench.geometry
        case (.direct, nil): return "it isn't there"
        case (.file(let bytes), _):
            geometry = DriveGeometry(
                mode: .file, capacity: ByteCount(bytes), logicalBlockBytes: 4096,
                supportsDiscard: false, isPresent: true)
        }
        return DriveFormatter.impossibility(of: format, on: geometry)
    }

    /// Makes it a drive of `format`. What it carries is given up.
    func makeDrive(of format: FormatConfiguration) throws(CommandFailure) {
        do throws(DriveFailure) {
            try DriveFormatting.format(try prepared(), as: format)
        } catch {
            workbench = nil
            // What this call made must not stand in the next one's way.
            if sizeBytes == nil { LocalFiles.remove(drive.path) }
            if sizeBytes == 0 { LocalFiles.empty(drive.path) }
            throw CommandFailure(drive.path, error)
        }
        workbench = nil
    }

    /// The drive, open and without what others have left on it.
    private func prepared() throws(DriveFailure) -> DriveWorkbench {
        if case .file(let bytes) = drive.kind {
            if let workbench, load == .nothing, sizeBytes == bytes { return workbench }
            workbench = nil
            let access: DriveAccess = sizeBytes == nil ? .new : .replace
            return try opened(access)
        }
        if case .foreign = load {
            // Signatures that formatting doesn't happen to overwrite would be found later by
            // programs that put volumes together by themselves.
            workbench = nil
            do throws(SystemError) {
                try ForeignSignature.wipe(drive.path)
            } catch {
                throw DriveFailure(
                    .failed, "\(drive.path) keeps its old signatures: \(error)")
            }
        }
        if let workbench { return workbench }
        return try opened(.readWrite)
    }

    private func opened(_ access: DriveAccess) throws(DriveFailure) -> DriveWorkbench {
        let workbench = try DriveWorkbench(
            drive.description(access), access: access, memory: DriveFormatter.memoryBytes)
        self.workbench = workbench
        return workbench
    }
}

extension SetupDrive {
    fileprivate func description(_ access: DriveAccess) -> DriveDescription {
        switch (kind, access) {
        case (.direct, _): .direct(path: path)
        case (.file(let bytes), .new), (.file(let bytes), .replace):
            // A link is followed here: a file that must be new isn't made through one.
            .file(path: FileIdentity.target(of: path), createBytes: ByteCount(bytes))
        case (.file, _): .file(path: path, createBytes: nil)
        }
    }
}

#endif
