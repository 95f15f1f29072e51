// The simulated drive: what a flush covers, what reads see, what a crash may leave, what it
// refuses.

import Engine
import Sim
import Testing

/// A device with one drive of 64 sectors and a little memory, driven by hand.
final class Bench {
    let memory = SimulatedMemory(length: ByteCount(256 << 10))
    let world = SimulatedWorld()
    let device: SimulatedDevice
    let sectorBytes: Int
    private var nextTag: UInt64 = 1

    init(seed: UInt64 = 1, sectorBytes: Int = 4096, image: DriveImage? = nil) {
        self.sectorBytes = sectorBytes
        let image = image ?? DriveImage(sectorBytes: sectorBytes, sectorCount: 64, noiseSeed: seed)
        device = SimulatedDevice(
            drives: [SimulatedDriveSetup(image: image)], world: world, arena: memory.arena,
            operationLimit: 16, seed: seed)
    }

    func fill(_ place: UInt64, with byte: UInt8) {
        memory.arena.copyIn(
            Array(repeating: byte, count: sectorBytes),
            at: ArenaOffset(place * UInt64(sectorBytes)))
    }

    /// Submits; memory of an operation is at `place` sectors into the arena.
    @discardableResult
    func submit(
        _ action: DeviceAction, sector: UInt64 = 0, count: UInt64 = 1, place: UInt64 = 0
    ) -> OperationTag {
        let tag = OperationTag(nextTag)
        nextTag += 1
        let unit = UInt64(sectorBytes)
        let isFlush = action == .flush
        device.submit(
            DeviceOperation(
                action: action, drive: DriveIndex(0),
                offset: ByteOffset(isFlush ? 0 : sector * unit),
                length: isFlush ? .zero : ByteCount(count * unit),
                memory: ArenaOffset(place * unit), tag: tag))
        return tag
    }

    /// Lets everything in flight end; returns the completions in their order.
    @discardableResult
    func settle() -> [DeviceCompletion] {
        var done: [DeviceCompletion] = []
        while let next = device.nextEventTime {
            world.advance(to: next)
            device.advance()
            while let completion = device.nextCompletion() { done.append(completion) }
        }
        return done
    }

    func write(_ sector: UInt64, _ byte: UInt8) {
        fill(0, with: byte)
        submit(.write, sector: sector)
        settle()
    }

    func readByte(_ sector: UInt64) -> UInt8? {
        submit(.read, sector: sector, place: 8)
        guard settle().first?.error == nil else { return nil }
        return memory.arena.loadByte(ArenaOffset(8 * UInt64(sectorBytes)))
    }
}

@Suite struct SimulatedDeviceTests {
    @Test(arguments: [512, 4096]) func aFlushCoversWhatCompletedBeforeItsSubmission(size: Int) {
        let bench = Bench(sectorBytes: size)
        bench.write(1, 0x11)
        bench.fill(1, with: 0x22)
        bench.submit(.write, sector: 2, place: 1)
        bench.submit(.flush)
        #expect(bench.settle().count == 2)
        let state = bench.device.crashState()
        #expect(state.durableImages[0][1].bytes[0] == 0x11)
        // In flight when the flush was submitted, so not covered, though it may have completed
        // before it.
        #expect(state.unflushedSectors().map(\.sector) == [2])
    }

    @Test func aWriteThatCompletesDuringAFlushIsNotCovered() {
        let bench = Bench()
        var latency = DriveLatency()
        latency.set(.flush, fixedMicroseconds: 10_000, randomMicroseconds: 0)
        bench.device.setLatency(latency, of: DriveIndex(0))
        bench.submit(.flush)
        bench.fill(0, with: 0x33)
        let write = bench.submit(.write, sector: 3)
        #expect(bench.settle().map(\.tag).first == write)
        #expect(bench.device.crashState().unflushedSectors().map(\.sector) == [3])
    }

    @Test func completionsComeOutOfOrderAndEachOnce() {
        let bench = Bench(seed: 3)
        var tags: [OperationTag] = []
        for sector in UInt64(0)..<12 {
            tags.append(bench.submit(.read, sector: sector, place: sector))
        }
        let done = bench.settle().map(\.tag)
        #expect(done != tags)
        #expect(Set(done) == Set(tags))
        #expect(done.count == tags.count)
    }

    @Test func readsSeeWhatCompletedThoughNoFlushCoversIt() {
        let bench = Bench()
        bench.write(5, 0x55)
        #expect(bench.readByte(5) == 0x55)
    }

    @Test func aReadUnderAWriteInFlightSeesEitherBySeed() {
        var seen: [UInt8: Int] = [:]
        for seed in UInt64(1)...40 {
            let bench = Bench(seed: seed)
            bench.write(5, 0x01)
            var latency = DriveLatency()
            latency.set(.write, fixedMicroseconds: 10_000, randomMicroseconds: 0)
            bench.device.setLatency(latency, of: DriveIndex(0))
            bench.fill(1, with: 0x02)
            bench.submit(.write, sector: 5, place: 1)
            bench.submit(.read, sector: 5, place: 8)
            bench.settle()
            seen[bench.memory.arena.loadByte(ArenaOffset(8 * 4096)), default: 0] += 1
        }
        #expect(seen[1, default: 0] > 5)
        #expect(seen[2, default: 0] > 5)
        #expect(seen.count == 2)
    }

    @Test func neverWrittenAndDiscardedSectorsAreNoiseNotZeros() {
        let bench = Bench()
        let fresh = bench.device.durableImage(of: DriveIndex(0))[9].bytes
        #expect(fresh.contains { $0 != 0 })
        #expect(fresh == bench.device.durableImage(of: DriveIndex(0))[9].bytes)
        #expect(fresh != bench.device.durableImage(of: DriveIndex(0))[10].bytes)
        bench.write(9, 0x99)
        bench.submit(.flush)
        bench.settle()
        bench.submit(.discard, sector: 9)
        bench.settle()
        #expect(bench.device.durableImage(of: DriveIndex(0))[9].bytes[0] == 0x99)
        bench.submit(.flush)
        bench.settle()
        let discarded = bench.device.durableImage(of: DriveIndex(0))[9].bytes
        #expect(discarded != Array(repeating: 0x99, count: 4096))
        #expect(discarded.contains { $0 != 0 })
    }

    @Test func aFailedFlushIsNotMendedByTheNext() {
        let bench = Bench()
        bench.write(4, 0x44)
        var faults = DriveFaults()
        faults.failures = [PlannedFailure(action: .flush, ordinal: 0, error: .inputOutput)]
        bench.device.setFaults(faults, of: DriveIndex(0))
        bench.submit(.flush)
        #expect(bench.settle().first?.error == .inputOutput)
        bench.submit(.flush)
        #expect(bench.settle().first?.error == nil)
        #expect(bench.readByte(4) == 0x44)
        #expect(bench.device.crashState().unflushedSectors().map(\.sector) == [4])
        // A newer write of the sector that does become durable hides the lost one for good.
        bench.write(4, 0x45)
        bench.submit(.flush)
        bench.settle()
        #expect(bench.device.crashState().unflushedSectors().isEmpty)
    }

    @Test func damageAndMediumErrorsStayUntilTheSectorIsWritten() {
        let bench = Bench()
        bench.write(1, 0x10)
        bench.write(2, 0x20)
        var faults = DriveFaults()
        faults.damage = [BitDamage(offset: ByteOffset(4096), mask: 0x01)]
        faults.unreadable = [2 * 4096..<3 * 4096]
        bench.device.setFaults(faults, of: DriveIndex(0))
        for _ in 0..<2 {
            #expect(bench.readByte(1) == 0x11)
            #expect(bench.readByte(2) == nil)
        }
        bench.write(1, 0x10)
        bench.write(2, 0x20)
        #expect(bench.readByte(1) == 0x10)
        #expect(bench.readByte(2) == 0x20)
    }

    @Test func aDriveThatGoesAwayAnswersNothingMore() {
        let bench = Bench()
        bench.write(1, 0x10)
        bench.submit(.read, sector: 1, place: 8)
        var faults = DriveFaults()
        faults.goneFromOperation = 2
        bench.device.setFaults(faults, of: DriveIndex(0))
        bench.submit(.read, sector: 1, place: 9)
        #expect(bench.settle().map(\.error) == [.gone, .gone])
        #expect(bench.readByte(1) == nil)
    }

    @Test func aFullFileSystemTakesThePartThatFits() {
        let bench = Bench()
        bench.write(1, 0x10)
        var faults = DriveFaults()
        faults.newSectorLimit = 1
        bench.device.setFaults(faults, of: DriveIndex(0))
        for place in UInt64(0)..<4 { bench.fill(place, with: 0x77) }
        bench.submit(.write, sector: 0, count: 4)
        #expect(bench.settle().first?.error == .noSpace)
        #expect(bench.readByte(1) == 0x77)
        #expect(bench.readByte(2) != 0x77)
        bench.write(0, 0x78)
        #expect(bench.readByte(0) == 0x78)
    }

    @Test func overlappingWritesInFlightTrap() async {
        await #expect(processExitsWith: .failure) {
            let bench = Bench()
            bench.submit(.write, sector: 3, count: 2)
            bench.submit(.write, sector: 4, place: 2)
        }
    }

    @Test func memoryChangedUnderAWriteTraps() async {
        await #expect(processExitsWith: .failure) {
            let bench = Bench()
            bench.submit(.write, sector: 3)
            bench.fill(0, with: 0x01)
            bench.settle()
        }
    }

    @Test func misalignedAndOutsideOperationsTrap() async {
        await #expect(processExitsWith: .failure) {
            let bench = Bench()
            bench.submit(.read, sector: 64)
        }
        await #expect(processExitsWith: .failure) {
            let bench = Bench()
            bench.device.submit(
                DeviceOperation(
                    action: .read, drive: DriveIndex(0), offset: ByteOffset(100),
                    length: ByteCount(UInt64(4096)), tag: OperationTag(1)))
        }
    }

    @Test func oneSeedGivesOneHistory() {
        func run(_ seed: UInt64) -> String {
            let bench = Bench(seed: seed)
            for sector in UInt64(0)..<8 { bench.write(sector, UInt8(sector)) }
            bench.submit(.flush)
            bench.settle()
            return bench.world.fingerprint.hexadecimal
        }
        print("device fingerprint, seed 5: \(run(5))")
        #expect(run(5) == run(5))
        #expect(run(5) != run(6))
    }
}
