// The engine under load and in trouble: full stores, deadlines, drives that go, checkpoints
// meanwhile. Every request must end, and what is answered must be true.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct LoadTests {
    private let drive = BenchSettings.drive

    /// Sends `count` requests, as many at once as there is room for, and waits for all answers.
    private func load(
        _ bench: EngineBench, count: Int, _ order: (Int) -> RequestOrder,
        midway: () -> Void = {}
    ) throws -> [Reply] {
        var sent = 0
        while sent < count {
            if bench.transport.send(order(sent)) != nil {
                sent += 1
                if sent == count / 2 { midway() }
                continue
            }
            let before = bench.transport.unansweredCount
            try bench.run("an answer") { bench.transport.unansweredCount < before }
        }
        try bench.run("all answers") { bench.transport.unansweredCount == 0 }
        return bench.takeReplies()
    }

    private func put(_ number: Int, _ count: Int) -> RequestOrder {
        RequestOrder(
            .tcpPut, EngineBench.key(UInt64(number)),
            payload: EngineBench.value(UInt64(number), count))
    }

    @Test(arguments: [true, false]) func aFullStoreEvictsOrSaysSo(isEvicting: Bool) throws {
        var settings = BenchSettings()
        settings.engine.evictionEnabled = isEvicting
        settings.supportsDiscard = isEvicting
        let bench = try EngineBench(settings)
        try bench.serve()
        let usable = bench.engine.drives[drive].superblock.layout.usableBytes
        let count = Int(usable / 4096) * 3 / 2
        let replies = try load(bench, count: count) { put($0, 4096) }
        let statuses = Set(replies.map(\.status))
        try bench.run("idle") { bench.engine.isIdle }
        let used = bench.engine.cells.drives[0].value(DriveGauge.usedBytes)
        if isEvicting {
            #expect(statuses == [.ok])
            #expect(used * 100 <= usable * 95)
            #expect(bench.engine.cells.value(ShardCounter.evictions) > 0)
        } else {
            #expect(statuses == [.ok, .noSpace])
            #expect(used == usable)
            // A full store can be emptied.
            for number in 0..<20 { _ = try bench.delete(EngineBench.key(UInt64(number))) }
            #expect(try bench.put(EngineBench.key(9999), number: 1, count: 4096) == .ok)
        }
        #expect(bench.slabs.freeSlabs == settings.slabCount)
    }

    @Test func anotherSizeClassGetsSegmentsByDraining() throws {
        let bench = try EngineBench()
        try bench.serve()
        let usable = bench.engine.drives[drive].superblock.layout.usableBytes
        let small = try load(bench, count: Int(usable / 4096)) { put($0, 4096) }
        #expect(Set(small.map(\.status)) == [.ok])
        let large = try load(bench, count: 40) { put(100_000 + $0, 60_000) }
        #expect(Set(large.map(\.status)) == [.ok])
        #expect(try bench.get(EngineBench.key(100_039)) == EngineBench.value(100_039, 60_000))
    }

    @Test func aDeadlineEndsARequestOnAStalledDrive() throws {
        let bench = try EngineBench()
        try bench.serve()
        #expect(try bench.put(EngineBench.key(1), number: 1, count: 5000) == .ok)
        var latency = DriveLatency()
        for action in DeviceAction.allCases {
            latency.set(action, fixedMicroseconds: 5_000_000, randomMicroseconds: 0)
        }
        bench.device.setLatency(latency, of: drive)
        func late(_ order: RequestOrder) -> RequestOrder {
            var order = order
            order.deadline = bench.world.now.advanced(byMicroseconds: 100_000)
            return order
        }
        let asked = bench.world.now
        let get = try bench.send(late(RequestOrder(.tcpGet, EngineBench.key(1))))
        let change = try bench.send(late(put(2, 100)))
        let waiting = try bench.send(late(put(2, 200)))
        try bench.run("answers") { bench.transport.unansweredCount == 0 }
        #expect(bench.world.now.microseconds(since: asked) <= 100_001)
        #expect(bench.replies[get]?.status == .deadlineExceeded)
        #expect(bench.replies[change]?.status == .outcomeUnknown)
        #expect(bench.replies[waiting]?.status == .deadlineExceeded)
        #expect(bench.slabs.freeSlabs < bench.settings.slabCount)
        bench.device.setLatency(DriveLatency(), of: drive)
        try bench.quiesce()
        #expect(bench.slabs.freeSlabs == bench.settings.slabCount)
        try bench.run("the drive is trusted again") { !bench.condition(0).isDegraded }
        #expect(try bench.get(EngineBench.key(2)) == EngineBench.value(2, 100))
    }

    @Test(arguments: [40, 120, 250, 400] as [UInt64])
    func aDriveThatGoesEndsItsOwnRequestsOnly(after operations: UInt64) throws {
        var settings = BenchSettings()
        settings.driveCount = 2
        settings.engine.operationLimit = 200
        let bench = try EngineBench(settings)
        try bench.serve()
        var faults = DriveFaults()
        faults.goneFromOperation = operations
        bench.device.setFaults(faults, of: DriveIndex(1))
        let replies = try load(bench, count: 900) { number in
            switch number % 10 {
            case 0..<6: put(number % 300, number % 7 == 0 ? 40_000 : 3000)
            case 6: RequestOrder(.tcpDelete, EngineBench.key(UInt64(number % 300)))
            default: RequestOrder(.tcpGet, EngineBench.key(UInt64(number % 300)))
            }
        } midway: {
            bench.engine.requestCheckpoint()
        }
        for reply in replies {
            let words = reply.order.bodyWords
            let key = BlockKey(
                namespace: Namespace(0),
                littleEndianWords: [words[0], words[1], words[2], words[3]])
            if bench.engine.placement.home(of: key).drive == DriveIndex(0) {
                #expect([.ok, .notFound].contains(reply.status))
            }
        }
        try bench.run("idle") { bench.engine.isIdle }
        #expect(bench.engine.driveState(DriveIndex(0)) == .online)
        #expect(bench.engine.driveState(DriveIndex(1)) == .offline)
        #expect(bench.slabs.freeSlabs == settings.slabCount)
        try bench.drain()
    }

    @Test func checkpointsUnderLoadChangeNoAnswer() throws {
        var settings = BenchSettings()
        settings.engine.dirtyEntryLimit = 48
        settings.engine.leafCacheBytes = 16 * FormatConstants.pageBytes
        settings.driveBytes = 16 << 20
        settings.supportsDiscard = true
        let bench = try EngineBench(settings)
        try bench.serve()
        for round in 0..<4 {
            let replies = try load(bench, count: 400) { number in
                put(number, 500 + round)
            } midway: {
                bench.engine.requestCheckpoint()
            }
            #expect(Set(replies.map(\.status)) == [.ok])
        }
        #expect(bench.engine.cells.value(ShardCounter.checkpoints) >= 4)
        for number in 0..<400 as Range<UInt64> {
            #expect(try bench.get(EngineBench.key(number)) == EngineBench.value(number, 503))
        }
        try bench.drain()
        #expect(bench.engine.drives[drive].tree.blockCount == 400)
        #expect(bench.engine.drives[drive].leaves.frameCount == 16)
    }
}
