// One test for each mistake found in the engine: what a client or an operator would have seen of
// it.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct RegressionTests {
    private let drive = BenchSettings.drive

    /// Flips a bit in the leaf that holds `key`; its place on the drive.
    private func damageLeaf(of key: BlockKey, in bench: EngineBench) throws {
        let found = bench.engine.drives[drive].tree.locate(key)
        let position = try #require(found)
        let page = bench.engine.drives[drive].tree.child(position).pointer.page
        let offset = bench.engine.drives[drive].superblock.layout.offset(of: page)
        var faults = bench.device.faults(of: drive)
        faults.damage.append(
            BitDamage(offset: ByteOffset(offset.rawValue + 100), mask: 4))
        bench.device.setFaults(faults, of: drive)
    }

    /// A bench with `count` blocks in its leaves and an empty leaf cache.
    private func restarted(
        _ settings: BenchSettings, blocks count: UInt64, bytes: Int = 4096
    ) throws -> EngineBench {
        let first = try EngineBench(settings)
        try first.serve()
        for number in 0..<count {
            #expect(try first.put(EngineBench.key(number), number: number, count: bytes) == .ok)
        }
        try first.drain()
        let second = try EngineBench(settings, images: first.images)
        try second.serve()
        return second
    }

    @Test func evictionPassesADamagedLeaf() throws {
        let bench = try restarted(BenchSettings(), blocks: 500)
        try damageLeaf(of: .lowest, in: bench)
        bench.engine.requestEviction(bytes: ByteCount(64 * 4096))
        try bench.run("evicted") {
            bench.engine.drives[drive].eviction.requestedBytes == 0 && bench.engine.isIdle
        }
        #expect(bench.engine.cells.value(ShardCounter.evictions) >= 64)
        #expect(bench.engine.cells.drives[0].value(DriveCounter.damagedLeaves) == 1)
    }

    @Test func aFoldPassesADamagedLeafThoughItWaitsForItsNeighbour() throws {
        let bench = try restarted(BenchSettings(), blocks: 500)
        let before = bench.engine.drives[drive].tree.blockCount
        try damageLeaf(of: .lowest, in: bench)
        #expect(try bench.put(.lowest, number: 1, count: 10) == .ok)
        try bench.checkpoint()
        #expect(bench.engine.cells.drives[0].value(DriveCounter.damagedLeaves) == 1)
        #expect(bench.engine.drives[drive].tree.blockCount < before)
        #expect(try bench.get(.lowest) == EngineBench.value(1, 10))
    }

    @Test func aGetThatWaitsForSlabsDoesNotSpin() throws {
        var settings = BenchSettings()
        settings.slabCount = 5
        let bench = try restarted(settings, blocks: 1, bytes: 64 << 10)
        let key = EngineBench.key(0)
        // Two values of four slabs each, with five: the second waits while one slab is free.
        for _ in 0..<2 { try bench.send(RequestOrder(.tcpGet, key)) }
        try bench.quiesce()
        let replies = bench.takeReplies()
        #expect(replies.map(\.status) == [.ok, .ok])
    }

    @Test func aGetThatWaitsForSlabsAsksAgainOnlyWhenItCanHaveThem() throws {
        var settings = BenchSettings()
        settings.slabCount = 5
        let bench = try restarted(settings, blocks: 1, bytes: 64 << 10)
        for _ in 0..<2 { try bench.send(RequestOrder(.tcpGet, EngineBench.key(0))) }
        _ = bench.engine.step(now: bench.world.now)
        try bench.settleNow()
        try bench.quiesce()
    }

    @Test func keysBelowTheFirstSeparatorAreFoldedAndFound() throws {
        var settings = BenchSettings()
        settings.engine.dirtyEntryLimit = 1024
        settings.journalBlocks = 2048
        settings.driveBytes = 32 << 20
        let bench = try EngineBench(settings)
        try bench.serve()
        func key(_ number: UInt64) -> BlockKey {
            BlockKey(namespace: Namespace(1), words: (number, 0, 0, 0))
        }
        for number in 1000..<1600 as Range<UInt64> {
            #expect(try bench.put(key(number), number: number, count: 100) == .ok)
        }
        try bench.checkpoint()
        // Three leaves go at once, so the tree begins with a separator above what comes now.
        let third = bench.engine.drives[drive].tree.upperBound(of: LeafPosition(node: 0, child: 2))
        let bound = try #require(third).word0
        for number in 1000..<bound { #expect(try bench.delete(key(number)) == .ok) }
        try bench.checkpoint()
        let first = bench.engine.drives[drive].tree.child(LeafPosition(node: 0, child: 0))
        #expect(first.separator.word0 == bound)
        for number in 0..<700 as Range<UInt64> {
            #expect(try bench.put(key(number), number: number, count: 100) == .ok)
        }
        try bench.checkpoint()
        try bench.drain()
        let later = try EngineBench(settings, images: bench.images)
        try later.serve()
        // Keys that no filter knows, so that it is the fold that loads the leaves.
        for number in 0..<700 as Range<UInt64> where number % 5 == 0 {
            let between = BlockKey(namespace: Namespace(1), words: (number, 1, 0, 0))
            #expect(try later.put(between, number: number + 9, count: 90) == .ok)
        }
        try later.checkpoint()
        for number in 0..<700 as Range<UInt64> {
            #expect(try later.get(key(number)) == EngineBench.value(number, 100))
        }
    }

    @Test func aCheckpointAskedForDuringAnotherIsMade() throws {
        let bench = try EngineBench()
        try bench.serve()
        #expect(try bench.put(EngineBench.key(1), number: 1, count: 10) == .ok)
        bench.engine.requestCheckpoint()
        try bench.run("folding") { bench.engine.drives[drive].folding.count > 0 }
        #expect(try bench.put(EngineBench.key(2), number: 2, count: 10) == .ok)
        #expect(bench.engine.drives[drive].checkpoint.isRunning)
        bench.engine.requestCheckpoint()
        try bench.run("checkpointed") { bench.engine.isCheckpointed }
        #expect(bench.engine.drives[drive].active.count == 0)
    }

    @Test func aDriveThatGoesAwayIsNoDamagedLeaf() throws {
        let bench = try restarted(BenchSettings(), blocks: 300)
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        bench.device.setFaults(faults, of: drive)
        #expect(try bench.get(EngineBench.key(4)) == nil)
        #expect(bench.engine.driveState(drive) == .offline)
        #expect(bench.engine.cells.drives[0].value(DriveCounter.damagedLeaves) == 0)
    }

    @Test func aDriveOfTooManySlotsIsRefusedWhenItIsFormatted() throws {
        func impossibility(minimumSlotBytes: UInt32) -> String? {
            let identity = StoreIdentity(high: 1, low: 2)
            let format = FormatConfiguration(
                storeID: identity, driveID: identity, members: [identity],
                blockSizeBytes: 4 << 20, minimumSlotBytes: minimumSlotBytes)
            let geometry = DriveGeometry(
                mode: .direct, capacity: ByteCount(UInt64(16) << 40), logicalBlockBytes: 4096,
                supportsDiscard: true, isPresent: true)
            return DriveFormatter.impossibility(of: format, on: geometry)
        }
        let refusal = try #require(impossibility(minimumSlotBytes: 64 << 10))
        #expect(refusal.contains("storage.min_slot"))
        #expect(impossibility(minimumSlotBytes: 256 << 10) == nil)
    }

    @Test func anEngineStartsWithTheLargestSmallestSlot() throws {
        var configuration = EngineConfiguration()
        configuration.blockSizeBytes = 16 << 20
        configuration.minimumSlotBytes = 16 << 20
        #expect(configuration.impossibility == nil)
        let unread = Superblock.unread(configuration)
        #expect(unread.memberCount == 0)
        #expect(unread.layout.classes.count == 1)
    }

    @Test func batchesEndWithTheSmallestOperationTable() throws {
        var settings = BenchSettings()
        settings.engine.operationLimit = 16
        let bench = try EngineBench(settings)
        try bench.serve()
        let keys = (0..<20 as Range<UInt64>).flatMap { number in
            let words = EngineBench.key(number).littleEndianWords
            return [words[0], words[1], words[2], words[3]]
        }
        let reply = try bench.answer(
            to: RequestOrder(operation: .tcpBatchDelete, bodyWords: keys))
        #expect(reply.status == .ok)
        #expect(reply.bodyWords == Array(repeating: UInt64(Status.notFound.rawValue), count: 20))
    }

    @Test func aPutThatCountedOnAnEvictionLooksElsewhereWhenItFindsNothing() throws {
        var settings = BenchSettings()
        settings.engine.evictionWatermarkPercent = 100
        let bench = try EngineBench(settings)
        try bench.serve()
        let layout = bench.engine.drives[drive].superblock.layout
        let blocks = layout.usableBytes / UInt64(settings.engine.blockSizeBytes)
        for number in 0..<blocks {
            #expect(try bench.put(EngineBench.key(number), number: number, count: 16 << 10) == .ok)
        }
        try bench.quiesce()
        let holder = try EngineBench.require(
            bench.engine.holdKeyAndBeginToEvict(EngineBench.key(0), on: drive))
        try bench.settleNow()
        let number = try bench.send(
            RequestOrder(.tcpPut, EngineBench.key(blocks), payload: EngineBench.value(1, 16 << 10)))
        try bench.settleNow()
        #expect(bench.replies[number] == nil)
        bench.engine.letGo(holder)
        try bench.run("an answer") { bench.replies[number] != nil }
        #expect(bench.replies[number]?.status == .ok)
    }

    @Test func evictionPassesEntriesWhoseSlotsNobodyOwns() throws {
        var settings = BenchSettings()
        settings.engine.evictionWatermarkPercent = 100
        let bench = try EngineBench(settings)
        try bench.serve()
        let layout = bench.engine.drives[drive].superblock.layout
        let blocks = layout.usableBytes / UInt64(settings.engine.blockSizeBytes)
        for number in 0..<blocks {
            #expect(try bench.put(EngineBench.key(number), number: number, count: 16 << 10) == .ok)
        }
        try bench.checkpoint()
        // As a map that contradicts the leaves: the entries are there, and whoever looks one up
        // finds nothing.
        let largest = layout.classes.largest
        for unit in stride(from: 0, to: layout.unitCount, by: Int(largest.units)) {
            var slots = SlotList()
            slots.append(SlotIndex(unit))
            bench.engine.drives[drive].space.uncommit(SlotExtent(sizeClass: largest, slots: slots))
        }
        #expect(try bench.get(EngineBench.key(0)) == nil)
        #expect(try bench.put(EngineBench.key(blocks), number: 1, count: 16 << 10) == .noSpace)
    }

    @Test func nobodysDemandDoesNotKeepEvictionTurning() throws {
        let bench = try EngineBench()
        try bench.serve()
        bench.engine.drives[drive].eviction.demand = SizeClass(0)
        try bench.quiesce()
        try bench.settleNow()
        #expect(bench.engine.drives[drive].eviction.demand == nil)
    }

    @Test func aSegmentWithAQuarantinedSlotIsNotDrained() throws {
        let bench = try EngineBench()
        let layout = bench.engine.drives[drive].superblock.layout
        var space = SpaceMap(layout: layout)
        let small = SlotDemand(sizeClass: SizeClass(0), count: 1)
        let large = SlotDemand(sizeClass: layout.classes.largest, count: 1)
        let lone = try EngineBench.require(space.allocate(small))
        let others = try EngineBench.require(space.allocate(large))
        let more = try EngineBench.require(space.allocate(large))
        let hasBegun = space.beginDraining()
        let drainsEmptiest = space.isDraining(lone.slots[0])
        #expect(hasBegun && drainsEmptiest)
        space.commit(lone)
        space.quarantine(lone)
        let stillDrainsIt = space.isDraining(lone.slots[0])
        let beginsAnother = space.beginDraining()
        let drainsOther = space.isDraining(others.slots[0]) && space.isDraining(more.slots[0])
        #expect(!stillDrainsIt && beginsAnother && drainsOther)
        // Its free slots are to be had again.
        let again = try EngineBench.require(space.allocate(small))
        #expect(layout.segment(of: again.slots[0]) == layout.segment(of: lone.slots[0]))
    }

    @Test func aVoidFindsRoomWhereRemovalsFindNone() throws {
        let memory = SimulatedMemory(length: Journal.memoryBytes)
        let configuration = BenchSettings().engine
        let superblock = Superblock.unread(configuration)
        var journal = Journal(
            arena: memory.arena,
            memory: ArenaRange(start: ArenaOffset(0), length: Journal.memoryBytes),
            superblock: superblock, start: JournalSequence(1), last: JournalSequence(0), chain: 0)
        func send() {
            while let block = journal.takeSealed() {
                journal.copyWritten(buffer: block.buffer)
                journal.copyWritten(buffer: block.buffer)
            }
            journal.flushed(through: journal.written)
        }
        let removal = JournalRecord.delete(
            .lowest, version: Version(1), reason: .evicted, freed: .none)
        while journal.canStage(words: removal.wordCount, for: .removal) {
            _ = journal.stage(removal)
            send()
        }
        var voids = 0
        while voids < 1000, journal.canStage(words: 2, for: .void) {
            _ = journal.stage(.void(Version(UInt64(voids))))
            if voids % 200 == 0 { send() }
            voids += 1
        }
        #expect(voids > 600)
    }

    /// That the leaf can't be read is known for this run only.
    @Test func whatIsDeletedFromAnUnreadableLeafStaysDeleted() throws {
        let bench = try restarted(BenchSettings(), blocks: 1)
        let key = EngineBench.key(0)
        let found = bench.engine.drives[drive].tree.locate(key)
        let page = bench.engine.drives[drive].tree.child(try #require(found)).pointer.page
        let start = bench.engine.drives[drive].superblock.layout.offset(of: page).rawValue
        var faults = DriveFaults()
        faults.unreadable = [start..<start + FormatConstants.pageBytes]
        bench.device.setFaults(faults, of: drive)
        #expect(try bench.delete(key) == .notFound)
        let again = try EngineBench(BenchSettings(), images: bench.images)
        try again.serve()
        #expect(try again.get(key) == nil)
    }

    @Test func manyLargeGetsInSmallSlabsFitTheQueue() throws {
        var settings = BenchSettings()
        settings.driveBytes = 128 << 20
        settings.slabBytes = 4096
        settings.slabCount = 12_000
        settings.engine.valueLimitBytes = 1 << 20
        settings.engine.blockSizeBytes = 256 << 10
        let bench = try EngineBench(settings)
        try bench.serve()
        #expect(try bench.put(EngineBench.key(1), number: 1, count: 1 << 20) == .ok)
        for _ in 0..<40 { try bench.send(RequestOrder(.tcpGet, EngineBench.key(1))) }
        try bench.quiesce()
        #expect(bench.takeReplies().allSatisfy { $0.status == .ok })
    }
}
