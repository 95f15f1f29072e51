// Opening one drive: what it turns out to be, or why it is absent, or why it is refused.
//
// Always holds: a block device is opened exclusively and a file is locked, so that two processes
// never write one drive; a drive that isn't there is absent, not an error.
//
// One of the files that may say `unsafe`.

#if IOUring

internal import CIOURing
internal import Engine
internal import Glibc
internal import Ring

/// A drive, open or absent. The descriptor is owned by whoever holds this.
struct OpenedDrive: Sendable {
    /// How this drive discards. `command` falls back to `punchHole` when the kernel doesn't know
    /// it.
    enum Discard: Sendable { case command, punchHole }

    var geometry: DriveGeometry
    /// -1 for memory and for absent drives.
    var descriptor: Int32 = -1
    /// What it lies on, beneath loop devices: locked as long as it is.
    var beneath = memkv_beneath()
    var isBlockDevice = false
    /// False when the file system has no O_DIRECT, so that bytes go through the page cache.
    var isDirect = false
    /// Somebody else has it; known only of drives opened to look.
    var isInUse = false
    var discard = Discard.punchHole
    var memory: MappedMemory?
    /// Why the drive is absent; nil when it is there.
    var absence: SystemError?

    /// A file on a file system that keeps a lock while another machine or program works, and lets
    /// whoever submits wait for it: its operations are submitted by a thread of the kernel's.
    var blocksSubmitter = false

    /// A file can be deleted or cut short while it is open, and nothing that is done to it fails.
    var isFile: Bool { geometry.mode == .file && !isBlockDevice }

    /// Errors that mean that nothing is there.
    private static let absences: Set<Int32> = [ENOENT, ENXIO, ENODEV, ENOMEDIUM, EIO]

    static func open(
        _ description: DriveDescription, access: DriveAccess = .readWrite
    ) throws(DriveOpenError) -> OpenedDrive {
        switch description {
        case .memory(let capacity): return try openMemory(capacity)
        case .direct(let path):
            var drive = memkv_drive()
            let result = unsafe memkv_open_block_device(path, access.flags, &drive)
            if absences.contains(-result) { return absent(.direct, SystemError(result)) }
            try check(result, path: path)
            return try opened(drive, mode: .direct, path: path)
        case .file(let path, let createBytes):
            if let createBytes, createBytes.rawValue == 0 || createBytes.rawValue % 4096 != 0 {
                throw .sizeNotWhole(path: path, bytes: createBytes.rawValue)
            }
            var drive = memkv_drive()
            let result = unsafe memkv_open_file(
                path, access.flags, createBytes?.rawValue ?? 0, &drive)
            // With a size given the file is made, so what is missing then is its directory.
            if createBytes == nil, absences.contains(-result) {
                return absent(.file, SystemError(result))
            }
            try check(result, path: path)
            return try opened(drive, mode: .file, path: path)
        }
    }

    private static func opened(
        _ drive: memkv_drive, mode: DriveMode, path: String
    ) throws(DriveOpenError) -> OpenedDrive {
        guard drive.logical_block_bytes == 512 || drive.logical_block_bytes == 4096 else {
            close(drive)
            throw .logicalBlock(path: path, bytes: drive.logical_block_bytes)
        }
        guard drive.capacity_bytes > 0 else {
            close(drive)
            throw .empty(path: path)
        }
        let geometry = DriveGeometry(
            mode: mode, capacity: ByteCount(drive.capacity_bytes),
            logicalBlockBytes: drive.logical_block_bytes,
            supportsDiscard: drive.supports_discard, isPresent: true)
        return OpenedDrive(
            geometry: geometry, descriptor: drive.fd, beneath: drive.beneath,
            isBlockDevice: drive.is_block_device,
            isDirect: drive.is_direct, isInUse: drive.is_in_use,
            discard: drive.is_block_device ? .command : .punchHole,
            blocksSubmitter: drive.blocks_submitter)
    }

    private static func close(_ drive: memkv_drive) {
        Glibc.close(drive.fd)
        var beneath = drive.beneath
        unsafe memkv_release_beneath(&beneath)
    }

    /// Closes and unlocks it, once nobody uses its descriptor any more.
    func close() {
        guard descriptor >= 0 else { return }
        Glibc.close(descriptor)
        var beneath = beneath
        unsafe memkv_release_beneath(&beneath)
    }

    private static func openMemory(_ capacity: ByteCount) throws(DriveOpenError) -> OpenedDrive {
        let whole = ByteCount(capacity.rawValue / 4096 * 4096)
        guard whole.rawValue > 0 else {
            throw .sizeNotWhole(path: "a memory drive", bytes: capacity.rawValue)
        }
        do throws(SystemError) {
            let memory = try mapMemory(byteCount: Int(whole.rawValue), preferHugePages: false)
            let geometry = DriveGeometry(
                mode: .memory, capacity: whole, logicalBlockBytes: 4096, supportsDiscard: false,
                isPresent: true)
            return OpenedDrive(geometry: geometry, memory: memory)
        } catch {
            throw .noMemory(bytes: whole.rawValue, error)
        }
    }

    private static func absent(_ mode: DriveMode, _ error: SystemError) -> OpenedDrive {
        let geometry = DriveGeometry(
            mode: mode, capacity: .zero, logicalBlockBytes: 4096, supportsDiscard: false,
            isPresent: false)
        return OpenedDrive(geometry: geometry, absence: error)
    }

    private static func check(_ result: Int32, path: String) throws(DriveOpenError) {
        switch -result {
        case 0: return
        case ENOTBLK: throw .notABlockDevice(path: path)
        case ENOTSUP, EISDIR: throw .notAFile(path: path)
        case EBUSY, EWOULDBLOCK, ETXTBSY: throw .inUse(path: path)
        case EEXIST: throw .exists(path: path)
        default: throw .system(path: path, SystemError(result))
        }
    }
}

extension DriveAccess {
    /// What the shim calls it.
    fileprivate var flags: UInt32 {
        switch self {
        case .readWrite: 0
        case .readOnly: UInt32(MEMKV_DRIVE_READ_ONLY)
        case .look: UInt32(MEMKV_DRIVE_LOOK)
        case .new: UInt32(MEMKV_DRIVE_NEW)
        case .replace: UInt32(MEMKV_DRIVE_REPLACE)
        }
    }
}

#endif
