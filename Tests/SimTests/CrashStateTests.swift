// A power cut: every unflushed sector resolves by itself; flushed ones stay; in-flight ones mostly
// suffer.

import Engine
import Sim
import Testing

@Suite struct CrashStateTests {
    /// Sector 1 durable and overwritten twice, sector 2 written, sector 3 in flight.
    private func crashed() -> (CrashState, [UnflushedSector]) {
        let bench = Bench()
        bench.write(1, 0x10)
        bench.submit(.flush)
        bench.settle()
        bench.write(1, 0x11)
        bench.write(1, 0x12)
        bench.write(2, 0x20)
        bench.fill(3, with: 0x30)
        bench.submit(.write, sector: 3, place: 3)
        let state = bench.device.crashState()
        return (state, state.unflushedSectors())
    }

    @Test func everyUnflushedSectorIsListedWithItsVersions() {
        let (_, sectors) = crashed()
        #expect(sectors.map(\.sector) == [1, 2, 3])
        #expect(sectors[0].versions.map { $0.bytes[0] } == [0x10, 0x11, 0x12])
        #expect(sectors.map(\.isInFlight) == [false, false, true])
    }

    @Test func eachSectorBecomesWhatItsOutcomeSays() {
        let (state, sectors) = crashed()
        let images = state.resolved(
            sectors, as: [.version(1), .torn(newestFirst: true), .garbage], garbageSeed: 7)
        #expect(images[0][1].bytes == Array(repeating: 0x11, count: 4096))
        let torn = images[0][2].bytes
        #expect(torn[..<2048].allSatisfy { $0 == 0x20 })
        #expect(Array(torn[2048...]) == Array(sectors[1].versions[0].bytes[2048...]))
        #expect(images[0][3].bytes != sectors[2].versions[1].bytes)
        #expect(images[0][3].bytes != sectors[2].versions[0].bytes)
        #expect(state.durableImages[0][1].bytes[0] == 0x10)
    }

    @Test func theDefaultPolicyMostlyDamagesWhatWasInFlight() {
        let (_, sectors) = crashed()
        var damaged = 0
        var completedKept = 0
        for crash in UInt64(0)..<400 {
            var policy = CrashDamage(seed: 2, crash: crash)
            let outcomes = policy.outcomes(for: sectors)
            if case .version = outcomes[2] {} else { damaged += 1 }
            if case .version = outcomes[0] { completedKept += 1 }
        }
        print(
            "seed 2: \(damaged) of 400 in-flight sectors damaged, \(completedKept) completed kept")
        #expect(damaged >= 320)
        #expect(damaged < 400)
        #expect((140...260).contains(completedKept))
    }

    @Test func anImageIsAValueAndItsHashKnowsItsContent() {
        var image = DriveImage(sectorBytes: 512, sectorCount: 16, noiseSeed: 1)
        let before = image
        image[3] = SectorBytes(Array(repeating: 3, count: 512))
        #expect(before.writtenSectors == 0)
        #expect(image.contentHash != before.contentHash)
        var other = before
        other[3] = SectorBytes(Array(repeating: 9, count: 512))
        other[3] = SectorBytes(Array(repeating: 3, count: 512))
        #expect(other.contentHash == image.contentHash)
    }

    @Test func aNewDeviceStartsFromACrashedImage() {
        let bench = Bench()
        bench.write(1, 0x10)
        bench.submit(.flush)
        bench.settle()
        bench.write(2, 0x20)
        let restarted = Bench(image: bench.device.crash(seed: 1, crash: 1)[0])
        #expect(restarted.readByte(1) == 0x10)
    }
}
