// DriveCheckResult: one drive's check as text and as JSON.

import Engine
import Settings

/// What became of the check of one drive.
struct DriveCheckResult: Encodable {
    struct Finding: Encodable {
        let structure: String
        let offset: UInt64?
        let problem: String
        let consequence: String
    }

    struct Loss: Encodable {
        /// Null when nobody can tell; so is the next one.
        let blocks: UInt64?
        let slotBytes: UInt64?
        let isExact: Bool

        enum CodingKeys: String, CodingKey {
            case blocks
            case slotBytes = "slot_bytes"
            case isExact = "exact"
        }

        func encode(to encoder: any Encoder) throws {
            var container = encoder.container(keyedBy: CodingKeys.self)
            // Encoded also when they are nil, as null.
            try container.encode(blocks, forKey: .blocks)
            try container.encode(slotBytes, forKey: .slotBytes)
            try container.encode(isExact, forKey: .isExact)
        }
    }

    let path: String
    /// "clean", "damaged", or "unchecked".
    let verdict: String
    /// Why it wasn't checked.
    var reason: String?
    var store: String?
    var drive: String?
    var blocks: UInt64?
    var usedBytes: UInt64?
    var replayedRecords: UInt64?
    var unlandedPuts: UInt64?
    var verifiedValues: UInt64?
    var findings: [Finding] = []
    var lost: Loss?
    /// The path, named before, of a drive of the same identity.
    var copyOf: String?
    private let ownStatus: ExitStatus
    /// Two copies of a drive can't be served together, well as each one may be.
    var exitStatus: ExitStatus { copyOf != nil && ownStatus == .done ? .refused : ownStatus }
    private var summary: [String] = []

    enum CodingKeys: String, CodingKey {
        case path, verdict, reason, store, drive, blocks, findings, lost
        case copyOf = "copy_of"
        case usedBytes = "used_bytes"
        case replayedRecords = "replayed_records"
        case unlandedPuts = "unlanded_puts"
        case verifiedValues = "verified_values"
    }

    init(path: String, failure: CommandFailure) {
        self.path = path
        verdict = "unchecked"
        reason = failure.message
        ownStatus = failure.status
    }

    init(path: String, report: DriveReport) {
        self.path = path
        verdict = report.isClean ? "clean" : "damaged"
        ownStatus = report.isClean ? .done : .damaged
        reason = report.refusal.map { "it \($0)" }
        findings = report.findings.map {
            Finding(
                structure: $0.structure.rawValue, offset: $0.offset?.rawValue,
                problem: $0.problem, consequence: "\($0.consequence)")
        }
        blocks = report.blocks
        usedBytes = report.usedBytes
        replayedRecords = report.replayedRecords
        unlandedPuts = report.unlandedPuts
        verifiedValues = report.verifiedValues
        // Without a superblock nobody knows how many there were.
        lost = Loss(
            blocks: report.facts == nil ? nil : report.loss.blocks,
            slotBytes: report.loss.slotBytes,
            isExact: report.loss.isExact)
        guard let facts = report.facts else { return }
        store = "\(facts.storeID)"
        drive = "\(facts.driveID)"
        summary = Self.summary(facts, report)
    }

    private static func summary(_ facts: DriveFacts, _ report: DriveReport) -> [String] {
        var lines = [
            "store \(facts.storeID), drive \(facts.driveID), one of \(facts.memberCount)",
            "\(report.blocks) blocks, \(ByteSize(bytes: report.usedBytes).rounded) used of "
                + ByteSize(bytes: facts.usableBytes).rounded,
        ]
        if report.replayedRecords > 0 {
            lines.append(
                "journal: \(report.replayedRecords) records to replay; "
                    + "\(report.unlandedPuts) puts that were never acknowledged hadn't landed")
        }
        if report.verifiedValues > 0 {
            lines.append("values: \(report.verifiedValues) compared with their checksums")
        }
        return lines
    }

    /// For a person.
    var text: String {
        var lines = ["\(path): \(verdict)"]
        if let reason { lines.append("  \(reason)") }
        lines += summary.map { "  \($0)" }
        if let copyOf {
            lines.append(
                "  it and \(copyOf) are copies of one drive: memkvd refuses to start with both; "
                    + "name the one that was served last")
        }
        for finding in findings {
            let place = finding.offset.map { " at byte \($0)" } ?? ""
            lines.append(
                "  \(finding.structure)\(place): \(finding.problem); \(finding.consequence)")
        }
        if let lost, verdict == "damaged" { lines.append("  " + Self.sentence(lost)) }
        return lines.joined(separator: "\n")
    }

    private static func sentence(_ lost: Loss) -> String {
        guard let blocks = lost.blocks else { return "how much a start would lose can't be told" }
        let bytes = lost.slotBytes.map { ByteSize(bytes: $0).rounded + " of slots" }
        return "a start would lose \(lost.isExact ? "" : "about ")\(blocks) blocks, "
            + (bytes ?? "how many bytes can't be told")
    }
}
