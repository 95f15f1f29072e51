// Drives that don't finish what they were given: who is told what, when, and what it costs the
// others.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct DriveStallTests {
    private func put(_ number: UInt64) -> RequestOrder {
        RequestOrder(
            .tcpPut, EngineBench.key(number), payload: EngineBench.value(number, 4096))
    }

    private func get(_ number: UInt64) -> RequestOrder {
        RequestOrder(.tcpGet, EngineBench.key(number))
    }

    @Test func aStalledFlushShedsWritesAndLeavesReadsAlone() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let numbers = bench.numbers(on: 0, count: 3)
        let (kept, stuck, later) = (numbers[0], numbers[1], numbers[2])
        #expect(try bench.put(EngineBench.key(kept), number: kept, count: 4096) == .ok)
        bench.stall([.flush], on: 0, seconds: 12)
        let stuckPut = try bench.send(put(stuck))
        try bench.pass(milliseconds: 1900)
        #expect(bench.reply(to: stuckPut) == nil)
        #expect(bench.condition(0).word == "online")
        try bench.pass(milliseconds: 300)
        // What is in hand is told so, what comes is turned away; neither waits for its deadline.
        #expect(bench.condition(0).causes == ["writes_stalled"])
        #expect(bench.reply(to: stuckPut)?.status == .outcomeUnknown)
        // A key that the drive has nothing of goes to its next one.
        let placed = try bench.send(put(later))
        let refused = try bench.send(put(kept))
        let deleted = try bench.send(RequestOrder(.tcpDelete, EngineBench.key(kept)))
        try bench.settleNow()
        #expect(bench.reply(to: refused)?.status == .busy)
        #expect(bench.reply(to: deleted)?.status == .busy)
        #expect(bench.counter(.shedStalled, of: 0) == 3)
        try bench.pass(milliseconds: 20)
        #expect(bench.reply(to: placed)?.status == .ok)
        #expect(try bench.get(EngineBench.key(later)) == EngineBench.value(later, 4096))
        #expect(try bench.get(EngineBench.key(kept)) == EngineBench.value(kept, 4096))
        let other = bench.number(on: 1)
        #expect(try bench.put(EngineBench.key(other), number: other, count: 4096) == .ok)
        bench.restore(0)
        try bench.pass(milliseconds: 9500)
        #expect(bench.condition(0).causes == ["writes_stalled"])
        // The flush completes; a second later the drive is trusted again.
        try bench.pass(milliseconds: 2000)
        #expect(bench.condition(0) == DriveCondition(state: .online))
        #expect(try bench.get(EngineBench.key(stuck)) == EngineBench.value(stuck, 4096))
        // The next put brings the key home.
        #expect(try bench.get(EngineBench.key(later)) == EngineBench.value(later, 4096))
        #expect(try bench.put(EngineBench.key(later), number: later, count: 4096) == .ok)
        #expect((0..<4).allSatisfy { bench.engine.drives[DriveIndex($0)].strayCount == 0 })
        #expect(try bench.get(EngineBench.key(later)) == EngineBench.value(later, 4096))
    }

    @Test func aDriveIsNeverFencedForAFlushThatTakesMinutes() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let numbers = bench.numbers(on: 0, count: 2)
        let (kept, stuck) = (numbers[0], numbers[1])
        #expect(try bench.put(EngineBench.key(kept), number: kept, count: 4096) == .ok)
        bench.stall([.flush], on: 0, seconds: 300)
        try bench.send(put(stuck))
        try bench.pass(milliseconds: 290_000)
        #expect(bench.condition(0).word == "degraded")
        #expect(try bench.get(EngineBench.key(kept)) == EngineBench.value(kept, 4096))
        bench.restore(0)
        try bench.pass(milliseconds: 15_000)
        #expect(bench.condition(0) == DriveCondition(state: .online))
    }

    @Test func aStalledDriveHoldsNoMoreThanItsShare() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        bench.stall([.write, .flush], on: 0, seconds: 10)
        let stalled = try bench.numbers(on: 0, count: 30).map { try bench.send(put($0)) }
        try bench.pass(milliseconds: 600)
        // Of 32 slabs a third is the drive's; the others' puts are answered, and their slabs free.
        let refused = stalled.count { bench.reply(to: $0)?.status == .busy }
        #expect(refused >= 19)
        #expect(bench.counter(.shedOverShare, of: 0) == UInt64(refused))
        #expect(bench.slabs.freeSlabs >= 21)
        let others = (1...3).flatMap { bench.numbers(on: $0, count: 7) }
        let answers = try others.map { try bench.send(put($0)) }
        try bench.pass(milliseconds: 100)
        #expect(answers.allSatisfy { bench.reply(to: $0)?.status == .ok })
    }

    @Test func whoWaitsForAKeyOfAStalledDriveIsTurnedAway() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        bench.stall([.write, .flush], on: 0, seconds: 10)
        let number = bench.number(on: 0)
        let owner = try bench.send(put(number))
        try bench.settleNow()
        let waiting = try (0..<20).map { _ in try bench.send(put(number)) }
        let deletion = try bench.send(RequestOrder(.tcpDelete, EngineBench.key(number)))
        try bench.pass(milliseconds: 2300)
        #expect(bench.reply(to: owner)?.status == .outcomeUnknown)
        #expect(waiting.allSatisfy { bench.reply(to: $0)?.status == .busy })
        #expect(bench.reply(to: deletion)?.status == .busy)
        bench.restore(0)
        try bench.pass(milliseconds: 24_000)
        #expect(bench.slabs.freeSlabs == bench.slabs.slabCount)
        #expect(try bench.get(EngineBench.key(number)) == EngineBench.value(number, 4096))
    }

    @Test func aHungDriveIsShedThenFencedAndKeepsItsMemoryUntilItEnds() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let kept = bench.numbers(on: 0, count: 4)
        for number in kept {
            #expect(try bench.put(EngineBench.key(number), number: number, count: 4096) == .ok)
        }
        bench.stall(DeviceAction.allCases, on: 0, seconds: 90)
        let stuck = try bench.send(get(kept[0]))
        try bench.pass(milliseconds: 2200)
        #expect(bench.reply(to: stuck)?.status == .notFound)
        #expect(bench.condition(0).causes == ["unresponsive"])
        let shed = try bench.send(get(kept[1]))
        let placed = try bench.send(put(bench.number(on: 0, from: 1000)))
        let refused = try bench.send(put(kept[2]))
        try bench.settleNow()
        #expect(bench.reply(to: shed)?.status == .notFound)
        #expect(bench.reply(to: refused)?.status == .busy)
        try bench.pass(milliseconds: 20)
        #expect(bench.reply(to: placed)?.status == .ok)
        let other = bench.number(on: 1)
        #expect(try bench.put(EngineBench.key(other), number: other, count: 4096) == .ok)
        try bench.pass(milliseconds: 59_000)
        #expect(bench.condition(0) == DriveCondition(state: .offline, fence: .unresponsive))
        #expect(bench.slabs.freeSlabs < bench.slabs.slabCount)
        let late = try bench.answer(to: put(bench.number(on: 0, from: 2000)))
        #expect(late.status == .ok)
        try bench.pass(milliseconds: 40_000)
        #expect(bench.slabs.freeSlabs == bench.slabs.slabCount)
    }

    @Test func aDriveThatAnswersAgainServesAgain() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let kept = bench.number(on: 0)
        #expect(try bench.put(EngineBench.key(kept), number: kept, count: 4096) == .ok)
        bench.stall([.read], on: 0, seconds: 8)
        try bench.send(get(kept))
        try bench.pass(milliseconds: 3000)
        #expect(bench.condition(0).causes == ["unresponsive"])
        bench.restore(0)
        try bench.pass(milliseconds: 7500)
        #expect(bench.condition(0) == DriveCondition(state: .online))
        #expect(try bench.get(EngineBench.key(kept)) == EngineBench.value(kept, 4096))
    }

    @Test func aBatchLosesTheStalledDrivesItemsAlone() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        bench.stall([.flush], on: 0, seconds: 12)
        let stuck = bench.number(on: 0)
        try bench.send(put(stuck))
        try bench.pass(milliseconds: 2200)
        let keys = (0..<4).map { EngineBench.key(bench.number(on: $0, from: 500)) }
        let reply = try bench.answer(
            to: EngineBench.batchPut(of: [EngineBench.key(stuck)] + keys))
        #expect(reply.status == .ok)
        let statuses = reply.bodyWords.map { UInt8($0) }
        #expect(statuses == [Status.busy, .ok, .ok, .ok, .ok].map(\.rawValue))
    }

    /// It was looked for over and over within one step, which never ended.
    @Test func aStrayOnADriveThatReadsNothingIsAMiss() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let numbers = bench.numbers(on: 0, count: 2)
        bench.stall([.flush], on: 0, seconds: 300)
        try bench.send(put(numbers[0]))
        try bench.pass(milliseconds: 2200)
        let stray = numbers[1]
        #expect(try bench.put(EngineBench.key(stray), number: stray, count: 4096) == .ok)
        let second = try EngineBench.require(
            (0..<4).first { bench.engine.drives[DriveIndex(UInt16($0))].strayCount == 1 })
        bench.stall([.read], on: second, seconds: 8)
        let stuck = try bench.send(get(stray))
        try bench.pass(milliseconds: 2200)
        #expect(bench.reply(to: stuck)?.status == .notFound)
        #expect(bench.condition(second).causes == ["unresponsive"])
        let late = try bench.send(get(stray))
        try bench.pass(milliseconds: 20)
        #expect(bench.reply(to: late)?.status == .notFound)
        bench.restore(second)
        try bench.pass(milliseconds: 9000)
        #expect(try bench.get(EngineBench.key(stray)) == EngineBench.value(stray, 4096))
    }

    @Test func timeInWhichTheProcessWasFrozenIsNotHeldAgainstADrive() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let number = bench.number(on: 0)
        let request = try bench.send(
            RequestOrder(
                .tcpPut, EngineBench.key(number), payload: EngineBench.value(number, 4096)))
        _ = bench.engine.step(now: bench.world.now)
        #expect(bench.device.inFlightCount > 0)
        // A minute without a step; nothing has completed when the first one comes.
        bench.world.advance(to: bench.world.now.advanced(byMicroseconds: 59_000_000))
        _ = bench.engine.step(now: bench.world.now)
        #expect(bench.condition(0) == DriveCondition(state: .online))
        bench.device.advance()
        try bench.pass(milliseconds: 500)
        #expect(bench.reply(to: request)?.status == .ok)
        #expect(bench.condition(0) == DriveCondition(state: .online))
    }

    @Test func aStoreOfOneDriveHasNobodyToLeaveRoomFor() throws {
        let bench = try EngineBench()
        try bench.serve()
        bench.stall([.flush], on: 0, seconds: 1)
        let puts = try (0..<30).map { try bench.send(put($0)) }
        try bench.pass(milliseconds: 3000)
        #expect(puts.allSatisfy { bench.reply(to: $0)?.status == .ok })
    }

    @Test func anotherShardsStalledDriveStarvesNobody() throws {
        let bench = try ShardsBench(.four, shards: 2)
        try bench.serve()
        let drive = DriveIndex(0)
        var latency = DriveLatency()
        for action in [DeviceAction.write, .flush] {
            latency.set(action, fixedMicroseconds: 10_000_000, randomMicroseconds: 0)
        }
        bench.shards[1].device.setLatency(latency, of: drive)
        let stalledHome = DriveHome(shard: ShardIndex(1), drive: drive)
        var stalled: [UInt64] = []
        var others: [UInt64] = []
        for number in UInt64(0)... where stalled.count < 28 || others.count < 20 {
            if bench.home(of: EngineBench.key(number)) == stalledHome {
                if stalled.count < 28 { stalled.append(number) }
            } else if others.count < 20 {
                others.append(number)
            }
            if stalled.count == 28, others.count == 20 { break }
        }
        let first = stalled.compactMap { bench.send(put($0), to: 0) }
        #expect(first.count == 28)
        let start = bench.world.now
        try bench.run("a second") { bench.world.now >= start.advanced(byMicroseconds: 1_000_000) }
        #expect(first.count { bench.replies[$0]?.status == .busy } >= 17)
        let second = others.compactMap { bench.send(put($0), to: 0) }
        #expect(second.count == 20)
        try bench.run("the others' puts") { second.allSatisfy { bench.replies[$0] != nil } }
        #expect(second.allSatisfy { bench.replies[$0]?.status == .ok })
        #expect(bench.world.now < start.advanced(byMicroseconds: 1_500_000))
        // Those that the drive has in hand are answered by the shard that has their client.
        try bench.run("two seconds more") {
            bench.world.now >= start.advanced(byMicroseconds: 2_400_000)
        }
        #expect(first.allSatisfy { bench.replies[$0] != nil })
        #expect(first.contains { bench.replies[$0]?.status == .outcomeUnknown })
    }

    /// A put that a stalled drive turned away is under way to the next one when the stall ends and
    /// another put of the key goes home.
    @Test func ofAPutAtHomeAndOneElsewhereTheSeenOneStays() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let numbers = bench.numbers(on: 0, count: 22)
        // The drive's versions run ahead.
        for number in numbers[..<20] {
            #expect(try bench.put(EngineBench.key(number), number: number, count: 4096) == .ok)
        }
        let key = EngineBench.key(numbers[20])
        let second = try #require(bench.engine.placement.ranks(of: key).second)
        bench.stall([.flush], on: 0, seconds: 5)
        try bench.send(put(numbers[21]))
        try bench.pass(milliseconds: 2200)
        bench.restore(0)
        // Well in itself, and still called stalled.
        try bench.pass(milliseconds: 3500)
        bench.stall([.write], on: second, seconds: 1)
        let first = try bench.send(
            RequestOrder(.tcpPut, key, payload: EngineBench.value(1, 4096)))
        try bench.pass(milliseconds: 700)
        #expect(bench.condition(0).word == "online" && bench.reply(to: first) == nil)
        #expect(try bench.put(key, number: 2, count: 4096) == .ok)
        bench.restore(second)
        try bench.pass(milliseconds: 1500)
        #expect(bench.reply(to: first)?.status == .ok)
        let seen = try bench.get(key)
        #expect(seen != nil)
        bench.takeAway(0)
        let later = try bench.get(key)
        #expect(later == nil || later == seen)
    }

    @Test(arguments: [OperationCode.tcpDelete, .tcpPut])
    func whatWaitsForAnEpochLeavesRoomForTheOthers(operation: OperationCode) throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let well = (0..<10_000 as Range<UInt64>).first {
            let ranks = bench.engine.placement.ranks(of: EngineBench.key($0))
            return Set([ranks.first, ranks.second]) == [2, 3]
        }
        let number = try #require(well)
        #expect(try bench.put(EngineBench.key(number), number: number, count: 4096) == .ok)
        bench.stall([.write, .flush], on: 1, seconds: 600)
        bench.takeAway(0)
        try bench.send(put(bench.number(on: 0, from: 5000)))
        try bench.pass(milliseconds: 100)
        #expect(bench.condition(0).word == "offline")
        for number in bench.numbers(on: 0, count: operation == .tcpPut ? 30 : 55) {
            try bench.send(
                operation == .tcpPut
                    ? put(number) : RequestOrder(operation, EngineBench.key(number)))
        }
        try bench.pass(milliseconds: 3_000)
        #expect(try bench.get(EngineBench.key(number)) == EngineBench.value(number, 4096))
        #expect(
            try bench.put(EngineBench.key(number), number: number, count: 4096) == .ok)
        try bench.pass(milliseconds: 58_000)
        #expect(bench.engine.operations.ownInUse < 10)
        #expect(bench.slabs.freeSlabs == bench.slabs.slabCount)
    }

    @Test func aKeyThatAHungDriveHoldsIsPutToTheNext() throws {
        let bench = try EngineBench(.four)
        try bench.serve()
        let number = bench.number(on: 0)
        bench.stall(DeviceAction.allCases, on: 0, seconds: 3600)
        try bench.send(put(number))
        try bench.pass(milliseconds: 62_000)
        #expect(bench.condition(0).word == "offline")
        let free = bench.slabs.freeSlabs
        #expect(try bench.put(EngineBench.key(number), number: 7, count: 4096) == .ok)
        #expect(try bench.get(EngineBench.key(number)) == EngineBench.value(7, 4096))
        #expect(bench.slabs.freeSlabs == free)
    }

    @Test func aDriveThatWritesNothingAtTheStartIsGivenUp() throws {
        let bench = try EngineBench(.four)
        bench.stall([.write, .flush], on: 0, seconds: 100_000)
        try bench.run("two minutes") {
            bench.engine.phase == .serving || bench.world.now.nanoseconds > 120_000_000_000
        }
        #expect(bench.engine.phase == .serving)
        #expect(bench.condition(0).word == "offline")
    }

    @Test func discardsThatNeverEndHoldNoMoreThanTheDrivesShare() throws {
        var settings = BenchSettings.four
        settings.supportsDiscard = true
        settings.engine.evictionEnabled = false
        let bench = try EngineBench(settings)
        try bench.serve()
        var kept: [UInt64] = []
        while true {
            let number = bench.number(on: 0, from: (kept.last ?? 0) + 1)
            let status = try bench.put(EngineBench.key(number), number: number, count: 16384)
            if status == .noSpace { break }
            #expect(status == .ok)
            kept.append(number)
        }
        bench.stall([.discard], on: 0, seconds: 600)
        for number in kept[..<40] { #expect(try bench.delete(EngineBench.key(number)) == .ok) }
        let puts = try bench.numbers(on: 0, count: 30, from: 1_000_000).map {
            try bench.send(
                RequestOrder(
                    .tcpPut, EngineBench.key($0), payload: EngineBench.value($0, 16384)))
        }
        try bench.pass(milliseconds: 5_000)
        #expect(puts.contains { bench.reply(to: $0)?.status == .busy })
        #expect(3 * bench.slabs.freeSlabs >= 2 * bench.slabs.slabCount)
    }

    /// While a put looks for what its key's second drive has, nothing has been changed.
    @Test func whoStillLooksIsNotAnsweredForTheStalledDrive() throws {
        let first = try EngineBench(.four)
        try first.serve()
        let numbers = first.numbers(on: 0, count: 3)
        first.stall([.flush], on: 0, seconds: 5)
        try first.send(put(numbers[0]))
        try first.pass(milliseconds: 2200)
        #expect(try first.put(EngineBench.key(numbers[1]), number: 1, count: 4096) == .ok)
        let second = try #require(
            (0..<4).first { first.engine.drives[DriveIndex(UInt16($0))].strayCount == 1 })
        first.restore(0)
        try first.pass(milliseconds: 9000)
        try first.drain()

        let bench = try EngineBench(.four, images: first.images)
        try bench.serve()
        bench.stall([.flush], on: 0, seconds: 600)
        try bench.send(put(numbers[2]))
        try bench.pass(milliseconds: 2200)
        #expect(bench.condition(0).causes == ["writes_stalled"])
        var slow = DriveLatency()
        slow.set(.read, fixedMicroseconds: 700_000, randomMicroseconds: 0)
        bench.device.setLatency(slow, of: DriveIndex(UInt16(second)))
        let key = EngineBench.key(numbers[1])
        #expect(try bench.put(key, number: 2, count: 4096) == .ok)
        #expect(try bench.get(key) == EngineBench.value(2, 4096))
    }
}
