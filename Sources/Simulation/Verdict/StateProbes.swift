// Where interesting states are recognised: from operations in flight, counters and answers.

internal import Client
internal import Engine
internal import Judgement
internal import Sim
internal import Wire

extension World {
    /// Part of a drive that an offset lies in.
    private enum Region { case superblock, journal, index, payload }

    private func region(of operation: DeviceOperation, _ layout: DriveLayout) -> Region {
        let offset = operation.offset
        if offset < layout.journalCopyA { return .superblock }
        if offset < layout.indexStart || offset >= layout.journalCopyB { return .journal }
        return offset < layout.dataStart ? .index : .payload
    }

    /// The server dies: what is it doing?
    func noteDeath() {
        let layout = server.layout
        var isIdle = true
        for shard in server.shards {
            var payload = false
            var journal = false
            for operation in shard.device.operationsInFlight {
                isIdle = false
                switch (operation.action, region(of: operation, layout)) {
                case (.flush, _): reached.insert(.crashWithFlushInFlight)
                case (.discard, _): reached.insert(.crashWithDiscardInFlight)
                case (.write, .payload): payload = true
                case (.write, .journal): journal = true
                case (.write, .index): reached.insert(.crashInCheckpoint)
                case (.write, .superblock): reached.insert(.crashWithSuperblockInFlight)
                case (.read, _): break
                }
            }
            reached.insert(.crashWithPayloadInFlight, if: payload)
            reached.insert(.crashWithJournalInFlight, if: journal)
            reached.insert(.crashBetweenPayloadAndCommit, if: payload && !journal)
        }
        reached.insert(.crashWithNothingInFlight, if: isIdle)
        reached.insert(.crashWhileDraining, if: server.life == .draining)
        let online = server.shards.flatMap(\.cells.drives).filter { $0.state == .online }
        let epochs = Set(online.map { $0.value(.epoch) })
        reached.insert(.crashWhileNotingEpoch, if: server.life == .serving && epochs.count > 1)
        let isForgetting = online.contains { $0.value(.supersededBlocks) > 0 }
        reached.insert(.crashWhileReturning, if: server.life == .recovering && isForgetting)
    }

    /// A drive is about to fail: what is it doing?
    func noteFence(of number: Int) {
        let layout = server.layout
        for shard in server.shards {
            guard let place = shard.numbers.firstIndex(of: number) else { continue }
            for operation in shard.device.operationsInFlight
            where Int(operation.drive.rawValue) == place {
                switch (operation.action, region(of: operation, layout)) {
                case (.flush, _): reached.insert(.fenceWithFlushInFlight)
                case (.write, .index), (.write, .superblock):
                    reached.insert(.fenceDuringCheckpoint)
                case (.write, _): reached.insert(.fenceWithWritesInFlight)
                case (.read, _): reached.insert(.fenceWithReadsInFlight)
                case (.discard, _): break
                }
            }
        }
    }

    /// At each sample.
    func noteStates(_ report: StoreReport, _ sample: RunSample) {
        reached.insert(.servedDegraded, if: report.health == .degraded && sample.answered > 0)
        reached.insert(.crossShard, if: server.shards.count > 1 && sample.answered > 0)
        reached.insert(.lastDriveMissing, if: report.health == .unhealthy)
        reached.insert(.twoDrivesMissing, if: report.drivesMissing > 1)
        reached.insert(
            .slabsExhausted,
            if: report.slabsTotal > 0 && report.slabsTotal == report.slabsAllocated)
        reached.insert(.queueFull, if: sample.driveQueues.contains { $0 >= 32 })
        for shard in server.shards {
            reached.insert(.checkpointed, if: shard.cells.value(ShardCounter.checkpoints) > 0)
            for cells in shard.cells.drives {
                reached.insert(.absentAtStart, if: cells.state == .absent)
                reached.insert(.fileSystemFull, if: cells.value(.fileSystemFull) > 0)
                reached.insert(.changesNoted, if: cells.value(.changedKeys) > 0)
                reached.insert(.scrubFoundDamage, if: cells.value(.scrubFindings) > 0)
            }
            let strays = shard.cells.drives.reduce(0) { $0 + $1.value(.strays) }
            reached.insert(.strayKept, if: strays > 0)
            reached.insert(
                .strayCameHome, if: strays < shard.seenStrays && report.drivesMissing == 0)
            shard.seenStrays = strays
            let isReading = shard.cells.value(ShardGauge.blocksReading) > 0
            reached.insert(
                .evictedWhileReading,
                if: isReading && shard.cells.value(ShardCounter.evictions) > shard.seenEvictions)
            shard.seenEvictions = shard.cells.value(ShardCounter.evictions)
        }
    }

    /// At the end, from what was counted.
    func noteFinalStates() {
        let sessions = server.sessionCounts
        let counters = server.counters
        func saw(_ status: Status) -> Bool { judge.outcomes[Int(status.rawValue)] > 0 }
        reached.insert(.tornValueRecovered, if: counters.tornValues > 0)
        reached.insert(.journalRepaired, if: counters.repairs > 0)
        reached.insert(.driveReturnedEmpty, if: counters.emptied > 0)
        reached.insert(.changeListOverflown, if: counters.lostLists > 0)
        reached.insert(.bothDrivesOut, if: saw(.driveUnavailable))
        reached.insert(.evicted, if: server.evictions > 0)
        reached.insert(.storeFull, if: saw(.noSpace))
        reached.insert(.unknownHappened, if: judge.ledger.unknownHappened > 0)
        reached.insert(.unknownDidNotHappen, if: judge.ledger.unknownDidNotHappen > 0)
        reached.insert(.unknownOutcome, if: saw(.outcomeUnknown))
        reached.insert(.deadlineBeforeWork, if: saw(.deadlineExceeded))
        reached.insert(.responsePostponed, if: sessions.postponed > 0)
        reached.insert(.cutInsideFrame, if: sessions.truncated > 0)
        reached.insert(.frameInPieces, if: network.splitSends > 0)
        reached.insert(.requestOrphaned, if: sessions.orphans > 0)
        reached.insert(.signedSession, if: sessions.authenticated > 0)
        reached.insert(.forgedFrameRefused, if: sessions.refusals + sessions.foreign > 0)
        reached.insert(.overdueClosed, if: sessions.overdue > 0)
        reached.insert(.connectionRefused, if: sessions.refusedConnections > 0)
        reached.insert(.reconnected, if: network.resets > 0 && judge.requestsEnded > 0)
        reached.insert(.heldByPartition, if: network.heldArrivals > 0)
        reached.insert(.answeredAfterThaw, if: faults.counts.freezes > 0)
        noteRemoteStates()
        let misread = (0..<server.plan.driveCount).map { server.effects(of: $0) }
        reached.insert(.readUnderDamage, if: misread.contains { $0.damagedReads > 0 })
        reached.insert(.misdirected, if: misread.contains { $0.misdirected > 0 })
    }

    private func noteRemoteStates() {
        let remote = remoteCounts
        reached.insert(.servedByQueuePair, if: remote.requests > 0)
        reached.insert(.queuePairRebuilt, if: remote.broken > 0 && remote.connected > remote.broken)
        reached.insert(.transferCut, if: remote.partialTransfers > 0)
        reached.insert(.servedWithoutPort, if: remote.endsWithoutPort > 0)
        reached.insert(.leaseWritten, if: remote.moves > 0)
        reached.insert(.wroteWhileRevoked, if: remote.lateWrites > 0)
        reached.insert(.accessRefused, if: remote.refusedAccesses > 0)
        reached.insert(.leaseExpired, if: remote.expiredLeases > 0)
        reached.insert(.leaseRefused, if: remote.refusedLeases > 0)
        reached.insert(.diedInRemoteWrite, if: remote.deathsInWrites > 0)
        reached.insert(.creditsExceeded, if: remote.refusedMessages > 0)
    }
}
