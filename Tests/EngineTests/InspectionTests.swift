// An offline check against the recovery itself: what a check says of a drive is what an engine
// that starts on it finds, after any power cut and with any damage; and it writes nothing.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct InspectionTests {
    private static let keyCount: UInt64 = 60

    /// A drive that was used, and at times checkpointed, until the power went.
    private func cut(seed: UInt64) throws -> [DriveImage] {
        var settings = BenchSettings()
        settings.seed = seed
        settings.engine.evictionEnabled = false
        let bench = try EngineBench(settings)
        var draws = RandomStream(seed: seed, name: "inspection")
        try bench.serve()
        for number in 0..<(100 + draws.below(100)) {
            let key = EngineBench.key(draws.below(Self.keyCount))
            if draws.chance(percent: 20) {
                _ = try bench.delete(key)
            } else {
                let count = Int(1 + draws.below(20_000))
                _ = try bench.put(key, number: number, count: count)
            }
            if draws.chance(percent: 3) { try bench.checkpoint() }
        }
        // Some more under way when the power goes.
        for number in 0..<8 as Range<UInt64> {
            let key = EngineBench.key(draws.below(Self.keyCount))
            try bench.send(
                RequestOrder(.tcpPut, key, payload: EngineBench.value(1000 + number, 5000)))
        }
        for _ in 0..<draws.below(30) { _ = bench.engine.step(now: bench.world.now) }
        return bench.device.crash(seed: seed, crash: 1)
    }

    private func check(
        _ images: [DriveImage], verifiesValues: Bool = true
    ) throws -> (report: DriveReport, device: SimulatedDevice) {
        let world = SimulatedWorld()
        let memory = SimulatedMemory(length: DriveCheck<SimulatedDevice>.memoryBytes)
        let device = SimulatedDevice(
            drives: images, BenchSettings(), world: world, arena: memory.arena)
        let inspected = InspectedDrive(device: device, arena: memory.arena) { device in
            guard let next = device.nextEventTime else { return }
            world.advance(to: next)
            device.advance()
        }
        let report = try #require(
            DriveCheck.run(inspected, verifiesValues: verifiesValues))
        return (report, device)
    }

    @Test(arguments: 1...12 as ClosedRange<UInt64>)
    func aPowerCutIsNoDamageAndTheNumbersAreRecoverys(seed: UInt64) throws {
        let images = try cut(seed: seed)
        let (report, device) = try check(images)
        #expect(report.findings == [], "seed \(seed)")
        #expect(report.loss == DriveLoss(), "seed \(seed)")
        for action in [DeviceAction.write, .flush, .discard] {
            #expect(device.submitted(action, to: BenchSettings.drive) == 0)
        }
        var settings = BenchSettings()
        settings.seed = seed
        settings.engine.evictionEnabled = false
        let bench = try EngineBench(settings, images: images)
        try bench.serve()
        let cells = bench.engine.cells.drives[0]
        #expect(report.blocks == cells.value(DriveGauge.blocks), "seed \(seed)")
        #expect(report.usedBytes == cells.value(DriveGauge.usedBytes), "seed \(seed)")
        #expect(report.replayedRecords == cells.value(DriveCounter.recoveredRecords))
        #expect(report.unlandedPuts == cells.value(DriveCounter.recoveredTornPayloads))
        #expect(report.verifiedValues == report.blocks)
    }

    @Test func aDamagedLeafCostsWhatIsInIt() throws {
        let first = try EngineBench()
        try first.serve()
        for number in 0..<200 as Range<UInt64> {
            #expect(try first.put(EngineBench.key(number), number: number, count: 4096) == .ok)
        }
        try first.drain()
        let drive = BenchSettings.drive
        let position = LeafPosition(node: 0, child: 0)
        let leaf = first.engine.drives[drive].tree.child(position).pointer
        let layout = first.engine.drives[drive].superblock.layout
        let world = SimulatedWorld()
        let memory = SimulatedMemory(length: DriveCheck<SimulatedDevice>.memoryBytes)
        let device = SimulatedDevice(
            drives: first.images, BenchSettings(), world: world, arena: memory.arena)
        var faults = device.faults(of: drive)
        faults.damage.append(
            BitDamage(offset: ByteOffset(layout.offset(of: leaf.page).rawValue + 100), mask: 4))
        device.setFaults(faults, of: drive)
        let inspected = InspectedDrive(device: device, arena: memory.arena) { device in
            guard let next = device.nextEventTime else { return }
            world.advance(to: next)
            device.advance()
        }
        let report = try #require(DriveCheck.run(inspected))
        let lost = UInt64(leaf.items)
        #expect(report.blocks == 200 - lost)
        #expect(report.loss == DriveLoss(blocks: lost, slotBytes: lost * 4096, isExact: true))
        #expect(
            report.findings.map(\.consequence)
                == [.blocksLost(lost), .spaceLost(ByteCount(lost * 4096))])
    }

    @Test func superblocksThatReadDifferentlyTheSecondTimeAreAFinding() throws {
        var settings = BenchSettings()
        var images = try EngineBench.formatted(settings)
        settings.journalBlocks = 64
        images[0][0] = try EngineBench.formatted(settings)[0][0]
        let world = SimulatedWorld()
        let memory = SimulatedMemory(length: DriveCheck<SimulatedDevice>.memoryBytes)
        let device = SimulatedDevice(drives: images, settings, world: world, arena: memory.arena)
        // Copy A can't be read the first time: the check goes by B, and recovery by A.
        var faults = DriveFaults()
        faults.failures = [PlannedFailure(action: .read, ordinal: 0, error: .inputOutput)]
        device.setFaults(faults, of: BenchSettings.drive)
        let inspected = InspectedDrive(device: device, arena: memory.arena) { device in
            guard let next = device.nextEventTime else { return }
            world.advance(to: next)
            device.advance()
        }
        let report = try #require(DriveCheck.run(inspected))
        #expect(report.findings.map(\.problem).contains("it reads differently the second time"))
        #expect(!report.isClean)
    }
}
