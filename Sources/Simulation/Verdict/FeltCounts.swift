// FeltCounts: what faults made felt, from drives, sessions, answers and the store's counters.

internal import Engine
internal import Judgement
internal import Sim
internal import Wire

/// What the director did.
struct FeltCounts {
    var powerCuts: UInt64 = 0
    var cutsInRecovery: UInt64 = 0
    var restarts: UInt64 = 0
    var freezes: UInt64 = 0
    var clockJumps: UInt64 = 0
    var connectionsLost: UInt64 = 0
    var clientDeaths: UInt64 = 0
}

extension World {
    /// How often each effect was felt, in `Felt`'s order.
    var felt: [UInt64] {
        var effects = FaultEffects()
        for drive in 0..<server.plan.driveCount { effects += server.effects(of: drive) }
        let sessions = server.sessionCounts
        let counters = server.counters
        func outcome(_ status: Status) -> UInt64 { judge.outcomes[Int(status.rawValue)] }
        return Felt.allCases.map { felt in
            switch felt {
            case .failedOperations: effects.failures
            case .slowedOperations: effects.slowed
            case .stalledOperations: effects.stalled
            case .lostWrites: effects.lostWrites
            case .tornWrites: effects.tornWrites
            case .misdirected: effects.misdirected
            case .damagedReads: effects.damagedReads
            case .missingDrives: log.mostMissing
            case .powerCuts: faults.counts.powerCuts
            case .cutsInRecovery: faults.counts.cutsInRecovery
            case .restarts: faults.counts.restarts
            case .freezes: faults.counts.freezes
            case .clockJumps: faults.counts.clockJumps
            case .connectionsLost: faults.counts.connectionsLost
            case .heldArrivals: network.heldArrivals
            case .clientDeaths: faults.counts.clientDeaths
            case .refusedConnections: sessions.refusedConnections
            case .refusedFrames: sessions.refusals + sessions.foreign
            case .truncatedFrames: sessions.truncated
            case .deadlinesPassed: outcome(.deadlineExceeded)
            case .unknownOutcomes: outcome(.outcomeUnknown)
            case .refusals: judge.refusedCount
            case .misses: outcome(.notFound)
            case .excusedMisses: judge.ledger.missesOfStanding
            case .evictions: server.evictions
            case .noSpaceAnswers: server.noSpaceAnswers
            case .doubts: server.report.doubts
            case .repairs: counters.repairs
            case .emptiedDrives: counters.emptied
            case .reconciledDrives: server.reconciledDrives
            case .lostChangeLists: counters.lostLists
            case .tornValues: counters.tornValues
            case .postponedResponses: sessions.postponed
            case .unavailableAnswers: outcome(.driveUnavailable)
            case .lateHandOvers: sessions.handedOverLate
            case .remoteRequests: remoteCounts.requests
            case .brokenQueuePairs: remoteCounts.broken
            case .partialTransfers: remoteCounts.partialTransfers
            case .leases: remoteCounts.leases
            case .expiredLeases: remoteCounts.expiredLeases
            case .lateRemoteWrites: remoteCounts.lateWrites
            case .refusedAccesses: remoteCounts.refusedAccesses
            case .refusedMessages: remoteCounts.refusedMessages
            case .deathsInWrites: remoteCounts.deathsInWrites
            case .requestsWithoutPort: remoteCounts.endsWithoutPort
            }
        }
    }
}
