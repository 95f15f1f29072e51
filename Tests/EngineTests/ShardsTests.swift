// Several shards as one store: whichever shard a client talks to, it gets what a single one would
// have said.

@testable import Engine
import Sim
import Testing
import Wire

@Suite struct ShardsTests {
    private static func settings(drives: Int, seed: UInt64 = 1) -> BenchSettings {
        var settings = BenchSettings()
        settings.driveCount = drives
        settings.driveBytes = 12 << 20
        settings.slabCount = 48
        settings.seed = seed
        return settings
    }

    private static func keys(_ numbers: [UInt64]) -> [UInt64] {
        numbers.flatMap { number in
            let words = EngineBench.key(number).littleEndianWords
            return [words[0], words[1], words[2], words[3]]
        }
    }

    // MARK: One store

    @Test(arguments: [2, 3, 4])
    func anyShardAnswersForAllKeys(shards: Int) throws {
        let settings = Self.settings(drives: 4, seed: UInt64(shards))
        print("shards \(shards), seed \(settings.seed)")
        var random = RandomStream(seed: settings.seed, name: "shards model")
        var model: [UInt64: (number: UInt64, count: Int)] = [:]
        var images: [DriveImage]?
        // Restarted with the drives divided among another number of shards.
        for (round, count) in [shards, 1, shards + 1 > 4 ? 2 : shards + 1].enumerated() {
            let bench = try ShardsBench(settings, shards: count, images: images)
            try bench.serve()
            for step in 0..<400 as Range<UInt64> {
                let key = random.below(150)
                let number = UInt64(round) << 32 | step
                switch random.below(10) {
                case 0..<5:
                    let count = random.chance(percent: 20) ? 40_000 : 3000
                    #expect(
                        try bench.put(EngineBench.key(key), number: number, count: count) == .ok)
                    model[key] = (number, count)
                case 5:
                    let expected: Status =
                        model.removeValue(forKey: key) == nil ? .notFound : .ok
                    let reply = try bench.answer(
                        to: RequestOrder(.tcpDelete, EngineBench.key(key)))
                    #expect(reply.status == expected)
                default:
                    let expected = model[key].map { EngineBench.value($0.number, $0.count) }
                    #expect(try bench.get(EngineBench.key(key)) == expected)
                }
            }
            try compare(model, bench)
            #expect(bench.slabs.freeSlabs == settings.slabCount)
            try bench.drain()
            images = bench.images
        }
    }

    /// Asks for everything, by each of the requests that span shards.
    private func compare(
        _ model: [UInt64: (number: UInt64, count: Int)], _ bench: ShardsBench
    ) throws {
        for first in stride(from: UInt64(0), to: 150, by: 10) {
            let numbers = Array(first..<first + 10)
            let exists = try bench.answer(
                to: RequestOrder(operation: .exists, bodyWords: Self.keys(numbers)))
            let expected = numbers.map { number -> UInt64 in
                UInt64((model[number] == nil ? Status.notFound : .ok).rawValue)
            }
            #expect(exists.status == .ok && exists.bodyWords == expected)
            let stat = try bench.answer(to: RequestOrder(.stat, EngineBench.key(first)))
            #expect(stat.status == (model[first] == nil ? .notFound : .ok))
            #expect(stat.bodyWords.first == model[first].map { UInt64($0.count) })
            try compareBatch(numbers.filter { (model[$0]?.count ?? 0) < 5000 }, model, bench)
        }
        try bench.quiesce()
    }

    private func compareBatch(
        _ numbers: [UInt64], _ model: [UInt64: (number: UInt64, count: Int)], _ bench: ShardsBench
    ) throws {
        if numbers.isEmpty { return }
        let reply = try bench.answer(
            to: RequestOrder(operation: .tcpBatchGet, bodyWords: Self.keys(numbers)))
        #expect(reply.status == .ok)
        var offset: UInt64 = 0
        for (item, number) in numbers.enumerated() {
            let word = reply.bodyWords[item * 2]
            guard let value = model[number] else {
                #expect(word == UInt64(Status.notFound.rawValue))
                continue
            }
            #expect(word == UInt64(Status.ok.rawValue) | UInt64(value.count) << 32)
            let bytes = reply.payload[Int(offset)..<Int(offset) + value.count]
            #expect(Array(bytes) == EngineBench.value(value.number, value.count))
            offset = BodyLayout.nextBatchOffset(after: offset, lengthBytes: UInt32(value.count))
        }
    }

    @Test func batchesOfPutsAndDeletesSpanShards() throws {
        let settings = Self.settings(drives: 3)
        let bench = try ShardsBench(settings, shards: 3)
        try bench.serve()
        let numbers = Array(0..<12 as Range<UInt64>)
        var words: [UInt64] = []
        var payload: [UInt8] = []
        for number in numbers {
            let offset = payload.isEmpty ? 0 : (payload.count + 4095) / 4096 * 4096
            payload += [UInt8](repeating: 0, count: offset - payload.count)
            let value = EngineBench.value(number, 2000)
            payload += value
            words += Self.keys([number]) + [2000, Self.checksum(value)]
        }
        let put = try bench.answer(
            to: RequestOrder(operation: .tcpBatchPut, bodyWords: words, payload: payload))
        #expect(put.status == .ok)
        #expect(put.bodyWords == numbers.map { _ in UInt64(Status.ok.rawValue) })
        for number in numbers {
            #expect(
                try bench.get(EngineBench.key(number)) == EngineBench.value(number, 2000))
        }
        let deleted = try bench.answer(
            to: RequestOrder(operation: .tcpBatchDelete, bodyWords: Self.keys(numbers + [77])))
        #expect(deleted.bodyWords.dropLast().allSatisfy { $0 == UInt64(Status.ok.rawValue) })
        #expect(deleted.bodyWords.last == UInt64(Status.notFound.rawValue))
        try bench.quiesce()
        #expect(bench.slabs.freeSlabs == settings.slabCount)
        try bench.drain()
    }

    private static func checksum(_ bytes: [UInt8]) -> UInt64 {
        unsafe bytes.withUnsafeBytes { unsafe Digest.xxh3($0) }
    }

    // MARK: Load

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func fullShardsDoNotWaitForEachOther(seed: UInt64) throws {
        var settings = Self.settings(drives: 3, seed: seed)
        settings.engine.operationLimit = 12
        settings.slabCount = 12
        print("full shards, seed \(seed)")
        // Three requests at a time between two shards, far fewer than there are.
        let bench = try ShardsBench(settings, shards: 3, requestLimit: 3)
        try bench.serve()
        var random = RandomStream(seed: seed, name: "full shards")
        var sent = 0
        while sent < 1500 {
            let shard = Int(random.below(3))
            let order = order(sent, &random)
            // As a transport does it: what comes in leaves slabs for what goes out.
            let mayEnter = order.payload.isEmpty || bench.slabs.freeSlabs > 6
            if mayEnter, bench.send(order, to: shard) != nil {
                sent += 1
            } else {
                let before = bench.replies.count
                try bench.run("room") { bench.replies.count > before }
            }
        }
        try bench.quiesce()
        #expect(bench.replies.count == sent)
        for reply in bench.replies.values {
            #expect([.ok, .notFound].contains(reply.status), "\(reply.order.operation)")
            #expect(reply.isPayloadWhole || reply.order.operation == .tcpBatchGet)
        }
        #expect(bench.slabs.freeSlabs == settings.slabCount)
        try bench.drain()
    }

    private func order(_ number: Int, _ random: inout RandomStream) -> RequestOrder {
        let key = EngineBench.key(random.below(80))
        switch random.below(10) {
        case 0..<4:
            let count = random.chance(percent: 15) ? 40_000 : 3000
            return RequestOrder(
                .tcpPut, key, payload: EngineBench.value(UInt64(number), count))
        case 4: return RequestOrder(.tcpDelete, key)
        case 5:
            let first = random.below(60)
            return RequestOrder(
                operation: .exists, bodyWords: Self.keys(Array(first..<first + 20)))
        case 6:
            let first = random.below(70)
            return RequestOrder(
                operation: .tcpBatchGet, bodyWords: Self.keys(Array(first..<first + 6)))
        default: return RequestOrder(.tcpGet, key)
        }
    }

    // MARK: Failing drives

    @Test func aDriveOfAnotherShardThatGoesCostsItsKeysOnly() throws {
        let settings = Self.settings(drives: 2)
        let bench = try ShardsBench(settings, shards: 2)
        try bench.serve()
        let (here, there) = (bench.key(of: 0, from: 0), bench.key(of: 1, from: 0))
        for key in [here, there] {
            #expect(try bench.put(EngineBench.key(key), number: key, count: 3000) == .ok)
        }
        var faults = DriveFaults()
        faults.goneFromOperation = 0
        bench.shards[1].device.setFaults(faults, of: DriveIndex(0))
        #expect(try bench.get(EngineBench.key(there)) == nil)
        // Its keys are put to their second drive instead.
        #expect(try bench.put(EngineBench.key(there), number: 9, count: 3000) == .ok)
        #expect(try bench.get(EngineBench.key(there)) == EngineBench.value(9, 3000))
        #expect(try bench.get(EngineBench.key(here)) == EngineBench.value(here, 3000))
        try bench.quiesce()
        #expect(bench.slabs.freeSlabs == settings.slabCount)
        try bench.drain()
    }

    @Test func requestsToAStalledShardEndByTheirDeadline() throws {
        let settings = Self.settings(drives: 2)
        let bench = try ShardsBench(settings, shards: 2)
        try bench.serve()
        let there = bench.key(of: 1, from: 0)
        let here = bench.key(of: 0, from: 0)
        #expect(try bench.put(EngineBench.key(there), number: 1, count: 3000) == .ok)
        #expect(try bench.put(EngineBench.key(here), number: 2, count: 3000) == .ok)
        var latency = DriveLatency()
        for action in DeviceAction.allCases {
            latency.set(action, fixedMicroseconds: 5_000_000, randomMicroseconds: 0)
        }
        bench.shards[1].device.setLatency(latency, of: DriveIndex(0))
        let asked = bench.world.now
        func late(_ order: RequestOrder) throws -> RequestNumber {
            var order = order
            order.deadline = asked.advanced(byMicroseconds: 100_000)
            return try EngineBench.require(bench.send(order, to: 0))
        }
        let key = EngineBench.key(there)
        let put = try late(RequestOrder(.tcpPut, key, payload: EngineBench.value(3, 3000)))
        let get = try late(RequestOrder(.tcpGet, key))
        let batch = try late(
            RequestOrder(operation: .tcpBatchGet, bodyWords: Self.keys([here, there])))
        try bench.run("answers") { bench.replies.count == 3 }
        #expect(
            bench.world.now.microseconds(since: asked) < 200_000, "answered when it was due")
        #expect(bench.replies[put]?.status == .outcomeUnknown)
        #expect(bench.replies[get]?.status == .deadlineExceeded)
        #expect(bench.replies[batch]?.status == .deadlineExceeded)
        // The stalled drive still has their slabs.
        #expect(bench.slabs.freeSlabs < settings.slabCount)
        bench.shards[1].device.setLatency(DriveLatency(), of: DriveIndex(0))
        try bench.quiesce()
        #expect(bench.slabs.freeSlabs == settings.slabCount)
        try bench.run("the drive is trusted again") {
            !bench.shards[1].engine.driveCondition(DriveIndex(0)).isDegraded
        }
        #expect(try bench.get(key) == EngineBench.value(3, 3000))
        try bench.drain()
    }

    @Test(arguments: [OperationCode.exists, .stat, .tcpBatchGet])
    func aLookupThatComesTooLateElsewhereIsNoMiss(operation: OperationCode) throws {
        let bench = try ShardsBench(Self.settings(drives: 2), shards: 2)
        try bench.serve()
        let there = bench.key(of: 1, from: 0)
        #expect(try bench.put(EngineBench.key(there), number: 1, count: 3000) == .ok)
        var order = RequestOrder(operation: operation, bodyWords: Self.keys([there]))
        order.deadline = bench.world.now.advanced(byMicroseconds: 100)
        let number = try EngineBench.require(bench.send(order, to: 0))
        _ = bench.shards[0].engine.step(now: bench.world.now)
        bench.world.advance(to: bench.world.now.advanced(byMicroseconds: 200))
        // Only the shard that has the key notices that it is too late.
        _ = bench.shards[1].engine.step(now: bench.world.now)
        _ = bench.shards[0].engine.step(now: bench.world.now)
        #expect(bench.replies[number]?.status == .deadlineExceeded)
        try bench.quiesce()
        try bench.drain()
    }

    // MARK: Starting and stopping

    @Test func oneRefusedDriveStopsEveryShardAndNothingIsWritten() throws {
        let settings = Self.settings(drives: 3)
        var images = try EngineBench.formatted(settings)
        images[1] = try EngineBench.formatted(Self.settings(drives: 3, seed: 2))[1]
        let bench = try ShardsBench(settings, shards: 3, images: images)
        try bench.run("refusal") {
            bench.shards.allSatisfy { $0.engine.phase == .refused || $0.engine.phase == .stopped }
        }
        #expect(bench.shards.map { $0.engine.phase } == [.stopped, .refused, .stopped])
        #expect(bench.shards[1].engine.driveRefusal(DriveIndex(0)) == .foreignStore)
        for shard in bench.shards {
            #expect(shard.device.submitted(.write, to: DriveIndex(0)) == 0)
            #expect(shard.device.submitted(.flush, to: DriveIndex(0)) == 0)
        }
    }

    @Test func theDriveThatDiffersIsBlamedWhereverItStands() throws {
        let settings = Self.settings(drives: 3)
        var images = try EngineBench.formatted(settings)
        images[0] = try EngineBench.formatted(Self.settings(drives: 3, seed: 2))[0]
        let bench = try ShardsBench(settings, shards: 2, images: images)
        try bench.run("refusal") {
            bench.shards.allSatisfy { $0.engine.phase == .refused || $0.engine.phase == .stopped }
        }
        #expect(bench.shards[0].engine.driveRefusal(DriveIndex(0)) == .foreignStore)
        #expect(bench.shards[0].engine.driveRefusal(DriveIndex(1)) == nil)
        #expect(bench.shards[1].engine.phase == .stopped)
    }

    @Test func aStoreWithAMemberMissingIsRefusedOnce() throws {
        let settings = Self.settings(drives: 3)
        var fewer = settings
        fewer.driveCount = 2
        let images = try EngineBench.formatted(settings)
        let bench = try ShardsBench(fewer, shards: 2, images: Array(images[..<2]))
        try bench.run("refusal") {
            bench.shards.allSatisfy { $0.engine.phase == .refused || $0.engine.phase == .stopped }
        }
        #expect(
            bench.shards[0].engine.driveRefusal(DriveIndex(0))
                == .membersMissing(configured: 2, members: 3))
        #expect(bench.shards[1].engine.phase == .stopped)
    }

    @Test func drainingBeforeEveryShardIsThereEnds() throws {
        let bench = try ShardsBench(Self.settings(drives: 2), shards: 2)
        // Shard 1 never steps, as one that couldn't open its drives.
        for _ in 0..<10 { _ = bench.shards[0].engine.step(now: bench.world.now) }
        #expect(bench.shards[0].engine.phase == .recovering)
        bench.shards[0].engine.beginDrain()
        #expect(bench.shards[0].engine.phase == .stopped)
    }

    @Test func aDrainingShardServesTheOthersToTheEnd() throws {
        let settings = Self.settings(drives: 2)
        let bench = try ShardsBench(settings, shards: 2)
        try bench.serve()
        let there = EngineBench.key(bench.key(of: 1, from: 0))
        let number = try EngineBench.require(
            bench.send(
                RequestOrder(.tcpPut, there, payload: EngineBench.value(5, 3000)), to: 0))
        _ = bench.shards[0].engine.step(now: bench.world.now)
        try bench.drain()
        #expect(bench.replies[number]?.status == .ok)
        let restarted = try ShardsBench(settings, shards: 1, images: bench.images)
        try restarted.serve()
        #expect(try restarted.get(there) == EngineBench.value(5, 3000))
        try restarted.drain()
    }

    @Test func whoWaitsBehindOneThatGivesUpIsSent() throws {
        var settings = BenchSettings()
        settings.driveCount = 2
        let bench = try ShardsBench(settings, shards: 2, requestLimit: 2)
        try bench.serve()
        var slow = DriveLatency()
        slow.set(.write, fixedMicroseconds: 200_000, randomMicroseconds: 0)
        bench.shards[1].device.setLatency(slow, of: DriveIndex(0))
        var number: UInt64 = 0
        func put(_ limitMicroseconds: UInt64?) throws -> RequestNumber {
            number = bench.key(of: 1, from: number + 1)
            var order = RequestOrder(
                .tcpPut, EngineBench.key(number), payload: EngineBench.value(number, 100))
            if let limitMicroseconds {
                order.deadline = bench.world.now.advanced(byMicroseconds: limitMicroseconds)
            }
            return try #require(bench.send(order, to: 0))
        }
        // Two are with the other shard; of those that wait for them two give up.
        _ = try [put(nil), put(nil), put(100_000), put(100_000)]
        let last = try put(nil)
        try bench.pass(milliseconds: 5_000)
        #expect(bench.replies[last]?.status == .ok)
    }
}
