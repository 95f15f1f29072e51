// StoreFiles: from the plan of a store to drives that a shard can open; makes the one that `--data`
// promises.
//
// Always holds: a drive file gets its final name only once it is formatted and that is durable, so
// a start that was cut short leaves nothing that looks like a store. A file that exists is never
// formatted.

#if IOUring

internal import Engine
internal import IOUring
internal import Ring
internal import Settings

/// The drives of a store, ready to be opened.
struct StoreFiles: Sendable {
    let drives: [DriveDescription]
    /// What the operator calls each of them.
    let names: [String]
    /// True when the drive was made just now.
    let isNew: Bool

    /// Largest and smallest drive that `--data` makes by itself.
    private static let largestDriveBytes: UInt64 = 64 << 30
    private static let smallestDriveBytes: UInt64 = 1 << 30

    /// Finds, or for a directory makes, what `settings` names.
    init(_ settings: ServerSettings) throws(StartFailure) {
        switch settings.store {
        case .directory(let path, let driveBytes):
            let file = "\(path)/drive-0.memkv"
            isNew = !SystemCalls.exists(file)
            if isNew {
                try Self.make(file, in: path, driveBytes: driveBytes, engine: settings.engine)
            }
            drives = [.file(path: file, createBytes: nil)]
            names = [file]
        case .drives(let places, let mode):
            if let (path, other) = FileIdentity.firstPair(in: places.map(\.path)) {
                throw StartFailure(
                    code: .usage,
                    message: "storage.drives: \(path) and \(other) are one drive; name it once")
            }
            drives = places.map {
                mode == .direct ? .direct(path: $0.path) : .file(path: $0.path, createBytes: nil)
            }
            names = places.map(\.path)
            isNew = false
        case .memory(let driveBytes):
            drives = [.memory(capacity: driveBytes)]
            names = ["memory"]
            isNew = true
        }
    }

    // MARK: Making a drive

    private static func make(
        _ file: String, in directory: String, driveBytes: ByteCount?, engine: EngineConfiguration
    ) throws(StartFailure) {
        let unfinished = file + ".unfinished"
        do throws(SystemFailure) {
            try SystemCalls.makeDirectories(directory)
            try SystemCalls.remove(unfinished)
        } catch {
            throw StartFailure(code: .failed, message: "\(error)")
        }
        let bytes = if let driveBytes { driveBytes } else { try suitableSize(at: directory) }
        // Should one of these fail, what is left over is removed at the next start.
        try format(.file(path: unfinished, createBytes: bytes), engine: engine)
        do throws(SystemFailure) {
            try SystemCalls.renameDurably(unfinished, to: file, in: directory)
        } catch {
            throw StartFailure(code: .failed, message: "\(error)")
        }
    }

    /// Half of the free space, in whole MiB.
    private static func suitableSize(at directory: String) throws(StartFailure) -> ByteCount {
        let free: UInt64
        do throws(SystemFailure) {
            free = try SystemCalls.freeBytes(at: directory)
        } catch {
            throw StartFailure(code: .failed, message: "\(error)")
        }
        let half = min(free / 2, largestDriveBytes) / (1 << 20) * (1 << 20)
        guard half >= smallestDriveBytes else {
            throw StartFailure(
                code: .failed,
                message: "\(directory) has \(free >> 20) MiB free; a store there takes half of "
                    + "that and needs 1024 MiB. Free some space, name another directory, or set "
                    + "storage.max_size in a configuration file")
        }
        return ByteCount(half)
    }

    private static func format(
        _ drive: DriveDescription, engine: EngineConfiguration
    ) throws(StartFailure) {
        do throws(DriveFailure) {
            try DriveFormatting.format(drive, as: newStore(engine))
        } catch {
            throw StartFailure(error)
        }
    }

    /// A new store of one drive.
    static func newStore(_ engine: EngineConfiguration) -> FormatConfiguration {
        let driveID = randomIdentity()
        return FormatConfiguration(
            storeID: randomIdentity(), driveID: driveID, members: [driveID],
            blockSizeBytes: engine.blockSizeBytes, minimumSlotBytes: engine.minimumSlotBytes)
    }

    private static func randomIdentity() -> StoreIdentity {
        StoreIdentity(high: .random(in: 0 ... .max), low: .random(in: 0 ... .max))
    }
}

extension StartFailure {
    init(_ failure: DriveFailure) {
        let code: ExitCode = failure.kind == .impossible ? .usage : .failed
        self.init(code: code, message: "\(failure)")
    }
}

#endif
