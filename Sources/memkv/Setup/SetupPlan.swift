// SetupPlan: the drives and sizes of a new store, checked against each other, whether they may be
// formatted, and the configuration they make.
//
// Refuses, naming the drive or the option: two kinds of drives, a file without a size, a size that
// isn't a power of two, a path that can be no drive, and to give up what a drive carries.

import Engine
import Foundation
import Settings

/// What a drive was found to carry, and its size.
struct SetupContent: Hashable {
    var load: DriveLoad
    /// Nil for a file that isn't there.
    var sizeBytes: UInt64?
}

/// By which RDMA device the store is served besides TCP.
enum SetupRDMA: Hashable {
    case device(String)
    /// A network interface, on which memkvd makes a device.
    case softRoCE(String)

    var setting: (key: String, value: String) {
        switch self {
        case .device(let name): ("device", name)
        case .softRoCE(let interface): ("soft_roce", interface)
        }
    }
}

struct SetupPlan {
    enum Decision { case format, keep }

    let drives: [SetupDrive]
    let blockBytes: UInt64
    let minimumSlotBytes: UInt64
    /// Nil for TCP alone.
    let rdma: SetupRDMA?

    init(
        paths: [String], maximumFileBytes: UInt64?, blockBytes: UInt64, minimumSlotBytes: UInt64,
        rdma: SetupRDMA? = nil
    ) throws(CommandFailure) {
        self.rdma = rdma
        guard minimumSlotBytes >= 4096, minimumSlotBytes.nonzeroBitCount == 1 else {
            throw CommandFailure(.usage, "--min-slot must be a power of two of at least 4 KiB")
        }
        guard blockBytes.nonzeroBitCount == 1, blockBytes >= minimumSlotBytes,
            blockBytes <= 16 << 20
        else {
            throw CommandFailure(
                .usage, "--block-size must be a power of two, from --min-slot up to 16 MiB")
        }
        if let maximumFileBytes, maximumFileBytes == 0 || maximumFileBytes % 4096 != 0 {
            throw CommandFailure(.usage, "--max-size must be a multiple of 4 KiB")
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
        guard !path.isEmpty else {
            throw CommandFailure(.usage, "an empty path stands after --drives")
        }
        // The configuration shall serve the drive from any directory.
        let whole =
            path.utf8.first == 0x2F
            ? path : FileManager.default.currentDirectoryPath + "/" + path
        switch LocalFiles.kind(of: path) {
        case .blockDevice:
            return SetupDrive(path: whole, kind: .direct)
        case .file, .nothing:
            guard let maximumFileBytes else {
                throw CommandFailure(.usage, "\(path) is a file: say how large with --max-size")
            }
            return SetupDrive(path: whole, kind: .file(bytes: maximumFileBytes))
        case .directory:
            throw CommandFailure(
                .usage, "\(path) is a directory; name a file in it, or a block device")
        case .other:
            throw CommandFailure(.usage, "\(path) is neither a file nor a block device")
        }
    }

    /// Whether to format, from what the drives carry; refuses to destroy what nobody gave up.
    func decide(
        _ contents: [SetupContent], force: Bool, idempotent: Bool
    ) throws(CommandFailure) -> Decision {
        for (drive, content) in zip(drives, contents) {
            if case .newerStore(let version) = content.load {
                throw CommandFailure(
                    .refused,
                    "\(drive.path) carries a store of a newer format (\(version)); "
                        + "nothing was changed. Use the memkv of that version")
            }
        }
        if force { return .format }
        if idempotent, isWholeStore(contents) { return .keep }
        for (drive, content) in zip(drives, contents) {
            if let problem = obstacle(drive, content, idempotent) {
                throw CommandFailure(.refused, "\(drive.path) \(problem)")
            }
        }
        return .format
    }

    /// Why the drive can't be formatted without `--force`.
    private func obstacle(
        _ drive: SetupDrive, _ content: SetupContent, _ idempotent: Bool
    ) -> String? {
        switch content.load {
        case .nothing:
            guard case .file(let bytes) = drive.kind, let size = content.sizeBytes, size > 0,
                size != bytes
            else { return nil }
            return "is a file of \(ByteSize(bytes: size).exact) and --max-size says "
                + "\(ByteSize(bytes: bytes).exact); nothing was changed. Give its size, remove "
                + "it, or make it anew with --force"
        case .store(let facts):
            let has =
                "block size \(ByteSize(bytes: UInt64(facts.blockSizeBytes)).exact), smallest slot "
                + "\(ByteSize(bytes: UInt64(facts.minimumSlotBytes)).exact), "
                + "size \(ByteSize(bytes: facts.capacityBytes).exact), "
                + "one of \(facts.memberCount) drives"
            return "carries a store already (\(has)); nothing was changed. "
                + (idempotent
                    ? "--idempotent keeps a store whose drives and sizes are all as given; "
                    : "--idempotent keeps it, ") + "--force gives up its blocks"
        case .damagedStore:
            return "carries a damaged store; nothing was changed. --force gives up its blocks"
        case .newerStore, .olderStore, .foreign, .unknownData:
            return "carries \(content.load.sentence); nothing was changed. --force overwrites it"
        }
    }

    /// The drives are all the drives of one store, with the sizes of this plan.
    private func isWholeStore(_ contents: [SetupContent]) -> Bool {
        var identities: Set<StoreIdentity> = []
        var stores: Set<StoreIdentity> = []
        for (drive, content) in zip(drives, contents) {
            guard case .store(let facts) = content.load, facts.memberCount == drives.count,
                UInt64(facts.blockSizeBytes) == blockBytes,
                UInt64(facts.minimumSlotBytes) == minimumSlotBytes
            else { return false }
            if case .file(let bytes) = drive.kind,
                facts.capacityBytes != bytes || content.sizeBytes != bytes
            {
                return false
            }
            identities.insert(facts.driveID)
            stores.insert(facts.storeID)
        }
        return identities.count == drives.count && stores.count == 1
    }

    /// What to make of each drive: a new store, its identities drawn now.
    func newFormats() -> [FormatConfiguration] {
        var generator = SystemRandomNumberGenerator()
        func draw() -> StoreIdentity {
            StoreIdentity(high: generator.next(), low: generator.next())
        }
        let store = draw()
        let members = drives.map { _ in draw() }
        return members.map {
            FormatConfiguration(
                storeID: store, driveID: $0, members: members, blockSizeBytes: UInt32(blockBytes),
                minimumSlotBytes: UInt32(minimumSlotBytes))
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
        if let (key, value) = rdma?.setting {
            lines += ["rdma:", "  \(key): \(Self.quoted(value))"]
        }
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
            switch scalar.value {
            case 0x22, 0x5C: text += "\\\(scalar)"
            case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029, 0xFEFF:
                let digits = String(scalar.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: text.unicodeScalars.append(scalar)
            }
        }
        return "\"\(text)\""
    }
}
