// Drives that fail, slow down or refuse single places: what state they are in, how soon, and what
// becomes of their blocks.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct DriveStateTests {
    private func put(_ number: UInt64) -> RequestOrder {
        RequestOrder(
            .tcpPut, EngineBench.key(number), payload: EngineBench.value(number, 4096))
    }

    private func get(_ number: UInt64) -> RequestOrder {
        RequestOrder(.tcpGet, EngineBench.key(number))
    }

    /// Four drives with a block each, on `number(on:)`.
    private func filled(_ settings: BenchSettings = .four) throws -> EngineBench {
        let bench = try EngineBench(settings)
        try bench.serve()
        for drive in 0..<settings.driveCount {
            for number in bench.numbers(on: drive, count: 8) {
                #expect(try bench.put(EngineBench.key(number), number: number, count: 4096) == .ok)
            }
        }
        return bench
    }

    /// Keeps the drives busy for `seconds`: a get and a put of each every few milliseconds.
    private func load(_ bench: EngineBench, seconds: UInt64, each: () -> Void = {}) throws {
        let numbers = (0..<bench.settings.driveCount).map { bench.numbers(on: $0, count: 8) }
        for turn in 0..<seconds * 50 {
            for drive in numbers.indices {
                let number = numbers[drive][Int(turn % 8)]
                _ = bench.transport.send(turn % 4 == 0 ? put(number) : get(number))
            }
            try bench.pass(milliseconds: 20)
            _ = bench.takeReplies()
            each()
        }
    }

    // MARK: Slow drives

    @Test(arguments: [2, 10, 1000] as [UInt64])
    func aSlowDriveIsFlaggedWithinHalfAMinuteAndClearedWhenItIsWell(factor: UInt64) throws {
        let bench = try filled()
        try load(bench, seconds: 8)
        #expect((0..<4).allSatisfy { bench.condition($0) == DriveCondition(state: .online) })
        bench.slow(2, by: factor)
        try load(bench, seconds: 30)
        #expect(bench.condition(2).causes == ["slow"])
        #expect([0, 1, 3].allSatisfy { bench.condition($0) == DriveCondition(state: .online) })
        bench.restore(2)
        try load(bench, seconds: 15)
        #expect(bench.condition(2) == DriveCondition(state: .online))
    }

    @Test func aRampIsFlagged() throws {
        let bench = try filled()
        try load(bench, seconds: 8)
        for factor in UInt64(1)...30 {
            bench.slow(1, by: factor)
            try load(bench, seconds: 1)
        }
        #expect(bench.condition(1).causes == ["slow"])
    }

    @Test func aDriveThatIsSlowAgainAndAgainIsFlagged() throws {
        let bench = try filled()
        try load(bench, seconds: 8)
        var wasFlagged = false
        for _ in 0..<6 {
            bench.slow(3, by: 100)
            try load(bench, seconds: 1) { wasFlagged = wasFlagged || bench.condition(3).isDegraded }
            bench.restore(3)
            try load(bench, seconds: 4) { wasFlagged = wasFlagged || bench.condition(3).isDegraded }
        }
        #expect(wasFlagged)
    }

    @Test func aDriveAloneIsComparedWithItself() throws {
        let bench = try filled(BenchSettings())
        try load(bench, seconds: 8)
        bench.slow(0, by: 300)
        try load(bench, seconds: 30)
        #expect(bench.condition(0).causes == ["slow"])
    }

    @Test func moreLoadOrLessMakesNoDriveSlow() throws {
        let bench = try filled()
        let numbers = (0..<4).flatMap { bench.numbers(on: $0, count: 8) }
        for second in 0..<40 {
            let perStep = [1, 2, 8, 24][second % 4]
            for step in 0..<50 {
                for offset in 0..<perStep {
                    let number = numbers[(step * 7 + offset) % numbers.count]
                    _ = bench.transport.send(offset % 3 == 0 ? put(number) : get(number))
                }
                try bench.pass(milliseconds: 20)
                _ = bench.takeReplies()
            }
            #expect((0..<4).allSatisfy { !bench.condition($0).isDegraded })
        }
    }

    // MARK: Errors

    @Test(arguments: [DeviceAction.write, .flush])
    func aFailedChangeFencesAtOnceAndSaysWhy(action: DeviceAction) throws {
        let bench = try filled()
        let drive = DriveIndex(0)
        var faults = DriveFaults()
        faults.failures = [
            PlannedFailure(
                action: action, ordinal: bench.device.submitted(action, to: drive),
                error: .inputOutput)
        ]
        bench.device.setFaults(faults, of: drive)
        let reply = try bench.answer(to: put(bench.number(on: 0, from: 700)))
        #expect(reply.status == .outcomeUnknown)
        #expect(
            bench.condition(0)
                == DriveCondition(state: .offline, fence: .failed(action, .inputOutput, code: 0)))
        #expect(bench.condition(0).causes == ["\(action)_failed"])
        #expect(bench.device.submitted(.flush, to: drive) >= 1)
        // Nothing more is sent to it, and the others serve.
        let before = bench.device.submitted(action, to: drive)
        #expect(
            try bench.answer(to: put(bench.number(on: 0, from: 800))).status == .ok)
        #expect(bench.device.submitted(action, to: drive) == before)
        #expect(try bench.answer(to: put(bench.number(on: 1, from: 800))).status == .ok)
        #expect(bench.engine.cells.drives[0].condition == bench.condition(0))
    }

    @Test func aDriveWhoseReadsAllFailIsFencedWithinASecond() throws {
        let bench = try filled()
        try bench.checkpoint()
        let drive = DriveIndex(0)
        var faults = DriveFaults()
        let first = bench.device.submitted(.read, to: drive)
        faults.failures = (first..<first + 100).map {
            PlannedFailure(action: .read, ordinal: $0, error: .inputOutput)
        }
        bench.device.setFaults(faults, of: drive)
        let start = bench.world.now
        let reply = try bench.answer(to: get(bench.number(on: 0)))
        #expect(reply.status == .notFound)
        #expect(bench.condition(0).state == .offline)
        #expect(bench.condition(0).causes == ["read_failed"])
        #expect(bench.world.now.microseconds(since: start) < 1_000_000)
    }

    @Test func aReadThatFailsOnceIsTriedAgainAndCostsNothing() throws {
        let bench = try filled()
        let drive = DriveIndex(0)
        let number = bench.number(on: 0)
        var faults = DriveFaults()
        faults.failures = [
            PlannedFailure(
                action: .read, ordinal: bench.device.submitted(.read, to: drive),
                error: .inputOutput)
        ]
        bench.device.setFaults(faults, of: drive)
        #expect(try bench.get(EngineBench.key(number)) == EngineBench.value(number, 4096))
        #expect(bench.condition(0) == DriveCondition(state: .online))
        #expect(bench.counter(.mediaErrors, of: 0) == 0)
    }

    @Test func aDriveThatIsGoneIsNoticedThoughNobodyAsks() throws {
        var settings = BenchSettings.four
        settings.engine.watch.heartbeatMicroseconds = 500_000
        let bench = try filled(settings)
        try bench.pass(milliseconds: 3000)
        #expect(bench.condition(0) == DriveCondition(state: .online))
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        bench.device.setFaults(faults, of: DriveIndex(0))
        try bench.pass(milliseconds: 1000)
        #expect(bench.condition(0).causes == ["gone"])
    }

    // MARK: Single places

    /// The bytes of the block's slots on `drive`.
    private func place(of number: UInt64, in bench: EngineBench, on drive: Int) throws -> Range<
        UInt64
    > {
        let index = DriveIndex(UInt16(drive))
        let dirty = bench.engine.drives[index].dirty(EngineBench.key(number))
        let entry = try #require(dirty).entry
        let start = bench.engine.drives[index].superblock.layout.offset(of: entry.slots[0])
        return start.rawValue..<start.rawValue + 4096
    }

    @Test func aPlaceThatCannotBeReadIsAMissAndIsNeverUsedAgain() throws {
        let bench = try filled()
        let drive = DriveIndex(0)
        let number = bench.number(on: 0)
        let place = try place(of: number, in: bench, on: 0)
        var faults = DriveFaults()
        faults.unreadable = [place]
        bench.device.setFaults(faults, of: drive)
        #expect(try bench.get(EngineBench.key(number)) == nil)
        try bench.quiesce()
        #expect(bench.counter(.mediaErrors, of: 0) == 1)
        #expect(bench.engine.cells.drives[0].value(.quarantinedBytes) == 4096)
        #expect(bench.condition(0) == DriveCondition(state: .online))
        try useEverySlot(of: bench, except: place)
        // The same after a restart, with the journal alone and after a checkpoint.
        let early = try EngineBench(bench.settings, images: bench.images)
        try early.serve()
        #expect(early.engine.cells.drives[0].value(.quarantinedBytes) == 4096)
        try useEverySlot(of: early, except: place)
        try early.drain()
        let late = try EngineBench(bench.settings, images: early.images)
        try late.serve()
        #expect(late.engine.cells.drives[0].value(.quarantinedBytes) == 4096)
        try useEverySlot(of: late, except: place)
    }

    /// Puts new values on drive 0 until every slot has been handed out twice, and looks where.
    private func useEverySlot(of bench: EngineBench, except bad: Range<UInt64>) throws {
        var written = false
        bench.device.observer = { moment, _, operation in
            let start = operation.offset.rawValue
            if moment == .beforeSubmission, operation.action == .write,
                operation.drive == DriveIndex(0),
                (start..<start + operation.length.rawValue).overlaps(bad)
            {
                written = true
            }
        }
        defer { bench.device.observer = nil }
        let layout = bench.engine.drives[DriveIndex(0)].superblock.layout
        let numbers = bench.numbers(
            on: 0, count: 2 * Int(layout.usableBytes / 4096), from: 10_000)
        for number in numbers {
            let status = try bench.put(EngineBench.key(number), number: number, count: 4096)
            #expect(status == .ok)
            if status != .ok { return }
        }
        #expect(!written)
    }

    @Test func manyBadPlacesMakeADriveDegradedAndItIsForgottenInTime() throws {
        let bench = try filled()
        let numbers = bench.numbers(on: 0, count: 8)
        var faults = DriveFaults()
        faults.unreadable = try numbers.map { try place(of: $0, in: bench, on: 0) }
        bench.device.setFaults(faults, of: DriveIndex(0))
        for number in numbers { #expect(try bench.get(EngineBench.key(number)) == nil) }
        try bench.pass(milliseconds: 500)
        #expect(bench.condition(0).causes == ["media_errors"])
        #expect(try bench.answer(to: put(bench.number(on: 0, from: 900))).status == .ok)
        try bench.pass(milliseconds: 10 * 60_000)
        #expect(bench.condition(0) == DriveCondition(state: .online))
    }

    @Test func causesSurviveTheirWayThroughTheCells() {
        for action in DeviceAction.allCases {
            for error in DeviceError.allCases {
                let cause = FenceCause.failed(action, error, code: -5)
                #expect(FenceCause(encoded: cause.encoded) == cause)
            }
        }
        for cause in [FenceCause.unresponsive, .unreadable] {
            #expect(FenceCause(encoded: cause.encoded) == cause)
        }
        #expect(FenceCause(encoded: 0) == nil)
    }
}
