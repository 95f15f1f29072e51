// FormatDrives: the only place where `memkv` touches drives: what one carries, and formatting it.
//
// MERGE POINT. Both functions below refuse until they are joined to the engine's DriveFormatter and its reader
// of existing content over the io_uring backend. Everything around them (arguments, decisions, messages, YAML)
// is complete and tested; only these two bodies and `SetupIdentities` are to be filled in:
//
//   content(of:)       open the drive as one IOUringDevice, read both superblocks, translate DriveContent.
//                      A path that doesn't exist yet is `.nothing`, and must not be made.
//   formatDrive(...)   for a file: make it with its size. Then DriveFormatter.step until true. Report
//                      `DriveFormatter.impossibility` as CommandFailure(.refused, "PATH: sentence").

/// Random identities of a new store, drawn once for all of its drives.
struct SetupIdentities {
    let store: (high: UInt64, low: UInt64)
    let drives: [(high: UInt64, low: UInt64)]
}

enum FormatDrives {
    private static let notJoined = CommandFailure(
        .refused, "this memkv was built without the engine; it can't read or format drives")

    /// What the drive carries. Changes nothing.
    static func content(of drive: SetupDrive) throws(CommandFailure) -> SetupContent {
        throw notJoined
    }

    /// Formats one drive of the plan: `number` is its place among `identities.drives`.
    static func formatDrive(
        _ drive: SetupDrive, number: Int, of plan: SetupPlan, identities: SetupIdentities
    ) throws(CommandFailure) {
        throw notJoined
    }

    static func drawIdentities(driveCount: Int) -> SetupIdentities {
        var generator = SystemRandomNumberGenerator()
        func draw() -> (high: UInt64, low: UInt64) { (generator.next(), generator.next()) }
        return SetupIdentities(store: draw(), drives: (0..<driveCount).map { _ in draw() })
    }
}
