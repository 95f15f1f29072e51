// SetupPlan: the drives and sizes of a new store, checked against each other, and the configuration
// they make.
//
// Refuses, naming the drive or the option: two kinds of drives, a file without a size, a size that
// isn't a power of two, a path that can be no drive.

/// A drive to be formatted.
struct SetupDrive: Hashable {
    enum Kind: Hashable {
        case direct
        /// A file of that many bytes, made if absent.
        case file(maximumBytes: UInt64)
    }

    var path: String
    var kind: Kind
}

/// What a drive carries already.
enum SetupContent: Hashable {
    case nothing
    case store(id: String, blockBytes: UInt64, minimumSlotBytes: UInt64)
    case damagedStore
    /// Bytes that no MemKV wrote: somebody's file, or a file system.
    case somethingElse
}

struct SetupPlan {
    enum Decision { case format, keep }

    let drives: [SetupDrive]
    let blockBytes: UInt64
    let minimumSlotBytes: UInt64

    init(
        paths: [String], maximumFileBytes: UInt64?, blockBytes: UInt64, minimumSlotBytes: UInt64
    ) throws(CommandFailure) {
        guard minimumSlotBytes >= 4096, minimumSlotBytes.nonzeroBitCount == 1 else {
            throw CommandFailure(.usage, "--min-slot must be a power of two of at least 4 KiB")
        }
        guard blockBytes.nonzeroBitCount == 1, blockBytes >= minimumSlotBytes,
            blockBytes <= 16 << 20
        else {
            throw CommandFailure(
                .usage, "--block-size must be a power of two, from --min-slot up to 16 MiB")
        }
        var drives: [SetupDrive] = []
        for path in paths {
            drives.append(try Self.drive(at: path, maximumFileBytes: maximumFileBytes))
        }
        let raw = drives.count { $0.kind == .direct }
        guard raw == 0 || raw == drives.count else {
            throw CommandFailure(
                .usage, "block devices and files can't be drives of one store; name one kind")
        }
        guard raw == 0 || maximumFileBytes == nil else {
            throw CommandFailure(.usage, "--max-size is for files; a block device is used whole")
        }
        self.drives = drives
        self.blockBytes = blockBytes
        self.minimumSlotBytes = minimumSlotBytes
    }

    private static func drive(
        at path: String, maximumFileBytes: UInt64?
    ) throws(CommandFailure) -> SetupDrive {
        switch LocalFiles.kind(of: path) {
        case .blockDevice:
            return SetupDrive(path: path, kind: .direct)
        case .file, .nothing:
            guard let maximumFileBytes else {
                throw CommandFailure(.usage, "\(path) is a file: say how large with --max-size")
            }
            return SetupDrive(path: path, kind: .file(maximumBytes: maximumFileBytes))
        case .directory:
            throw CommandFailure(
                .usage, "\(path) is a directory; name a file in it, or a block device")
        case .other:
            throw CommandFailure(.usage, "\(path) is neither a file nor a block device")
        }
    }

    /// Whether to format, from what the drives carry; refuses to destroy a store that nobody gave
    /// up.
    func decide(
        _ contents: [SetupContent], force: Bool, idempotent: Bool
    ) throws(CommandFailure) -> Decision {
        if force || contents.allSatisfy({ $0 == .nothing }) { return .format }
        if idempotent, isWholeStore(contents) { return .keep }
        for (drive, content) in zip(drives, contents) {
            switch content {
            case .nothing: continue
            case .somethingElse:
                throw CommandFailure(
                    .refused,
                    "\(drive.path) carries data that is no MemKV store; nothing was changed. "
                        + "--force overwrites it")
            case .damagedStore:
                throw CommandFailure(
                    .refused,
                    "\(drive.path) carries a damaged store; nothing was changed. "
                        + "--force gives up its blocks")
            case .store(_, let block, let slot):
                let sizes =
                    "block size \(ByteSize(bytes: block).exact), smallest slot "
                    + ByteSize(bytes: slot).exact
                throw CommandFailure(
                    .refused,
                    "\(drive.path) carries a store already (\(sizes)); nothing was changed. "
                        + (idempotent
                            ? "--idempotent keeps a store whose drives and sizes are all as given; "
                            : "--idempotent keeps it, ") + "--force gives up its blocks")
            }
        }
        return .format
    }

    /// Every drive carries the same store with the sizes of this plan.
    private func isWholeStore(_ contents: [SetupContent]) -> Bool {
        guard case .store(let id, _, _)? = contents.first else { return false }
        return contents.allSatisfy {
            $0 == .store(id: id, blockBytes: blockBytes, minimumSlotBytes: minimumSlotBytes)
        }
    }

    /// A configuration that serves the store on loopback.
    var configurationYAML: String {
        var lines = [
            "network:",
            "  address: 127.0.0.1:9900",
            "memory:",
            "  block_size: \(ByteSize(bytes: max(blockBytes, 64 << 10)).exact)",
            "  max_size: \(ByteSize(bytes: max(256 << 20, 64 * blockBytes)).exact)",
            "storage:",
            "  mode: \(drives.first?.kind == .direct ? "direct" : "file")",
            "  block_size: \(ByteSize(bytes: blockBytes).exact)",
            "  min_slot: \(ByteSize(bytes: minimumSlotBytes).exact)",
            "  drives:",
        ]
        for drive in drives {
            lines.append("    - media: \(Self.quoted(drive.path))")
            if case .file(let bytes) = drive.kind {
                lines.append("      max_size: \(ByteSize(bytes: bytes).exact)")
            }
        }
        lines += ["  eviction:", "    enabled: true"]
        return lines.joined(separator: "\n") + "\n"
    }

    /// `path` as a YAML scalar: in double quotes unless every character is plain.
    private static func quoted(_ path: String) -> String {
        let plain = path.unicodeScalars.allSatisfy {
            $0.isASCII
                && ($0.properties.isAlphabetic || "0123456789/._-".unicodeScalars.contains($0))
        }
        if plain, path.first == "/" || path.first?.isLetter == true { return path }
        var text = ""
        for scalar in path.unicodeScalars {
            switch scalar {
            case "\"", "\\": text += "\\\(scalar)"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                text += "\\x" + String(repeating: "0", count: 2 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return "\"\(text)\""
    }
}
