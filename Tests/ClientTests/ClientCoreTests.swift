// ClientCore in the simulated network: whatever the servers and connections do, each request ends
// once, in time, and what is told of it is true.

import Testing
import Wire

@testable import Client

@Suite struct ClientCoreTests {
    /// Requests of every kind over `microseconds`, at random moments.
    private func load(_ world: ClientWorld, requests: Int, over microseconds: UInt64) {
        var known: [BlockKey] = []
        for _ in 0..<200 {
            let key = world.newKey()
            let value = pattern(50, seed: world.generator.next())
            world.server(of: key).table[key] = .init(value: value, version: 1)
            world.server(of: key).applied[key] = [value: 1]
            known.append(key)
        }
        // What is deleted once, each.
        var doomed: [BlockKey] = (0..<300).map { _ in world.newKey() }
        for key in doomed { world.server(of: key).table[key] = .init(value: [1], version: 1) }
        for _ in 0..<requests {
            let moment = UInt64.random(in: 0...microseconds, using: &world.generator)
            world.network.at(world.network.now + moment * 1000) {
                submitOne(world, known: known, doomed: &doomed)
            }
        }
        world.run(microseconds: microseconds + 1)
        world.finish()
        // What is still on its way may arrive late: the verdict counts it.
        world.network.advance(to: world.network.time.advanced(byMicroseconds: 10_000_000))
    }

    private func submitOne(
        _ world: ClientWorld, known: [BlockKey], doomed: inout [BlockKey]
    ) {
        let within = UInt64.random(in: 1000...400_000, using: &world.generator)
        let policy = RequestPolicy(
            downServer: Bool.random(using: &world.generator) ? .answerAtOnce : .waitUntilDeadline,
            putsMayBeRepeated: Bool.random(using: &world.generator))
        let count = Int.random(in: 1...20, using: &world.generator)
        func randomKey() -> BlockKey { known.randomElement(using: &world.generator)! }
        func get() -> (GetItem, OwnedBytes) {
            let memory = OwnedBytes(count: ClientWorld.memoryBytes)
            return (GetItem(key: randomKey(), destination: memory.destination), memory)
        }
        func put() -> (PutItem, [UInt8]) {
            let isLarge = Int.random(in: 0..<40, using: &world.generator) == 0
            let length = Int.random(in: 8...(isLarge ? 60_000 : 500), using: &world.generator)
            let value = pattern(length, seed: world.generator.next())
            return (PutItem(key: randomKey(), value: OwnedBytes(value).source), value)
        }
        switch Int.random(in: 0..<8, using: &world.generator) {
        case 0:
            let (item, value) = put()
            world.submit(.put(item), within: within, policy: policy, values: [value])
        case 1:
            let (item, memory) = get()
            world.submit(.get(item), within: within, policy: policy, memories: [memory])
        case 2: world.submit(.stat(randomKey()), within: within, policy: policy)
        case 3:
            let keys = (0..<count).map { _ in randomKey() }
            world.submit(.exists(keys), within: within, policy: policy)
        case 4:
            let puts = (0..<count).map { _ in put() }
            world.submit(
                .putBatch(puts.map(\.0)), within: within, policy: policy, values: puts.map(\.1))
        case 5:
            let gets = (0..<count).map { _ in get() }
            world.submit(
                .getBatch(gets.map(\.0)), within: within, policy: policy, memories: gets.map(\.1))
        case 6:
            guard let key = doomed.popLast() else { return }
            world.submit(.delete(key), within: within, policy: policy)
        default:
            let keys = doomed.suffix(min(count, 5))
            doomed.removeLast(keys.count)
            guard !keys.isEmpty else { return }
            world.submit(.deleteBatch(Array(keys)), within: within, policy: policy)
        }
    }

    /// Servers that go and come, fall silent and speak again.
    private func plan(_ world: ClientWorld, over microseconds: UInt64) {
        let modes: [SimulatedServer.Mode] = [.down, .mute, .muteAfterConnect, .serving, .serving]
        for number in 0..<3 {
            for _ in 0..<4 {
                let moment = UInt64.random(in: 0...microseconds, using: &world.generator)
                let mode = modes.randomElement(using: &world.generator)!
                world.network.at(world.network.now + moment * 1000) {
                    world.network.change(number, to: mode)
                }
            }
        }
    }

    private let everything = Faults(
        cutsToServer: 300, cutsToClient: 300, busy: 50, shuttingDown: 20, unknown: 30,
        damaged: 50, silent: 10, answeredTwice: 3, longestAnswerMicroseconds: 20_000,
        refusedOpenings: 100)

    @Test(arguments: 1...24)
    func everyRequestEndsOnceInTimeAndWithTheTruth(seed: UInt64) {
        var behaviour = Behaviour(
            requestsInFlight: 8, batchLimit: 16, valueLimitBytes: 64 << 10,
            payloadLimitBytes: 96 << 10)
        if seed % 2 == 0 { behaviour.padsBatches = true }
        let world = ClientWorld(
            seed: seed, faults: seed % 4 == 0 ? Faults() : everything, behaviour: behaviour,
            connections: Int(seed % 3) + 1)
        plan(world, over: 1_000_000)
        load(world, requests: 250, over: 1_000_000)
        let problems = world.judge()
        #expect(problems.isEmpty, "seed \(seed): \(problems.prefix(5))")
        #expect(world.order.count > 150)
        #expect(world.count(of: .ok) > 100 && world.count(of: .serverUnavailable) > 50)
    }

    @Test func theSameSeedIsTheSameRun() {
        func run() -> [String] {
            let world = ClientWorld(seed: 99, faults: everything)
            plan(world, over: 300_000)
            load(world, requests: 100, over: 300_000)
            return world.order.map { tag in
                let submitted = world.requests[tag]
                return
                    "\(tag.rawValue) \(submitted?.endedAt ?? 0) \(String(describing: submitted?.outcome))"
            }
        }
        #expect(run() == run())
    }

    /// A put, its connection cut after each number of bytes in turn, in both directions.
    @Test func aCutAtEveryByteIsToldAsItIs() {
        let value = pattern(40, seed: 1)
        var told: [OutcomeStatus: Int] = [:]
        for toServer in [true, false] {
            for cut in 1...220 {
                let world = ClientWorld(seed: UInt64(cut), connections: 1)
                let key = world.newKey(on: 0)
                let item = PutItem(key: key, value: OwnedBytes(value).source)
                world.submit(
                    .put(item), within: 100_000,
                    policy: RequestPolicy(downServer: .waitUntilDeadline),
                    values: [value])
                var isFirst = true
                world.run {
                    if isFirst, let stream = world.network.streams.first {
                        isFirst = false
                        if toServer {
                            stream.bytesToServerLeft = cut
                        } else {
                            stream.bytesToClientLeft = cut
                        }
                    }
                    return world.core.unansweredCount == 0
                }
                #expect(world.judge().isEmpty, "cut \(cut): \(world.problems)")
                told[world.requests[world.order[0]]!.outcome!.status, default: 0] += 1
            }
        }
        // Connect has 72 bytes, the put 136: only behind its last one may it have been carried out.
        // Connect's answer has 104, the put's 64: until the last one nobody knows.
        #expect(told == [.ended(.outcomeUnknown): 1 + 63, .ok: 440 - 64])
    }
}
