// The change list: in memory against a dictionary, and on a drive, whole and damaged.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct ChangeListTests {
    @Test func theListIsABoundedDictionary() {
        var random = RandomStream(seed: 21, name: "change list")
        print("change list, seed 21")
        var list = ChangeList(capacity: 40, floor: 0, seed: 5)
        var model: [BlockKey: UInt32] = [:]
        var floor: UInt32 = 0
        var epoch: UInt32 = 1
        var overflows = 0
        for _ in 0..<20_000 {
            let key = EngineBench.key(random.below(60))
            switch random.below(50) {
            case 0: epoch += 1
            case 1:
                let forgotten = epoch - min(epoch, UInt32(random.below(3)))
                list.forget(through: forgotten)
                if forgotten > floor {
                    floor = forgotten
                    model = model.filter { $0.value > floor }
                }
            case 2:
                #expect(list.hasLater(than: epoch) == model.values.contains { $0 > epoch })
                list.forget(after: epoch)
                model = model.filter { $0.value <= epoch }
            default:
                // Some are of the next epoch.
                let noted = epoch + (random.chance(percent: 5) ? 1 : 0)
                let isFull = model[key] == nil && model.count == 40 && noted > floor
                #expect(list.note(key, epoch: noted) == isFull)
                if isFull {
                    overflows += 1
                    floor = max(noted, model.values.max() ?? 0)
                    model = [:]
                } else if noted > floor {
                    model[key] = max(model[key] ?? 0, noted)
                }
            }
            #expect(list.count == model.count && list.floor == floor)
        }
        let entries = (0..<list.count).map { list.entry(at: $0) }
        #expect(Set(entries) == Set(model.map { ChangedKey(key: $0.key, epoch: $0.value) }))
        #expect(overflows > 0)
    }

    /// Changes are noted when they are durable, not in the order of their epochs.
    @Test func anOverflowByAnOlderChangeSaysSoForTheNewerOnes() {
        var list = ChangeList(capacity: 2, floor: 0, seed: 1)
        list.note(EngineBench.key(1), epoch: 6)
        list.note(EngineBench.key(2), epoch: 6)
        let hasForgotten = list.note(EngineBench.key(3), epoch: 5)
        #expect(hasForgotten)
        #expect(list.floor == 6)
    }

    private static func settings() -> BenchSettings {
        var settings = BenchSettings()
        settings.driveCount = 2
        settings.driveBytes = 12 << 20
        settings.engine.evictionEnabled = false
        return settings
    }

    /// Two drives of which the second was away while the first took `count` changes of its keys.
    private func changed(_ count: Int) throws -> [DriveImage] {
        let bench = try ShardsBench(Self.settings(), shards: 1)
        try bench.serve()
        #expect(try bench.put(EngineBench.key(0), number: 1, count: 100) == .ok)
        try bench.drain()
        let away = try ShardsBench(
            Self.settings(), shards: 1, images: bench.images, absent: [1])
        try away.serve()
        for number in 0..<UInt64(count) {
            #expect(try away.put(EngineBench.key(number), number: 2, count: 100) == .ok)
        }
        try away.drain()
        return away.images
    }

    @Test func aCheckpointKeepsTheListAndACheckKnowsItsPages() throws {
        var images = try changed(60)
        let inspected = try Inspection.check([images[0]])
        #expect(inspected.findings == [])
        #expect(inspected.facts?.changedKeys == 60 && inspected.facts?.epoch == 1)

        let superblock = try superblock(of: images[0])
        let offset = superblock.layout.changeOffset(area: superblock.changeArea, page: 0)
        let sector = offset.rawValue / 4096
        var bytes = images[0][sector].bytes
        bytes[100] ^= 4
        images[0][sector] = SectorBytes(bytes)
        let damaged = try Inspection.check([images[0]])
        #expect(
            damaged.findings.map(\.structure) == [.changePage]
                && damaged.findings.map(\.consequence) == [.awayDrivesReturnEmpty])
        // What the first drive has is whole; the second can't know what to forget.
        let bench = try ShardsBench(Self.settings(), shards: 2, images: images)
        try bench.serve()
        let empty = (0..<2).map {
            bench.place(of: $0).shard.engine.cells.drives[0].value(DriveCounter.returnedEmpty)
        }
        #expect(empty == [0, 1])
        for number in 0..<60 as Range<UInt64> {
            #expect(try bench.get(EngineBench.key(number)) == EngineBench.value(2, 100))
        }
        try bench.drain()
    }

    private func superblock(of image: DriveImage) throws -> Superblock {
        let memory = SimulatedMemory(length: ByteCount(UInt64(4096)))
        let bytes = image[0].bytes
        for index in stride(from: 0, to: bytes.count, by: 8) {
            let word = bytes[index..<index + 8].reversed().reduce(UInt64(0)) {
                $0 << 8 | UInt64($1)
            }
            memory.arena.storeWord(word, at: ArenaOffset(UInt64(index)))
        }
        guard case .valid(let superblock) = Superblock.read(memory.arena, at: ArenaOffset(0)) else {
            throw BenchFailure(description: "no superblock")
        }
        return superblock
    }
}

/// An offline check of simulated drives.
enum Inspection {
    static func check(_ images: [DriveImage]) throws -> DriveReport {
        let world = SimulatedWorld()
        let memory = SimulatedMemory(length: DriveCheck<SimulatedDevice>.memoryBytes)
        let device = SimulatedDevice(
            drives: images, BenchSettings(), world: world, arena: memory.arena)
        let inspected = InspectedDrive(device: device, arena: memory.arena) { device in
            guard let next = device.nextEventTime else { return }
            world.advance(to: next)
            device.advance()
        }
        return try EngineBench.require(DriveCheck.run(inspected, verifiesValues: true))
    }
}
