// What a drive is to be, and why one can't be opened.

#if IOUring

package import Engine
package import Ring

/// A drive as the configuration names it.
package enum DriveDescription: Hashable, Sendable {
    /// A raw block device, O_DIRECT.
    case direct(path: String)
    /// A file. Made sparse at `createBytes` when it is absent or empty; nil leaves an absent one
    /// absent.
    case file(path: String, createBytes: ByteCount?)
    /// Anonymous memory, gone with the process.
    case memory(capacity: ByteCount)

    /// Where it is; nil in memory.
    package var path: String? {
        switch self {
        case .direct(let path), .file(let path, _): path
        case .memory: nil
        }
    }

    package var mode: DriveMode {
        switch self {
        case .direct: .direct
        case .file: .file
        case .memory: .memory
        }
    }
}

/// What may be done with a drive that is opened.
package enum DriveAccess: Sendable {
    case readWrite
    /// The kernel refuses every write.
    case readOnly
    /// Read-only, not locked, also when somebody else has it.
    case look
    /// A file with `createBytes` that must not be there yet.
    case new
    /// A file with `createBytes` that is made anew, whatever it holds.
    case replace
}

/// Why a drive that is there can't be used. A drive that isn't there is no error but an absent
/// drive.
package enum DriveOpenError: Error, Hashable, Sendable, CustomStringConvertible {
    case notABlockDevice(path: String)
    case notAFile(path: String)
    case inUse(path: String)
    /// A file that should be new and isn't.
    case exists(path: String)
    case empty(path: String)
    case sizeNotWhole(path: String, bytes: UInt64)
    case logicalBlock(path: String, bytes: UInt32)
    case system(path: String, SystemError)
    case noMemory(bytes: UInt64, SystemError)
    case ring(RingError)

    package var description: String {
        switch self {
        case .notABlockDevice(let path):
            "\(path) is not a block device; use storage.mode: file for a file"
        case .notAFile(let path):
            "\(path) is not a regular file; use storage.mode: direct for a block device"
        case .inUse(let path):
            "\(path) is in use: another memkvd or memkv holds it, or it is mounted"
        case .exists(let path):
            "\(path) appeared meanwhile; nothing was changed"
        case .empty(let path):
            "\(path) is empty, or shorter than 4096 bytes; give it a size with max_size, or "
                + "format it with `memkv setup`"
        case .sizeNotWhole(let path, let bytes):
            "\(path) can't be made \(bytes) bytes long: give a multiple of 4096, at least 4096"
        case .logicalBlock(let path, let bytes):
            "\(path) has logical blocks of \(bytes) bytes; 512 and 4096 are supported"
        case .system(let path, let error):
            "\(path) can't be opened: \(error)"
        case .noMemory(let bytes, let error):
            "no \(bytes) bytes of memory for a memory drive: \(error)"
        case .ring(let error):
            error.description
        }
    }
}

#endif
