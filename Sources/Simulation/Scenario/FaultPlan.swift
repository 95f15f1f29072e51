// FaultPlan: a fault of the catalogue as a scenario names it: what, where, when, how much.

/// Every fault, by the name that scenarios use.
package enum FaultName: String, CaseIterable, Sendable {
    // Drives.
    case driveOffline = "drive_offline"
    case driveAbsent = "drive_absent_at_restart"
    case driveSlow = "drive_slow"
    case driveStall = "drive_stall"
    case flushStall = "flush_stall"
    case flushError = "flush_error"
    case lostWrites = "lost_writes"
    case tornWrites = "torn_writes"
    case misdirectedWrites = "misdirected_writes"
    case misdirectedReads = "misdirected_reads"
    case bitRot = "bit_rot"
    case unreadableSectors = "unreadable_sectors"
    case noSpace = "no_space"
    case damagedAtRest = "damaged_at_rest"
    // The server's process and machine.
    case powerCut = "power_cut"
    case processKill = "process_kill"
    case restart
    case freeze
    case clockJump = "clock_jump"
    // The network and its ends.
    case connectionLoss = "connection_loss"
    case partition
    case slowNetwork = "slow_network"
    case clientDeath = "client_death"
    case slowClient = "slow_client"
    case connectionFlood = "connection_flood"
    case hostileFrames = "hostile_frames"
    // Queue pairs, and clients that have some.
    case portDown = "port_down"
    case queuePairError = "queue_pair_error"
    case creditsExceeded = "credits_exceeded"
    case deathInRemoteWrite = "death_in_remote_write"
    case lateRemoteWrites = "late_remote_writes"
}

/// One fault, or several of a kind.
package struct FaultPlan: Sendable {
    package var name: FaultName
    /// From the beginning of the run.
    package var atMicroseconds: Drawn
    /// How long it lasts; of no meaning to faults that strike once.
    package var lastsMicroseconds: Drawn
    /// The drive it strikes; nil for any.
    package var drive: UInt64?
    /// The client it strikes; nil for any, or for all where the fault says so.
    package var client: UInt64?
    /// How many there are, each drawn anew.
    package var times = Drawn(1)
    /// The fault's own number, in the unit of `FaultShape.amount`.
    package var amount: Drawn
    /// One of `FaultShape.choices`; nil for any of them.
    package var choice: String?

    package init(_ name: FaultName) {
        self.name = name
        let shape = name.shape
        atMicroseconds = Drawn(from: 0, to: 1_000_000)
        lastsMicroseconds = shape.lasts ? Drawn(from: 100_000, to: 1_000_000) : Drawn(0)
        amount = shape.amount?.standard ?? Drawn(0)
    }
}

/// What a kind of fault can be told.
package struct FaultShape: Sendable {
    package enum Unit: Sendable { case count, percent, perMille, microseconds, bytes }

    package struct Amount: Sendable {
        package let key: String
        package let unit: Unit
        package let standard: Drawn
        package let range: ClosedRange<UInt64>
    }

    package var strikesDrive = false
    package var strikesClient = false
    package var lasts = true
    package var amount: Amount?
    package var choiceKey: String?
    package var choices: [String] = []
}

extension FaultName {
    /// Where on a drive damage is done.
    package static let regions = ["payload", "index", "journal", "superblock", "any"]

    package var shape: FaultShape {
        switch self {
        case .driveOffline, .driveAbsent, .driveSlow, .driveStall, .flushStall, .flushError,
            .lostWrites, .tornWrites, .misdirectedWrites, .misdirectedReads, .bitRot,
            .unreadableSectors, .noSpace, .damagedAtRest:
            driveShape
        case .portDown, .queuePairError, .creditsExceeded, .deathInRemoteWrite, .lateRemoteWrites:
            remoteShape
        default: otherShape
        }
    }

    private var driveShape: FaultShape {
        var shape = FaultShape(strikesDrive: true)
        func perMille(_ from: UInt64, _ to: UInt64) -> FaultShape.Amount {
            FaultShape.Amount(
                key: "per_mille", unit: .perMille, standard: Drawn(from: from, to: to),
                range: 1...1000)
        }
        func sectors(_ to: UInt64) -> FaultShape.Amount {
            FaultShape.Amount(
                key: "sectors", unit: .count, standard: Drawn(from: 1, to: to), range: 1...10_000)
        }
        switch self {
        case .driveOffline:
            shape.choiceKey = "answer"
            shape.choices = ["gone", "input_output"]
        case .driveSlow:
            shape.amount = FaultShape.Amount(
                key: "factor", unit: .count, standard: Drawn(from: 2, to: 1000), range: 2...100_000)
            shape.choiceKey = "course"
            shape.choices = ["step", "ramp", "intermittent"]
        case .driveAbsent:
            shape.amount = FaultShape.Amount(
                key: "cuts_in_return", unit: .count, standard: Drawn(from: 0, to: 2),
                range: 0...10)
            shape.choiceKey = "stop"
            shape.choices = ["drained", "killed", "power_cut"]
        case .flushError: shape.lasts = false
        case .lostWrites, .tornWrites, .misdirectedWrites, .misdirectedReads:
            shape.amount = perMille(1, 50)
        case .bitRot, .unreadableSectors:
            shape.lasts = false
            shape.amount = sectors(20)
            shape.choiceKey = "region"
            shape.choices = Self.regions
        case .damagedAtRest:
            shape.amount = sectors(4)
            shape.choiceKey = "region"
            shape.choices = [
                "journal_one_copy", "journal_tail", "journal_both_copies", "superblock_one",
            ]
        case .noSpace:
            shape.amount = FaultShape.Amount(
                key: "left", unit: .bytes, standard: Drawn(from: 0, to: 1 << 20),
                range: 0...(1 << 40))
        default: break
        }
        return shape
    }

    private var otherShape: FaultShape {
        var shape = FaultShape()
        switch self {
        case .powerCut, .processKill:
            shape.amount = FaultShape.Amount(
                key: "cuts_in_recovery", unit: .count, standard: Drawn(from: 0, to: 2),
                range: 0...10)
        case .clockJump:
            shape.lasts = false
            shape.amount = FaultShape.Amount(
                key: "by", unit: .microseconds, standard: Drawn(from: 1_000_000, to: 60_000_000),
                range: 1...86_400_000_000)
        case .connectionLoss:
            shape.strikesClient = true
            shape.amount = FaultShape.Amount(
                key: "every", unit: .microseconds, standard: Drawn(from: 1000, to: 50_000),
                range: 10...3_600_000_000)
        case .partition:
            shape.strikesClient = true
            shape.choiceKey = "way"
            shape.choices = ["both", "to_server", "to_client"]
        case .slowNetwork:
            shape.strikesClient = true
            shape.amount = FaultShape.Amount(
                key: "factor", unit: .count, standard: Drawn(from: 2, to: 100), range: 2...100_000)
        case .clientDeath: shape.strikesClient = true
        case .slowClient:
            shape.strikesClient = true
            shape.amount = FaultShape.Amount(
                key: "bytes_per_ms", unit: .bytes, standard: Drawn(from: 1, to: 1000),
                range: 1...(1 << 30))
        case .connectionFlood:
            shape.amount = FaultShape.Amount(
                key: "connections", unit: .count, standard: Drawn(from: 100, to: 400),
                range: 1...100_000)
        case .hostileFrames:
            shape.amount = FaultShape.Amount(
                key: "attempts", unit: .count, standard: Drawn(from: 5, to: 40),
                range: 1...100_000)
            shape.choiceKey = "attack"
            shape.choices = ["malformed", "forged", "replayed", "truncated", "injected", "any"]
        default: break
        }
        return shape
    }
}

extension FaultName {
    fileprivate var remoteShape: FaultShape {
        var shape = FaultShape()
        shape.strikesClient = self != .portDown
        func every(_ from: UInt64, _ to: UInt64) -> FaultShape.Amount {
            FaultShape.Amount(
                key: "every", unit: .microseconds, standard: Drawn(from: from, to: to),
                range: 10...3_600_000_000)
        }
        switch self {
        case .queuePairError:
            shape.amount = every(1000, 50_000)
            shape.choiceKey = "when"
            shape.choices = ["any_time", "in_transfer"]
        case .creditsExceeded: shape.amount = every(5000, 50_000)
        case .lateRemoteWrites:
            shape.amount = FaultShape.Amount(
                key: "share", unit: .percent, standard: Drawn(from: 10, to: 100), range: 1...100)
        default: break
        }
        return shape
    }
}

/// What a fault makes felt, counted by what clients, drives and the store's counters show.
package enum Felt: String, CaseIterable, Sendable {
    case failedOperations = "failed_operations"
    case slowedOperations = "slowed_operations"
    case stalledOperations = "stalled_operations"
    case lostWrites = "lost_writes"
    case tornWrites = "torn_writes"
    case misdirected
    case damagedReads = "damaged_reads"
    case missingDrives = "missing_drives"
    case powerCuts = "power_cuts"
    case cutsInRecovery = "cuts_in_recovery"
    case restarts
    case freezes
    case clockJumps = "clock_jumps"
    case connectionsLost = "connections_lost"
    case heldArrivals = "held_arrivals"
    case clientDeaths = "client_deaths"
    case refusedConnections = "refused_connections"
    case refusedFrames = "refused_frames"
    case truncatedFrames = "truncated_frames"
    case deadlinesPassed = "deadlines_passed"
    case unknownOutcomes = "unknown_outcomes"
    case refusals
    case misses
    case excusedMisses = "misses_of_standing"
    case evictions
    case noSpaceAnswers = "no_space_answers"
    case doubts
    case repairs
    case emptiedDrives = "emptied_drives"
    case reconciledDrives = "reconciled_drives"
    case lostChangeLists = "lost_change_lists"
    case tornValues = "torn_values"
    case postponedResponses = "postponed_responses"
    case unavailableAnswers = "unavailable_answers"
    case lateHandOvers = "late_hand_overs"
    case remoteRequests = "remote_requests"
    case brokenQueuePairs = "broken_queue_pairs"
    case partialTransfers = "partial_transfers"
    case leases
    case expiredLeases = "expired_leases"
    case lateRemoteWrites = "late_remote_writes"
    case refusedAccesses = "refused_accesses"
    case refusedMessages = "refused_messages"
    case deathsInWrites = "deaths_in_writes"
    case requestsWithoutPort = "requests_without_port"
}
