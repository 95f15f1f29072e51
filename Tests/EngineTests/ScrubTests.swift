// Scrub: what it finds, what it does about it, how fast it goes and to whom it yields.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct ScrubTests {
    private static var settings: BenchSettings {
        var settings = BenchSettings()
        settings.driveBytes = 12 << 20
        settings.engine.scrubBytesPerSecond = 4 << 20
        settings.engine.scrubPauseMicroseconds = 1_000_000
        return settings
    }

    private let drive = BenchSettings.drive

    /// A store of 300 blocks, restarted, so that nothing is in the dirty queue or the leaf cache.
    private func filled(_ settings: BenchSettings = Self.settings) throws -> EngineBench {
        var quiet = settings
        quiet.engine.scrubBytesPerSecond = 0
        let first = try EngineBench(quiet)
        try first.serve()
        for number in UInt64(0)..<300 {
            let count = number % 50 == 0 ? 60_000 : 4000
            #expect(try first.put(EngineBench.key(number), number: number, count: count) == .ok)
        }
        try first.drain()
        let bench = try EngineBench(settings, images: first.images)
        try bench.serve()
        return bench
    }

    private func counter(_ counter: DriveCounter, in bench: EngineBench) -> UInt64 {
        bench.counter(counter, of: 0)
    }

    /// Lets a whole turn pass that begins now.
    private func turn(_ bench: EngineBench) throws {
        let turns = counter(.scrubTurns, in: bench)
        for _ in 0..<100 where counter(.scrubTurns, in: bench) < turns + 2 {
            try bench.pass(milliseconds: 500)
        }
        #expect(counter(.scrubTurns, in: bench) >= turns + 2)
    }

    /// Flips a bit at `offset`.
    private func damage(_ offset: UInt64, in bench: EngineBench) {
        var faults = bench.device.faults(of: drive)
        faults.damage.append(BitDamage(offset: ByteOffset(offset), mask: 16))
        bench.device.setFaults(faults, of: drive)
    }

    /// The entry of a block, from the leaf that has it.
    private func entry(_ number: UInt64, in bench: EngineBench) throws -> BlockEntry {
        #expect(try bench.get(EngineBench.key(number)) != nil)
        let located = bench.engine.drives[drive].tree.locate(EngineBench.key(number))
        let position = try #require(located)
        let cached = bench.engine.drives[drive].leaves.frame(
            of: bench.engine.drives[drive].tree.page(at: position))
        let frame = try #require(cached)
        let found = LeafPage.find(
            bench.slabs.arena, bench.engine.drives[drive].leaves.place(of: frame),
            EngineBench.key(number), layout: bench.engine.drives[drive].superblock.layout)
        return try #require(found)
    }

    private func offset(of slot: SlotIndex, in bench: EngineBench) -> UInt64 {
        bench.engine.drives[drive].superblock.layout.offset(of: slot).rawValue
    }

    @Test func aTurnReadsEveryBlockAndFindsNothing() throws {
        let bench = try filled()
        try turn(bench)
        #expect(counter(.scrubbedBlocks, in: bench) >= 300)
        #expect(counter(.scrubFindings, in: bench) == 0)
        #expect(bench.engine.cells.value(ShardCounter.checkpoints) == 0)
        #expect(bench.engine.readers.count <= 1)
    }

    @Test func rotInAnyPieceOfABlockIsFoundBeforeAnybodyAsks() throws {
        let bench = try filled()
        // One of many slots, in its last one; and a small one.
        let large = try entry(100, in: bench)
        damage(offset(of: large.slots[large.slots.count - 1], in: bench) + 4000, in: bench)
        damage(offset(of: try entry(101, in: bench).slots[0], in: bench) + 3999, in: bench)
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == 2)
        #expect(counter(.quarantinedSlots, in: bench) == UInt64(large.slots.count) + 1)
        #expect(try bench.get(EngineBench.key(100)) == nil)
        #expect(try bench.get(EngineBench.key(101)) == nil)
        #expect(try bench.get(EngineBench.key(102)) == EngineBench.value(102, 4000))
    }

    @Test func aBlockThatCannotBeReadIsFound() throws {
        let bench = try filled()
        let start = offset(of: try entry(7, in: bench).slots[0], in: bench)
        var faults = DriveFaults()
        faults.unreadable = [start..<start + 4096]
        bench.device.setFaults(faults, of: drive)
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == 1)
        #expect(counter(.mediaErrors, in: bench) == 1)
        #expect(try bench.get(EngineBench.key(7)) == nil)
    }

    @Test func aLeafThatIsInMemoryIsWrittenAnew() throws {
        let bench = try filled()
        _ = try entry(20, in: bench)
        let located = bench.engine.drives[drive].tree.locate(EngineBench.key(20))
        let page = bench.engine.drives[drive].tree.page(at: try #require(located))
        damage(
            bench.engine.drives[drive].superblock.layout.offset(of: page).rawValue + 900, in: bench)
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == 1)
        #expect(counter(.damagedLeaves, in: bench) == 0)
        #expect(bench.device.faults(of: drive).damage.isEmpty)
        #expect(try bench.get(EngineBench.key(20)) == EngineBench.value(20, 4000))
    }

    @Test func aLeafThatIsNowhereElseIsLostAndCounted() throws {
        let bench = try filled()
        let page = bench.engine.drives[drive].tree.page(at: .first)
        damage(
            bench.engine.drives[drive].superblock.layout.offset(of: page).rawValue + 900, in: bench)
        try turn(bench)
        #expect(counter(.damagedLeaves, in: bench) == 1)
    }

    @Test func damageOfWhatIsInMemoryTooIsMendedByACheckpoint() throws {
        let bench = try filled()
        let superblock = bench.engine.drives[drive].superblock
        let inner = try #require(bench.engine.drives[drive].tree.node(at: 0).stored)
        let map = try #require(bench.engine.drives[drive].mapPointers[0])
        damage(superblock.layout.offset(of: inner.page).rawValue + 70, in: bench)
        damage(superblock.layout.offset(of: map.page).rawValue + 70, in: bench)
        damage(superblock.layout.offset(of: superblock.pointers[0].page).rawValue + 70, in: bench)
        damage(FormatConstants.superblockB.rawValue + 700, in: bench)
        try turn(bench)
        try turn(bench)
        // A checkpoint for one of them may write another one anew before it is looked at.
        #expect(counter(.scrubFindings, in: bench) >= 3)
        #expect(bench.engine.cells.value(ShardCounter.checkpoints) >= 1)
        let findings = counter(.scrubFindings, in: bench)
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == findings)
        // The old pages are as rotten as before: a restart must do without them.
        let image = bench.images
        let next = try EngineBench(Self.settings, images: image)
        try next.serve()
        #expect(try next.get(EngineBench.key(3)) == EngineBench.value(3, 4000))
    }

    @Test func aDamagedJournalBlockIsPassedByACheckpoint() throws {
        let bench = try filled()
        let added = UInt64(1000)
        #expect(try bench.put(EngineBench.key(added), number: added, count: 4000) == .ok)
        let journal = bench.engine.drives[drive].journal.start
        damage(
            bench.engine.drives[drive].superblock.layout.journalOffsets(of: journal).b.rawValue
                + 80,
            in: bench)
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == 1)
        #expect(bench.engine.drives[drive].journal.start > journal)
    }

    @Test func itReadsNoFasterThanItMay() throws {
        let bench = try filled()
        let before = counter(.scrubbedBytes, in: bench)
        try bench.pass(milliseconds: 500)
        let bytes = counter(.scrubbedBytes, in: bench) - before
        #expect(bytes > 1 << 20)
        #expect(bytes <= 2 << 20 + Scrub.pieceBytes)
    }

    @Test func itGoesOnUnderLoadAndChanges() throws {
        let bench = try filled()
        for round in UInt64(0)..<400 {
            let number = round * 7 % 300
            let order = RequestOrder(
                .tcpPut, EngineBench.key(number), payload: EngineBench.value(round, 4000))
            try bench.send(order)
            try bench.send(RequestOrder(.tcpGet, EngineBench.key((round * 11) % 300)))
            try bench.pass(milliseconds: 5)
            if round % 100 == 50 { bench.engine.requestCheckpoint() }
        }
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == 0)
        #expect(bench.engine.cells.value(ShardCounter.checksumFailures) == 0)
    }

    @Test func itRestsWhileItsDriveIsStalled() throws {
        let bench = try filled()
        bench.stall([.flush], on: 0, seconds: 6)
        try bench.send(
            RequestOrder(.tcpPut, EngineBench.key(1), payload: EngineBench.value(1, 4000)))
        try bench.pass(milliseconds: 2300)
        let before = counter(.scrubbedBytes, in: bench)
        try bench.pass(milliseconds: 2000)
        #expect(counter(.scrubbedBytes, in: bench) == before)
    }

    /// A store whose scrub is between two pieces of a block that has just been removed.
    private func removedWhileScrubbed() throws -> EngineBench {
        var settings = Self.settings
        settings.engine.scrubBytesPerSecond = 64 << 10
        let bench = try filled(settings)
        try bench.run("a block half read") { bench.engine.drives[drive].scrub.isHalfDone }
        #expect(try bench.delete(bench.engine.drives[drive].scrub.entry.key) == .ok)
        return bench
    }

    @Test func aBlockThatIsRemovedIsNotHeldUntilItsNextPiece() throws {
        let bench = try removedWhileScrubbed()
        try bench.settleNow()
        let waiting = bench.engine.drives[drive].releases.count
        #expect(waiting == 0)
        #expect(bench.engine.readers.count == 0)
        try turn(bench)
        #expect(counter(.scrubFindings, in: bench) == 0)
    }

    @Test func aDrainDoesNotWaitForABlockThatIsHalfRead() throws {
        var settings = Self.settings
        settings.engine.scrubBytesPerSecond = 64 << 10
        let bench = try filled(settings)
        try bench.run("a block half read") { bench.engine.drives[drive].scrub.isHalfDone }
        let key = bench.engine.drives[drive].scrub.entry.key
        let removal = try bench.send(RequestOrder(.tcpDelete, key))
        _ = bench.engine.step(now: bench.world.now)
        try bench.drain()
        #expect(bench.takeReplies().contains { $0.request == removal && $0.status == .ok })
    }
}

extension Scrub {
    /// Between two pieces of one block.
    fileprivate var isHalfDone: Bool { stage == .block && position > 0 && !isReading }
}
