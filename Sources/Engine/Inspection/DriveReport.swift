// DriveReport: what a check found: every structure that isn't as it should be, what recovery would
// make of it, and what that would cost.

/// A kind of thing on a drive.
package enum DriveStructure: String, Sendable, CaseIterable {
    case superblock
    case journal
    case rootPage = "root page"
    case innerPage = "inner page"
    case leafPage = "leaf page"
    case mapDirectoryPage = "map directory page"
    case mapPage = "map page"
    case changePage = "change list page"
    case slot
    case value
    case blockCount = "block count"
}

/// What comes of a finding when memkvd starts on the drive.
package enum DriveConsequence: Hashable, Sendable, CustomStringConvertible {
    /// The next start mends it; nothing is lost.
    case repaired
    /// So many blocks become misses, less those that were changed since the last checkpoint.
    case blocksLost(UInt64)
    /// The drive comes back without any block.
    case returnsEmpty
    /// Drives of an older epoch come back without any block.
    case awayDrivesReturnEmpty
    /// memkvd doesn't start with it.
    case refused
    /// Blocks are readable and can be overwritten by others.
    case blocksAtRisk(UInt64)
    /// Slots that no block owns and nobody can use.
    case spaceLost(ByteCount)
    /// A number is wrong, and nothing depends on it.
    case nothing

    package var description: String {
        switch self {
        case .repaired: "repaired at the next start"
        case .blocksLost(let count): "\(count) blocks become misses"
        case .returnsEmpty: "the drive comes back empty"
        case .awayDrivesReturnEmpty: "drives that were away come back empty"
        case .refused: "memkvd refuses the drive"
        case .blocksAtRisk(let count): "\(count) blocks can be overwritten"
        case .spaceLost(let bytes): "\(bytes.rawValue) bytes stay taken until it is formatted"
        case .nothing: "nothing is lost"
        }
    }
}

/// One thing that isn't as it should be.
package struct DriveFinding: Hashable, Sendable {
    package let structure: DriveStructure
    /// Where on the drive it begins; nil when it has no one place.
    package let offset: ByteOffset?
    /// A sentence without its end.
    package let problem: String
    package let consequence: DriveConsequence
}

/// What a start on the drive would lose.
package struct DriveLoss: Hashable, Sendable {
    package var blocks: UInt64 = 0
    /// Bytes of slots; nil when nobody can tell.
    package var slotBytes: UInt64? = 0
    /// False when what is damaged is what would tell it.
    package var isExact = true
}

/// The result of a check.
package struct DriveReport: Sendable {
    /// Nil when there is no superblock to go by.
    package var facts: DriveFacts?
    /// Why memkvd would refuse the drive.
    package var refusal: DriveRefusal?
    package var findings: [DriveFinding] = []
    /// What a start would serve.
    package var blocks: UInt64 = 0
    package var usedBytes: UInt64 = 0
    /// Records in the journal that a start would replay.
    package var replayedRecords: UInt64 = 0
    /// Puts whose values hadn't reached the drive when it went down: never acknowledged.
    package var unlandedPuts: UInt64 = 0
    /// Values whose checksums were compared.
    package var verifiedValues: UInt64 = 0
    package var loss = DriveLoss()

    package var isClean: Bool { findings.isEmpty && refusal == nil }
}
