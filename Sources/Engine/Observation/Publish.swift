// Publish: sets the gauges at the end of a step, from what the machines know. Nothing is counted
// twice: a gauge is always derived here, never kept up to date elsewhere.

extension Engine where Device: ~Copyable, Link: ~Copyable {
    mutating func publish() {
        cells.beginPublication()
        defer { cells.endPublication() }
        cells.set(.phase, to: UInt64(phase.rawValue))
        cells.set(.operationsInFlight, to: UInt64(operations.inUse))
        var blocks: UInt64 = 0
        var changing: UInt64 = 0
        var evicting: UInt64 = 0
        for index in 0..<drives.count {
            publish(index)
            guard drives[index].state == .online else { continue }
            blocks += drives[index].blockCount
            changing += UInt64(drives[index].stagedKeys)
            evicting += UInt64(drives[index].stagedRemovals)
        }
        cells.set(.blocks, to: blocks)
        // A block is in the index only once it is durable.
        cells.set(.blocksPersisted, to: blocks)
        cells.set(.blocksChanging, to: changing)
        cells.set(.blocksEvicting, to: evicting)
        cells.set(.blocksReading, to: UInt64(readers.count))
    }

    private func publish(_ index: Int) {
        let drive = cells.drives[index]
        drive.beginPublication()
        defer { drive.endPublication() }
        // The causes first: who reads the new state finds why.
        drive.set(.fenceCause, to: drives[index].watch.fence?.encoded ?? 0)
        drive.set(.impairments, to: UInt64(drives[index].watch.impairments.rawValue))
        drive.set(.state, to: UInt64(drives[index].state.rawValue))
        let load = drives[index].load
        drive.set(.operationsInHand, to: UInt64(load.operations + load.operationsOfPeers))
        drive.set(.slabsInHand, to: UInt64(load.slabs))
        let layout = drives[index].superblock.layout
        let isKnown = drives[index].superblock.memberCount > 0
        guard isKnown else { return }
        drive.set(.usableBytes, to: layout.usableBytes)
        drive.set(.metadataBytes, to: layout.capacityBytes - layout.usableBytes)
        drive.set(.rawBytes, to: layout.capacityBytes)
        let space = drives[index].space.ownedBytes
        drive.set(.usedBytes, to: space)
        drive.set(.quarantinedBytes, to: drives[index].space.quarantinedBytes)
        // Both in slots of the block size, so that one is a share of the other.
        let blockSize = UInt64(layout.classes.blockSizeBytes)
        drive.set(
            .slotsAllocated, to: (drives[index].space.committedBytes + blockSize - 1) / blockSize)
        drive.set(
            .slotsTotal, to: layout.usableBytes / UInt64(layout.classes.blockSizeBytes))
        drive.set(.journalPendingEntries, to: UInt64(drives[index].journal.pendingRecords))
        drive.set(
            .dirtyEntries, to: UInt64(drives[index].active.count + drives[index].folding.count))
        drive.set(.trimPending, to: UInt64(drives[index].releases.count))
        drive.set(.leafPages, to: UInt64(drives[index].tree.leafCount))
        drive.set(
            .leafLiveBytes, to: UInt64(drives[index].tree.leafCount) * FormatConstants.pageBytes)
        drive.set(.blocks, to: drives[index].blockCount)
        drive.set(.strays, to: drives[index].strayCount)
        drive.set(.changedKeys, to: UInt64(drives[index].changes.count))
        drive.set(.epoch, to: UInt64(drives[index].superblock.lineage.counter))
        let scrubbed = drives[index].scrub.blocksThisTurn * 1000
        drive.set(
            .scrubPermille, to: min(1000, scrubbed / max(1, drives[index].blockCount)))
    }
}
