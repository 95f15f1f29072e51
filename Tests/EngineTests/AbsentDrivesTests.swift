// A store whose drives come and go: no stale value, no deleted one, nothing lost that needn't be.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct AbsentDrivesTests {
    private static func settings(drives: Int = 3, seed: UInt64 = 1) -> BenchSettings {
        var settings = BenchSettings()
        settings.driveCount = drives
        settings.driveBytes = 12 << 20
        settings.slabCount = 48
        settings.seed = seed
        settings.engine.evictionEnabled = false
        return settings
    }

    private static func open(
        _ settings: BenchSettings, shards: Int = 2, _ images: [DriveImage], absent: Set<Int> = []
    ) throws -> ShardsBench {
        let bench = try ShardsBench(settings, shards: shards, images: images, absent: absent)
        try bench.serve()
        return bench
    }

    /// Keys whose first drive is `first`, and whose second is `second`, if given.
    private static func keys(
        of first: Int, then second: Int? = nil, count: Int, _ bench: ShardsBench
    ) -> [BlockKey] {
        var found: [BlockKey] = []
        var number: UInt64 = 0
        while found.count < count {
            let key = EngineBench.key(number)
            let ranks = bench.shards[0].engine.placement.ranks(of: key)
            if ranks.first == first, second == nil || ranks.second == second { found.append(key) }
            number += 1
        }
        return found
    }

    private static func counter(
        _ counter: DriveCounter, of drive: Int, _ bench: ShardsBench
    ) -> UInt64 {
        let (shard, index) = bench.place(of: drive)
        return shard.engine.cells.drives[Int(index.rawValue)].value(counter)
    }

    private static func gauge(_ gauge: DriveGauge, of drive: Int, _ bench: ShardsBench) -> UInt64 {
        let (shard, index) = bench.place(of: drive)
        return shard.engine.cells.drives[Int(index.rawValue)].value(gauge)
    }

    /// `drive` answers nothing any more.
    private static func takeAway(_ drive: Int, _ bench: ShardsBench) {
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        let (shard, index) = bench.place(of: drive)
        shard.device.setFaults(faults, of: index)
    }

    private func delete(_ key: BlockKey, _ bench: ShardsBench) throws -> Status {
        try bench.answer(to: RequestOrder(.tcpDelete, key)).status
    }

    @Test(arguments: [1, 2, 3])
    func whatWasChangedInADrivesAbsenceIsNotWhatItHad(shards: Int) throws {
        let settings = Self.settings(seed: UInt64(shards))
        var bench = try Self.open(settings, shards: shards, EngineBench.formatted(settings))
        let keys = Self.keys(of: 1, count: 12, bench)
        for (number, key) in keys.enumerated() {
            #expect(try bench.put(key, number: UInt64(number), count: 3000) == .ok)
        }
        try bench.drain()

        bench = try Self.open(settings, shards: shards, bench.images, absent: [1])
        for key in keys { #expect(try bench.get(key) == nil) }
        for key in keys[..<4] { #expect(try bench.put(key, number: 100, count: 3000) == .ok) }
        for key in keys[4..<8] { #expect(try delete(key, bench) == .notFound) }
        for key in keys[..<4] {
            #expect(try bench.get(key) == EngineBench.value(100, 3000))
        }
        // Deleted where it was put meanwhile, and forgotten by the drive that is away.
        #expect(try delete(keys[0], bench) == .ok)
        try bench.drain()

        bench = try Self.open(settings, shards: shards, bench.images)
        #expect(Self.counter(.returnedEmpty, of: 1, bench) == 0)
        #expect(Self.counter(.supersededBlocks, of: 1, bench) == 8)
        #expect(try bench.get(keys[0]) == nil)
        for key in keys[1..<4] {
            #expect(try bench.get(key) == EngineBench.value(100, 3000))
        }
        for key in keys[4..<8] { #expect(try bench.get(key) == nil) }
        for number in 8..<12 {
            #expect(
                try bench.get(keys[number]) == EngineBench.value(UInt64(number), 3000))
        }
        // Put anew they come home, and nothing stays behind.
        for key in keys[1..<4] { #expect(try bench.put(key, number: 200, count: 300) == .ok) }
        for key in keys[1..<4] { #expect(try bench.get(key) == EngineBench.value(200, 300)) }
        try bench.quiesce()
        for drive in 0..<3 { #expect(Self.gauge(.strays, of: drive, bench) == 0) }
        for drive in 0..<3 { #expect(Self.gauge(.changedKeys, of: drive, bench) == 0) }
        #expect(bench.post.attendance.mayHaveStrays.bits == 0)
        try bench.drain()
    }

    @Test func aKeyWhoseFirstTwoDrivesAreAwayIsRefused() throws {
        let settings = Self.settings()
        var bench = try Self.open(settings, EngineBench.formatted(settings))
        let key = Self.keys(of: 1, then: 2, count: 1, bench)[0]
        let other = Self.keys(of: 1, then: 0, count: 1, bench)[0]
        #expect(try bench.put(key, number: 1, count: 100) == .ok)
        try bench.drain()
        bench = try Self.open(settings, bench.images, absent: [1, 2])
        #expect(try bench.put(key, number: 2, count: 100) == .driveUnavailable)
        #expect(try delete(key, bench) == .driveUnavailable)
        #expect(try bench.get(key) == nil)
        #expect(try bench.put(other, number: 2, count: 100) == .ok)
        try bench.drain()
        bench = try Self.open(settings, bench.images)
        #expect(try bench.get(key) == EngineBench.value(1, 100))
        #expect(try bench.get(other) == EngineBench.value(2, 100))
        try bench.drain()
    }

    @Test func aDriveThatGoesAwayWhileItServesHandsItsKeysToTheNext() throws {
        let settings = Self.settings()
        var bench = try Self.open(settings, EngineBench.formatted(settings))
        let keys = Self.keys(of: 1, count: 6, bench)
        for key in keys { #expect(try bench.put(key, number: 1, count: 3000) == .ok) }
        let (shard, index) = bench.place(of: 1)
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        shard.device.setFaults(faults, of: index)
        var statuses: Set<Status> = []
        for key in keys { statuses.insert(try bench.put(key, number: 2, count: 3000)) }
        #expect(statuses.isSubset(of: [.ok, .outcomeUnknown]))
        for key in keys { #expect(try bench.put(key, number: 3, count: 3000) == .ok) }
        for key in keys { #expect(try bench.get(key) == EngineBench.value(3, 3000)) }
        #expect(bench.shards[0].engine.epochs.isActive)
        #expect(bench.shards[0].engine.epochs.lineage.counter == 1)
        try bench.drain()
        bench = try Self.open(settings, bench.images)
        for key in keys { #expect(try bench.get(key) == EngineBench.value(3, 3000)) }
        try bench.drain()
    }

    @Test func aListWithoutRoomMakesTheDriveReturnEmpty() throws {
        var settings = Self.settings()
        settings.engine.changeLimit = 5
        var bench = try Self.open(settings, EngineBench.formatted(settings))
        let keys = Self.keys(of: 1, then: 0, count: 8, bench)
        for key in keys { #expect(try bench.put(key, number: 1, count: 100) == .ok) }
        try bench.drain()
        bench = try Self.open(settings, bench.images, absent: [1])
        for key in keys[..<6] { #expect(try bench.put(key, number: 2, count: 100) == .ok) }
        #expect(Self.counter(.lostChangeLists, of: 0, bench) == 1)
        try bench.drain()
        bench = try Self.open(settings, bench.images)
        #expect(Self.counter(.returnedEmpty, of: 1, bench) == 1)
        for key in keys[..<6] { #expect(try bench.get(key) == EngineBench.value(2, 100)) }
        for key in keys[6...] { #expect(try bench.get(key) == nil) }
        try bench.drain()
    }

    @Test func ofTwoPartsServedApartOneReturnsEmpty() throws {
        let settings = Self.settings(drives: 2)
        let formatted = try EngineBench.formatted(settings)
        var bench = try Self.open(settings, formatted)
        let key = Self.keys(of: 0, count: 1, bench)[0]
        #expect(try bench.put(key, number: 1, count: 100) == .ok)
        try bench.drain()
        let images = bench.images
        bench = try Self.open(settings, images, absent: [1])
        #expect(try bench.put(key, number: 2, count: 100) == .ok)
        try bench.drain()
        let first = bench.images[0]
        bench = try Self.open(settings, images, absent: [0])
        #expect(try bench.put(key, number: 3, count: 100) == .ok)
        try bench.drain()
        bench = try Self.open(settings, [first, bench.images[1]])
        let empty = (0..<2).map { Self.counter(.returnedEmpty, of: $0, bench) }
        #expect(empty.reduce(0, +) == 1)
        #expect(try bench.get(key) == EngineBench.value(empty[0] == 0 ? 2 : 3, 100))
        try bench.drain()
        bench = try Self.open(settings, bench.images)
        #expect((0..<2).allSatisfy { Self.counter(.returnedEmpty, of: $0, bench) == 0 })
        try bench.drain()
    }

    @Test func aDriveWhoseChangesNobodyKnowsReturnsEmpty() throws {
        let settings = Self.settings()
        var bench = try Self.open(settings, EngineBench.formatted(settings))
        let key = Self.keys(of: 1, then: 2, count: 1, bench)[0]
        #expect(try bench.put(key, number: 1, count: 100) == .ok)
        try bench.drain()
        bench = try Self.open(settings, bench.images, absent: [1])
        #expect(try bench.put(key, number: 2, count: 100) == .ok)
        try bench.drain()
        // What drive 2 took meanwhile only drive 2 knows.
        bench = try Self.open(settings, bench.images, absent: [2])
        #expect(Self.counter(.returnedEmpty, of: 1, bench) == 1)
        #expect(try bench.get(key) == nil)
        try bench.drain()
        bench = try Self.open(settings, bench.images)
        #expect(try bench.get(key) == EngineBench.value(2, 100))
        try bench.drain()
    }

    /// Two drives that are there, and a key of drive 1 whose value 1 is on drive 0.
    private static func withStray(
        _ settings: BenchSettings
    ) throws -> (bench: ShardsBench, key: BlockKey) {
        var bench = try open(settings, EngineBench.formatted(settings))
        let key = keys(of: 1, count: 1, bench)[0]
        try bench.drain()
        bench = try open(settings, bench.images, absent: [1])
        #expect(try bench.put(key, number: 1, count: 100) == .ok)
        try bench.drain()
        bench = try open(settings, bench.images)
        #expect(try bench.get(key) == EngineBench.value(1, 100))
        return (bench, key)
    }

    /// What is read when the power has failed between a put's value 2 on drive 1 and the removal of
    /// value 1 from drive 0.
    private static func readOfTwo(_ settings: BenchSettings) throws -> [UInt8]? {
        let (bench, key) = try withStray(settings)
        let order = RequestOrder(.tcpPut, key, payload: EngineBench.value(2, 100))
        #expect(bench.send(order, to: 0) != nil)
        let (shard, index) = bench.place(of: 1)
        try bench.run("a value at home") { shard.engine.drives[index].blockCount == 1 }
        let (other, otherIndex) = bench.place(of: 0)
        #expect(other.engine.drives[otherIndex].strayCount == 1)
        return try open(settings, bench.images).get(key)
    }

    @Test func ofTwoEntriesTheNewerIsRead() throws {
        let settings = Self.settings(drives: 2)
        #expect(try Self.readOfTwo(settings) == EngineBench.value(2, 100))
    }

    /// A put was cut short when its value had come home and the older one hadn't been removed. Once
    /// readers have seen the new one, the old one is over, also when the new one is evicted.
    @Test func whatACutPutReplacedDoesNotReturn() throws {
        let settings = Self.settings(drives: 2)
        var (bench, key) = try Self.withStray(settings)
        let (other, otherIndex) = bench.place(of: 0)
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        other.device.setFaults(faults, of: otherIndex)
        #expect(try bench.put(key, number: 2, count: 100) == .outcomeUnknown)
        #expect(try bench.get(key) == EngineBench.value(2, 100))

        let (shard, index) = bench.place(of: 1)
        let stat = try bench.answer(to: RequestOrder(.stat, key))
        var entry = DirtyEntry.none.entry
        entry.key = key
        entry.version = Version(stat.bodyWords[2])
        shard.engine.beginRemoval(of: entry, on: index, reason: .expired)
        try bench.quiesce()
        #expect(try bench.get(key) == nil)
        try bench.drain()

        bench = try Self.open(settings, bench.images)
        #expect(Self.counter(.returnedEmpty, of: 0, bench) == 0)
        #expect(try bench.get(key) == nil)
        try bench.drain()
    }

    /// The list that overflows has later changes in it than the one that it has no room for.
    @Test func aLateChangeThatOverflowsTheListHidesNoLaterOnes() throws {
        var settings = Self.settings(drives: 4)
        settings.engine.changeLimit = 3
        var bench = try Self.open(settings, shards: 1, EngineBench.formatted(settings))
        let keys = Self.keys(of: 1, then: 0, count: 3, bench)
        let late = Self.keys(of: 2, then: 0, count: 1, bench)[0]
        for key in keys { #expect(try bench.put(key, number: 1, count: 100) == .ok) }
        try bench.drain()
        bench = try Self.open(settings, shards: 1, bench.images, absent: [2])
        let (shard, zero) = bench.place(of: 0)
        var slow = DriveLatency()
        slow.set(.write, fixedMicroseconds: 1_500_000, randomMicroseconds: 0)
        shard.device.setLatency(slow, of: zero)
        let put = RequestOrder(.tcpPut, late, payload: EngineBench.value(9, 100))
        let stuck = try #require(bench.send(put, to: 0))
        try bench.pass(milliseconds: 1)
        shard.device.setLatency(DriveLatency(), of: zero)
        Self.takeAway(1, bench)
        // It finds that the drive is gone.
        _ = try bench.get(keys[0])
        let deletes = try keys.map {
            try #require(bench.send(RequestOrder(.tcpDelete, $0), to: 0))
        }
        try bench.run("changes") {
            (deletes + [stuck]).allSatisfy { bench.replies[$0] != nil }
        }
        for number in deletes { #expect(bench.replies[number]?.status == .notFound) }
        try bench.drain()
        bench = try Self.open(settings, shards: 1, bench.images)
        for key in keys { #expect(try bench.get(key) == nil) }
    }

    /// Its block was durable beside one whose bytes weren't, so replay had to decide on both.
    @Test func whatWasChangedAndThenDamagedIsStillListedAfterAPowerCut() throws {
        let settings = Self.settings(drives: 2)
        var bench = try Self.open(settings, shards: 1, EngineBench.formatted(settings))
        let key = Self.keys(of: 1, count: 1, bench)[0]
        #expect(try bench.put(key, number: 1, count: 100) == .ok)
        try bench.drain()
        bench = try Self.open(settings, shards: 1, bench.images, absent: [1])
        let (shard, index) = bench.place(of: 0)
        func begin(_ key: BlockKey, _ number: UInt64, writeMicroseconds: UInt64) throws {
            var latency = DriveLatency()
            latency.set(.write, fixedMicroseconds: writeMicroseconds, randomMicroseconds: 0)
            shard.device.setLatency(latency, of: index)
            let order = RequestOrder(.tcpPut, key, payload: EngineBench.value(number, 100))
            #expect(bench.send(order, to: 0) != nil)
            while shard.engine.step(now: bench.world.now) {}
        }
        // While their journal blocks are under way the next two puts share one.
        let others = Self.keys(of: 0, count: 5, bench)
        for other in others[..<4] { try begin(other, 5, writeMicroseconds: 5_000) }
        try begin(others[4], 6, writeMicroseconds: 200_000)
        try begin(key, 2, writeMicroseconds: 100)
        try bench.pass(milliseconds: 50)
        let lookup = try bench.answer(to: RequestOrder(.stat, key))
        #expect(lookup.status == .ok)
        let entry = try #require(shard.engine.drives[index].dirty(key)?.entry)
        #expect(shard.engine.drives[index].dirty(others[4]) == nil)
        var faults = DriveFaults()
        let slot = shard.engine.drives[index].superblock.layout.offset(of: entry.slots[0])
        faults.damage = [BitDamage(offset: slot, mask: 1)]
        shard.device.setFaults(faults, of: index)
        #expect(try bench.get(key) == nil)
        try bench.pass(milliseconds: 50)
        #expect(shard.engine.drives[index].dirty(key)?.isTombstone == true)
        bench = try Self.open(settings, shards: 1, bench.images)
        // What was put in the drive's absence is lost; what it replaced stays replaced.
        #expect(try bench.get(key) == nil)
    }

    @Test func aDeleteThatIsTooLateForHalfOfItIsInDoubt() throws {
        let settings = Self.settings(drives: 2)
        let (bench, key) = try Self.withStray(settings)
        var order = RequestOrder(.tcpDelete, key)
        order.deadline = bench.world.now.advanced(byMicroseconds: 1_000_000)
        let number = try #require(bench.send(order, to: 0))
        let (leader, index) = bench.place(of: 0)
        // The shard of the first drive gets no turn before the deadline has passed.
        for _ in 0..<1000 where leader.engine.drives[index].strayCount > 0 {
            if leader.engine.step(now: bench.world.now) { continue }
            bench.world.advance(to: try #require(leader.device.nextEventTime))
            leader.device.advance()
        }
        while leader.engine.step(now: bench.world.now) {}
        #expect(leader.engine.drives[index].strayCount == 0 && bench.replies[number] == nil)
        bench.world.advance(to: bench.world.now.advanced(byMicroseconds: 2_000_000))
        while bench.shards[1].engine.step(now: bench.world.now) {}
        while leader.engine.step(now: bench.world.now) {}
        #expect(bench.replies[number]?.status == .outcomeUnknown)
        #expect(try bench.get(key) == nil)
    }

    @Test func whatTheSecondDriveMayHaveIsNotPassedOver() throws {
        let settings = Self.settings(drives: 2)
        var (bench, key) = try Self.withStray(settings)
        let order = RequestOrder(.tcpPut, key, payload: EngineBench.value(2, 100))
        #expect(bench.send(order, to: 0) != nil)
        let (home, homeIndex) = bench.place(of: 1)
        try bench.run("a value at home") { home.engine.drives[homeIndex].blockCount == 1 }
        bench = try Self.open(settings, bench.images)
        let (other, otherIndex) = bench.place(of: 0)
        var slow = DriveLatency()
        slow.set(.read, fixedMicroseconds: 10_000_000, randomMicroseconds: 0)
        other.device.setLatency(slow, of: otherIndex)
        let seen = try bench.get(key)
        other.device.setLatency(DriveLatency(), of: otherIndex)
        try bench.pass(milliseconds: 15_000)
        let (shard, index) = bench.place(of: 1)
        let stat = try bench.answer(to: RequestOrder(.stat, key))
        var entry = DirtyEntry.none.entry
        entry.key = key
        entry.version = Version(stat.bodyWords[2])
        shard.engine.beginRemoval(of: entry, on: index, reason: .expired)
        try bench.quiesce()
        let later = try bench.get(key)
        #expect(seen == nil || later == nil || later == seen)
    }

    @Test func theSameDrivesGoOnWithTheSameEpoch() throws {
        let settings = Self.settings()
        var bench = try Self.open(settings, EngineBench.formatted(settings))
        #expect(bench.shards[0].engine.epochs.lineage.counter == 0)
        try bench.drain()
        for absent in [[1], [1], [], []] as [Set<Int>] {
            bench = try Self.open(settings, bench.images, absent: absent)
            try bench.drain()
        }
        #expect(bench.shards[0].engine.epochs.lineage.counter == 2)
    }

    // MARK: The model

    /// Thousands of further stories are those of the simulated world: SimScenarios/faults.
    @Test func noStoryOfComingsAndGoingsShowsWhatIsGone() throws {
        var seen: [String: Int] = [:]
        for seed in 1...12 as ClosedRange<UInt64> {
            var settings = AbsentDrivesModel.Settings()
            settings.seed = seed
            settings.drives = 3 + Int(seed % 2)
            settings.shards = 1 + Int(seed % 3)
            settings.hasFaults = seed % 4 != 0
            settings.changeLimit = seed % 5 == 0 ? 4 : .max
            print("absent drives, seed \(seed)")
            let model = try AbsentDrivesModel(settings)
            let violation = try model.run()
            #expect(violation == nil, "seed \(seed)")
            seen.merge(model.seen) { $0 + $1 }
        }
        print("seen: \(seen)")
        for what in [
            "absent", "fenced", "power cut", "crash while starting", "forgot", "strays",
            "returned empty", "refused", "missed while away", "stalled", "placed elsewhere",
            "turned away",
        ] { #expect(seen[what, default: 0] > 0, "\(what)") }
    }

    @Test(arguments: 1...5 as ClosedRange<UInt64>)
    func partsServedApartAreNotMixed(seed: UInt64) throws {
        var settings = AbsentDrivesModel.Settings()
        settings.seed = seed
        settings.drives = 2 + Int(seed % 3)
        settings.hasForks = true
        settings.hasFaults = seed % 2 == 0
        print("forks, seed \(seed)")
        let violation = try AbsentDrivesModel(settings).run()
        #expect(violation == nil)
    }

    #if PLANTED_BUGS
    /// Two entries of a key are rare in the model's stories.
    @Test func anOlderEntryReadInsteadOfTheNewerIsFound() throws {
        var settings = Self.settings(drives: 2)
        settings.engine.plantedBug = .lowerVersionWins
        #expect(try Self.readOfTwo(settings) != EngineBench.value(2, 100))
    }

    @Test(
        arguments: PlantedBug.ofSeveralDrives.subtracting([.lowerVersionWins]).sorted {
            $0.rawValue < $1.rawValue
        })
    func aPlantedBugIsFound(bug: PlantedBug) throws {
        for seed in 1...60 as ClosedRange<UInt64> {
            var settings = AbsentDrivesModel.Settings()
            settings.seed = seed
            settings.drives = 2 + Int(seed % 3)
            settings.changeLimit = seed % 3 == 0 ? 4 : .max
            settings.bug = bug
            settings.hasForks = seed % 2 == 0
            guard let violation = try AbsentDrivesModel(settings).run() else { continue }
            print("\(bug): \(violation)")
            return
        }
        Issue.record("\(bug) was not found")
    }
    #endif
}
