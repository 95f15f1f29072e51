// The mistakes about drives that can be planted: each is found by its own scenario and by no other,
// and no scenario finds anything in an engine without them.

#if PLANTED_BUGS
@testable import Engine
import Sim
import Testing
import Wire

/// What must hold of a drive that misbehaves.
private struct DriveScenario: Sendable {
    let bug: PlantedBug
    /// What doesn't hold in an engine with the given bug; nil when everything does.
    let violation: @Sendable (PlantedBug?) throws -> String?

    static let all = [
        DriveScenario(bug: .noShareOfADrive, violation: othersFindSlabs),
        DriveScenario(bug: .stalledWritesWait, violation: writesAreShed),
        DriveScenario(bug: .hungDriveNeverFenced, violation: aHungDriveIsFenced),
        DriveScenario(bug: .failedFlushTrusted, violation: aFailedFlushIsNotTrusted),
        DriveScenario(bug: .slowDriveNeverFlagged, violation: aSlowDriveIsFlagged),
        DriveScenario(bug: .mediaErrorServed, violation: aMediaErrorIsAMiss),
        DriveScenario(bug: .quarantinedSlotReused, violation: aBadSlotIsNotReused),
        DriveScenario(bug: .scrubSkipsChecksums, violation: rotIsFound),
    ]

    private static func bench(_ bug: PlantedBug?, drives: Int = 4) throws -> EngineBench {
        var settings = BenchSettings()
        settings.driveCount = drives
        settings.engine.plantedBug = bug
        settings.engine.scrubBytesPerSecond = drives == 1 ? 8 << 20 : 0
        let bench = try EngineBench(settings)
        try bench.serve()
        return bench
    }

    private static func put(_ number: UInt64) -> RequestOrder {
        RequestOrder(
            .tcpPut, EngineBench.key(number), payload: EngineBench.value(number, 4096))
    }

    private static func othersFindSlabs(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        bench.stall([.write, .flush], on: 0, seconds: 10)
        for number in bench.numbers(on: 0, count: 30) { try bench.send(put(number)) }
        try bench.pass(milliseconds: 600)
        let others = bench.numbers(on: 1, count: 12)
        let sent = others.compactMap { bench.transport.send(put($0)) }
        try bench.pass(milliseconds: 100)
        let answered = sent.count { bench.reply(to: $0)?.status == .ok }
        return answered == others.count ? nil : "\(answered) of \(others.count) puts were answered"
    }

    private static func writesAreShed(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        bench.stall([.flush], on: 0, seconds: 10)
        let numbers = bench.numbers(on: 0, count: 2)
        try bench.send(put(numbers[0]))
        try bench.pass(milliseconds: 2200)
        let late = try bench.send(put(numbers[1]))
        try bench.pass(milliseconds: 200)
        return bench.reply(to: late)?.status == .ok ? nil : "a put waits for a stalled drive"
    }

    private static func aHungDriveIsFenced(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        bench.stall(DeviceAction.allCases, on: 0, seconds: 200)
        try bench.send(put(bench.number(on: 0)))
        try bench.pass(milliseconds: 70_000)
        return bench.condition(0).state == .offline ? nil : "a hung drive is online"
    }

    private static func aFailedFlushIsNotTrusted(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        let drive = DriveIndex(0)
        let number = bench.number(on: 0)
        var faults = DriveFaults()
        faults.failures = [
            PlannedFailure(
                action: .flush, ordinal: bench.device.submitted(.flush, to: drive),
                error: .inputOutput)
        ]
        bench.device.setFaults(faults, of: drive)
        let status = try bench.answer(to: put(number)).status
        guard status == .ok else { return nil }
        // It was acknowledged: then the power fails.
        let next = try EngineBench(bench.settings, images: bench.images)
        try next.serve()
        let value = try next.get(EngineBench.key(number))
        return value == EngineBench.value(number, 4096) ? nil : "an acknowledged put is lost"
    }

    private static func aSlowDriveIsFlagged(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        let numbers = (0..<4).map { bench.number(on: $0) }
        var flagged = false
        for second in 0..<38 {
            if second == 8 { bench.slow(2, by: 100) }
            for _ in 0..<20 {
                for drive in 0..<4 { _ = bench.transport.send(put(numbers[drive])) }
                try bench.pass(milliseconds: 50)
                _ = bench.takeReplies()
            }
            flagged = flagged || bench.condition(2).isDegraded
        }
        return flagged ? nil : "a drive a hundred times as slow isn't flagged in 30 s"
    }

    private static func bad(
        _ number: UInt64, in bench: EngineBench
    ) throws -> Range<UInt64> {
        let drive = DriveIndex(0)
        let entry = try EngineBench.require(
            bench.engine.drives[drive].dirty(EngineBench.key(number))
        ).entry
        let start = bench.engine.drives[drive].superblock.layout.offset(of: entry.slots[0])
        var faults = DriveFaults()
        faults.unreadable = [start.rawValue..<start.rawValue + 4096]
        bench.device.setFaults(faults, of: drive)
        return faults.unreadable[0]
    }

    private static func aMediaErrorIsAMiss(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        let number = bench.number(on: 0)
        try bench.answerIsOK(to: put(number))
        _ = try bad(number, in: bench)
        let reply = try bench.answer(to: RequestOrder(.tcpGet, EngineBench.key(number)))
        return reply.status == .notFound ? nil : "a get of unreadable sectors says \(reply.status)"
    }

    private static func aBadSlotIsNotReused(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug)
        let number = bench.number(on: 0)
        try bench.answerIsOK(to: put(number))
        let place = try bad(number, in: bench)
        _ = try bench.answer(to: RequestOrder(.tcpGet, EngineBench.key(number)))
        var isReused = false
        bench.device.observer = { moment, _, operation in
            guard moment == .beforeSubmission, operation.action == .write,
                operation.drive == DriveIndex(0)
            else { return }
            let start = operation.offset.rawValue
            isReused =
                isReused || (start..<start + operation.length.rawValue).overlaps(place)
        }
        let slots = bench.engine.drives[DriveIndex(0)].superblock.layout.usableBytes / 4096
        for number in bench.numbers(on: 0, count: 2 * Int(slots), from: 5000) {
            _ = try bench.answer(to: put(number))
        }
        return isReused ? "a slot that can't be read was handed out again" : nil
    }

    private static func rotIsFound(_ bug: PlantedBug?) throws -> String? {
        let bench = try bench(bug, drives: 1)
        try bench.answerIsOK(to: put(1))
        let drive = DriveIndex(0)
        let entry = try EngineBench.require(
            bench.engine.drives[drive].dirty(EngineBench.key(1))
        ).entry
        try bench.checkpoint()
        var faults = DriveFaults()
        let start = bench.engine.drives[drive].superblock.layout.offset(of: entry.slots[0])
        faults.damage = [BitDamage(offset: ByteOffset(start.rawValue + 77), mask: 1)]
        bench.device.setFaults(faults, of: drive)
        try bench.pass(milliseconds: 2 * 3_600_000)
        return bench.counter(.scrubFindings, of: 0) == 1 ? nil : "two turns didn't find rot"
    }
}

extension EngineBench {
    fileprivate func answerIsOK(to order: RequestOrder) throws {
        let status = try answer(to: order).status
        if status != .ok { throw BenchFailure(description: "\(order.operation): \(status)") }
    }
}

@Suite struct DriveBugTests {
    @Test func everyBugOfDriveStatesHasItsScenario() {
        #expect(DriveScenario.all.map(\.bug) == PlantedBug.ofDriveStates)
    }

    @Test(arguments: DriveScenario.all.indices)
    func aScenarioFindsItsOwnBugAlone(index: Int) throws {
        let scenario = DriveScenario.all[index]
        #expect(try scenario.violation(nil) == nil)
        // Half a minute of load for each of the others would find nothing more.
        let isLong = scenario.bug == .slowDriveNeverFlagged
        for bug in PlantedBug.ofDriveStates where !isLong || bug == scenario.bug {
            let violation = try scenario.violation(bug)
            if bug == scenario.bug {
                #expect(violation != nil, "\(bug) wasn't found")
                print("\(bug): \(violation ?? "not found")")
            } else {
                #expect(violation == nil, "\(bug) was found by the scenario of \(scenario.bug)")
            }
        }
    }
}
#endif
