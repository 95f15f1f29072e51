// FormatDrives: the only place where `memkv` touches drives: what one carries, and formatting it.
//
// Always holds: looking changes nothing and makes nothing; formatting is the engine's own.

#if IOUring

internal import Engine
internal import IOUring

/// Random identities of a new store, drawn once for all of its drives.
struct SetupIdentities {
    let store: StoreIdentity
    let drives: [StoreIdentity]
}

enum FormatDrives {
    /// What the drive carries. Changes nothing.
    static func content(of drive: SetupDrive) throws(CommandFailure) -> SetupContent {
        if LocalFiles.kind(of: drive.path) == .nothing || LocalFiles.isEmpty(drive.path) {
            return .nothing
        }
        let content: DriveContent
        do throws(DriveFormattingFailure) {
            content = try DriveFormatting.content(of: description(of: drive, makesFile: false))
        } catch {
            throw CommandFailure(drive, error)
        }
        switch content {
        case .empty: return .nothing
        case .foreign: return .somethingElse
        case .damagedStore: return .damagedStore
        case .newerStore(let version):
            throw CommandFailure(
                .refused,
                "\(drive.path) carries a store of a newer format (\(version)); "
                    + "nothing was changed. Use the memkv of that version")
        case .store(let store, _, let blockSizeBytes, let minimumSlotBytes):
            return .store(
                id: String(store.high, radix: 16) + "-" + String(store.low, radix: 16),
                blockBytes: UInt64(blockSizeBytes), minimumSlotBytes: UInt64(minimumSlotBytes))
        }
    }

    /// Formats one drive of the plan: `number` is its place among `identities.drives`.
    static func formatDrive(
        _ drive: SetupDrive, number: Int, of plan: SetupPlan, identities: SetupIdentities
    ) throws(CommandFailure) {
        let format = FormatConfiguration(
            storeID: identities.store, driveID: identities.drives[number],
            members: identities.drives, blockSizeBytes: UInt32(plan.blockBytes),
            minimumSlotBytes: UInt32(plan.minimumSlotBytes))
        let isNew = LocalFiles.kind(of: drive.path) == .nothing
        do throws(DriveFormattingFailure) {
            try DriveFormatting.format(description(of: drive, makesFile: true), as: format)
        } catch {
            // What this call made must not stand in the next one's way.
            if isNew { LocalFiles.remove(drive.path) }
            throw CommandFailure(drive, error)
        }
    }

    private static func description(of drive: SetupDrive, makesFile: Bool) -> DriveDescription {
        switch drive.kind {
        case .direct: .direct(path: drive.path)
        case .file(let bytes):
            .file(path: drive.path, createBytes: makesFile ? ByteCount(bytes) : nil)
        }
    }

    static func drawIdentities(driveCount: Int) -> SetupIdentities {
        var generator = SystemRandomNumberGenerator()
        func draw() -> StoreIdentity {
            StoreIdentity(high: generator.next(), low: generator.next())
        }
        return SetupIdentities(store: draw(), drives: (0..<driveCount).map { _ in draw() })
    }
}

extension CommandFailure {
    fileprivate init(_ drive: SetupDrive, _ failure: DriveFormattingFailure) {
        let sentence = "\(failure)"
        self.init(
            .refused, sentence.contains(drive.path) ? sentence : "\(drive.path): \(sentence)")
    }
}

#endif
