// Structures whose checksums are right and whose content is impossible: damage, never a trap. Each
// was found by the fuzz targets of Fuzzing/, whose regressions hold the inputs.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct ImpossibleStructureTests {
    private let drive = StoreIdentity(high: 1, low: 2)

    /// A superblock's words changed by `change`, its checksum made right again.
    private func read(_ change: (Arena) -> Void) throws -> Superblock.Reading {
        let memory = SimulatedMemory(length: FormatConstants.superblockBytes)
        let classes = SizeClasses(minimumSlotBytes: 4096, blockSizeBytes: 16384)
        let layout = try #require(
            DriveLayout(capacityBytes: 6 << 20, classes: classes, journalBlocks: 16))
        let format = FormatConfiguration(
            storeID: drive, driveID: drive, members: [drive], blockSizeBytes: 16384,
            minimumSlotBytes: 4096)
        Superblock(format: format, layout: layout).write(memory.arena, at: ArenaOffset(0))
        change(memory.arena)
        let range = ArenaRange(start: ArenaOffset(0), length: FormatConstants.superblockBytes)
        memory.arena.storeWord(0, at: ArenaOffset(16))
        memory.arena.storeWord(memory.arena.checksum(range), at: ArenaOffset(16))
        return Superblock.read(memory.arena, at: ArenaOffset(0))
    }

    @Test(
        arguments: [
            (7, 0), (9, 1), (10, 0), (10, .max), (16, .max), (17, .max),
            (18, UInt64(UInt32.max)), (19, 0), (19, .max), (21, .max), (22, .max), (24, 0),
            (24, .max),
        ] as [(UInt64, UInt64)])
    func aSuperblockOfImpossibleNumbersIsDamaged(word: UInt64, value: UInt64) throws {
        let reading = try read { $0.storeWord(value, at: ArenaOffset(word * 8)) }
        guard case .damaged = reading else {
            Issue.record("word \(word) of \(value) was believed")
            return
        }
        guard case .valid = try read({ _ in }) else {
            Issue.record("a right superblock wasn't believed")
            return
        }
    }

    @Test func moreQuarantinedBytesThanAreTakenLeaveNoneToBlocks() throws {
        let bench = try EngineBench()
        var space = SpaceMap(layout: bench.engine.drives[BenchSettings.drive].superblock.layout)
        let extent = try EngineBench.require(
            space.allocate(SlotDemand(sizeClass: SizeClass(0), count: 2)))
        space.commit(extent)
        space.setQuarantinedBytes(.max)
        space.uncommit(extent)
        let owned = space.ownedBytes
        #expect(owned == 0)
    }

    /// Both were found to own it before either was gone: a trap when the second one's removal was
    /// durable.
    @Test func aSlotOfTwoKeysIsFreedOnce() throws {
        let bench = try EngineBench()
        try bench.serve()
        let drive = BenchSettings.drive
        #expect(try bench.put(EngineBench.key(1), number: 1, count: 100) == .ok)
        #expect(try bench.put(EngineBench.key(2), number: 2, count: 100) == .ok)
        let first = bench.engine.drives[drive].dirty(EngineBench.key(1)) ?? .none
        var second = bench.engine.drives[drive].dirty(EngineBench.key(2)) ?? .none
        second.entry.slots = first.entry.slots
        bench.engine.drives[drive].active.set(second)
        let deletes = try [1, 2].map {
            try bench.send(RequestOrder(.tcpDelete, EngineBench.key($0)))
        }
        try bench.run("both deleted") { deletes.allSatisfy { bench.reply(to: $0) != nil } }
        #expect(deletes.map { bench.reply(to: $0)?.status } == [.ok, .ok])
    }

    @Test func aFencedRecoveryGivesItsSlabsBack() throws {
        var settings = BenchSettings()
        settings.engine.dirtyEntryLimit = 32
        let first = try EngineBench(settings)
        try first.serve()
        for number in 0..<8 {
            try first.send(
                RequestOrder(
                    .tcpPut, EngineBench.key(UInt64(number)),
                    payload: [UInt8](repeating: 7, count: 5000)))
        }
        try first.quiesce()
        // Each operation of the recovery fails once, in a bench of its own.
        for ordinal in UInt64(0)..<24 {
            let bench = try EngineBench(settings, images: first.images)
            var faults = DriveFaults()
            faults.failures = [
                PlannedFailure(action: .read, ordinal: ordinal, error: .inputOutput)
            ]
            bench.device.setFaults(faults, of: BenchSettings.drive)
            try bench.run("recovered or fenced") {
                bench.engine.driveState(BenchSettings.drive) != .recovering
                    && bench.device.inFlightCount == 0 && !bench.device.hasCompletion
            }
            #expect(bench.slabs.freeSlabs == Int(bench.slabs.slabCount), "operation \(ordinal)")
        }
    }
}
